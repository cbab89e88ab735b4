"""Bayesian optimisation with derivatives: a Gaussian process on values and hypergradients, asked where to look next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.bayesopt.acquisition import LogEI
from hypergrad.bayesopt.fit import fit
from hypergrad.bayesopt.gp import Posterior, condition
from hypergrad.bayesopt.kernels import Kernel, make_kernel
from hypergrad.bayesopt.maximize import Cube, maximize
from hypergrad.bayesopt.observations import Observations, observe
from hypergrad.errors import SpaceError
from hypergrad.parameters import Categorical, Float
from hypergrad.samplers.admission import Admission
from hypergrad.samplers.base import Proposal, Record, Sampler, generator, others
from hypergrad.samplers.sobol import Sobol
from hypergrad.space import Space

__all__ = ["Bayes", "warp"]

_LISTED = (
    1000  # values of an integer that the acquisition is maximised over as such; more count as continuous
)
_STEEP = 1e3  # a derivative along a unit coordinate above so many times the spread of the values is no slope of use
_SAME = 1e-9  # largest distance along a coordinate at which two points count as one
_IDLE = (
    1e-5  # expected improvement, by the spread of the values, below which the model has nothing left to say
)
_NEAR = 5  # best trials around which the acquisition is looked at closely


@dataclass(frozen=True)
class Bayes(Sampler):
    """Expected improvement under a Gaussian process that is told values and hypergradients.

    The first trials are the space's defaults and Sobol points. Then the model (Matern-5/2, one length-scale a
    coordinate, learned noise of values and of derivatives; see `hypergrad.bayesopt.fit`) is fitted to all trials, and
    the maximum of log EI is proposed (Ament et al. 2023), or the next Sobol point where that maximum is negligible.
    Values are warped above their median, so that a few bad trials do not flatten the rest; a trial that diverged counts
    as a bad value. Running trials count as observed at the model's mean.

    Args:
        gradients: whether hypergradients are asked for and used; without them this is plain Bayesian optimisation.
        initial: trials before the first model; None: 5 with gradients, else 5 to 10, by the dimension.
        rows: values and derivatives in the model, at most.

    Raises:
        SpaceError: arguments outside their domain.

    Source: Jones et al. (1998); Solak et al. (2003) and Wu et al. (2017) for derivatives.
    """

    gradients: bool = True
    initial: int | None = None
    rows: int = 400

    def __post_init__(self) -> None:
        for name in ("initial", "rows"):
            value = getattr(self, name)
            if value is None and name == "initial":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 2:
                raise SpaceError(f"{name} of Bayes is {value!r}, expected an int, 2 or more")

    def _first(self, space: Space) -> int:
        if self.initial is not None:
            return int(self.initial)
        return 5 if self.gradients else min(max(5, space.dimension + 1), 10)

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """A Sobol point at first, then the point of largest expected improvement."""
        past = others(history, number)
        told = [r for r in past if r.state == "complete"]
        finite = [r for r in told if math.isfinite(r.value)]
        if len(told) < self._first(space) or len(finite) < 2 or not space.dimension:
            found = Sobol().ask(space, history, seed=seed, number=number)
            return Proposal(found.unit, wants_gradient=self.gradients, note={**found.note, "phase": "start"})
        rng = generator(seed, number)
        unit, utility, scale = self._best(space, past, rng)
        if utility < math.log(_IDLE * scale):
            found = Sobol(defaults_first=False).ask(space, history, seed=seed, number=number)
            return Proposal(
                found.unit, wants_gradient=self.gradients, note={**found.note, "phase": "explore"}
            )

        tried = space.snap(np.stack([record.unit for record in past]))

        def candidates() -> Iterator[Proposal]:
            note = {"phase": "model", "log_ei": utility}
            if np.abs(tried - unit).max(axis=1).min() > _SAME:
                yield Proposal(unit, wants_gradient=self.gradients, note=note)
            while True:  # it has been tried, or is not allowed
                moved = np.abs(unit + 0.05 * rng.standard_normal(unit.shape))
                moved = np.clip(1.0 - np.abs(1.0 - moved), 0.0, 1.0)  # reflected into the cube
                unlike = rng.random(unit.shape) < 0.3
                yield Proposal(np.where(unlike, rng.random(unit.shape), moved), self.gradients, note)

        return Admission(space, past).first(candidates(), rng)

    def _best(
        self, space: Space, past: Sequence[Record], rng: np.random.Generator
    ) -> tuple[np.ndarray, float, float]:
        """The point of largest log EI, log EI there, and the standard deviation of the (warped) values."""
        kernel = kernel_of(space)
        data = observations(kernel, space, past, self.gradients)
        model = fit(kernel, data, rows=max(self.rows, len(data)))
        posterior = with_running(model.posterior, space, past)
        placed = posterior.data.points.x  # those of running trials too
        mean, _ = posterior.predict(placed, space.active(placed))
        utility = LogEI(float(mean.min()))
        floor = 1e-12 * model.scale

        def surface(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            moments = posterior.moments(x, space.active(x))
            deviation = np.sqrt(moments.variance) + floor
            value, by_mean, by_deviation = utility(moments.mean, deviation)
            slope = by_mean[:, None] * moments.mean_gradient
            return value, slope + (0.5 * by_deviation / deviation)[:, None] * moments.variance_gradient

        near = placed[np.argsort(mean, kind="stable")[:_NEAR]]
        allowed = None
        if space.constraints:
            allowed = lambda x: space.violated(space.from_unit(x)) is None
        return (*maximize(surface, cube_of(space), near, rng, allowed=allowed), model.scale)


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
    """Where the acquisition is maximised."""
    choices: list[np.ndarray | None] = [None] * space.dimension
    for path, parameter in space.parameters.items():
        if not isinstance(parameter, Float) and parameter.count <= _LISTED:
            (column,) = np.arange(space.dimension)[space.columns[path]]
            choices[column] = parameter.middles(np.arange(parameter.count))
    return Cube.of(choices)


def warp(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) that grow as their logarithm above the median, and the slope of the map at each.

    t(y) = y up to the median m, and m + s log(1 + (y - m) / s) above it, s the distance from the least value to m.
    """
    middle = float(np.median(values))
    scale = middle - float(values.min())
    above = np.maximum(values - middle, 0.0)
    if not scale > 0.0:
        return values.copy(), np.ones_like(values)
    return np.minimum(values, middle) + scale * np.log1p(above / scale), 1.0 / (1.0 + above / scale)


