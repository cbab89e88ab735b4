"""`debug`: where the first number that is not finite comes from.

Inside ``with hg.debug():`` Programs are interpreted equation by equation instead of run compiled, and what each gives
is looked at. A number that is not finite is reported when it reaches a result; what a mask leaves out is no fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from hypergrad.ad.program import Atom, Equation, Program, Var
from hypergrad.errors import NonFiniteError

__all__ = ["Watch", "active", "debug", "watched"]


class Watch:
    """What is being watched, and where the run stands.

    Attributes:
        intermediate: report a number at once, even if nothing reads it.
        step: the training step t that runs; None outside of training.
    """

    def __init__(self, intermediate: bool) -> None:
        self.intermediate = intermediate
        self.step: int | None = None

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        """The outputs of `program` for plain arrays.

        Raises:
            NonFiniteError: a number that is not finite arises and reaches an output.
        """
        env: dict[Var, Any] = dict(zip(program.inputs, args, strict=True))
        blamed: dict[Var, str] = {}
        for number, (var, value) in enumerate(zip(program.inputs, args, strict=True)):
            if _bad(value) is not None:
                blamed[var] = self._sentence(
                    program, f"input {number}", value, "", "it was not finite when it came in"
                )

        def read(atom: Atom) -> Any:
            return env[atom] if isinstance(atom, Var) else atom.value

        for eq in program.equations:
            inputs = [read(atom) for atom in eq.inputs]
            with np.errstate(all="ignore"):
                found = eq.primitive.call(*map(np.asarray, inputs), **eq.params)
            for var, value in zip(eq.outputs, found if eq.primitive.multiple else (found,), strict=True):
                env[var] = value
                if _bad(value) is None:
                    continue
                earlier = [blamed[a] for a in eq.inputs if isinstance(a, Var) and a in blamed]
                if earlier:
                    blamed[var] = earlier[0]
                elif all(_bad(x) is None for x in inputs):
                    blamed[var] = self._blame(program, eq, value, inputs)
                    if self.intermediate:
                        raise NonFiniteError(blamed[var])
        for atom in program.outputs:
            if isinstance(atom, Var) and atom in blamed:
                raise NonFiniteError(blamed[atom])
        return [read(atom) for atom in program.outputs]

    def _blame(self, program: Program, eq: Equation, value: Any, inputs: Sequence[Any]) -> str:
        ranges = "; ".join(
            f"operand {i + 1} from {np.min(x):.6g} to {np.max(x):.6g}"
            for i, x in enumerate(map(np.asarray, inputs))
            if x.size and x.dtype.kind in "fiu"
        )
        return self._sentence(program, eq.primitive.name, value, eq.where, ranges or "it has no operands")

    def _sentence(self, program: Program, what: str, value: Any, where: str, more: str) -> str:
        array = np.asarray(value)
        index = _bad(array)
        entry = array[index]
        count = int((~np.isfinite(array)).sum())
        phase = "forward run"
        if program.name.startswith(("late", "transpose")):
            phase = "backward run"
        elif "vjp" in program.name and not program.name.startswith("keep"):
            phase = "run with derivatives"
        place = f" at {where}" if where else ""
        step = "" if self.step is None else f", step t={self.step}"
        at = f" at index {tuple(map(int, index))} of shape {array.shape}" if array.ndim else ""  # type: ignore[arg-type]
        return (
            f"{what} gave {entry}{at} ({count} of {array.size} not finite){place}, in the "
            f"{phase} of {program.name}{step}; {more}"
        )


def _bad(value: Any) -> tuple[Any, ...] | None:
    """The index of the first entry that is not finite."""
    array = np.asarray(value)
    if array.dtype.kind not in "fc" or np.isfinite(array).all():
        return None
    return np.unravel_index(int(np.argmin(np.isfinite(array))), array.shape)


_watch: ContextVar[Watch | None] = ContextVar("hypergrad_debug", default=None)


def active() -> Watch | None:
    """The watch of the surrounding `debug`, if any."""
    return _watch.get()


@contextmanager
def debug(intermediate: bool = False) -> Iterator[None]:
    """Within it, the first number that is not finite raises, with the line of code that made it.

    Everything is checked: gradients, compiled functions, and the forward and backward steps of training. Runs are many
    times slower; outside of it nothing is checked and nothing costs.

    Args:
        intermediate: also report numbers that reach no result, such as those that ``np.where`` masks.

    Raises:
        NonFiniteError: primitive, source line, forward or backward, training step, place in the array, operands.
    """
    token = _watch.set(Watch(intermediate))
    try:
        yield
    finally:
        _watch.reset(token)


def watched(program: Program, inputs: Sequence[Any], outputs: Sequence[Any]) -> Callable[[], None]:
    """What a bound executable is while debugging: it interprets, then writes the outputs."""

    def run() -> None:
        watch = active() or Watch(False)
        for target, value in zip(outputs, watch.run(program, inputs), strict=True):
            np.copyto(target, value, casting="unsafe")

    return run
