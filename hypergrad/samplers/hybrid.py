"""Global model and local descent, competing for each trial.

Notation
    γ_m, γ_d   expected fall of the best value: expected improvement of the model; fall that the descent predicts
    r_m, r_d   credit: the share of what each of them predicted lately that came true
    c          cost of a value and its gradient over that of a value alone, as the trials told; 1 where they told none
    c_m        c where the model's trial asks for a gradient, else 1
    λ          `_LEAD`

The descent goes on where λ r_d γ_d / c >= r_m γ_m / c_m, else the model's trial is run. Where both expect less than
`_WORTH` of the distance from the best value to the lower quartile, the search has converged here, and another descent
begins elsewhere; it is followed for as long as it can still catch up with the best trial. After `_ELSEWHERE` in vain
the descent that led to the best trial goes on until it has converged.

Where a prediction of the model has failed, the next ones there are bolder, and the more coordinates there are the more
room is left for that: after f of its trials in a row that were no improvement it lets a running descent go on for
`_REST`^f trials. Where it sees all coordinates and the noise of the values is more than `_BLURRED`, neighbours tell a
descent little, which gets only those trials of which the model expects nothing.

A trial of the model asks for a gradient where that tells more than c times as much as its value, in the variance that
it is expected to take from f where improvement is likely. The learned noise of gradients counts: chaotic ones are not
worth their cost. A step of a descent always asks.

Compare LAGO (arXiv 2603.02970), in which a global model and a local trust region compete by predicted improvement; the
credits, the costs and the choice of gradients are ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hypergrad.bayesopt.acquisition import LogEI, LowerBound
from hypergrad.bayesopt.kernels import Rows
from hypergrad.errors import SpaceError
from hypergrad.samplers import folding
from hypergrad.samplers.admission import Admission, canonical
from hypergrad.samplers.base import Explanation, Proposal, Record, Sampler, earlier, generator, others
from hypergrad.samplers.bayes import Bayes
from hypergrad.samplers.descent import begin, propose
from hypergrad.samplers.explanation import of_the_descent, of_the_model, of_the_sequence
from hypergrad.samplers.gradient import Gradient
from hypergrad.samplers.ripples import looks, verdict
from hypergrad.samplers.sobol import Sobol
from hypergrad.samplers.subspace import LARGE, Subspace
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.space import Space

__all__ = ["Hybrid", "cost_ratio", "credit", "rests"]

_FEW = 3  # finite trials before there is a model
_MOST = 60  # coordinates of the model; in a space of more, descents search alone
_FORGET = 0.85  # weight of what a branch predicted, for each trial since
_TRUST = {"model": 0.1, "descent": 0.5}  # credit before the first prediction,
_PRIOR = 0.5  # which counts as so many trials
_LUCKY = 4.0  # largest share of a prediction that counts as fulfilled
_ASSUMED = 3.0  # c where trials of one kind alone have told their cost
_WORTH = 1e-2  # see the module
_LEAD = 4.0  # of the descent in the competition: it gathers curvature for its next steps, and may go on
_ELSEWHERE = 2  # descents in vain after which the best one goes on, to the last digit
_STARTS = 8  # candidates for the start of a descent elsewhere
_OPTIMISM = 2.0  # standard deviations below the mean by which they are compared
_PLACES = 64  # points anywhere, and as many near the best, at which the worth of a gradient is looked at
_BLURRED = 2e-2  # variance of the noise of values, in their variances, that a descent does not see through
_REST = 4.0  # trials after a failed one of the model; raised to the number of failures in a row
_FOR_EVER = 20  # failures in a row after which the rest has no end in practice
_SAME = 1e-9  # largest distance along a coordinate at which two points count as one


@dataclass(frozen=True)
class Hybrid(Sampler):
    """A Gaussian process of values and hypergradients, and a quasi-Newton descent; each trial goes to the better offer.

    The first trial is the space's defaults, with a gradient. Then the next step of the descent from the best trial
    (`Gradient`) and the point of largest expected improvement under the model (`Bayes`) compete by predicted fall of
    the value per unit cost, each discounted by how well it predicted lately. Gradients are asked for where they pay.
    Integers and choices are the model's. In a space of 40 or more coordinates the model sees each array of 8 or more
    along three directions, those of its hypergradients so far; the descent moves all of it.

    In a study with black-box constraints, and in a space with a `Fidelity`, the model searches alone: a descent knows
    neither. So it does where there are no gradients: in a space of integers and choices, and after a first trial that
    was asked for one and had none, until another has one; it asks again when the number of trials has doubled. And so
    it does where gradients describe ripples: in a space whose defaults are its middle the second and third trial are
    points far away, with gradients, by which that is seen; see `hypergrad.samplers.ripples`.

    Args:
        radius: first trust radius of a descent, in units of the cube.
        rows: values and derivatives in the model, at most.

    Raises:
        SpaceError: arguments outside their domain.
    """

    radius: float = 0.1
    rows: int = 400

    uses_fidelity = True
    uses_earlier = True

    def __post_init__(self) -> None:
        if not 0.0 < self.radius <= 0.5:
            raise SpaceError(f"radius of Hybrid is {self.radius!r}, expected a number in (0, 0.5]")
        if isinstance(self.rows, bool) or not isinstance(self.rows, int | np.integer) or self.rows < 2:
            raise SpaceError(f"rows of Hybrid is {self.rows!r}, expected an int, 2 or more")

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        """The better offer of the two."""
        before = earlier(history)
        past = canonical(space, others(history, number))
        if space.fidelity is not None or any(record.constraints is not None for record in past):
            return Bayes(rows=self.rows).ask(space, history, seed=seed, number=number)
        refused = without_gradients(space, past)
        if refused:
            found = self._by_values(space, history, seed, number)
            return _asking(found, bool(space.continuous.any()) and len(past) >= 2**refused)
        if not before and looks(space, past, self.rows):
            found = Sobol().ask(space, history, seed=seed, number=number)
            return _asking(replace(found, note={**found.note, "phase": folding.LOOK}), True)
        ripples = verdict(space, past, self.rows)
        if ripples is None:
            return self._best_offer(space, past, before, seed, number)
        if ripples:
            found = _asking(self._by_values(space, history, seed, number), False)
        else:
            found = self._best_offer(space, past, before, seed, number)
        return replace(found, note={**found.note, "ripples": ripples})

    def _by_values(self, space: Space, history: Sequence[Record], seed: int, number: int) -> Proposal:
        """What `Bayes` without gradients asks for."""
        found = Bayes(gradients=False, rows=self.rows).ask(space, history, seed=seed, number=number)
        return replace(found, note={**found.note, "phase": "values", "as": found.note["phase"]})

    def _best_offer(
        self, space: Space, past: Sequence[Record], before: Sequence[Record], seed: int, number: int
    ) -> Proposal:
        """That of the model or of a descent."""
        gradient = Gradient(self.radius)
        best = folding.best(past)
        if best is None:
            return _asking(gradient.ask(space, past, seed=seed, number=number), True)
        rng = generator(seed, number)
        admission = Admission(space, past)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            descent, step = self._step(past, best, admission)
        if step is not None and descent is not None and descent.incumbent.number != best.number:
            return step
        told = [r for r in past if r.state == "complete" and math.isfinite(r.value)]
        if len(told) < _FEW:
            return step or _asking(gradient.ask(space, past, seed=seed, number=number), True)
        model = _model(space, past, before, best, self.rows)
        if model is None:
            return step or _asking(gradient.ask(space, past, seed=seed, number=number), True)
        near = [record for record in told if record.note.get("phase") != folding.LOOK] or told
        values = np.array([record.value for record in near])
        worth = _WORTH * float(np.quantile(values, 0.25) - values.min())
        ratio = cost_ratio(past)
        unit, utility, wants = model.best_point(rng, ratio)
        expected = math.exp(max(utility, -700.0))
        if step is None:
            step = self._from_the_model(past, best, model)
        ahead = credit(past, "descent") * step.note.get("predicted", 0.0) if step is not None else 0.0
        around = credit(past, "model") * expected
        if model.subspace is None and model.surrogate.noise > _BLURRED:
            ahead = 0.0 if around > worth else ahead
        elif step is not None and rests(past):
            return step
        if max(ahead, around) <= worth:
            return self._polish(past, best, admission) or self._elsewhere(
                space, past, best, model, admission, rng
            )
        rates = {"descent": _LEAD * ahead / ratio, "model": around / (ratio if wants else 1.0)}
        if step is not None and rates["descent"] >= rates["model"]:
            return replace(step, note={**step.note, "rates": rates})
        note = {"phase": "model", "log_ei": utility, "predicted": expected, "gradient": wants, "rates": rates}
        return admission.first(_around(unit, wants, note, space, past, rng), rng)

    def _step(
        self, past: Sequence[Record], best: Record, admission: Admission
    ) -> tuple[Any, Proposal | None]:
        """The running descent, and its next step; None where it is over or a step of it is still running."""
        start = folding.current(past)
        descent = folding.fold(past, start, self.radius)
        if descent is None or any(r.state == "running" and folding.own(r) for r in past):
            return descent, None
        step = folding.step(descent, start, best, past, admission)
        return descent, None if step is None else _asking(step, True)

    def _polish(self, past: Sequence[Record], best: Record, admission: Admission) -> Proposal | None:
        """The next step of the descent that led to the best trial, once others have led to none better.

        None before, and where that descent has converged.
        """
        start = folding.current([record for record in past if record.number <= best.number])
        if folding.current(past) - start < _ELSEWHERE or any(r.state == "running" for r in past):
            return None
        descent = folding.fold(past, start, self.radius)
        if descent is None or descent.incumbent.number != best.number:
            return None
        step = folding.step(descent, start, best, past, admission)
        return None if step is None else _asking(step, True)

    def _from_the_model(self, past: Sequence[Record], best: Record, model: _Model) -> Proposal | None:
        """The first step of a descent from a best trial of which no gradient is known: along that of the model."""
        if best.gradient is not None or any(r.state == "running" for r in past):
            return None
        start = begin(replace(best, gradient=model.slope(best.unit)), self.radius)
        if start is None:
            return None
        unit, predicted = propose(start)
        if not predicted > 0.0 or not model.whole.continuous.any() or model.whole.constraints:
            return None
        note = {"phase": "start", "start": folding.current(past) + 1, "predicted": predicted}
        found = _asking(Proposal(model.whole.snap(unit), True, note), True)
        return None if any(np.array_equal(record.unit, found.unit) for record in past) else found

    def _elsewhere(
        self,
        space: Space,
        past: Sequence[Record],
        best: Record,
        model: _Model,
        admission: Admission,
        rng: np.random.Generator,
    ) -> Proposal:
        """The start of another descent: near the best and anywhere, by turns, as the model's lower bound prefers."""
        start = folding.current(past) + 1
        turn = sum(record.note.get("phase") == "start" for record in past)
        if turn % 2 == 1:
            points = space.snap(rng.random((_STARTS, space.dimension)))
            bound, _ = model.surface(LowerBound(_OPTIMISM), points)
            note = {"phase": "start", "start": start}
            order = np.argsort(-bound, kind="stable")

            def candidates() -> Iterator[Proposal]:
                for i in order:
                    yield Proposal(points[i], True, note)
                yield from Gradient(self.radius).restart(space, past, start, best, admission, rng)

            return _asking(admission.first(candidates(), rng), True)
        restart = Gradient(self.radius).restart(space, past, start, best, admission, rng)
        return _asking(admission.first(restart, rng), True)

    def wants_gradient(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> bool:
        """Yes, since a descent may start there; not where gradients were asked for in vain, or describe ripples."""
        past = canonical(space, others(history, number))
        return not without_gradients(space, past) and not verdict(space, past, self.rows)

    def explain(self, space: Space, before: Sequence[Record], record: Record) -> Explanation:
        """Which of the two offers it is, what it promised, and what the other one did."""
        if record.note.get("phase") == "values":
            as_told = replace(record, note={**record.note, "phase": record.note["as"]})
            found = Bayes(gradients=False, rows=self.rows).explain(space, before, as_told)
            rippled = record.note.get("ripples")
            why = "gradients describe ripples here" if rippled else "no gradient has been told"
            return replace(found, text=f"{found.text}; by values alone, as {why}")
        if record.note.get("phase") == folding.LOOK:
            place = of_the_sequence(record)
            return Explanation(
                f"{place}: points far apart show whether gradients tell of the trend or of ripples"
            )
        rates = record.note.get("rates")
        if record.note.get("phase") == "model":
            found = of_the_model(space, before, record, rows=self.rows)
        else:
            found = of_the_descent(space, before, record) or super().explain(space, before, record)
        if rates is None:
            return found
        mine, other = ("model", "descent") if record.note["phase"] == "model" else ("descent", "model")
        text = (
            f"{found.text}; it was the better offer per cost, {rates[mine]:.2g} of the {mine} against "
            f"{rates[other]:.2g} of the {other} (a descent counts {_LEAD:g} times)"
        )
        return Explanation(text, {**found.data, "rates": dict(rates)})


@dataclass(frozen=True, eq=False)
class _Model:
    """The surrogate of the trials, and what it is of: the space, or a subspace of it."""

    whole: Space
    surrogate: Surrogate
    subspace: Subspace | None

    def _inside(self, points: np.ndarray) -> np.ndarray:
        if self.subspace is None:
            return points
        return np.stack([self.subspace.shrink(Record(0, point, "running")).unit for point in points])

    def _outside(self, unit: np.ndarray) -> np.ndarray:
        return unit if self.subspace is None else self.subspace.lift(unit)

    def best_point(self, rng: np.random.Generator, ratio: float) -> tuple[np.ndarray, float, bool]:
        """The point (d,) of largest log EI, log EI there, and whether its gradient is worth `ratio` values."""
        unit, utility = self.surrogate.maximum(self.surrogate.improvement, rng)
        wants = ratio == 1.0 or told_by_gradient(self.surrogate, unit, rng) > ratio
        return self._outside(unit), utility, wants and bool(self.whole.continuous.any())

    def surface(self, utility: LowerBound, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of points (q, d) of the whole space; the gradient is by those of the model."""
        return self.surrogate.surface(utility)(self._inside(points))

    def slope(self, unit: np.ndarray) -> np.ndarray:
        """Gradient of the mean at a point (d,), nan where the model does not know."""
        space = self.surrogate.space
        place = self._inside(unit[None])
        moments = self.surrogate.posterior.moments(*self.surrogate.sources.lift(place))
        small = moments.mean_gradient[0, : space.dimension]
        small = np.where(space.continuous & space.active(place)[0], small, np.nan)
        return small if self.subspace is None else self.subspace.widen(small)


def _model(
    space: Space, past: Sequence[Record], before: Sequence[Record], best: Record, rows: int
) -> _Model | None:
    """The model of the trials; None where the space is too large for one."""
    if space.dimension < LARGE:
        return _Model(space, Surrogate.of(space, past, gradients=True, rows=rows, earlier=before), None)
    subspace = Subspace.of(space, past, best)
    if subspace is None or subspace.space.dimension > _MOST:
        return None
    small = [subspace.shrink(record) for record in past]
    known = [subspace.shrink(record) for record in before]
    return _Model(
        space, Surrogate.of(subspace.space, small, gradients=True, rows=rows, earlier=known), subspace
    )


def _asking(proposal: Proposal, gradient: bool) -> Proposal:
    return replace(proposal, wants_gradient=gradient, note={**proposal.note, "gradient": gradient})


def _around(
    unit: np.ndarray,
    wants: bool,
    note: dict[str, Any],
    space: Space,
    past: Sequence[Record],
    rng: np.random.Generator,
) -> Iterator[Proposal]:
    """The point that was chosen, and others near it where it has been tried or is not allowed."""
    tried = np.stack([record.unit for record in past])
    snapped = space.snap(unit)
    if np.abs(tried - snapped).max(axis=1).min() > _SAME:
        yield Proposal(unit, wants, note)
    while True:
        moved = np.abs(unit + 0.05 * rng.standard_normal(unit.shape))
        moved = np.clip(1.0 - np.abs(1.0 - moved), 0.0, 1.0)  # reflected into the cube
        unlike = rng.random(unit.shape) < 0.3
        yield Proposal(np.where(unlike, rng.random(unit.shape), moved), wants, note)


def without_gradients(space: Space, past: Sequence[Record]) -> int:
    """How many trials were asked for a gradient in vain; 0 where one has been told, 1 where there can be none."""
    if not space.continuous.any():
        return 1
    told = [r for r in past if r.state == "complete" and math.isfinite(r.value)]
    if any(r.gradient is not None and np.isfinite(r.gradient).any() for r in told):
        return 0
    return sum(bool(r.note.get("gradient")) for r in told)


def cost_ratio(past: Sequence[Record]) -> float:
    """c: median cost of the trials with a gradient over that of the others, at least 1."""
    costs: dict[bool, list[float]] = {True: [], False: []}
    for record in past:
        if record.state == "complete" and record.cost > 0.0:
            costs[bool(record.note.get("gradient", record.gradient is not None))].append(record.cost)
    if not costs[True] and not costs[False]:
        return 1.0
    if not costs[True] or not costs[False]:
        return _ASSUMED
    return max(float(np.median(costs[True]) / np.median(costs[False])), 1.0)


def credit(past: Sequence[Record], branch: str) -> float:
    """r: the weighted mean share of its predictions that came true; lately made ones weigh more.

    A step of a descent is judged by the trial that it started from, a trial of the model by the best one before it.

    Args:
        past: sorted by number.
        branch: ``"model"`` or ``"descent"``.
    """
    found, weight = _TRUST[branch] * _PRIOR, _PRIOR
    value = {record.number: record.value for record in past}
    least, age = math.inf, len(past)
    for record in past:
        age -= 1
        if record.state == "running":
            continue
        predicted = float(record.note.get("predicted", 0.0))
        if record.note.get("phase") == branch and predicted > 0.0:
            against = value.get(record.note.get("parent", -1), math.nan) if branch == "descent" else least
            fall = against - record.value
            share = min(max(fall / predicted, 0.0), _LUCKY) if math.isfinite(fall) else 0.0
            found += _FORGET**age * share
            weight += _FORGET**age
        if math.isfinite(record.value):
            least = min(least, record.value)
    return found / weight


def rests(past: Sequence[Record]) -> bool:
    """Whether the model lets the descent go on: for _REST^f trials since the last of its own, f in a row having failed.

    Args:
        past: sorted by number.
    """
    least, failures, since = math.inf, 0, math.inf
    for record in past:
        since += 1
        if record.note.get("phase") == "model":
            since = 0
            if record.state != "running":
                failures = 0 if record.value < least else failures + 1
        if math.isfinite(record.value):
            least = min(least, record.value)
    return failures > 0 and since < _REST ** min(failures, _FOR_EVER)


def told_by_gradient(surrogate: Surrogate, unit: np.ndarray, rng: np.random.Generator) -> float:
    """How much more value and gradient at a point (d,) tell than the value alone: a ratio, at least 1.

    Σ_z w_z kᵀ (K + N)⁻¹ k of the rows observed, k their covariance with f(z), over points z anywhere and near the best
    trials; the weight w_z is the expected improvement at z.
    """
    posterior, space = surrogate.posterior, surrogate.space
    d = space.dimension
    near = posterior.data.points.x[np.argsort(surrogate.mean, kind="stable")[:3], :d]
    anywhere = rng.random((_PLACES, d))
    close = near[rng.integers(len(near), size=_PLACES)] + 0.1 * rng.standard_normal((_PLACES, d))
    places = space.snap(np.concatenate([anywhere, np.clip(close, 0.0, 1.0)]))
    mean, variance = posterior.predict(*surrogate.sources.lift(places))
    log_ei, *_ = LogEI(surrogate.best)(mean, np.sqrt(variance) + 1e-12 * surrogate.scale)
    weight = np.exp(log_ei - log_ei.max())
    points, active = surrogate.sources.lift(np.concatenate([unit[None], places]))
    by = np.flatnonzero(space.continuous & active[0, :d])
    count = len(points)
    rows = Rows(np.arange(count), np.zeros(len(by), int), by)
    _, covariance = posterior.joint(points, active, rows)
    mine = np.concatenate([[0], count + np.arange(len(by))])
    own, cross = covariance[np.ix_(mine, mine)], covariance[np.ix_(mine, np.arange(1, count))]
    noise = np.concatenate([[posterior.theta.noise], np.full(len(by), posterior.theta.gradient_noise)])
    own[np.diag_indices_from(own)] += noise + 1e-9 * np.diag(own) + 1e-300
    alone = float((cross[0] ** 2 / own[0, 0]) @ weight)
    both = float(np.einsum("rz,rz->z", cross, np.linalg.solve(own, cross)) @ weight)
    return max(both / alone, 1.0) if alone > 0.0 else 1.0