def observations(kernel: Kernel, space: Space, past: Sequence[Record], gradients: bool) -> Observations:
    """What the trials say: warped values, and the derivatives that can be trusted.

    A trial that diverged counts as the worst value seen, without derivatives.
    """
    told = [r for r in past if r.state == "complete"]
    values = np.array([r.value for r in told], float)
    finite = np.isfinite(values)
    unit = float(np.abs(values[finite]).max())
    unit = unit if not 1e-100 < unit < 1e100 else 1.0  # so that squares neither overflow nor vanish
    values = values / (unit or 1.0)
    x = space.snap(np.stack([r.unit for r in told]))
    with np.errstate(all="ignore"):
        warped, slope = warp(values[finite])
    y, rate = np.full(len(told), warped.max()), np.zeros(len(told))
    y[finite], rate[finite] = warped, slope
    if not gradients:
        return observe(kernel, x, y, active=space.active(x))
    table = np.full(x.shape, np.nan)
    for row, record in enumerate(told):
        if finite[row] and record.gradient is not None:
            table[row] = record.gradient / (unit or 1.0) * rate[row]
    spread = float(np.ptp(warped)) or 1.0
    known = np.isfinite(table) & (np.abs(table) <= _STEEP * spread)
    return observe(kernel, x, y, table, known=known, active=space.active(x))


def with_running(posterior: Posterior, space: Space, past: Sequence[Record]) -> Posterior:
    """The posterior that has also observed its own mean at the running trials."""
    running = [r for r in past if r.state == "running"]
    if not running:
        return posterior
    x = space.snap(np.stack([r.unit for r in running]))
    mean, _ = posterior.predict(x, space.active(x))
    points = posterior.kernel.points(x, space.active(x))
    return condition(posterior.kernel, posterior.theta, posterior.data.also(points, mean))
