"""The Gaussian process of a study's trials: what a sampler tells it, and the surface on which it looks for the next.

A `Surrogate` is made of a history alone, so that samplers which use it stay pure functions of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.bayesopt.acquisition import Acquisition, LogEI
from hypergrad.bayesopt.fit import Fit
from hypergrad.bayesopt.gp import Posterior, condition
from hypergrad.bayesopt.kernels import Kernel, make_kernel
from hypergrad.bayesopt.maximize import Cube, maximize
from hypergrad.bayesopt.noisy import NoisyLogEI
from hypergrad.bayesopt.observations import Observations, observe
from hypergrad.parameters import Categorical, Discrete
from hypergrad.samplers.base import Record
from hypergrad.samplers.feasibility import Feasibility
from hypergrad.samplers.sources import Sources, joint
from hypergrad.samplers.warping import Warp, warp
from hypergrad.space import Space

__all__ = ["Surrogate", "by_study", "cube_of", "kernel_of", "observations", "warp", "with_running"]

_LISTED = (
    1000  # values of an integer that the acquisition is maximised over as such; more count as continuous
)
_STEEP = 1e3  # a derivative along a unit coordinate above so many times the spread of the values is no slope of use
_FLOOR = 1e-12  # of a deviation, in spreads of the values
_NOISY = (
    1e-3  # variance of the noise of a value, in variances of the values, that makes the best trial uncertain
)
_NEAR = 5  # best trials around which the acquisition is looked at closely


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The model of the trials so far; made by `Surrogate.of`. Its values are warped: see `hypergrad.samplers.warping`.

    Attributes:
        space: of the trials.
        model: as fitted to the complete trials.
        posterior: has also observed its own mean at running trials; at points of `sources`.
        mean: (n,) of the posterior at its points: complete trials, those of earlier studies, running ones.
        best: the least mean at a trial at full fidelity that keeps all constraints. Where none does, the largest mean
            at a trial, so that the search is one for feasibility.
        sources: how fidelities and earlier studies enter the model.
        feasibility: the model of the constraints; None: there are none, or they are not known yet.
    """

    space: Space
    model: Fit
    posterior: Posterior
    mean: np.ndarray
    best: float
    sources: Sources
    feasibility: Feasibility | None

    @staticmethod
    def of(
        space: Space,
        past: Sequence[Record],
        *,
        gradients: bool,
        rows: int,
        earlier: Sequence[Record] = (),
    ) -> Surrogate:
        """The model of a history with at least two complete trials of finite value.

        Args:
            past: trials of this study.
            earlier: trials of earlier studies.
            gradients: whether derivatives are used.
            rows: values and derivatives in the model, at most; the values are always all there.
        """
        kernel = kernel_of(space)
        own = observations(kernel, space, past, gradients)
        others = [observations(kernel, space, each, gradients) for each in by_study(earlier)]
        sources, model = joint(kernel, space, own, others, rows)
        posterior = with_running(model.posterior, sources, past)
        points = posterior.data.points
        mean, _ = posterior.predict(points.x, points.active)
        best = _best(posterior, sources, past, mean)
        feasibility = Feasibility.of(kernel, space, past, gradients=gradients, rows=rows)
        return Surrogate(space, model, posterior, mean, best, sources, feasibility)

    @property
    def scale(self) -> float:
        """Spread of the warped values."""
        return self.model.scale

    @property
    def noise(self) -> float:
        """Variance of the noise of the values, fitted and told, in variances of the values."""
        told = float(self.model.posterior.data.value_noise.mean()) / self.scale**2
        return self.model.standard.noise + told

    @property
    def improvement(self) -> LogEI | NoisyLogEI:
        """Log expected improvement on the best trial; on what it may be, where noise leaves that open.

        The latter in a plain study only: with constraints, fidelities or earlier studies it is that on `best`.
        """
        plain = self.feasibility is None and not self.sources.studies and self.space.fidelity is None
        return NoisyLogEI.of(self.posterior) if plain and self.noise > _NOISY else LogEI(self.best)

    def surface(
        self, utility: Acquisition | NoisyLogEI
    ) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Points (q, d) -> utility (q,), plus log P(feasible) where there are constraints, and its gradient (q, d)."""
        if isinstance(utility, NoisyLogEI):
            noisy = utility
            return lambda x: noisy(x, self.space.active(x))
        floor = _FLOOR * self.scale
        d = self.space.dimension

        def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            moments = self.posterior.moments(*self.sources.lift(x))
            deviation = np.sqrt(moments.variance) + floor
            value, by_mean, by_deviation = utility(moments.mean, deviation)
            slope = by_mean[:, None] * moments.mean_gradient
            slope = slope + (0.5 * by_deviation / deviation)[:, None] * moments.variance_gradient
            return value, slope[:, :d]

        return evaluate if self.feasibility is None else self.feasibility.added_to(evaluate)

    def maximum(
        self, utility: Acquisition | NoisyLogEI, rng: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """The allowed point (d,) of largest utility, at full fidelity, and the utility there."""
        space = self.space
        order = np.argsort(self.mean, kind="stable")[:_NEAR]
        near = self.posterior.data.points.x[order, : space.dimension]
        allowed = None
        if space.constraints:
            allowed = lambda x: space.violated(space.from_unit(x)) is None
        score = None
        if self.feasibility is None and not isinstance(utility, NoisyLogEI):
            score = self._scored(utility)
        return maximize(self.surface(utility), cube_of(space), near, rng, allowed=allowed, score=score)

    def _scored(self, utility: Acquisition) -> Callable[[np.ndarray], np.ndarray]:
        """The surface without its gradient."""

        def score(x: np.ndarray) -> np.ndarray:
            mean, variance = self.posterior.predict(*self.sources.lift(x))
            return utility(mean, np.sqrt(variance) + _FLOOR * self.scale)[0]

        return score


def kernel_of(space: Space) -> Kernel:
    """Matern-5/2 on the unit cube: choices by equality, conditional numbers by whether they are there."""
    names = ["continuous"] * space.dimension
    for path, parameter in space.parameters.items():
        kind = (
            "hamming"
            if isinstance(parameter, Categorical)
            else "conditional"
            if getattr(parameter, "active_if", None)
            else "continuous"
        )
        for column in np.arange(space.dimension)[space.columns[path]]:
            names[column] = kind
    return make_kernel("matern52", names)


def cube_of(space: Space) -> Cube:
    """Where the acquisition is maximised: at full fidelity."""
    choices: list[np.ndarray | None] = [None] * space.dimension
    for path, parameter in space.parameters.items():
        if isinstance(parameter, Discrete) and parameter.count <= _LISTED:
            (column,) = np.arange(space.dimension)[space.columns[path]]
            choices[column] = parameter.middles(np.arange(parameter.count))
    fixed = np.full(space.dimension, np.nan)
    if space.fidelity is not None:
        fixed[space.columns[space.fidelity]] = 1.0
    return Cube.of(choices, fixed)


def observations(kernel: Kernel, space: Space, past: Sequence[Record], gradients: bool) -> Observations:
    """What the trials say: warped values, and the derivatives that can be trusted.

    A trial that diverged counts as the worst value seen, without derivatives. Standard errors that were told are
    multiplied by the slope of the warp, as derivatives are.
    """
    told = [r for r in past if r.state == "complete"]
    values = np.array([r.value for r in told], float)
    finite = np.isfinite(values)
    map_ = Warp.of(values[finite])
    x = space.snap(np.stack([r.unit for r in told]))
    with np.errstate(all="ignore"):
        warped, slope = map_.forward(values[finite])
    y, rate = np.full(len(told), warped.max()), np.zeros(len(told))
    y[finite], rate[finite] = warped, slope
    spread = float(np.ptp(warped)) or 1.0
    with np.errstate(all="ignore"):
        errors = np.array([r.noise for r in told]) / map_.unit * rate
    noise = np.minimum(errors, _STEEP * spread) ** 2
    if not gradients:
        return observe(kernel, x, y, active=space.active(x), value_noise=noise)
    table, doubt = np.full(x.shape, np.nan), np.zeros(x.shape)
    with np.errstate(all="ignore"):
        for row, record in enumerate(told):
            if finite[row] and record.gradient is not None:
                table[row] = record.gradient / map_.unit * rate[row]
                if record.gradient_noise is not None:
                    doubt[row] = np.nan_to_num(record.gradient_noise / map_.unit * rate[row])
    known = np.isfinite(table) & (np.abs(table) <= _STEEP * spread)
    doubt = np.minimum(doubt, _STEEP * spread) ** 2
    return observe(
        kernel, x, y, table, known=known, active=space.active(x), value_noise=noise, gradient_noise=doubt
    )


def with_running(posterior: Posterior, sources: Sources, past: Sequence[Record]) -> Posterior:
    """The posterior that has also observed its own mean at the running trials."""
    running = [r for r in past if r.state == "running"]
    if not running:
        return posterior
    x, active = sources.lift(sources.space.snap(np.stack([r.unit for r in running])))
    mean, _ = posterior.predict(x, active)
    points = posterior.kernel.points(x, active)
    return condition(posterior.kernel, posterior.theta, posterior.data.also(points, mean))


def by_study(earlier: Sequence[Record]) -> list[list[Record]]:
    """The trials of each earlier study that has a finite value."""
    found: dict[int, list[Record]] = {}
    for record in earlier:
        found.setdefault(record.study, []).append(record)
    return [
        records
        for records in found.values()
        if any(r.state == "complete" and np.isfinite(r.value) for r in records)
    ]


def _best(posterior: Posterior, sources: Sources, past: Sequence[Record], mean: np.ndarray) -> float:
    """See `Surrogate.best`; trials below full fidelity count by the mean at full fidelity while there is no other."""
    told = [r for r in past if r.state == "complete"]
    constrained = any(r.constraints is not None for r in told)
    kept = np.array([r.feasible for r in told])
    if constrained and not kept.any():
        return float(mean[: len(told)].max())
    x = posterior.data.points.x[: len(told), : sources.space.dimension]
    full = kept & sources.space.at_full(x)
    if not full.any():
        return float(posterior.predict(*sources.lift(sources.space.full(x[kept])))[0].min())
    best = float(mean[: len(told)][full].min())
    running = len([r for r in past if r.state == "running"])
    if constrained or sources.space.fidelity is not None or not running:
        return best
    return min(best, float(mean[-running:].min()))
