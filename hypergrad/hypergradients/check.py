"""`check_hypergradient`: can this hypergradient be trusted? Asked of finite differences, at several step sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hypergrad.errors import DerivativeError, ProblemError
from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.differences import Direction, Leaf, compare
from hypergrad.hypergradients.prepare import runs_of, unrolled
from hypergrad.hypergradients.solve import hypergradient, train

__all__ = ["HypergradientCheck", "check_hypergradient"]

STEPS = {8: (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8), 4: (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)}
TOLERANCE = {8: 1e-6, 4: 2e-2}  # by the bytes of the training state's dtype
NOISY = (
    1e-2  # relative disagreement of all neighbouring step sizes at which there is no derivative to speak of
)


@dataclass(frozen=True)
class HypergradientCheck:
    """A hypergradient beside central finite differences; ``print`` it.

    Attributes:
        value: outer loss.
        leaves: one `Leaf` a hyperparameter, each with the `Direction`s that were tried; empty where the value is not
            finite.
        tolerance: difference relative to the norm of the leaf's hypergradient up to which both agree.
        steps: relative step sizes that were tried.
        dtype: of the training state; it bounds what finite differences can tell.
        result: the hypergradient itself, with its stats and warnings.
        notes: what else there is to know, a sentence each.
    """

    value: float
    leaves: tuple[Leaf, ...]
    tolerance: float
    steps: tuple[float, ...]
    dtype: str
    result: HypergradientResult
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> list[tuple[str, Leaf, Direction]]:
        """(name, leaf, direction), one a direction that was tried."""
        return [
            (f"{leaf.path}{'' if row.along == 'random' else row.along}"
             + (" random" if row.along == "random" else ""), leaf, row)
            for leaf in self.leaves
            for row in leaf.directions
        ]  # fmt: skip

    @property
    def worst(self) -> float:
        """The largest relative difference; nan where a direction could not be compared."""
        found = [row.relative for _, _, row in self.rows]
        return max(found) if found and not any(map(math.isnan, found)) else float("nan")

    @property
    def digits(self) -> float:
        """Digits of agreement: -log10 of the largest relative difference; 16 at most, nan where unknown."""
        return self.worst if math.isnan(self.worst) else 0.0 - math.log10(max(self.worst, 1e-16))

    @property
    def verdict(self) -> str:
        """``"differs"`` where a direction does, else ``"unclear"`` where one is, else ``"agrees"``."""
        found = {self.judge(leaf, row) for _, leaf, row in self.rows} or {"unclear"}
        return next(word for word in ("differs", "unclear", "agrees") if word in found)

    @property
    def agrees(self) -> bool:
        """Whether finite differences confirm the hypergradient in every direction."""
        return self.ok()

    def ok(self, tolerance: float | None = None) -> bool:
        """Whether every direction agrees to `tolerance` (None: that of the check)."""
        found = [self.judge(leaf, row, tolerance) for _, leaf, row in self.rows]
        return bool(found) and all(word == "agrees" for word in found)

    def judge(self, leaf: Leaf, row: Direction, tolerance: float | None = None) -> str:
        """What finite differences say of one direction.

        ``"agrees"``: the difference is at most `tolerance` of the leaf's norm, or within the rounding of the loss.
        ``"unclear"``: the differences of neighbouring step sizes disagree themselves, by more than 1 % or by what would
        have to be judged; the loss is not differentiable at these scales, or too noisy. ``"differs"``: all else.
        """
        tolerance = self.tolerance if tolerance is None else tolerance
        best = row.best
        if best is None:
            return "unclear"
        rounding = float(np.finfo(self.dtype).eps) * abs(self.value) / best.h
        if row.error <= max(tolerance * leaf.norm, 10.0 * rounding):
            return "agrees"
        noisy = row.noise > max(NOISY * abs(row.difference), 100.0 * rounding)
        return "unclear" if noisy or row.error <= 10.0 * row.noise else "differs"

    def __str__(self) -> str:
        method = self.result.stats.get("method", "the hypergradient")
        lines = [f"{method} beside central finite differences: value {self.value:.10g}, {self.dtype}"]
        if self.rows:
            width = max(len(name) for name, _, _ in self.rows)
            lines.append(
                f"{'':{width}}  {'hypergradient':>16}  {'difference':>16}  relative    noise   best h  verdict"
            )
            for name, leaf, row in self.rows:
                h = float("nan") if row.best is None else row.best.h
                lines.append(
                    f"{name:{width}}  {row.hypergradient:16.9e}  {row.difference:16.9e}  {row.relative:8.1e} "
                    f"{row.noise / (leaf.norm or 1.0):8.1e}  {h:7.0e}  {self.judge(leaf, row)}"
                )
            lines.append("relative difference at each relative step size:")
            lines.append(f"{'':{width}}  " + "  ".join(f"{step:7.0e}" for step in self.steps))
            for name, leaf, row in self.rows:
                cells = (abs(entry.central - row.hypergradient) / (leaf.norm or 1.0) for entry in row.table)
                lines.append(f"{name:{width}}  " + "  ".join(f"{cell:7.0e}" for cell in cells))
            lines.append(
                f"{self.verdict}: {self.digits:.1f} digits in the worst direction (tolerance {self.tolerance:.0e})"
            )
        return "\n".join([*lines, *self.notes])


def check_hypergradient(
    problem: Any,
    hparams: Any,
    method: Method | None = None,
    seed: int | Sequence[int] = 0,
    wrt: Sequence[str] | str | None = None,
    *,
    steps: Sequence[float] | None = None,
    coordinates: int = 2,
    tolerance: float | None = None,
    directions_seed: int = 0,
    raise_on_failure: bool = False,
) -> HypergradientCheck:
    """A hypergradient beside central finite differences of whole trainings, at several step sizes.

    D(h) = (F(λ + h v) - F(λ - h v)) / 2h along coordinates v of the largest derivative and along a random direction
    of each hyperparameter; of all h the extrapolated difference that agrees best with its neighbour is reported.

    Args:
        problem, hparams, method, seed, wrt: as in `hypergradient`.
        steps: step sizes relative to the coordinate (absolute at 0), at least two; default: 1e-2 to 1e-8 where the
            state is float64, 1e-1 to 3e-4 where it is float32. Each costs two trainings a direction.
        coordinates: how many coordinates of an array are tried, beside a random direction.
        tolerance: relative to the norm of a leaf's hypergradient; default 1e-6 in float64, 2e-2 in float32, where
            finite differences of a rounded loss hold two to four digits.
        directions_seed: of the random directions.
        raise_on_failure: raise unless every direction agrees.

    Returns:
        A `HypergradientCheck`, which prints as a table. Where training is chaotic or noisy, finite differences of
        different step sizes disagree with each other; then it says ``"unclear"`` and blames nobody.

    Raises:
        ProblemError, DerivativeError: as `hypergradient`.
        DerivativeError: arguments outside their domains; `raise_on_failure`, and not every direction agrees.
    """
    _counts(coordinates=(coordinates, 1), directions_seed=(directions_seed, 0))
    given = tolerance is None or (
        isinstance(tolerance, int | float | np.number) and not isinstance(tolerance, bool)
    )
    if not given or not (tolerance is None or tolerance >= 0):
        raise DerivativeError(f"tolerance must be a number, 0 or more, or None, got {tolerance!r}")
    if steps is not None:
        _steps(steps)  # before anything is trained
    result = hypergradient(problem, hparams, method=method, seed=seed, wrt=wrt, curve=0)
    dtype = unrolled(*_first(problem, hparams, seed)).code.layout.dtype
    size = 8 if dtype.itemsize >= 8 else 4
    relative = _steps(STEPS[size] if steps is None else steps)
    notes: dict[str, None] = {}

    def value(moved: Any) -> float:
        try:
            return float(train(problem, moved, seed=seed, curve=0).value)
        except ProblemError as error:  # a step beyond the domain of a hyperparameter
            notes[f"a step was left out: {error}"] = None
            return float("nan")

    leaves: tuple[Leaf, ...] = ()
    if math.isfinite(result.value):
        with np.errstate(all="ignore"):  # of derivatives whose squares overflow
            found = compare(
                value,
                hparams,
                result.hypergradient,
                coordinates=coordinates,
                seed=directions_seed,
                steps=relative,
                agrees=0.0,
                eps=float(np.finfo(dtype).eps),
            )
        leaves = tuple(found)
    else:
        notes[f"nothing to compare: the outer loss is {result.value} here; try a smaller learning rate"] = (
            None
        )
    chosen = TOLERANCE[size] if tolerance is None else float(tolerance)
    check = HypergradientCheck(result.value, leaves, chosen, relative, dtype.name, result, tuple(notes))
    check = _explained(check)
    if raise_on_failure and not check.ok():
        raise DerivativeError(f"finite differences do not confirm the hypergradient\n{check}")
    return check


def _first(problem: Any, hparams: Any, seed: Any) -> tuple[Any, Any, int]:
    one, number = runs_of(problem, seed).each[0]
    return one, hparams, number


def _counts(**given: tuple[Any, int]) -> None:
    for name, (value, least) in given.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DerivativeError(f"{name} must be an int, {least} or more, got {value!r}")


def _steps(steps: Sequence[float]) -> tuple[float, ...]:
    try:
        found = np.asarray(steps, float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all() or (found <= 0).any():
        raise DerivativeError(f"steps must be two or more positive relative step sizes, got {steps!r}")
    ordered = np.unique(found)[::-1]
    if len(ordered) < len(found):
        raise DerivativeError(f"steps holds a step size twice, got {steps!r}")
    return tuple(ordered.tolist())


def _explained(check: HypergradientCheck) -> HypergradientCheck:
    """The check with a sentence on each thing that its table alone does not say."""
    notes = list(check.notes)
    words = {"unclear": [], "differs": []}  # type: dict[str, list[str]]
    for name, leaf, row in check.rows:
        words.setdefault(check.judge(leaf, row), []).append(name)
    if words["unclear"]:
        notes.append(
            f"unclear at {', '.join(words['unclear'])}: finite differences of neighbouring step sizes disagree, so "
            "the loss is not differentiable at these scales (chaotic training, kinks, rounding), and they cannot judge"
        )
    if words["differs"]:
        notes.append(f"finite differences contradict the hypergradient at {', '.join(words['differs'])}")
    if np.dtype(check.dtype).itemsize < 8:
        digits = round(-math.log10(float(np.finfo(check.dtype).eps)))
        held = "two to four digits" if check.dtype == "float32" else "one or two digits at best"
        notes.append(
            f"in {check.dtype} the loss is rounded to {digits} digits: finite differences hold {held}"
        )
    return replace(check, notes=tuple(notes))
