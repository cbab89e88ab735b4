"""Schedules: one rate a step, evaluated for all steps at once, outside the training step.

Notation: T steps t = 0..T-1; a schedule maps hyperparameters to rows of shape (T,), one a layer where one of them
is a dict over the top-level keys of the parameters. Those of PyTorch's names agree with PyTorch's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.errors import ProblemError
from hypergrad.optim.reader import Rate, Schedule

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "OneCycle",
    "PerStep",
    "PiecewiseCubic",
    "PiecewiseLinear",
    "Schedule",
    "WarmUp",
    "Windows",
]

Domain = tuple[str, Callable[[np.ndarray], Any]]
_POSITIVE: Domain = ("positive", lambda value: np.greater(value, 0))


@dataclass(frozen=True)
class Constant(Schedule):
    """rate_t = rate: a number or key held constant, written out; evaluated outside the step like any schedule.

    Attributes:
        rate: number or key.
    """

    rate: Rate

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        return values["rate"] * np.ones(steps)


@dataclass(frozen=True)
class PerStep(Schedule):
    """Rate t is entry t of the hyperparameter, which has shape (T,) (Maclaurin et al. 2015, sec. 3.1).

    Attributes:
        key: hyperparameter of shape (T,), or a dict of them over the top-level keys of the parameters.
    """

    arrays: ClassVar[tuple[str, ...]] = ("key",)

    key: str

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        value = values["key"]
        if value.shape != (steps,):
            raise ProblemError(
                f"PerStep({self.key!r}) needs one entry for each of the {steps} steps, "
                f"got hparams[{self.key!r}] of shape {value.shape}"
            )
        return value


@dataclass(frozen=True)
class Windows(Schedule):
    """One rate for each window of W steps: rate_t is entry floor(t / W) (Micaelli & Storkey 2021, sec. 3.2).

    Sharing averages the hypergradient noise of the steps of a window.

    Attributes:
        key: hyperparameter of shape (ceil(T / W),).
        size: W, at least 1; the last window may be shorter.
    """

    arrays: ClassVar[tuple[str, ...]] = ("key",)
    options: ClassVar[tuple[str, ...]] = ("size",)

    key: str
    size: int

    def __post_init__(self) -> None:
        _positive_int(self, "size")
        super().__post_init__()

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        value, count = values["key"], -(-steps // self.size)
        if value.shape != (count,):
            raise ProblemError(
                f"{self!r} needs one entry for each of the {count} windows of {steps} steps, "
                f"got hparams[{self.key!r}] of shape {value.shape}"
            )
        return value[np.arange(steps) // self.size]


@dataclass(frozen=True)
class _Piecewise(Schedule):
    """Interpolation between K knots that are equally spaced over the T steps, the first at 0, the last at T - 1.

    Attributes:
        key: hyperparameter of shape (K,), K >= 1.
        log: interpolate log v instead, so that the rate changes geometrically between (positive) knots.
    """

    arrays: ClassVar[tuple[str, ...]] = ("key",)
    options: ClassVar[tuple[str, ...]] = ("log",)

    key: str
    log: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.log, bool | np.bool_):
            raise ProblemError(f"{type(self).__name__}(log=...) takes True or False, got {self.log!r}")
        super().__post_init__()

    @property
    def domains(self) -> Mapping[str, Domain]:
        return {"key": _POSITIVE} if self.log else {}

    @abstractmethod
    def weights(self, knots: int, steps: int) -> np.ndarray:
        """(K, T): the row is knots @ weights."""

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        value = values["key"]
        if len(value.shape) != 1 or value.shape[0] < 1:
            raise ProblemError(
                f"{type(self).__name__}({self.key!r}) needs knots of shape (K,) with K >= 1, "
                f"got hparams[{self.key!r}] of shape {value.shape}"
            )
        weights = self.weights(value.shape[0], steps)
        return np.exp(np.log(value) @ weights) if self.log else value @ weights


@dataclass(frozen=True)
class PiecewiseLinear(_Piecewise):
    """Linear interpolation between K knots that are equally spaced over the T steps.

    rate_t = (1 - a) v_i + a v_{i+1}, at position i + a = t (K - 1) / (T - 1).

    Attributes:
        key: hyperparameter of shape (K,), K >= 1.
        log: interpolate log v instead, so that the rate changes geometrically between (positive) knots.
    """

    def weights(self, knots: int, steps: int) -> np.ndarray:
        i, a = _places(knots, steps)
        weights = np.zeros((knots, steps))
        weights[i, np.arange(steps)] = 1.0 - a
        weights[np.minimum(i + 1, knots - 1), np.arange(steps)] += a
        return weights


@dataclass(frozen=True)
class PiecewiseCubic(_Piecewise):
    """The natural cubic spline through K knots that are equally spaced over the T steps: linear in the knots.

    rate_t = b v_i + a v_{i+1} + ((b³ - b) m_i + (a³ - a) m_{i+1}) / 6, at position i + a = t (K - 1) / (T - 1),
    b = 1 - a, with m_0 = m_{K-1} = 0 and m_{i-1} + 4 m_i + m_{i+1} = 6 (v_{i-1} - 2 v_i + v_{i+1}).
    It may overshoot its knots; with log=True it stays positive all the same.

    Attributes:
        key: hyperparameter of shape (K,), K >= 1.
        log: interpolate log v instead, so that the rate changes geometrically between (positive) knots.
    """

    def weights(self, knots: int, steps: int) -> np.ndarray:
        i, a = _places(knots, steps)
        following, b = np.minimum(i + 1, knots - 1), 1.0 - a
        unit, m = np.eye(knots), np.zeros((knots, knots))
        if knots > 2:
            inner = 4.0 * np.eye(knots - 2) + np.eye(knots - 2, k=1) + np.eye(knots - 2, k=-1)
            m[1:-1] = np.linalg.solve(inner, 6.0 * (unit[:-2] - 2.0 * unit[1:-1] + unit[2:]))
        b, a = b[:, None], a[:, None]
        rows = b * unit[i] + a * unit[following]
        return (rows + ((b**3 - b) * m[i] + (a**3 - a) * m[following]) / 6.0).T


@dataclass(frozen=True)
class Cosine(Schedule):
    """rate_t = end + (start - end) (1 + cos(π t / P)) / 2 (Loshchilov & Hutter 2017, eq. 5; CosineAnnealingLR).

    Attributes:
        start, end: the rates at t = 0 and t = P, natural units.
        period: P, at least 1; None: T, so that the step after the last would be at `end`. After P steps the rate
            rises again, as PyTorch's does.
    """

    options: ClassVar[tuple[str, ...]] = ("period",)

    start: Rate
    end: Rate = 0.0
    period: int | None = None

    def __post_init__(self) -> None:
        if self.period is not None:
            _positive_int(self, "period", " or None")
        super().__post_init__()

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        return _cosine(values["start"], values["end"], np.arange(steps) / (self.period or steps))


@dataclass(frozen=True)
class Exponential(Schedule):
    """rate_t = start decay^t (ExponentialLR).

    Attributes:
        start: the rate at t = 0, natural units.
        decay: factor a step, positive.
    """

    start: Rate
    decay: Rate

    @property
    def domains(self) -> Mapping[str, Domain]:
        return {"decay": _POSITIVE}

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        return values["start"] * values["decay"] ** np.arange(float(steps))


@dataclass(frozen=True)
class WarmUp(Schedule):
    """rate_t times start + (1 - start) min(t / W, 1): another rate, reached in W steps (LinearLR).

    The other schedule runs meanwhile: ``WarmUp(Cosine("lr"), 100)`` is the product of both.

    Attributes:
        rate: number, key or schedule.
        steps: W, at least 1.
        start: factor at t = 0; at 0 the first step moves nothing.
    """

    options: ClassVar[tuple[str, ...]] = ("steps",)

    rate: Rate
    steps: int
    start: Rate = 0.0

    def __post_init__(self) -> None:
        _positive_int(self, "steps")
        super().__post_init__()

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        done = np.minimum(np.arange(steps) / self.steps, 1.0)
        return values["rate"] * (values["start"] + (1.0 - values["start"]) * done)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to a peak and down again, along cosines (Smith & Topin 2018; OneCycleLR with two phases).

    From peak / div_factor at t = 0 to peak at t = pct_start T - 1, then to peak / (div_factor final_div_factor) at
    t = T - 1. PyTorch's opposite cycle of momentum, from b to a and back, is
    ``OneCycle(a, div_factor=a / b, final_div_factor=1.0)``.

    Attributes:
        peak: natural units.
        div_factor, final_div_factor: positive.
        pct_start: part of the steps that rises, in [0, 1].
    """

    options: ClassVar[tuple[str, ...]] = ("pct_start",)

    peak: Rate
    div_factor: Rate = 25.0
    final_div_factor: Rate = 1e4
    pct_start: float = 0.3

    def __post_init__(self) -> None:
        part = self.pct_start
        if isinstance(part, bool) or not isinstance(part, int | float | np.floating) or not 0 <= part <= 1:
            raise ProblemError(f"OneCycle(pct_start=...) takes a number in [0, 1], got {part!r}")
        super().__post_init__()

    @property
    def domains(self) -> Mapping[str, Domain]:
        return {"div_factor": _POSITIVE, "final_div_factor": _POSITIVE}

    def rows(self, values: Mapping[str, Any], steps: int) -> Any:
        t, top, last = np.arange(float(steps)), self.pct_start * steps - 1.0, steps - 1.0
        rising = t <= top
        up = t / top if top > 0 else np.ones(steps)
        down = (t - top) / (last - top) if last > top else np.ones(steps)
        peak = values["peak"]
        first = peak / values["div_factor"]
        end = first / values["final_div_factor"]
        return np.where(rising, _cosine(first, peak, up), _cosine(peak, end, down))


def _cosine(start: Any, end: Any, part: np.ndarray) -> Any:
    """From start (part 0) to end (part 1) along half a cosine."""
    return end + (start - end) * (0.5 * (1.0 + np.cos(np.pi * part)))


def _places(knots: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """(i, a) of each step: it lies at i + a among knots 0..K-1."""
    place = np.arange(steps) * (knots - 1) / max(steps - 1, 1)
    i = np.minimum(place.astype(np.intp), max(knots - 2, 0))
    return i, place - i


def _positive_int(schedule: Schedule, name: str, otherwise: str = "") -> None:
    value = getattr(schedule, name)
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        kind = type(schedule).__name__
        raise ProblemError(f"{kind}({name}=...) takes a positive int{otherwise}, got {value!r}")
