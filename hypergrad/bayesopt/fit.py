"""Hyperparameters of the process by maximum a posteriori, and whether its derivative rows deserve trust.

Notation (as in `gp`); values are standardised: (f − shift)/scale, derivatives by x divided by `scale`.

Priors, on standardised values (d coordinates)::

    ℓ        log-normal, log ℓ ~ N(√2 + ½ log d, √3²)    (Hvarfner et al. 2024, arXiv 2402.02229, section 4)
    log v    N(0, 2²)
    log σ²   N(−9, 3²)
    log τ²   N(−6, 6²)
    c        N(0, 1)

The density of ℓ is taken by ℓ, as in the paper, so its mode is at log ℓ = √2 + ½ log d − 3; the others by the symbol
that stands before them. τ² starts low, middling and high: where gradients describe ripples and not the trend, the
likelihood has one mode that shrinks the length-scales to the ripples and one that calls the gradients noise, and a
search that starts at low noise finds the former only.

Gate: for each of the n points, the log density of its observed value predicted from all *other* points' rows, with
derivative rows and without, each with its own hyperparameters; subtracted is their number over the number of rows they
were fitted to, for what fitting gains on the rows fitted (Akaike 1974): with derivative rows all of them count, without
them γ = Σ h/(h + 1/deviation²), h the curvature of the likelihood along each (MacKay 1992, on the diagonal). The
derivative rows are left out where they lower the mean over points by more than 2 standard errors of the paired
differences. (Without the correction the comparison favours the values, whose hyperparameters were fitted to these
alone: on rippled functions it threw out derivative rows that made unseen points better predicted. The learned noise
is the first defence, the gate the second.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.bayesopt.gp import Hyperparameters, Likelihood, Posterior, condition
from hypergrad.bayesopt.kernels import Kernel
from hypergrad.bayesopt.observations import Observations
from hypergrad.bayesopt.thinning import choose_derivatives, choose_points
from hypergrad.errors import DataError

__all__ = ["Fit", "Priors", "fit", "standardise"]

GRADIENT_NOISE_STARTS = (-8.0, 3.0, 10.0)
GATE_POINTS = 4
GATE_ERRORS = 2.0


@dataclass(frozen=True)
class Priors:
    """Normal priors by the hyperparameters' vector, and bounds of the search.

    Attributes:
        mean: (scales + 4,) of log ℓ (as the mode, see the module), log v, log σ², log τ², c.
        deviation: (scales + 4,).
        lower, upper: (scales + 4,).
    """

    mean: np.ndarray
    deviation: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @staticmethod
    def of(kernel: Kernel) -> Priors:
        """Those of the module's table."""
        m = kernel.scales
        mode = math.sqrt(2.0) + 0.5 * math.log(kernel.dimension) - 3.0
        floor = math.log(1e-8)
        return Priors(
            mean=np.array([mode] * m + [0.0, -9.0, -6.0, 0.0]),
            deviation=np.array([math.sqrt(3.0)] * m + [2.0, 3.0, 6.0, 1.0]),
            lower=np.array([math.log(0.005)] * m + [-6.0, floor, floor, -5.0]),
            upper=np.array([math.log(1e3)] * m + [12.0, math.log(10.0), 16.0, 5.0]),
        )

    def log_density(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """The log density up to a constant, and its gradient."""
        away = (vector - self.mean) / self.deviation
        return -0.5 * float(away @ away), -away / self.deviation


@dataclass(frozen=True)
class Fit:
    """A fitted process.

    Attributes:
        posterior: conditioned on the observations (as capped), in the unit of f.
        standard: the hyperparameters on standardised values: what a later fit can start from.
        shift, scale: of the standardisation.
        used_gradients: whether the posterior has derivative rows.
        density_without: mean log predictive density of a standardised left-out value, of the values alone, less the
            gate's correction; nan where not computed.
        density_with: the same with derivative rows; nan where there were none or too few points to tell.
        rows: rows of the posterior.
        left_out: observed derivative rows that the cap or the gate left out.
        evaluations: of the likelihood and its gradient.
    """

    posterior: Posterior
    standard: Hyperparameters
    shift: float
    scale: float
    used_gradients: bool
    density_without: float
    density_with: float
    rows: int
    left_out: int
    evaluations: int


def standardise(data: Observations) -> tuple[Observations, float, float]:
    """(f − shift)/scale with the mean and the standard deviation of the values; with shift and scale.

    Where all values are equal the scale is the root mean square of the derivatives, or 1 where there are but zeros.
    """
    shift = float(data.values.mean())
    scale = float(data.values.std())
    if scale <= 1e-12 * max(abs(shift), 1e-300):
        slopes = data.derivatives
        scale = float(np.sqrt(np.mean(slopes**2))) if len(slopes) else 0.0
    if not math.isfinite(scale) or not math.isfinite(shift):
        raise DataError(
            "values or gradients are too large to be squared; warp them, or leave those trials out"
        )
    scale = scale if scale > 0.0 else 1.0
    return data.scaled(shift, scale), shift, scale


def fit(
    kernel: Kernel,
    data: Observations,
    *,
    rows: int = 500,
    fit_rows: int = 200,
    start: Hyperparameters | None = None,
    gate: bool = True,
    priors: Priors | None = None,
) -> Fit:
    """The process with its most probable hyperparameters.

    First the values alone are fitted; where there are derivatives, a second search over all hyperparameters starts from
    there at low, middling and high gradient noise, and the gate decides. All values stay in the posterior; of
    the derivative rows, those that `thinning.choose_derivatives` ranks first, up to `rows` rows in total, or
    `rows`/4 derivative rows where that is more (so a long study keeps slopes where they matter). The
    hyperparameters are fitted to at most `fit_rows` rows, half of them values where there are derivatives. Where
    the gate leaves the derivative rows out, the result is that of the values alone.

    Args:
        start: standardised hyperparameters of an earlier fit of the same kernel (`Fit.standard`): one more start.
        gate: whether to compare densities; False: use derivative rows as given.
        priors: None: `Priors.of(kernel)`.

    Raises:
        DataError: caps that leave nothing, or values too large to square.
        ShapeError: `start` does not fit the kernel.
    """
    if rows < 1 or fit_rows < 2:
        raise DataError(
            f"rows must be at least 1 and fit_rows at least 2, and they are {rows} and {fit_rows}"
        )
    if start is not None:
        start.check(kernel)
    priors = priors or Priors.of(kernel)
    standard, shift, scale = standardise(data)
    has = len(data.rows.points) > 0
    chosen = choose_points(standard, max(fit_rows // 2, 1) if has else fit_rows)
    few = standard.take(chosen) if len(chosen) < len(standard) else standard
    theta, used = _search(kernel, few.without_derivatives(), priors, _value_starts(priors, start))
    without = with_them = math.nan
    kept = standard.without_derivatives()
    if has:
        some = few.keep(choose_derivatives(kernel, theta, few, fit_rows - len(few)))
        found, more = _search(kernel, some, priors, _gradient_starts(priors, theta, start))
        used += more
        keep = bool(len(some.rows.points))
        if gate and keep and len(few) >= GATE_POINTS:
            before = _left_out_density(condition(kernel, theta, few.without_derivatives()))
            after = _left_out_density(condition(kernel, found, some))
            fitted = _effective_number(kernel, few.without_derivatives(), priors, theta)
            without = float(before.mean()) - fitted / len(few)
            with_them = float(after.mean()) - (kernel.scales + 4) / len(some.rows)
            used += kernel.scales + 4
            error = float((after - before).std(ddof=1)) / math.sqrt(len(few))
            keep = with_them - without >= -GATE_ERRORS * error
        if keep:
            kept = standard.keep(
                choose_derivatives(kernel, found, standard, max(rows - len(standard), rows // 4))
            )
            theta = found
        elif len(few) < min(len(standard), fit_rows):
            more_points = standard.take(choose_points(standard, fit_rows)).without_derivatives()
            theta, more = _search(kernel, more_points, priors, _value_starts(priors, start))
            used += more
    own = replace(
        theta,
        signal=theta.signal * scale**2,
        noise=theta.noise * scale**2,
        gradient_noise=theta.gradient_noise * scale**2,
        mean=theta.mean * scale + shift,
    )
    posterior = condition(kernel, own, data.keep(_same_rows(data, kept)))
    return Fit(
        posterior=posterior,
        standard=theta,
        shift=shift,
        scale=scale,
        used_gradients=len(kept.rows.points) > 0,
        density_without=without,
        density_with=with_them,
        rows=len(kept.rows),
        left_out=len(data.rows.points) - len(kept.rows.points),
        evaluations=used,
    )


def _same_rows(data: Observations, kept: Observations) -> np.ndarray:
    """Index into the derivative rows of `data` of those of `kept`."""
    d = data.points.x.shape[1]
    return np.searchsorted(
        data.rows.points * d + data.rows.coordinates, kept.rows.points * d + kept.rows.coordinates
    )


def _value_starts(priors: Priors, start: Hyperparameters | None) -> list[np.ndarray]:
    """The prior's mode; shorter and longer length-scales, the latter with noise; an earlier fit."""
    short, long = priors.mean.copy(), priors.mean.copy()
    short[:-4] -= 1.0
    long[:-4] += 1.0
    long[-3] = -2.0
    found = [priors.mean, short, long]
    return found if start is None else [_vector(start, priors), *found]


def _gradient_starts(
    priors: Priors, theta: Hyperparameters, start: Hyperparameters | None
) -> list[np.ndarray]:
    """From the fit to the values at each of GRADIENT_NOISE_STARTS, and an earlier fit."""
    found = []
    for noise in GRADIENT_NOISE_STARTS:
        vector = _vector(theta, priors)
        vector[-2] = noise
        found.append(vector)
    return found if start is None else [_vector(start, priors), *found]


def _vector(theta: Hyperparameters, priors: Priors) -> np.ndarray:
    return np.clip(theta.vector, priors.lower, priors.upper)


def _search(
    kernel: Kernel, data: Observations, priors: Priors, starts: Sequence[np.ndarray]
) -> tuple[Hyperparameters, int]:
    """The most probable hyperparameters, and the evaluations used: a short search from each start, the best goes on."""
    from scipy.optimize import minimize

    likelihood = Likelihood(kernel, data)
    free = np.ones(len(priors.mean), dtype=bool)
    free[-2] = len(data.rows.points) > 0
    bounds = list(zip(priors.lower[free], priors.upper[free], strict=True))
    used = 0

    def full(part: np.ndarray) -> np.ndarray:
        vector = priors.mean.copy()
        vector[free] = part
        return vector

    def objective(part: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal used
        used += 1
        vector = full(part)
        density, gradient = likelihood(vector)
        prior, slope = priors.log_density(vector)
        return -density - prior, -(gradient + slope)[free]

    def run(vector: np.ndarray, iterations: int) -> tuple[float, np.ndarray]:
        options = {"maxiter": iterations, "maxfun": 2 * iterations, "ftol": 1e-6, "gtol": 1e-3, "maxcor": 20}
        found = minimize(objective, vector, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return float(found.fun), found.x

    shorts = [run(vector[free], 7) for vector in starts]
    best = min(shorts, key=lambda pair: pair[0])
    part = run(best[1], 40)[1]
    return Hyperparameters.of(full(part)), used


def _effective_number(kernel: Kernel, data: Observations, priors: Priors, theta: Hyperparameters) -> float:
    """γ: how many hyperparameters the values, and not the priors, have set; curvatures are forward differences."""
    likelihood, step = Likelihood(kernel, data), 1e-4
    start = _vector(theta, priors)
    base = likelihood(start)[1]
    found = 0.0
    for m, deviation in enumerate(priors.deviation):
        moved = start.copy()
        moved[m] += step
        curvature = max(-(likelihood(moved)[1][m] - base[m]) / step, 0.0)
        found += curvature / (curvature + 1.0 / deviation**2)
    return float(found)


def _left_out_density(posterior: Posterior) -> np.ndarray:
    """(n,) log N(value; mean, variance) predicted from the other points."""
    mean, variance = posterior.leave_out()
    away = (posterior.data.values - mean) ** 2 / variance
    return -0.5 * (away + np.log(2.0 * math.pi * variance))
