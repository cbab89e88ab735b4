"""Exact Gaussian process conditioned on values and partial derivatives.

Notation (as in `kernels.blocks`), and::

    S        diag(1 for value rows, ℓ_i for the derivative row by x_i)
    y        rows: values − c, then S·(partial derivatives by x), (R,)
    c        constant mean
    K        covariance of the rows, derivative rows per length-scale, (R, R)
    N        diagonal noise: given + σ² for values; ℓ_i² (given + τ²) for derivatives
    A        K + N + jitter·mean(diag(K + N))·I = L Lᵀ
    α        A⁻¹ y
    k(x)     covariance of f(x) with the rows, (R,)

Posterior (Rasmussen & Williams 2006, equations 2.25, 2.26; with derivatives Solak et al. 2003)::

    mean(x) = c + k(x)ᵀ α,   variance(x) = v − ‖L⁻¹ k(x)‖²

Log marginal likelihood of the rows as observed, in their own units (R & W 2006, equations 2.30 and 5.9)::

    −½ yᵀ α − Σ log L_aa − R/2 log 2π + Σ_{derivative rows} log ℓ_i

σ² is a variance of values, τ² one of ∂f/∂x_i, the same for all i. (Not one per length-scale: the noise of a training
run's gradient, or its ripples, know nothing of the length-scales of the trend. A noise τ²/ℓ_i² was tried, bent the
length-scales to fit the noise, and predicted worse than the values alone.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hypergrad.bayesopt.kernels import Blocks, Kernel, Points, Rows
from hypergrad.bayesopt.observations import Observations
from hypergrad.errors import DataError, ShapeError

__all__ = ["Here", "Hyperparameters", "Likelihood", "Moments", "Posterior", "condition", "solve"]

LADDER = (0.0, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)


@dataclass(frozen=True)
class Hyperparameters:
    """ℓ, v, σ², τ² and c.

    Attributes:
        lengthscales: (scales,), > 0, in units of x.
        signal: v > 0, in the unit of f squared.
        noise: σ² >= 0.
        gradient_noise: τ² >= 0, of derivatives by x.
        mean: c.
    """

    lengthscales: np.ndarray
    signal: float = 1.0
    noise: float = 0.0
    gradient_noise: float = 0.0
    mean: float = 0.0

    @property
    def vector(self) -> np.ndarray:
        """(scales + 4,): log ℓ, log v, log σ², log τ², c."""
        with np.errstate(divide="ignore"):
            logs = np.log([self.signal, self.noise, self.gradient_noise])
        return np.concatenate([np.log(self.lengthscales), logs, [self.mean]])

    @staticmethod
    def of(vector: np.ndarray) -> Hyperparameters:
        """The inverse of `vector`."""
        signal, noise, gradient_noise = np.exp(vector[-4:-1]).tolist()
        return Hyperparameters(np.exp(vector[:-4]), signal, noise, gradient_noise, float(vector[-1]))

    def check(self, kernel: Kernel) -> None:
        """Raises ShapeError or DataError where they do not fit the kernel."""
        if np.shape(self.lengthscales) != (kernel.scales,):
            raise ShapeError(
                f"this kernel has {kernel.scales} length-scales, and lengthscales has the shape "
                f"{np.shape(self.lengthscales)}"
            )
        positive = [*np.asarray(self.lengthscales).tolist(), self.signal]
        if not all(math.isfinite(e) and e > 0.0 for e in positive):
            raise DataError(f"length-scales and signal must be finite and positive, and are {positive}")
        if not all(math.isfinite(e) and e >= 0.0 for e in (self.noise, self.gradient_noise)):
            raise DataError(
                f"noise variances must be finite and not negative, and are {self.noise} and {self.gradient_noise}"
            )
        if not math.isfinite(self.mean):
            raise DataError(f"the mean must be a finite number, and is {self.mean}")


@dataclass(frozen=True)
class Moments:
    """Mean and variance of f at q points, and their gradients by the points.

    Attributes:
        mean: (q,).
        variance: (q,), of f itself, without observation noise; >= 0.
        mean_gradient: (q, d); 0 for choices and inactive numbers.
        variance_gradient: (q, d).
    """

    mean: np.ndarray
    variance: np.ndarray
    mean_gradient: np.ndarray
    variance_gradient: np.ndarray


class Likelihood:
    """The log marginal likelihood of observations as a function of the hyperparameters' vector."""

    def __init__(self, kernel: Kernel, data: Observations) -> None:
        self.kernel, self.data = kernel, data
        self._blocks = Blocks(kernel, data.points, data.rows)
        self._scale = kernel.first[data.rows.coordinates]
        self._derivatives, self._given = data.derivatives, data.derivative_noise

    def system(
        self, theta: Hyperparameters, keep: bool = False
    ) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
        """L (lower, the upper triangle is not zero), y, the jitter that was needed, and α.

        Args:
            keep: keep the squared distances for the next call.
        """
        lengths = theta.lengthscales[self._scale]
        n = len(self.data)
        matrix = self._blocks.matrix(theta.lengthscales, theta.signal, keep)
        diagonal = np.einsum("ii->i", matrix)
        diagonal[:n] += self.data.value_noise + theta.noise
        diagonal[n:] += lengths**2 * (self._given + theta.gradient_noise)
        y = np.concatenate([self.data.values - theta.mean, lengths * self._derivatives])
        factor, jitter = _factor(matrix)
        return factor, y, jitter, solve(factor, y)

    def log_density(self, theta: Hyperparameters) -> float:
        """The log marginal likelihood."""
        factor, y, _, alpha = self.system(theta)
        return self._density(theta, factor, y, alpha)

    def _density(self, theta: Hyperparameters, factor: np.ndarray, y: np.ndarray, alpha: np.ndarray) -> float:
        return float(
            -0.5 * (y @ alpha)
            - np.log(np.einsum("ii->i", factor)).sum()
            - 0.5 * len(y) * math.log(2.0 * math.pi)
            + np.log(theta.lengthscales[self._scale]).sum()
        )

    def __call__(self, vector: np.ndarray) -> tuple[float, np.ndarray]:
        """The log marginal likelihood and its gradient by (log ℓ, log v, log σ², log τ², c).

        By a parameter of the covariance ½ Σ_ab W_ab ∂A_ab with W = α αᵀ − A⁻¹; log ℓ_i also scales the derivative rows.
        The jitter, where one was needed, counts as a constant.
        """
        theta = Hyperparameters.of(vector)
        factor, y, _, alpha = self.system(theta, keep=True)
        density = self._density(theta, factor, y, alpha)
        n, scales = len(self.data), self.kernel.scales
        weights = _inverse(factor)
        np.subtract(np.outer(alpha, alpha), weights, out=weights)
        on = np.einsum("ii->i", weights)
        lengths = theta.lengthscales[self._scale]
        gradient = np.empty(scales + 4)
        gradient[:scales] = 0.5 * self._blocks.pull(theta.lengthscales, theta.signal, weights)
        given = lengths**2 * (self._given + theta.gradient_noise)
        rows = given * on[n:] - alpha[n:] * y[n:] + 1.0
        gradient[:scales] += np.bincount(self._scale, rows, scales)
        # Σ W∘A = yᵀα − R, and A = K + N: what is left of it is the signal's part.
        noise = self.data.value_noise + theta.noise
        gradient[-3] = 0.5 * theta.noise * on[:n].sum()
        gradient[-2] = 0.5 * theta.gradient_noise * (lengths**2) @ on[n:]
        gradient[-4] = 0.5 * (y @ alpha - len(y) - noise @ on[:n] - given @ on[n:])
        gradient[-1] = alpha[:n].sum()
        return density, gradient


