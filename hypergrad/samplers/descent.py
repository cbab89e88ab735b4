"""One guarded descent: a trust-region quasi-Newton method whose every step is one trial.

=======  ==================================================================================================
symbol   meaning
=======  ==================================================================================================
x, f, g  the incumbent (best trial of the descent so far), its value, the estimate of its gradient
s, f₁, g₁  a trial x + s, its value, its reported gradient
Δ        trust radius, in units of the cube: max |s| <= Δ
w        sensitivity of each coordinate: running mean of |g|, divided by its largest entry
B        Hessian of the model: diagonal start θ W, W = diag(w^1.3), and limited-memory BFGS pairs (s, y)
θ        (y·W⁻¹y / s·W s)^½ of the last pair
=======  ==================================================================================================

The step minimises g·s + ½ s·B s in the trust box cut with the unit cube. The first B is w^1.3 max|g| / Δ,
so the first step moves every coordinate by about Δ: a penalty whose derivative is a thousandth of the
learning rate's moves as fast. The exponent was measured on training runs: 1 and 1.6 do as well, 2 a little
worse, 0 (plain L-BFGS) needs about twice as many trials. θ is the geometric mean of the two scales of Barzilai
and Borwein (1988); that of plain L-BFGS, y·W⁻¹y / s·y, is the larger one, set by the stiffest coordinates of the
last step, and makes the others too stiff. On 20 other seeds of experiments/tuning it took 9 % more trials on
digits29 and 11 % fewer on logistic30 (`experiments/notes.md`: within the noise). A rejected trial shrinks Δ and
still teaches the model its curvature, so that the next step turns.

Guards. A gradient above 10⁴ times the running scale has *exploded*, and is replaced by the model's
prediction g + B s. A pair enters the model, damped (Powell 1978), only if both its gradients are sane, and
value and gradients agree by the trapezoidal rule, |f₁ - f - ½ (g + g₁)·s| <= 0.4 (|g·s| + |g₁·s|), which a wrong
sign, noise or a region of chaos violates. After two such disagreements since it was accepted the
incumbent's own gradient is doubted, and replaced by what the last trial says of it, g₁ - B s. Where
training diverged, see `hypergrad.samplers.walls`. All tests are invariant to the scale of the value.

Source: Nocedal and Wright, Numerical Optimization, 2nd edition, chapters 4, 7, 16 and 18 (damping).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.samplers.base import Record
from hypergrad.samplers.quadratic import Model, fit, minimize
from hypergrad.samplers.walls import Wall, fence, wall

__all__ = ["Descent", "advance", "begin", "box", "converged", "hopeless", "propose"]

EXPONENT = 1.3  # of the sensitivities, in the diagonal start
EXPLODED = 1e4  # times the running scale of the gradients
MEMORY = 20  # pairs kept
WIDEST = 0.5  # largest trust radius
AGREEMENT = 0.4  # trapezoidal rule, relative
DAMPING = 0.2  # least curvature along a step that the model learns, relative to what it had
DIVERGED = 10.0  # times the predicted fall, or all that was gained: a rise that counts as divergence
ARMIJO = 1e-4  # sufficient decrease
FAILURES = 7  # rejected trials in a row that end a descent
WINDOW = 8  # trials over which progress is judged
STALLED = 1e-5  # progress over the window, relative to that of the whole descent
SLOW = 0.05  # the same, where a restart has integers or choices to try
NARROWEST = 1e-9  # smallest useful step, units of the cube
DOUBTS = 2  # disagreements in a row after which the gradient of the incumbent is replaced
TRIED = 5  # trials over which a descent must catch up with the best trial,
PATIENCE = 5.0  # times their progress
FLAT = 5.0  # times the last and the next fall: further above the best trial a descent is at its bottom
SAME = 0.02  # distance to the best trial that counts as the same minimum, units of the cube
RECENT = 15  # gradients that make the running scale


@dataclass(frozen=True, eq=False)
class Descent:
    """The state of a descent; a pure fold of `advance` over its trials.

    Attributes:
        incumbent: x and f.
        gradient: (d,) g; 0 where nothing is known.
        reported: whether `gradient` is what the incumbent reported, and sane.
        known: (d,) bool; coordinates whose derivative has been seen. The others stay fixed.
        sensitivity: (d,) running mean of |g|.
        radius: Δ.
        pairs: (s, y), oldest first.
        norms: largest finite entry of each recent gradient, rejected ones too.
        failures: rejected trials in a row.
        doubts: rejected trials since the last accepted one that disagreed with the incumbent's gradient.
        replaced: whether `gradient` has been replaced since the last accepted trial, which happens once.
        trace: f at the start and after each trial.
        low: (d,) smallest coordinates of the trials that did not diverge.
        high: (d,) largest ones.
        walls: the trials that diverged.
    """

    incumbent: Record
    gradient: np.ndarray
    reported: bool
    known: np.ndarray
    sensitivity: np.ndarray
    radius: float
    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    norms: tuple[float, ...]
    failures: int
    doubts: int
    replaced: bool
    trace: tuple[float, ...]
    low: np.ndarray
    high: np.ndarray
    walls: tuple[Wall, ...] = ()

    @property
    def gained(self) -> float:
        """How far f fell since the start."""
        return self.trace[0] - self.trace[-1]

    def model(self) -> Model:
        """B."""
        top = float(self.sensitivity.max())
        weight = np.maximum(self.sensitivity / (top or 1.0), 1e-8) ** EXPONENT
        if not self.pairs:
            return fit(weight * max(float(np.abs(self.gradient).max()), 1e-300) / self.radius, ())
        s, y = self.pairs[-1]
        size = math.ldexp(1.0, math.frexp(float(np.abs(y).max()))[1] - 1)  # squares do not underflow
        z = y / size
        return fit(weight * size * math.sqrt(float(z @ (z / weight)) / float(s @ (weight * s))), self.pairs)


def largest(gradient: np.ndarray | None) -> float:
    """max |entry| over the finite entries; nan when there is none."""
    if gradient is None:
        return math.nan
    finite = np.abs(gradient[np.isfinite(gradient)])
    return float(finite.max()) if finite.size else math.nan


def _sane(gradient: np.ndarray | None, norms: tuple[float, ...]) -> bool:
    """Whether a gradient has finite entries and is not exploded; `norms` holds its own norm too."""
    size = largest(gradient)
    return math.isfinite(size) and size <= EXPLODED * _scale(norms)


def _scale(norms: tuple[float, ...]) -> float:
    """The running scale: lower median of the positive norms; 0 when there is none."""
    ordered = sorted(norm for norm in norms if norm > 0.0)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0.0


def begin(record: Record, radius: float) -> Descent | None:
    """The descent that starts at `record`; None where its value or its whole gradient is not finite."""
    size = largest(record.gradient)
    if record.gradient is None or not (math.isfinite(record.value) and math.isfinite(size)):
        return None
    known = np.isfinite(record.gradient)
    gradient = np.where(known, record.gradient, 0.0)
    return Descent(
        incumbent=record,
        gradient=gradient,
        reported=True,
        known=known,
        sensitivity=np.abs(gradient),
        radius=radius,
        pairs=(),
        norms=(size,),
        failures=0,
        doubts=0,
        replaced=False,
        trace=(record.value,),
        low=record.unit,
        high=record.unit,
    )


def propose(descent: Descent, factor: float = 1.0) -> tuple[np.ndarray, float]:
    """The next trial (d,), and by how much the model says that f falls there.

    Args:
        descent: the state.
        factor: multiplies the trust radius, for trials that run beside one another.
    """
    x, g, model = descent.incumbent.unit, descent.gradient, descent.model()
    s = minimize(model, g, *box(descent, factor))
    predicted = -float(g @ s + 0.5 * (s @ model.times(s)))
    return np.clip(x + s, 0.0, 1.0), min(predicted, sys.float_info.max)


def box(descent: Descent, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (d,), (d,) of the next step: the trust box, the cube and the fence."""
    x = descent.incumbent.unit
    size = np.where(descent.known, factor * descent.radius, 0.0)
    below, above = _fence(descent) or (np.zeros_like(x), np.ones_like(x))
    return np.maximum(below - x, -size), np.minimum(above - x, size)


