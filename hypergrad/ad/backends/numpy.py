"""The reference backend: a Program as straight-line NumPy calls into preallocated buffers.

`Executable` binds the function that a `hypergrad.ad.backends.plan.Plan` prints to buffers, which are leased for one
call at a time, so that threads may share an executable and no result aliases a buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

import numpy as np

from hypergrad.ad.backends.plan import Plan
from hypergrad.ad.debug import active, watched
from hypergrad.ad.optimize import lower
from hypergrad.ad.program import Program

__all__ = ["Executable", "pooled"]


class Executable:
    """A compiled Program.

    Args:
        program: what it computes.
        closed: inputs and outputs are fixed C-contiguous arrays, given once to `bind`, so that every view is
            made once; otherwise they are given to each call.
        streamed: if closed, names of the inputs ("i0", ...) and outputs ("o0", ...) that are given to each call
            all the same, in this order.

    Attributes:
        source: the Python text that runs.
    """

    def __init__(self, program: Program, closed: bool = False, streamed: Sequence[str] = ()) -> None:
        self.program = program = lower(program)
        plan = Plan(program, closed, tuple(streamed))
        self.source = plan.source()
        self._code = compile(self.source, f"<hypergrad {program.name}>", "exec")
        self._plan = plan
        self._free: list[Callable[..., None]] = []
        self._shapes = [(atom.type.shape, atom.type.dtype) for atom in program.outputs]

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Fresh output arrays, given arrays of exactly the Program's input types."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self._shapes]
        self.into(inputs, outputs)
        return outputs

    def into(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Write the outputs into the given C-contiguous arrays, which must not overlap the inputs."""
        if active() is not None:
            return watched(self.program, inputs, outputs)()
        run = self.lease()
        run(*inputs, *outputs)
        self.release(run)

    def lease(self) -> Callable[..., None]:
        """The function ``run(*inputs, *outputs)`` bound to buffers of its own, until `release`."""
        try:
            return self._free.pop()
        except IndexError:
            return self._plan.bind(self._code)

    def release(self, run: Callable[..., None]) -> None:
        """Give back what `lease` returned."""
        self._free.append(run)

    def bind(
        self,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        scratch: list[np.ndarray] | None = None,
    ) -> Callable[..., None]:
        """For a closed executable: the function that reads `inputs` and writes `outputs`, given those streamed.

        Args:
            inputs, outputs: those that are not streamed, in order.
            scratch: buffers from `scratch`, which functions that never run at once may share.
        """
        if active() is not None:
            return self._watched(inputs, outputs)
        return self._plan.bind(self._code, scratch, inputs, outputs)

    def _watched(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> Callable[..., None]:
        plan = self._plan

        def run(*streamed: np.ndarray) -> None:
            given = dict(zip(plan.streamed, streamed, strict=True))
            fixed_in, fixed_out = iter(inputs), iter(outputs)
            ins = [given[name] if name in given else next(fixed_in) for name in plan.inputs]
            outs = [given[name] if name in given else next(fixed_out) for name in plan.outputs]
            watched(self.program, ins, outs)()

        return run

    def scratch(self, pool: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Buffers for one `bind`, from a pool of the sizes `pooled` if one is given."""
        return self._plan.scratch(pool)

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffers of one lease."""
        return sum(self._plan.slots)

    @property
    def made_bytes(self) -> int:
        """Bytes of what a run makes beside its buffers."""
        return self._plan.made

    def clear(self) -> None:
        """Forget the buffers that wait for another call."""
        self._free.clear()


def pooled(executables: Sequence[Executable]) -> list[int]:
    """Sizes in bytes of buffers that serve each of these as its `scratch`, as long as no two run at once."""
    sizes = (sorted(executable._plan.slots, reverse=True) for executable in executables)
    return [max(ranked) for ranked in zip_longest(*sizes, fillvalue=0)]
