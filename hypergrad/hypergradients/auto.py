"""The method that fits the problem, chosen from what each would cost.

Notation: H entries of the hyperparameters that are asked for, T steps, n entries of the state.

============  ==============================================  ===================================
method        time, in training runs                          memory
============  ==============================================  ===================================
`Reverse`     2 to 4, whatever H; more where memory is short  a block of steps and some states
`Forward`     1 + c H                                         H states, whatever T
`Implicit`    1 + (products of a linear solver) / T           a few states; at a stationary point
============  ==============================================  ===================================

The figures come from the problem's own Programs (`hypergrad.ad.cost`), never from a clock, so that the choice is the
same in every run. All three are exact to the stated accuracy.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.budget import parse_bytes
from hypergrad.hypergradients.forward import Forward
from hypergrad.hypergradients.implicit import Implicit
from hypergrad.hypergradients.plan import Plan, times
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.unroll.stationary import distance
from hypergrad.unroll.together import Together
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Auto"]

_ARRIVED = 1e-8  # relative distance from the hypergradient of the run at which a point counts as stationary
_SHARE = 4  # T over the products of each of its up to three linear solves, each about a step
_STILL = 1e-6  # inner gradient norm, relative to that of the first state, above which it is not estimated


@dataclass(frozen=True)
class Auto(Method):
    """Chooses between `Reverse`, `Forward` and `Implicit`, and says why in ``stats["why"]``.

    The cheaper of reverse and forward mode is taken that fits into the memory. Where every hyperparameter that is
    asked for has an implicit derivative, and training sees all rows at every step, the trained state is looked at
    first: if the inner gradient has fallen to 1e-6 of what it was, and the implicit hypergradient there is accurate
    to 1e-8 / T by its own estimate, so that the backward run would find it to about 1e-8 (in float32: accurate to
    1e-6), it is the answer, and the backward run is left out. Its linear
    systems get T / 4 products each, so that the look costs less than the backward run, whatever their condition.

    Attributes:
        memory: what a run may keep, in bytes or as text ("64MiB"); None: as `Reverse` and `Forward` have it.

    Raises:
        DerivativeError: (when it runs) a budget that is too small for either.
    """

    memory: int | str | None = None

    def __post_init__(self) -> None:
        parse_bytes(self.memory, "Auto")

    def __str__(self) -> str:
        return f"Auto({'' if self.memory is None else f'memory={self.memory!r}'})"

    def candidates(self, trajectory: Trajectory, wrt: Sequence[bool]) -> list[tuple[Method, Plan]]:
        """The unrolled methods that fit into the memory, the chosen one first.

        Raises:
            DerivativeError: none does.
        """
        found: list[tuple[Method, Plan]] = []
        refused: list[DerivativeError] = []
        for method in (Reverse(memory=self.memory), Forward(memory=self.memory)):
            try:
                found.append((method, method.plan(trajectory, wrt)))
            except DerivativeError as error:  # too little memory for this one
                refused.append(error)
        if not found:
            raise DerivativeError(f"{self} found no method within its memory: {'; '.join(map(str, refused))}")
        return sorted(found, key=lambda pair: pair[1].factor)

    def _implicit(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Implicit | None:
        """The implicit method where the problem may have arrived at a stationary point."""
        if not any(wrt) or not trajectory.problem.batches.full or trajectory.code.draws:
            return None
        most = max(trajectory.limit // _SHARE, 10)
        method = Implicit(accuracy=_accuracy(trajectory), max_iterations=most)
        asked, missing = _asked(method, trajectory, wrt)
        named = [path for path, w in zip(trajectory.hyper.paths, wrt, strict=True) if w]
        return None if set(missing) & set(named) or asked != list(wrt) else method

    def together(self, trajectory: Together, wrt: Sequence[bool]) -> bool:
        method = self.candidates(trajectory.one, wrt)[0][0]
        alone = self._implicit(trajectory.one, wrt) is not None
        return isinstance(method, Reverse) and not alone and method.together(trajectory, wrt)

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        chosen = self.candidates(trajectory.one, wrt)
        why = _why(chosen, trajectory.one, wrt)
        if isinstance(chosen[0][0], Reverse) and self._implicit(trajectory.one, wrt) is not None:
            why += "; at a stationary point the backward run is left out for the implicit hypergradient"
        return replace(chosen[0][0].plan(trajectory, wrt), method=f"{self}: {chosen[0][1].method}", why=why)

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        chosen = self.candidates(trajectory.one, wrt)
        method, why = chosen[0][0], _why(chosen, trajectory.one, wrt)
        implicit = self._implicit(trajectory.one, wrt) if isinstance(method, Reverse) else None
        accepted: list[HypergradientResult] = []

        def arrived(state: np.ndarray, value: float, losses: np.ndarray) -> bool:
            assert implicit is not None
            first, last = (distance(trajectory, s) for s in (trajectory.initial(), state))
            if not last <= _STILL * first:
                return False
            found = implicit.finish(trajectory, wrt, state, value, losses, began)
            if found.stats["trusted"] and found.stats["relative_error"] <= implicit.accuracy:
                accepted.append(found)
            return bool(accepted)

        if isinstance(method, Reverse) and implicit is not None:
            result = method.solve(trajectory, wrt, curve, arrived)
        else:
            result = method.solve(trajectory, wrt, curve)
        if accepted:
            result = accepted[0]
            error = max(result.stats["relative_error"], 1e-16)
            why = (
                "training has arrived at a stationary point, where the implicit hypergradient is accurate to "
                f"{error:.0e} and needs no backward run through {trajectory.steps:,} steps"
            )
        return replace(result, stats={**result.stats, "why": why})


def _accuracy(trajectory: Trajectory) -> float:
    """Estimated relative error up to which the implicit hypergradient stands for that of the run itself.

    Where w_T − w* falls as ρᵀ, dw_T/dh − dw*/dh falls as T ρᵀ (Gilbert 1992; Mehmood & Ochs 2020): up to T times the
    estimate. Rounding is in both.
    """
    return max(_ARRIVED / trajectory.limit, 8.0 * float(np.finfo(trajectory.code.layout.dtype).eps))


def _asked(method: Implicit, trajectory: Trajectory, wrt: Sequence[bool]) -> tuple[list[bool], list[str]]:
    try:
        return method.asked(trajectory, wrt)
    except (
        DerivativeError
    ):  # nothing that is asked for has an implicit derivative, or the step is no fixed map
        return [False] * len(wrt), []


def _why(chosen: Sequence[tuple[Method, Plan]], trajectory: Trajectory, wrt: Sequence[bool]) -> str:
    """One sentence on the choice between the unrolled methods."""
    hyper = trajectory.hyper
    count = sum(np.size(leaf) for leaf, w in zip(hyper.leaves, wrt, strict=True) if w)
    entries = f"{count:,} hyperparameter entr{'y' if count == 1 else 'ies'}"
    (method, plan), *others = chosen
    name = "reverse mode" if isinstance(method, Reverse) else "forward mode"
    if not others:
        return f"{name} is the only exact method for {entries} that fits into the memory"
    other = others[0][1]
    rival = "forward mode" if isinstance(method, Reverse) else "reverse mode"
    reason = (
        "its cost does not grow with their number"
        if isinstance(method, Reverse)
        else "its memory does not grow with the number of steps"
    )
    return (
        f"for {entries} over {trajectory.steps:,} steps {name} takes about {times(plan.factor)} training runs and "
        f"{rival} {times(other.factor)}, and {reason}"
    )