def converged(descent: Descent, step: float, predicted: float, hasty: bool = False) -> bool:
    """Whether nothing more is to be had: a vanishing step or gain, rejections in a row, or no progress.

    Args:
        descent: the state.
        step: length of the next step, units of the cube.
        predicted: by how much the model says that f falls there.
        hasty: slow progress ends the descent too, since there are integers or choices to try.
    """
    if descent.failures >= FAILURES or step <= NARROWEST or not predicted > 1e-9 * descent.gained:
        return True
    if len(descent.trace) <= WINDOW:
        return False
    recent = descent.trace[-WINDOW - 1] - descent.trace[-1]
    return recent < (SLOW if hasty else STALLED) * descent.gained


def hopeless(descent: Descent, best: Record, predicted: float) -> bool:
    """Whether the descent will not get below `best`, judged by its progress, its model and its place.

    Args:
        descent: the state, of another start than `best`.
        best: the best trial of all.
        predicted: by how much the model says that f falls in the next step.
    """
    trace, gap = descent.trace, descent.trace[-1] - best.value
    if len(trace) <= 3:
        return False
    too_slow = len(trace) > TRIED and gap > PATIENCE * (trace[-1 - TRIED] - trace[-1])
    at_bottom = descent.failures == 0 and gap > FLAT * max(predicted, trace[-2] - trace[-1])
    same_place = float(np.abs(descent.incumbent.unit - best.unit).max()) < SAME
    return too_slow or at_bottom or same_place


