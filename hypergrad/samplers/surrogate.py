"""The Gaussian process of a study's trials: what a sampler tells it, and the surface on which it looks for the next.

A `Surrogate` is made of a history alone, so that samplers which use it stay pure functions of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hypergrad.bayesopt.acquisition import Acquisition
from hypergrad.bayesopt.fit import Fit, fit
from hypergrad.bayesopt.gp import Posterior, condition
from hypergrad.bayesopt.kernels import Kernel, make_kernel
from hypergrad.bayesopt.maximize import Cube, maximize
from hypergrad.bayesopt.observations import Observations, observe
from hypergrad.parameters import Categorical, Float
from hypergrad.samplers.base import Record
from hypergrad.samplers.warping import Warp, warp
from hypergrad.space import Space

__all__ = ["Surrogate", "cube_of", "kernel_of", "observations", "warp", "with_running"]

_LISTED = (
    1000  # values of an integer that the acquisition is maximised over as such; more count as continuous
)
_STEEP = 1e3  # a derivative along a unit coordinate above so many times the spread of the values is no slope of use
_NEAR = 5  # best trials around which the acquisition is looked at closely


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The model of the trials so far; made by `Surrogate.of`. Its values are warped: see `hypergrad.samplers.warping`.

    Attributes:
        space: of the trials.
        model: as fitted to the complete trials.
        posterior: has also observed its own mean at running trials.
        mean: (n,) of the posterior at its points, running trials last.
    """

    space: Space
    model: Fit
    posterior: Posterior
    mean: np.ndarray

    @staticmethod
    def of(space: Space, past: Sequence[Record], *, gradients: bool, rows: int) -> Surrogate:
        """The model of a history with at least two complete trials of finite value.

        Args:
            gradients: whether derivatives are used.
            rows: values and derivatives in the model, at most; the values are always all there.
        """
        kernel = kernel_of(space)
        data = observations(kernel, space, past, gradients)
        model = fit(kernel, data, rows=max(rows, len(data)))
        posterior = with_running(model.posterior, space, past)
        placed = posterior.data.points.x
        mean, _ = posterior.predict(placed, space.active(placed))
        return Surrogate(space, model, posterior, mean)

    @property
    def scale(self) -> float:
        """Spread of the warped values."""
        return self.model.scale

    @property
    def best(self) -> float:
        """The least mean at a trial."""
        return float(self.mean.min())

    def surface(self, utility: Acquisition) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Points (q, d) -> utility (q,) and its gradient (q, d)."""
        floor = 1e-12 * self.scale

        def evaluate(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            moments = self.posterior.moments(x, self.space.active(x))
            deviation = np.sqrt(moments.variance) + floor
            value, by_mean, by_deviation = utility(moments.mean, deviation)
            slope = by_mean[:, None] * moments.mean_gradient
            return value, slope + (0.5 * by_deviation / deviation)[:, None] * moments.variance_gradient

        return evaluate

    def maximum(self, utility: Acquisition, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        """The allowed point (d,) of largest utility, and the utility there."""
        space = self.space
        near = self.posterior.data.points.x[np.argsort(self.mean, kind="stable")[:_NEAR]]
        allowed = None
        if space.constraints:
            allowed = lambda x: space.violated(space.from_unit(x)) is None
        return maximize(self.surface(utility), cube_of(space), near, rng, allowed=allowed)


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


def observations(kernel: Kernel, space: Space, past: Sequence[Record], gradients: bool) -> Observations:
    """What the trials say: warped values, and the derivatives that can be trusted.

    A trial that diverged counts as the worst value seen, without derivatives.
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
    if not gradients:
        return observe(kernel, x, y, active=space.active(x))
    table = np.full(x.shape, np.nan)
    for row, record in enumerate(told):
        if finite[row] and record.gradient is not None:
            table[row] = record.gradient / map_.unit * rate[row]
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