@dataclass(frozen=True)
class Posterior:
    """The process conditioned on the observations; made by `condition`.

    Attributes:
        jitter: what had to be added to the diagonal, relative to its mean; 0 where nothing was.
        log_density: the log marginal likelihood.
    """

    kernel: Kernel
    theta: Hyperparameters
    data: Observations
    factor: np.ndarray
    alpha: np.ndarray
    jitter: float
    log_density: float

    @cached_property
    def condition_number(self) -> float:
        """Estimate of the condition number of A in the 1-norm (LAPACK pocon)."""
        from scipy.linalg import lapack

        lower = np.tril(self.factor)
        norm = np.abs(lower @ lower.T).sum(axis=0).max()
        return float(1.0 / max(lapack.dpocon(self.factor, norm, uplo="L")[0], np.finfo(float).tiny))

    def _cross(self, x: object, active: object | None, rows: Rows | None = None) -> np.ndarray:
        points = self.kernel.points(x, active)
        return Blocks(
            self.kernel, points, rows or Rows.of(np.arange(len(points))), self.data.points, self.data.rows
        ).matrix(self.theta.lengthscales, self.theta.signal)

    def predict(self, x: object, active: object | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of f, (q,) each, at x (q, d); without observation noise.

        Raises:
            ShapeError, DataError: x is not q points of this kernel.
        """
        cross = self._cross(x, active)
        half = _half(self.factor, cross.T)
        variance = self.theta.signal - np.einsum("aq,aq->q", half, half)
        return self.theta.mean + cross @ self.alpha, np.maximum(variance, 0.0)

    def mean(self, x: object, active: object | None = None) -> np.ndarray:
        """The mean alone, (q,), at x (q, d): what `predict` says, without its O(R²) work a point.

        Raises:
            ShapeError, DataError: x is not q points of this kernel.
        """
        return self.theta.mean + self._cross(x, active) @ self.alpha

    def joint(
        self, x: object, active: object | None = None, rows: Rows | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (r,) and covariance (r, r) of rows at x (q, d): values, and derivatives by x (not by x/ℓ).

        Args:
            rows: None: the q values.

        Raises:
            ShapeError, DataError: x is not q points of this kernel, or a row is of a choice.
        """
        points = self.kernel.points(x, active)
        rows = rows or Rows.of(np.arange(len(points)))
        if not self.kernel.smooth[rows.coordinates].all():
            i = int(rows.coordinates[np.argmin(self.kernel.smooth[rows.coordinates])])
            raise DataError(
                f"coordinate {i} is {self.kernel.coordinates[i].name!r} and has no derivative; drop its rows"
            )
        cross = self._cross(x, active, rows)
        half = _half(self.factor, cross.T)
        prior = Blocks(self.kernel, points, rows).matrix(self.theta.lengthscales, self.theta.signal)
        mean, covariance = cross @ self.alpha, prior - half.T @ half
        mean[: len(rows.values)] += self.theta.mean
        lengths = self.theta.lengthscales[self.kernel.first[rows.coordinates]]
        units = np.concatenate([np.ones(len(rows.values)), 1.0 / lengths])
        return units * mean, covariance * units[:, None] * units

    def moments(self, x: object, active: object | None = None) -> Moments:
        """Mean, variance and their gradients by x, at x (q, d). O(q n d) once A⁻¹ k(x) is there.

        Raises:
            ShapeError, DataError: x is not q points of this kernel.
        """
        here = self.here(x, active)
        variance, by_variance = here.variance()
        slope = here.slope(self.alpha[None].repeat(len(here.cross), axis=0))
        return Moments(self.theta.mean + here.cross @ self.alpha, variance, slope, by_variance)

    def here(self, x: object, active: object | None = None) -> Here:
        """What the moments at x (q, d) are made of.

        Raises:
            ShapeError, DataError: x is not q points of this kernel.
        """
        return Here(self, self.kernel.points(x, active))

    def leave_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (n,), noise included, of each observed value without any row of its own point.

        With P the rows of a point and B = (A⁻¹)_PP, what the others predict of y_P has the covariance B⁻¹ and differs
        from y_P by B⁻¹ α_P (Sundararajan & Keerthi 2001 for one row; the block form is Ginsbourger & Schärer 2021).
        """
        n, rows = len(self.data), self.data.rows
        inverse = _inverse(self.factor)
        residual, variance = np.empty(n), np.empty(n)
        counts = np.bincount(rows.points, minlength=n)
        order = np.argsort(rows.points, kind="stable") + n
        starts = np.cumsum(counts) - counts
        for size in np.unique(counts):
            group = np.flatnonzero(counts == size)
            mine = np.column_stack(
                [group, order[starts[group][:, None] + np.arange(size)].reshape(len(group), size)]
            )
            block = inverse[mine[:, :, None], mine[:, None, :]]
            unit = np.zeros((len(group), size + 1, 1))
            unit[:, 0] = 1.0
            first = np.linalg.solve(block, unit)[:, :, 0]
            variance[group] = first[:, 0]
            residual[group] = np.einsum("pa,pa->p", first, self.alpha[mine])
        return self.data.values - residual, variance


class Here:
    """The covariances of f at q points with the rows of a posterior, and what follows from them.

    Attributes:
        cross: k(x), (q, R).
    """

    def __init__(self, posterior: Posterior, points: Points) -> None:
        self.posterior, self.points = posterior, points
        data, theta = posterior.data, posterior.theta
        left = Rows.of(np.arange(len(points)))
        self._blocks = Blocks(posterior.kernel, points, left, data.points, data.rows)
        self.cross = self._blocks.matrix(theta.lengthscales, theta.signal)

    def variance(self) -> tuple[np.ndarray, np.ndarray]:
        """Of f, (q,), and its gradient by x, (q, d)."""
        factor = self.posterior.factor
        half = _half(factor, self.cross.T)
        variance = self.posterior.theta.signal - np.einsum("aq,aq->q", half, half)
        beta = _half(factor, half, transposed=True).T
        return np.maximum(variance, 0.0), -2.0 * self.slope(beta)

    def slope(self, weights: np.ndarray) -> np.ndarray:
        """The gradient by x of k(x)ᵀ w, (q, d); 0 for choices and inactive numbers.

        With w as a value part (n,) and a derivative part (n, d), and T = Σ_j Δ_j w_j per pair of points::

            ∂/∂z_i = v Σ_p (2 φ' w_p − 4 φ'' T_p) Δ_i − 2 φ' w_pi

        Args:
            weights: w for each of the points, (q, R).
        """
        kernel, theta, data = self.posterior.kernel, self.posterior.theta, self.posterior.data
        rows, n = data.rows, len(data)
        inverse = np.where(kernel.smooth, 1.0 / theta.lengthscales[kernel.first], 0.0)
        difference, f1, f2 = self._profile
        table = 2.0 * f1 * weights[:, :n]
        if not len(rows.points):
            return np.where(self.points.active, theta.signal * inverse * _along(table, difference), 0.0)
        q, d = self.points.x.shape
        parts = np.zeros((q, n, d))
        parts[:, rows.points, rows.coordinates] = weights[:, n:]
        table -= 4.0 * f2 * np.einsum("qpi,qpi->qp", difference, parts)
        slope = _along(table, difference) - 2.0 * _along(f1, parts)
        return np.where(self.points.active, theta.signal * inverse * slope, 0.0)

    @cached_property
    def _profile(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Δ (q, n, d), φ' and φ'' (q, n)."""
        kernel, theta = self.posterior.kernel, self.posterior.theta
        inverse = np.where(kernel.smooth, 1.0 / theta.lengthscales[kernel.first], 0.0)
        difference = (self.points.x[:, None, :] - self.posterior.data.points.x[None, :, :]) * inverse
        assert self._blocks.distances is not None
        _, f1, f2 = kernel.profile.derivatives(self._blocks.distances, 2)
        return difference, f1, f2


def _along(table: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Σ_p t_qp v_qpi: (q, n) and (q, n, d) -> (q, d)."""
    found: np.ndarray = np.matmul(table[:, None, :], vectors)[:, 0, :]
    return found


def condition(kernel: Kernel, theta: Hyperparameters, data: Observations) -> Posterior:
    """The process with these hyperparameters, conditioned on the observations.

    Raises:
        ShapeError, DataError: hyperparameters that do not fit the kernel, or a covariance that is not positive definite
            even with a jitter of 1e-4.
    """
    theta.check(kernel)
    likelihood = Likelihood(kernel, data)
    factor, y, jitter, alpha = likelihood.system(theta)
    density = likelihood._density(theta, factor, y, alpha)
    return Posterior(kernel, theta, data, factor, alpha, jitter, density)


def _factor(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    """Lower Cholesky factor of a symmetric matrix, and the first jitter of LADDER with which there is one."""
    from scipy.linalg import lapack

    unit = float(np.einsum("ii->", matrix)) / len(matrix)
    if not math.isfinite(unit):
        raise DataError(
            "the covariance is not finite; its length-scales, variances or given noise are out of range"
        )
    for jitter in LADDER:
        shifted = matrix
        if jitter > 0.0:
            shifted = matrix.copy()
            np.einsum("ii->i", shifted)[...] += jitter * unit
        # The transpose of a C-ordered symmetric matrix is itself in Fortran's order.
        factor, info = lapack.dpotrf(shifted.T, lower=1, clean=0, overwrite_a=0)
        if info == 0:
            return factor, jitter
    raise DataError(
        f"the covariance of the {len(matrix)} rows is not positive definite even with a jitter of {LADDER[-1]:g}; "
        "give noise variances, or leave out rows that repeat each other"
    )


def solve(factor: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A⁻¹ y, of one right side or of several columns."""
    from scipy.linalg import lapack

    return lapack.dpotrs(factor, y, lower=1)[0]


def _half(factor: np.ndarray, right: np.ndarray, transposed: bool = False) -> np.ndarray:
    """L⁻¹ right, or L⁻ᵀ right."""
    from scipy.linalg import lapack

    return lapack.dtrtrs(factor, right, lower=1, trans=1 if transposed else 0)[0]


def _inverse(factor: np.ndarray) -> np.ndarray:
    """A⁻¹, both triangles."""
    from scipy.linalg import lapack

    lower = np.tril(lapack.dpotri(factor, lower=1)[0])
    full = lower + lower.T
    np.einsum("ii->i", full)[...] *= 0.5
    return full
