"""Which hyperparameters matter: from the hypergradients of the trials, and from the model of their values.

Notation (as in `hypergrad.bayesopt.sensitivity` and `hypergrad.samplers.warping`)::

    f        the value, in its unit; above the median of the values on a logarithmic scale, so that a few bad trials do
             not outweigh the rest, unless `warped` is False
    u_i      coordinate i of the unit cube
    ν_i      mean of (∂f/∂u_i)²: over the trials, or over the cube
    V        variance of f: over the same trials, or over the cube

A gradient has exploded where ‖∂f/∂u‖ is above 1e3 times the range of f, or ln ‖∂f/∂u‖ lies more than 3 max(IQR, 1)
above the upper quartile of its logarithms over the trials (Tukey's far-out fence), with IQR their interquartile range.
Such trials take no part in ν: one of them would decide it alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from hypergrad.bayesopt.sensitivity import poincare, sobol_indices, uniform
from hypergrad.errors import StudyError
from hypergrad.samplers.base import Record
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.samplers.warping import Warp
from hypergrad.space import Space

if TYPE_CHECKING:
    import pandas

__all__ = ["Importance", "Influence", "importance"]

STEEP = 1e3  # a gradient above so many times the range of the values has exploded
FENCE = 3.0  # so many interquartile ranges above the upper quartile
WORK = 4e7  # evaluations of the model times its rows
REPEATS = 8
GROUPS = 40  # hyperparameters or coordinates up to which Sobol indices are estimated
MODELLED = 200  # coordinates up to which there is a model
ROWS = 400  # values and derivatives in the model, at most; the values are always all there
DOUBTFUL = 0.75  # share of the variance of left-out values below which a model is to be doubted


@dataclass(frozen=True)
class Influence:
    """How much one hyperparameter, or one coordinate of it, matters. What is not known is nan.

    Attributes:
        name: path of the hyperparameter, as ``"opt/lr"``, or readable name of the coordinate, as ``"l2[3,0]"``.
        trials: how many trials' derivatives the next four figures are averages of.
        dgsm: ν over the trials; of an array the sum over its entries. Where it is inactive, its slope is 0.
        dgsm_error: its standard error, as if the trials were independent.
        share: of the sum of all ν, in [0, 1].
        bound: ν / (π² V) over the trials: an upper bound of `total` if these trials are spread uniformly, as those of
            `Random` and `Sobol` are; of no use above 1.
        model_dgsm: ν of the model's mean, over the unit cube.
        model_bound: ν / (π² V) of the model's mean: an upper bound of `total` up to the errors of estimation.
        first: first-order Sobol index of the model's mean: the share of V that it explains alone.
        first_error: standard error of the estimate.
        total: total Sobol index: the share of V in which it takes part.
        total_error: standard error of the estimate.
    """

    name: str
    trials: int
    dgsm: float
    dgsm_error: float
    share: float
    bound: float
    model_dgsm: float
    model_bound: float
    first: float
    first_error: float
    total: float
    total_error: float


@dataclass(frozen=True)
class Importance:
    """Which hyperparameters of a study matter; made by `Study.importance`.

    Attributes:
        parameters: one entry a hyperparameter, the most important first: by `total`, or `dgsm` where there is none.
        coordinates: one entry a coordinate, likewise.
        gradients: trials whose gradients were used.
        exploded: trials whose gradients were left out.
        values: complete trials of finite value.
        variance: V of the model's mean over the cube, in the unit of the value squared; nan without a model.
        explained: share of the variance of f at the trials that the model predicts when each trial in turn is left
            out: near 1 for a good model, near 0 for one that knows nothing.
        notes: sentences on what to beware of.
    """

    parameters: tuple[Influence, ...]
    coordinates: tuple[Influence, ...]
    gradients: int
    exploded: int
    values: int
    variance: float
    explained: float
    notes: tuple[str, ...]

    def dataframe(self, by: str = "parameter") -> pandas.DataFrame:
        """One row a hyperparameter, or a coordinate (`by` "coordinate"), with the fields of `Influence` as columns.

        Raises:
            StudyError: another `by`.
        """
        import pandas

        if by not in ("parameter", "coordinate"):
            raise StudyError(f"by is {by!r}, expected 'parameter' or 'coordinate'")
        rows = self.parameters if by == "parameter" else self.coordinates
        return pandas.DataFrame([asdict(row) for row in rows], columns=[f.name for f in fields(Influence)])


@dataclass(frozen=True)
class _Slopes:
    """Squared derivatives of the trials used, (n, d), nan where unknown; and what became of the others.

    All in the unit u of the warp, so that squares neither overflow nor vanish.
    """

    unit: float
    squares: np.ndarray
    known: np.ndarray
    exploded: int
    fence: float
    variance: float


def importance(
    space: Space, history: Sequence[Record], where: str, seed: int = 0, warped: bool = True
) -> Importance:
    """What the trials of a history say about each hyperparameter.

    Args:
        where: how an error calls the study.
        seed: of the points at which the model is asked.
        warped: whether the value counts on a logarithmic scale above its median.

    Raises:
        StudyError: there is nothing to say: no trial of finite value, or equal values and no gradient.
    """
    told = [r for r in history if r.state == "complete"]
    finite = [r for r in told if math.isfinite(r.value)]
    if not finite:
        raise StudyError(
            f"{where} has no trial of finite value yet, so nothing is known of its hyperparameters"
        )
    values = np.array([r.value for r in finite])
    slopes = _slopes(space, finite, warped)
    distinct = len(np.unique(values))
    if distinct < 2 and not len(slopes.squares):
        told_so = "one trial" if len(finite) == 1 else f"{len(finite)} trials of the same value"
        raise StudyError(f"{where} has {told_so} and no gradient, which tells no hyperparameter from another")
    notes = _notes(space, slopes, distinct)
    model = _Model.of(space, told, seed, warped) if distinct > 1 and space.dimension <= MODELLED else None
    if model is not None and model.explained < DOUBTFUL:
        notes.append(
            f"the model predicts {max(model.explained, 0.0):.0%} of the variance of trials left out: "
            "doubt what it says of the hyperparameters"
        )
    columns = {name: np.arange(space.dimension)[span] for name, span in space.columns.items()}
    single = {name: np.array([i]) for i, name in enumerate(space.names)}
    same = list(columns) == list(single)
    parameters = _influences(columns, slopes, model, None)
    coordinates = parameters if same else _influences(single, slopes, model, parameters)
    return Importance(
        parameters=parameters,
        coordinates=coordinates,
        gradients=len(slopes.squares),
        exploded=slopes.exploded,
        values=len(finite),
        variance=math.nan if model is None else _square(slopes.unit) * model.variance,
        explained=math.nan if model is None else model.explained,
        notes=tuple(notes),
    )


def _notes(space: Space, slopes: _Slopes, distinct: int) -> list[str]:
    notes = []
    if not len(slopes.squares) and not slopes.exploded:
        notes.append("no trial reported a gradient, so only the model speaks")
    if slopes.exploded:
        whole, fence = slopes.exploded + len(slopes.squares), slopes.unit * slopes.fence
        notes.append(
            f"{slopes.exploded} of {whole} gradients exploded and were left out (norm above {fence:.3g})"
        )
    if distinct < 2:
        notes.append("all values are equal, so only the gradients speak")
    elif space.dimension > MODELLED:
        notes.append(
            f"{space.dimension} coordinates are more than the {MODELLED} of a model, so only the gradients speak"
        )
    elif len(space.parameters) > GROUPS:
        notes.append(f"Sobol indices are estimated for up to {GROUPS} hyperparameters; look at model_dgsm")
    elif space.dimension > GROUPS:
        notes.append(
            f"Sobol indices of single coordinates are estimated for up to {GROUPS}; look at model_dgsm"
        )
    if space.constraints:
        notes.append("the model's figures are over the whole space, with what its constraints refuse")
    return notes


def _slopes(space: Space, finite: Sequence[Record], warped: bool) -> _Slopes:
    """The squared derivatives that deserve trust."""
    d = space.dimension
    having = [r for r in finite if r.gradient is not None and np.isfinite(r.gradient).any()]
    exploded = [r for r in finite if r.gradient is not None and not np.isfinite(r.gradient).any()]
    values = np.array([r.value for r in finite])
    warp = Warp.of(values)
    if not having:
        return _Slopes(warp.unit, np.empty((0, d)), np.empty((0, d), bool), len(exploded), math.inf, math.nan)
    if not warped:
        warp = replace(warp, scale=0.0)
    level, rate = warp.forward(np.array([r.value for r in having]))
    every, _ = warp.forward(values)
    table = np.stack([r.gradient for r in having if r.gradient is not None])
    broken = np.isinf(table).any(axis=1)
    known = np.isfinite(table)
    active = space.active(space.snap(np.stack([r.unit for r in having])))
    with np.errstate(over="ignore"):
        slopes = np.where(known, table, 0.0) / warp.unit * rate[:, None]
        norms = np.sqrt(np.sum(slopes * slopes, axis=1))
    spread = float(np.ptp(every))
    fence = min(_fence(norms[~broken]), STEEP * spread if spread > 0.0 else math.inf)
    used = ~broken & (norms <= fence)
    slopes, known, active = slopes[used], known[used], active[used]
    return _Slopes(
        unit=warp.unit,
        squares=np.where(known | ~active, slopes * slopes, np.nan),
        known=known & active,
        exploded=len(exploded) + int((~used).sum()),
        fence=fence,
        variance=float(level[used].var()) if used.any() else math.nan,
    )


def _fence(norms: np.ndarray) -> float:
    """The norm above which a gradient lies far out."""
    positive = norms[(norms > 0.0) & np.isfinite(norms)]
    if len(positive) < 4:
        return math.inf
    low, high = np.quantile(np.log(positive), [0.25, 0.75])
    with np.errstate(over="ignore"):
        return float(np.exp(high + FENCE * max(high - low, 1.0)))


@dataclass(frozen=True)
class _Model:
    """The mean of a Gaussian process as a function of the unit cube."""

    space: Space
    surrogate: Surrogate
    warp: Warp
    warped: bool
    seed: int
    worst: float
    explained: float
    measure: np.ndarray  # (d,) ν / u² over the cube, nan where there is no derivative
    variance: float  # V / u²

    @staticmethod
    def of(space: Space, told: Sequence[Record], seed: int, warped: bool) -> _Model:
        warp = replace(Warp.of(np.array([r.value for r in told if math.isfinite(r.value)])), unit=1.0)
        surrogate = Surrogate.of(space, told, gradients=True, rows=ROWS)
        posterior = surrogate.posterior
        predicted, _ = posterior.leave_out()
        values = posterior.data.values
        away = float(np.sum((values - predicted) ** 2) / max(np.sum((values - values.mean()) ** 2), 1e-300))
        count = 1024
        x = space.snap(uniform(count, space.dimension, seed, REPEATS))
        active = space.active(x)
        step = max(1, int(4e6) // (len(values) * space.dimension))
        moments = [posterior.moments(x[i : i + step], active[i : i + step]) for i in range(0, count, step)]
        mean = np.concatenate([m.mean for m in moments])
        slopes = np.concatenate([m.mean_gradient for m in moments])
        worst = float(values.max())
        value, rate = _natural(mean, warp, warped, worst)
        measure = np.where(space.continuous, np.mean((slopes * rate[:, None]) ** 2, axis=0), np.nan)
        return _Model(space, surrogate, warp, warped, seed, worst, 1.0 - away, measure, float(value.var()))

    def __call__(self, u: np.ndarray) -> np.ndarray:
        x = self.space.snap(u)
        active, step = self.space.active(x), max(1, int(4e6) // len(self.surrogate.posterior.data.rows))
        parts = [
            self.surrogate.posterior.mean(x[i : i + step], active[i : i + step])
            for i in range(0, len(x), step)
        ]
        return _natural(np.concatenate(parts), self.warp, self.warped, self.worst)[0]

    def points(self, groups: int) -> int:
        """Points of each scrambling that the work allows, a power of two."""
        rows = len(self.surrogate.posterior.data.rows)
        able = WORK / (REPEATS * (groups + 2) * rows)
        return int(2 ** np.clip(np.floor(np.log2(able)), 6, 12))


def _natural(mean: np.ndarray, warp: Warp, warped: bool, worst: float) -> tuple[np.ndarray, np.ndarray]:
    """f / u and its slope by the model's mean (q,); unwarped, f goes on straight above the worst trial."""
    if warped:
        return mean, np.ones_like(mean)
    held = np.minimum(mean, worst)
    slope = warp.slope(held)
    return warp.backward(held) + slope * (mean - held), slope