def advance(descent: Descent, trial: Record) -> Descent:
    """The state after a trial that was proposed from the incumbent."""
    f, g, f1 = descent.incumbent.value, descent.gradient, trial.value
    s = trial.unit - descent.incumbent.unit
    length = float(np.abs(s).max())
    size = largest(trial.gradient)
    norms = (*descent.norms, size)[-RECENT:] if math.isfinite(size) else descent.norms
    sane = math.isfinite(f1) and _sane(trial.gradient, norms)
    sane_before = descent.reported and _sane(descent.incumbent.gradient, norms)
    down = float(g @ s)
    accepted = math.isfinite(f1) and f1 < f + (ARMIJO * down if sane_before else 0.0)
    g1, across, agrees = _completed(descent, trial, s, sane), math.nan, False
    pairs = descent.pairs
    if sane:
        across = float(g1 @ s)
        agrees = abs(f1 - f - 0.5 * (down + across)) <= AGREEMENT * (abs(down) + abs(across))
        y = np.where(descent.known, g1 - g, 0.0)
        if agrees and sane_before:
            y = _damped(descent, s, y) if pairs else y
            if float(s @ y) > 1e-8 * math.sqrt(float(s @ s) * float(y @ y)):
                pairs = (*pairs, (s, y))[-MEMORY:]
    state = replace(descent, norms=norms, pairs=pairs, trace=(*descent.trace, f1 if accepted else f))
    diverged = not f1 - f <= DIVERGED * max(abs(down), descent.gained)
    if diverged:
        state = replace(state, walls=(*state.walls, wall(trial.unit, s, trial.gradient, len(state.trace))))
        if _fence(state) is not None:
            share = 1.0 if state.failures == 0 else 0.5
            return replace(state, failures=state.failures + 1, radius=share * state.radius)
    else:
        state = replace(state, low=np.minimum(state.low, trial.unit), high=np.maximum(state.high, trial.unit))
    if accepted:
        return _accept(state, trial, g1, sane, sane_before, length)
    shrunk = replace(
        state,
        failures=state.failures + 1,
        doubts=state.doubts + (sane and not agrees),
        radius=max(
            min(state.radius, length * _shrinkage(f1 - f, down, across if agrees else math.nan)), 1e-12
        ),
    )
    if sane and not state.replaced and (shrunk.doubts >= DOUBTS or not sane_before):
        told = g1 - shrunk.model().times(s) if pairs else g1
        return replace(
            shrunk,
            gradient=np.where(state.known, told, 0.0),
            reported=False,
            replaced=True,
            radius=max(length, shrunk.radius),
        )
    return shrunk


