"""One model of trials from several sources: fidelities of one study, and earlier studies.

Notation: u the fidelity's coordinate, 1 at the target; k a study, 0 this one, 1 ... K the earlier ones; y the (warped)
values; h(u, k) fixed effects.

The kernel of the space is extended by a coordinate for each earlier study, 1 at its trials and 0 elsewhere: the
covariance of f_0 and f_k at one x is v φ(1/λ_k²), and its length-scale λ_k is learned like any other, so an unrelated
study is soon left aside (the star-shaped case of the intrinsic model of coregionalisation, Bonilla et al. 2008;
Swersky et al. 2013). The fidelity is a coordinate of its own, as in BOCA (Kandasamy et al. 2017): φ(.. + (u - u')²/λ²).

What such a product cannot say, it is told: sources may differ in level and in scale everywhere. Scales: y_k is
multiplied by b_k, with log b_k = r n/(n + 4/(1 + r²)), r = ½ log(S_yy / S_mm), S_yy and S_mm the spreads of this
study's n values and of what study k predicts at the very same points; so like scales count as equal at first, and
unlike ones (another unit) as they are. Levels: y - β (1 - u) - a_k, coefficients by generalised least
squares under the kernel's prior (Rasmussen & Williams 2006, equation 2.42), so that they come from what trials at
near-by x say at different sources, not from where each source happened to look.

Gate: the values of this study, each predicted from all other points, by the joint model and by that of this study
alone. Where the joint one is worse by more than 2 standard errors of the mean log density, the earlier studies are left
out: a study that misleads (one of the negated objective, say) is soon found out. The same for trials below full
fidelity, by the values at full fidelity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.bayesopt.fit import Fit, Priors, fit
from hypergrad.bayesopt.gp import Hyperparameters, condition
from hypergrad.bayesopt.kernels import COORDINATES, Blocks, Kernel, Points, Rows
from hypergrad.bayesopt.observations import Observations, observe
from hypergrad.bayesopt.thinning import choose_points
from hypergrad.space import Space

__all__ = ["Sources", "joint"]

_KEPT = 100  # trials of an earlier study in the model
_NOISE = 0.05  # variance of the noise under which levels and scales are found, by that of the values
_WIDE = 10.0  # prior deviation of a level, by that of the values
_TRIED = 4.0  # trials of this study that count as much as the belief that an earlier one has the same scale
_GATE_POINTS = 4
_GATE_ERRORS = 2.0
_LAMBDA = (math.log(1.5), 1.2)  # mean and deviation of log λ: at the mean, sources correlate by 0.73


@dataclass(frozen=True, eq=False)
class Sources:
    """The kernel, the data and the priors of the joint model.

    Attributes:
        space: of this study.
        kernel: of the space's d coordinates and of K more, one an earlier study.
        data: this study's observations first, in their order, then those of the earlier ones.
        priors: of the hyperparameters; None: the usual ones, as there is but one source.
        studies: K.
        lower: whether trials below full fidelity say anything.
    """

    space: Space
    kernel: Kernel
    data: Observations
    priors: Priors | None
    studies: int
    lower: bool = True

    @staticmethod
    def of(kernel: Kernel, space: Space, own: Observations, earlier: Sequence[Observations] = ()) -> Sources:
        """The joint model of this study's observations and of those of earlier studies, all points of `kernel`."""
        if space.fidelity is None and not earlier:
            return Sources(space, kernel, own, None, 0)
        joint = replace(
            kernel, coordinates=(*kernel.coordinates, *[COORDINATES["continuous"]] * len(earlier))
        )
        priors = _priors(joint, kernel, space)
        few = [each.take(choose_points(each, _KEPT)) if len(each) > _KEPT else each for each in earlier]
        theta = Hyperparameters.of(priors.mean)
        matched = [each.scaled(0.0, 1.0 / _scale(kernel, theta, own, each)) for each in few]
        data = _joined(joint, [own, *matched])
        return Sources(space, joint, _levelled(joint, theta, space, data), priors, len(earlier))

    @property
    def heard(self) -> float:
        """How many trials tell the model something: inf with earlier studies, else those of this study."""
        if self.studies:
            return math.inf
        x = self.data.points.x
        return len(x) if self.lower else int(np.sum(self.space.at_full(x)))

    def fitted(self, rows: int) -> Fit:
        """The process of this model; see `hypergrad.bayesopt.fit.fit`."""
        return fit(self.kernel, self.data, rows=max(rows, len(self.data)), priors=self.priors)

    def lift(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (q, d) of this study as points (q, d + K) of the kernel, and which coordinates are active."""
        active = self.space.active(x)
        if not self.studies:
            return x, active
        more = np.zeros((len(x), self.studies))
        return np.concatenate([x, more], axis=1), np.concatenate([active, more == 0.0], axis=1)


def joint(
    kernel: Kernel, space: Space, own: Observations, earlier: Sequence[Observations], rows: int
) -> tuple[Sources, Fit]:
    """The model of all sources, or of those that the gate lets in.

    Args:
        kernel: of the points of `space`.
        own, earlier: observations at points of `kernel`.
        rows: values and derivatives in the model, at most; the values are always all there.
    """
    sources = Sources.of(kernel, space, own, earlier)
    model = sources.fitted(rows)
    if earlier:
        every = np.arange(len(own))
        sources, model = _gated(sources, model, Sources.of(kernel, space, own), every, rows)
    full = np.flatnonzero(space.at_full(own.points.x))
    if len(full) < len(own):
        kept = earlier if sources.studies else ()
        alone = replace(Sources.of(kernel, space, _muted(own, full), kept), lower=False)
        sources, model = _gated(sources, model, alone, full, rows)
    return sources, model


def _gated(
    sources: Sources, model: Fit, fewer: Sources, points: np.ndarray, rows: int
) -> tuple[Sources, Fit]:
    """A model, or that of `fewer` sources where it predicts the values at these `points` better without doubt."""
    if len(points) < _GATE_POINTS:
        return sources, model
    without = fewer.fitted(rows)
    gain = _left_out(model, points) - _left_out(without, points)
    error = float(gain.std(ddof=1)) / math.sqrt(len(points))
    return (fewer, without) if float(gain.mean()) < -_GATE_ERRORS * error else (sources, model)


def _muted(data: Observations, kept: np.ndarray) -> Observations:
    """The same points, of which all but those `kept` say nothing: noise beyond measure, no derivative."""
    silent = np.ones(len(data), bool)
    silent[kept] = False
    values = np.where(silent, data.values[kept].mean(), data.values)
    noise = np.where(silent, (1e3 * (float(np.ptp(values)) or 1.0)) ** 2, data.value_noise)
    heard = data.keep(np.flatnonzero(~silent[data.rows.points]))
    return replace(heard, values=values, value_noise=noise)


def _left_out(model: Fit, points: np.ndarray) -> np.ndarray:
    """Log density of the values at an index of points, each predicted without its own point."""
    mean, variance = (each[points] for each in model.posterior.leave_out())
    return -0.5 * (
        (model.posterior.data.values[points] - mean) ** 2 / variance + np.log(2.0 * math.pi * variance)
    )


def _priors(joint: Kernel, kernel: Kernel, space: Space) -> Priors:
    usual, joined = Priors.of(kernel), Priors.of(joint)
    mean, deviation = joined.mean.copy(), joined.deviation.copy()
    mean[: kernel.scales] = usual.mean[: kernel.scales]
    between = list(range(kernel.scales, joint.scales))
    if space.fidelity is not None:
        between.append(int(kernel.first[space.columns[space.fidelity].start]))
    mean[between], deviation[between] = _LAMBDA
    return replace(joined, mean=mean, deviation=deviation)


def _standing(theta: Hyperparameters, kernel: Kernel, variance: float, mean: float) -> Hyperparameters:
    """The prior's mode for values of this mean and variance."""
    return replace(
        theta,
        lengthscales=theta.lengthscales[: kernel.scales],
        signal=variance,
        noise=_NOISE * variance,
        gradient_noise=0.0,
        mean=mean,
    )


def _scale(kernel: Kernel, theta: Hyperparameters, own: Observations, earlier: Observations) -> float:
    """b_k."""
    values = earlier.without_derivatives()
    variance = float(values.values.var())
    if not variance > 0.0 or len(own) < 2:
        return 1.0
    model = condition(kernel, _standing(theta, kernel, variance, float(values.values.mean())), values)
    predicted, _ = model.predict(own.points.x, own.points.active)
    spread = float(own.values.var())
    ratio = spread / (float(predicted.var()) + 0.01 * variance)
    if not (ratio > 0.0 and math.isfinite(ratio)):
        return 1.0
    log_ratio = 0.5 * math.log(ratio)
    return math.exp(log_ratio * len(own) / (len(own) + _TRIED / (1.0 + log_ratio**2)))


def _joined(kernel: Kernel, parts: Sequence[Observations]) -> Observations:
    """All observations, each with the coordinates of its study."""
    x, active, tables, known, noises = [], [], [], [], []
    for k, part in enumerate(parts):
        mark = np.zeros((len(part), len(parts) - 1))
        mark[:, k - 1 : k] = 1.0 if k else 0.0
        x.append(np.concatenate([part.points.x, mark], axis=1))
        active.append(np.concatenate([part.points.active, np.ones(mark.shape, bool)], axis=1))
        tables.append(np.concatenate([part.gradients, np.zeros(mark.shape)], axis=1))
        there = np.zeros(part.gradients.shape, bool)
        there[part.rows.points, part.rows.coordinates] = True
        known.append(np.concatenate([there, np.zeros(mark.shape, bool)], axis=1))
        noises.append(np.concatenate([part.gradient_noise, np.zeros(mark.shape)], axis=1))
    has = any(each.any() for each in known)
    return observe(
        kernel,
        np.concatenate(x),
        np.concatenate([part.values for part in parts]),
        np.concatenate(tables) if has else None,
        known=np.concatenate(known) if has else None,
        active=np.concatenate(active),
        value_noise=np.concatenate([part.value_noise for part in parts]),
        gradient_noise=np.concatenate(noises) if has else 0.0,
    )


def _levelled(kernel: Kernel, theta: Hyperparameters, space: Space, data: Observations) -> Observations:
    """The values less the levels of their sources."""
    points: Points = data.points
    columns = [np.ones(len(data))]
    if space.fidelity is not None:
        columns.append(1.0 - points.x[:, space.columns[space.fidelity].start])
    columns += list(points.x[:, space.dimension :].T)
    effects = np.stack(columns, axis=1)
    scale = float(data.values.std())
    if not (scale > 0.0 and math.isfinite(scale)):
        return data
    rows = Rows.of(np.arange(len(data)))
    covariance = Blocks(kernel, points, rows).matrix(theta.lengthscales, 1.0)
    covariance[np.diag_indices_from(covariance)] += _NOISE + data.value_noise / scale**2
    weighed = np.linalg.solve(covariance, np.column_stack([effects, data.values / scale]))
    gram = effects.T @ weighed[:, :-1] + np.eye(effects.shape[1]) / _WIDE**2
    level = scale * np.linalg.solve(gram, effects.T @ weighed[:, -1])
    return replace(data, values=data.values - effects[:, 1:] @ level[1:])
