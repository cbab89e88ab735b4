"""Work space of a forward and a backward run: what they hold whatever is kept for the derivative.

The most that lives at once is one of two: the running state with the outer loss and then with the adjoint; or the
adjoint with what leads from its cotangents to the hyperparameters. What Python needs for the programs themselves is
apart (`code_bytes`), since it is an estimate.
"""

from __future__ import annotations

from typing import Any

from hypergrad.ad.backends.numpy import Executable, pooled
from hypergrad.ad.program import Program, Var
from hypergrad.unroll.curve import CURVE_POINTS

__all__ = ["code_bytes", "pool_sizes", "work_bytes"]

_STEP = 12  # bytes a step of the curve, and of what marks where it is taken
_EQUATION = 6500  # bytes an equation of Python objects, measured on networks of 4 to 31 layers


def pool_sizes(trajectory: Any, taken: set[bool], plain: bool) -> list[int]:
    """Sizes in bytes of the buffers that the steps and the vjp of one run share.

    Args:
        taken: whether steps take the inner loss: all, none, or {False, True}.
        plain: whether some steps run without keeping residuals.
    """
    code = trajectory.code
    steps = [code.forward(keep, loss) for keep in (True, *((False,) if plain else ())) for loss in taken]
    return pooled([*steps, code.backward_kept])


def work_bytes(trajectory: Any, plain: bool) -> int:
    """Bytes of arrays beside slots and blocks, of one run or of several together.

    Args:
        plain: as in `pool_sizes`.
    """
    code, one = trajectory.code, trajectory.one.code
    state = code.layout.size * code.layout.dtype.itemsize
    hyper = sum(value.nbytes for value in trajectory.values)
    rates = trajectory.rows.nbytes + trajectory.invariants.nbytes
    loss = code.has_loss and trajectory.limit <= CURVE_POINTS  # most steps of longer runs do not take it
    steps = [code.forward(True, loss), code.backward_kept, *([code.forward(False, loss)] if plain else ())]
    made = max(executable.made_bytes for executable in steps)
    pool = sum(pool_sizes(trajectory, {loss}, plain)) + (0 if loss else _beside(code.step))
    always = (
        sum(array.nbytes for array in trajectory.held)
        + _STEP * trajectory.limit
        + rates
        + 2 * state  # the first and the last
        + code.start_layout.size * code.layout.dtype.itemsize  # parts of the first: constants of `init`
        + 2 * hyper  # cotangents through the outer loss
    )
    adjoint = 4 * state + rates
    during = 2 * state + pool + made + max(_called(one.outer_executable) + state, adjoint)
    after = adjoint + state + 2 * rates + 3 * hyper + _called(one.outside_vjp) + _through_start(trajectory)
    return always + max(during, after)


def code_bytes(trajectory: Any) -> int:
    """Bytes that compiled programs take, about; the steps that take the inner loss are programs of their own."""
    code, one = trajectory.code, trajectory.one.code
    twice = [code.step, code.cut.early]
    found = [*twice, *twice, code.cut.late, one.outer, one.rows, one.invariants]
    return _EQUATION * sum(len(program.equations) for program in found)


def _called(executable: Executable) -> int:
    return executable.buffer_bytes + executable.made_bytes


def _beside(step: Program) -> int:
    """Bytes of what the inner loss takes that the next state does not need."""
    needed: set[Var] = {atom for atom in step.outputs[:1] if isinstance(atom, Var)}
    size = 0
    for eq in reversed(step.equations):
        if any(var in needed for var in eq.outputs):
            needed.update(atom for atom in eq.inputs if isinstance(atom, Var))
        elif not eq.primitive.view:
            size += _size(eq.outputs)
    return size


def _through_start(trajectory: Any) -> int:
    """Bytes of the cotangents from the first state to hyperparameters, all of which live until the end."""
    start = trajectory.one.start
    return sum(_size(eq.outputs) for eq in start.vjp.equations) if any(start.reads) else 0


def _size(variables: Any) -> int:
    return sum(var.type.size * var.type.dtype.itemsize for var in variables)