def _influences(
    groups: dict[str, np.ndarray],
    slopes: _Slopes,
    model: _Model | None,
    known: Sequence[Influence] | None,
) -> tuple[Influence, ...]:
    """One entry a group of coordinates; those in `known` have had their Sobol indices estimated."""
    measure, error, counts = _measured(slopes)
    whole = float(np.nansum(measure))
    names, unit = list(groups), _square(slopes.unit)
    done = {entry.name: entry for entry in known or ()}
    asked = [name for name in names if name not in done]
    sobol: dict[str, tuple[float, float, float, float]] = {
        name: (done[name].first, done[name].first_error, done[name].total, done[name].total_error)
        for name in names
        if name in done
    }
    if model is not None and asked and len(asked) <= GROUPS:
        found = sobol_indices(
            model,
            model.space.dimension,
            [groups[name] for name in asked],
            points=model.points(len(asked)),
            repeats=REPEATS,
            seed=model.seed,
        )
        columns = (found.first, found.first_error, found.total, found.total_error)
        for i, name in enumerate(asked):
            sobol[name] = tuple(float(column[i]) for column in columns)  # type: ignore[assignment]
    entries = []
    for name in names:
        at = groups[name]
        dgsm = _sum(measure[at])
        deep = math.nan if model is None else _sum(model.measure[at])
        first, first_error, total, total_error = sobol.get(name, (math.nan,) * 4)
        entries.append(
            Influence(
                name=name,
                trials=int(counts[at].max(initial=0)),
                dgsm=unit * dgsm,
                dgsm_error=unit * math.sqrt(_sum(error[at] ** 2)),
                share=dgsm / whole if whole > 0.0 else math.nan,
                bound=float(poincare(np.asarray(dgsm), slopes.variance)),
                model_dgsm=unit * deep,
                model_bound=math.nan if model is None else float(poincare(np.asarray(deep), model.variance)),
                first=first,
                first_error=first_error,
                total=total,
                total_error=total_error,
            )
        )
    return tuple(sorted(entries, key=_rank))


def _measured(slopes: _Slopes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ν (d,), its standard error and the number of derivatives behind it; nan where there are none."""
    counts = slopes.known.sum(axis=0)
    present = ~np.isnan(slopes.squares)
    number = np.maximum(present.sum(axis=0), 1)
    squares = np.where(present, slopes.squares, 0.0)
    measure = squares.sum(axis=0) / number
    spread = np.sum(np.where(present, (squares - measure) ** 2, 0.0), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(spread / (number - 1) / number)
    none = counts == 0
    return np.where(none, np.nan, measure), np.where(none | (number < 2), np.nan, error), counts


def _square(unit: float) -> float:
    """u², or infinite."""
    return unit * unit  # of floats: no OverflowError, as ** has


def _sum(parts: np.ndarray) -> float:
    """Of what is known; nan where nothing is."""
    return math.nan if np.isnan(parts).all() else float(np.nansum(parts))


def _rank(entry: Influence) -> tuple[float, ...]:
    return tuple(-np.nan_to_num(each, nan=-1.0) for each in (entry.total, entry.model_dgsm, entry.dgsm))
