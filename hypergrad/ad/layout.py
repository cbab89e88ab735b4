"""In which order the entries of traced arrays would lie in memory: what decides whether a reshape copies.

NumPy's elementwise results follow the order of their operands (order "K"): ``x.T + 1`` is in Fortran order, so that
its ``ravel()`` is a copy. Arguments of traced functions count as C-contiguous. All of this is worked out on arrays
of bytes that are never read, and only when a write makes it matter.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from hypergrad.ad.program import Atom, Const, Equation
from hypergrad.ad.tracer import ARGUMENT, Owned, Tracer, View

__all__ = ["strided"]

Order = tuple[int, ...]  # axes, the slowest first

# primitives whose NumPy call shows the order of its result on bytes as on any numbers
_CALLED = {
    "permute", "index", "split", "gather", "concatenate", "broadcast_to", "reduce_sum", "reduce_max",
    "reduce_min", "reduce_prod", "cumsum", "any", "all", "reshape",
}  # fmt: skip
_REORDER = {"permute", "gather"}  # out of C order even where the operands are in it


def strided(x: Tracer) -> np.ndarray:
    """Bytes of the shape and (relative) strides of `x`."""
    memory = x.memory
    if isinstance(memory, View):
        shown = strided(memory.source)
        if memory.primitive is None:
            return memory.params["show"](shown)
        found = memory.primitive.call(shown, **memory.params)
        return found[memory.number] if memory.primitive.multiple else found
    if memory is ARGUMENT or (isinstance(memory, Owned) and memory.origin is None) or len(x.shape) < 2:
        return np.empty(x.shape, np.int8)
    return _bytes(x.shape, _order(x.builder, x.atom if memory is None else memory.origin))  # type: ignore[arg-type]


def _bytes(shape: tuple[int, ...], order: Order | None) -> np.ndarray:
    """Dense bytes of the given shape and order (None: C)."""
    if order is None:
        return np.empty(shape, np.int8)
    return np.empty([shape[axis] for axis in order], np.int8).transpose(np.argsort(order))


def _order(builder: Any, atom: Atom) -> Order | None:
    """The order of a fresh array; None: C."""
    if isinstance(atom, Const):
        if isinstance(atom.value, Tracer):
            return _order(atom.value.builder, atom.value.atom)
        return _order_of(atom.value)
    orders: dict[Any, Order] = builder.orders
    for eq in builder.equations[builder.ordered :]:
        if eq.primitive.name in _REORDER or any(
            atom in orders or (isinstance(atom, Const) and atom.type.ndim > 1) for atom in eq.inputs
        ):
            for var, order in zip(eq.outputs, _result(eq, builder), strict=True):
                if order is not None:
                    orders[var] = order
        for var in eq.outputs:
            if var in builder.origins:  # written to an array, which keeps its order
                before = orders.get(builder.origins[var])
                orders.pop(var, None)
                if before is not None:
                    orders[var] = before
    builder.ordered = len(builder.equations)
    return orders.get(atom)


def _order_of(array: np.ndarray) -> Order | None:
    dense = np.empty_like(array, np.int8)
    if dense.flags.c_contiguous:
        return None
    return tuple(sorted(range(array.ndim), key=lambda axis: -abs(dense.strides[axis])))


def _result(eq: Equation, builder: Any) -> list[Order | None]:
    """The orders of the results of one equation."""
    name, target = eq.primitive.name, eq.outputs[0].type.shape
    if max((var.type.ndim for var in eq.outputs), default=0) < 2:
        return [None] * len(eq.outputs)

    def shown(atom: Atom) -> np.ndarray:
        shape = atom.type.shape
        if isinstance(atom, Const):
            constant = atom.value
            return _bytes(shape, None if isinstance(constant, Tracer) else _order_of(constant))
        return _bytes(shape, builder.orders.get(atom))

    if name in ("update", "add_at"):
        return [_order_of(shown(eq.inputs[0]))]
    if name == "gather":
        index = [
            a.value
            if isinstance(a, Const) and not isinstance(a.value, Tracer)
            else np.zeros(a.type.shape, int)
            for a in eq.inputs[1:]
        ]
        if any(n == 0 for n in eq.inputs[0].type.shape):
            return [None]
        return [_order_of(eq.primitive.call(shown(eq.inputs[0]), *index, **eq.params))]
    if name in _CALLED:
        with np.errstate(all="ignore"):
            found = eq.primitive.call(*map(shown, eq.inputs), **eq.params)
        return [_order_of(array) for array in (found if eq.primitive.multiple else (found,))]
    elementwise = (
        len(eq.outputs) == 1
        and name != "matmul"
        and (eq.primitive.ufunc is not None or name in ("select", "convert") or len(eq.inputs) == 1)
    )
    if elementwise and functools.reduce(np.broadcast_shapes, (a.type.shape for a in eq.inputs)) == target:
        operands: Any = [*map(shown, eq.inputs), None]
        flags: Any = [["readonly"]] * len(eq.inputs) + [["writeonly", "allocate"]]
        return [
            _order_of(np.nditer(operands, ["zerosize_ok"], flags, [np.int8] * len(operands)).operands[-1])
        ]
    return [None] * len(eq.outputs)
