"""What a Program costs, predicted from its equations alone, so that choices never read a clock.

The unit is a nominal second of a nominal core; only ratios mean anything. An equation costs a call, the bytes that it
moves, and its arithmetic: 2 m n k for a product of matrices, a fixed price an entry for a transcendental function.
"""

from __future__ import annotations

from math import prod

from hypergrad.ad.primitives.control import Body
from hypergrad.ad.program import Equation, Program

__all__ = ["nominal_seconds"]

_CALL = 3e-7  # a NumPy call on small operands
_BYTE = 3e-11  # a byte read or written
_FLOP = 1.8e-11  # a multiplication or an addition of a product, float64
_ENTRY = 3e-9  # an entry of a transcendental function
_TRANSCENDENTAL = {"tanh", "exp", "log", "expit", "sin", "cos", "power", "log1p", "expm1", "erf", "softmax"}


def nominal_seconds(program: Program) -> float:
    """Nominal seconds of one run of the program."""
    return sum(_equation(eq) for eq in program.equations)


def _equation(eq: Equation) -> float:
    if eq.primitive.view:
        return 0.0
    types = [atom.type for atom in (*eq.inputs, *eq.outputs)]
    cost = _CALL + _BYTE * sum(type.size * type.dtype.itemsize for type in types)
    bodies = [value for value in eq.params.values() if isinstance(value, Body)]
    if bodies:  # the dearest branch of a cond, each step of a scan
        times = int(eq.params.get("length", 1))
        return cost + times * max(nominal_seconds(body.program) for body in bodies)
    out = eq.outputs[0].type
    if eq.primitive.name in _TRANSCENDENTAL:
        cost += _ENTRY * out.size
    elif eq.primitive.name == "matmul":
        inner = eq.inputs[0].type.shape[-1]
        cost += 2 * _FLOP * prod(out.shape) * inner * out.dtype.itemsize / 8
    elif eq.primitive.name in ("solve", "cholesky"):
        cost += _FLOP * prod(eq.inputs[0].type.shape) * eq.inputs[0].type.shape[-1]
    return cost
