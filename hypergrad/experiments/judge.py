"""Quantities of a run beside what is expected of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.errors import ExperimentError
from hypergrad.experiments.config import Bound, Expected

__all__ = ["ACCEPTED", "DEVIATES", "OUTSIDE", "REPORTED", "Verdict", "gathered", "judge", "overall", "show"]

ACCEPTED, DEVIATES, OUTSIDE, REPORTED = "accepted", "deviates", "outside", "reported"
LEVEL = 0.95  # of the interval of a mean


@dataclass(frozen=True)
class Verdict:
    """A quantity and what became of it.

    Attributes:
        name: of the quantity.
        values: one a seed, or a single one.
        seeds: of the values; None for a single one.
        status: ``"accepted"``; ``"outside"`` of what gates; ``"deviates"`` where that does not gate; ``"reported"``
            where nothing is asked.
        bound: what was asked.
        entry: of expected.json, None where it has none.
    """

    name: str
    values: tuple[bool | float, ...]
    seeds: tuple[int, ...] | None
    status: str
    bound: Bound
    entry: Expected | None

    @property
    def mean(self) -> float:
        """Of the values; of booleans the share that is true."""
        return _mean(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Student's 95 % interval of the mean over two or more seeds; None for fewer, and for booleans."""
        from scipy.special import stdtrit

        numbers = np.asarray(self.values, float)
        n = len(numbers)
        if n < 2 or isinstance(self.values[0], bool) or not np.isfinite(numbers).all():
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            spread = float(np.std(numbers, ddof=1))
        half = float(stdtrit(n - 1, 0.5 + LEVEL / 2.0)) * spread / math.sqrt(n)
        return self.mean - half, self.mean + half

    @property
    def ours(self) -> str:
        """The values for people."""
        if isinstance(self.values[0], bool):
            true = sum(map(bool, self.values))
            if len(self.values) == 1:
                return "yes" if true else "no"
            return f"yes in {true} of {len(self.values)}"
        inside = self.interval
        return show(self.mean) + (f" [{show(inside[0])}, {show(inside[1])}]" if inside else "")

    @property
    def complaint(self) -> str:
        """What is wrong, in a line."""
        wrong = [
            f"{show(value)}" + (f" (seed {seed})" if seed is not None else "")
            for value, seed in zip(self.values, self.seeds or [None], strict=True)
            if not self.bound.accepts(float(value))
        ]
        found = ", ".join(wrong) if wrong and _each(self.entry) else self.ours
        theirs = (
            f"; the source has {show(self.entry.theirs)}"
            if self.entry and self.entry.theirs is not None
            else ""
        )
        return f"{self.name} is {found}, accepted is {self.bound}{theirs}"


def show(value: Any) -> str:
    """A number with four digits, a truth value as yes or no, text as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:.4g}"


def gathered(results: Mapping[int | None, Mapping[str, Any]], where: str) -> dict[str, tuple[Any, ...]]:
    """The values of each quantity over seeds.

    Args:
        results: seed -> what the function returned; the seed is None for a function that takes none.
        where: the function, in an error.

    Raises:
        ExperimentError: no dict of numbers, or not the same quantities for each seed.
    """
    names: list[str] | None = None
    for seed, found in results.items():
        at = where if seed is None else f"{where} at seed {seed}"
        if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
            raise ExperimentError(
                f"{at} returned {type(found).__name__}, expected a dict: quantity -> number"
            )
        for name, value in found.items():
            if (
                not isinstance(value, bool | int | float | np.generic)
                or np.asarray(value).dtype.kind not in "biuf"
            ):
                raise ExperimentError(f"{at}: {name} is {value!r:.60}, expected a number or a boolean")
        if names is not None and list(found) != names:
            unlike = sorted(set(found) ^ set(names)) or ["their order"]
            raise ExperimentError(f"{at} does not return the same quantities as at other seeds: {unlike[0]}")
        names = list(found)
    all_values = {name: tuple(_plain(found[name]) for found in results.values()) for name in names or []}
    for name, values in all_values.items():
        if len({type(value) for value in values}) > 1:
            raise ExperimentError(
                f"{where}: {name} is a boolean at some seeds and a number at others; return one kind"
            )
    return all_values


def _mean(values: Sequence[Any]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # inf - inf is nan, which no bound accepts
        return float(np.mean(np.asarray(values, float)))


def _plain(value: Any) -> bool | float:
    value = np.asarray(value).item()
    return value if isinstance(value, bool) else float(value)


def judge(
    values: Mapping[str, tuple[tuple[Any, ...], tuple[int, ...] | None]],
    expected: Mapping[str, Expected],
    scale: str,
    where: str,
) -> list[Verdict]:
    """Verdicts in the order of expected.json, then on what it does not name.

    Args:
        values: quantity -> (values, their seeds).
        expected: of expected.json.
        scale: ``"full"`` or ``"smoke"``.
        where: the experiment, in an error.

    Raises:
        ExperimentError: expected.json names a quantity that the run does not have, and judges it at this scale.
    """
    judged = {name for name, entry in expected.items() if scale == "full" or entry.smoke is not False}
    missing = sorted(judged - set(values))
    if missing:
        raise ExperimentError(
            f"{where}: expected.json names {missing[0]!r}, which no quantities function returns; there are "
            f"{', '.join(values) or 'none'}"
        )
    found = []
    known = [name for name in expected if name in values]
    for name in [*known, *(name for name in values if name not in expected)]:
        numbers, seeds = values[name]
        entry = expected.get(name)
        bound = Bound() if entry is None else entry.at(scale)
        found.append(Verdict(name, numbers, seeds, _status(numbers, entry, bound), bound, entry))
    return found


def _each(entry: Expected | None) -> bool:
    return entry is None or entry.judge == "each"


def _status(values: Sequence[Any], entry: Expected | None, bound: Bound) -> str:
    if entry is None or not bound.some:
        return REPORTED
    judged = list(map(float, values)) if _each(entry) else [_mean(values)]
    if all(map(bound.accepts, judged)):
        return ACCEPTED
    return OUTSIDE if entry.gate else DEVIATES


def overall(verdicts: Sequence[Verdict]) -> str:
    """``"outside"`` where a gate is not met, else ``"deviates"`` where something else is not, else ``"accepted"``."""
    statuses = {verdict.status for verdict in verdicts}
    return next((status for status in (OUTSIDE, DEVIATES) if status in statuses), ACCEPTED)