def _damped(descent: Descent, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """y, or where s·y < DAMPING s·B s the nearest mixture of y and B s that reaches it (Powell 1978).

    So a step along which the slope steepens lowers the curvature of the model there, and the next one is longer.
    """
    curved = descent.model().times(s)
    known, told = float(s @ curved), float(s @ y)
    if not 0.0 < known < math.inf or told >= DAMPING * known:
        return y
    share = (1.0 - DAMPING) * known / (known - told)
    return share * y + (1.0 - share) * curved


def _fence(descent: Descent) -> tuple[np.ndarray, np.ndarray] | None:
    return fence(descent.walls, descent.low, descent.high, descent.sensitivity, len(descent.trace))


def _completed(descent: Descent, trial: Record, s: np.ndarray, sane: bool) -> np.ndarray:
    """The trial's gradient, with the model's prediction in place of what is missing or exploded."""
    reported = trial.gradient
    if sane and reported is not None and np.isfinite(reported[descent.known]).all():
        return np.where(np.isfinite(reported), reported, 0.0)
    predicted = descent.gradient + descent.model().times(s) if descent.pairs else descent.gradient
    if not sane or reported is None:
        return predicted
    return np.where(np.isfinite(reported), reported, np.where(descent.known, predicted, 0.0))


def _accept(
    state: Descent, trial: Record, g1: np.ndarray, sane: bool, sane_before: bool, length: float
) -> Descent:
    """The state with the trial as its incumbent: Δ doubles where the model was right, halves where not."""
    radius, predicted = state.radius, trial.note.get("predicted")
    if predicted is not None:
        right = (state.incumbent.value - trial.value) / predicted
        if right > 0.5 and length > 0.8 * radius:
            radius = min(WIDEST, 2.0 * max(radius, length))
        elif right < 0.1:
            radius = min(radius, max(0.5 * length, NARROWEST))
    known, sensitivity = state.known, state.sensitivity
    if sane and trial.gradient is not None:
        known = known | np.isfinite(trial.gradient)
        sensitivity = 0.7 * sensitivity + 0.3 * np.abs(g1) if sane_before else np.abs(g1)
    return replace(
        state,
        incumbent=trial,
        gradient=g1,
        reported=sane,
        known=known,
        sensitivity=sensitivity,
        radius=radius,
        failures=0,
        doubts=0,
        replaced=False,
    )


def _shrinkage(rise: float, down: float, across: float) -> float:
    """The share of a rejected step where the cubic (or quadratic) through its ends is least, in [0.1, 0.5].

    Args:
        rise: f₁ - f; nan or inf where training diverged.
        down: g·s at the incumbent.
        across: g₁·s at the trial; nan where that is not to be trusted.
    """
    share = 0.25
    if math.isfinite(rise):
        if math.isfinite(across):
            middle = down + across - 3.0 * rise
            inside = middle * middle - down * across
            root = math.sqrt(inside) if inside >= 0.0 else math.nan
            below = across - down + 2.0 * root
            share = 1.0 - (across + root - middle) / below if below > 0.0 else 0.5
        elif rise > down:
            share = -down / (2.0 * (rise - down))
    return min(max(share, 0.1), 0.5) if math.isfinite(share) else 0.25
