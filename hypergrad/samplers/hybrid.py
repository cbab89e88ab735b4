"""Global model and local descent, competing for each trial."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hypergrad.bayesopt.acquisition import LogEI, LowerBound
from hypergrad.bayesopt.kernels import Rows
from hypergrad.errors import SpaceError
from hypergrad.samplers import folding
from hypergrad.samplers.admission import Admission, canonical
from hypergrad.samplers.base import Proposal, Record, Sampler, generator, others
from hypergrad.samplers.gradient import Gradient
from hypergrad.samplers.sobol import Sobol
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.space import Space

__all__ = ["Hybrid"]

_FORGET = 0.85
_PRIOR = 0.5
_CREDIT = 4.0  # largest share of a prediction that counts as fulfilled
_ASSUMED = 3.0  # cost of a value and gradient over that of a value, until it is known
_FEW = 3

DEBUG = False
OPT = dict(MC=0.5, INIT=0, DIST=0.02, TOL=3e-3, VINIT=0, LCB=3.0)
for k in OPT:
    if k in os.environ: OPT[k] = type(OPT[k])(os.environ[k])


@dataclass(frozen=True)
class Hybrid(Sampler):
    radius: float = 0.1
    rows: int = 400

    def ask(self, space: Space, history: Sequence[Record], *, seed: int, number: int) -> Proposal:
        past = canonical(space, others(history, number))
        admission = Admission(space, past)
        rng = generator(seed, number)
        best = folding.best(past)
        if best is None:
            return Gradient(self.radius).ask(space, history, seed=seed, number=number)
        ratio = cost_ratio(past)
        if number < OPT["INIT"]:
            found = Sobol(defaults_first=False).ask(space, history, seed=seed, number=number)
            return Proposal(found.unit, ratio == 1.0, {**found.note, "phase": "init", "gradient": ratio == 1.0})
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            start = folding.current(past)
            descent = folding.fold(past, start, self.radius)
            local = None
            if descent is not None and not any(r.state == "running" and folding.own(r) for r in past):
                local = folding.step(descent, start, best, admission, 1.0)
        if local is not None:
            local = replace(local, note={**local.note, "gradient": True})
            if descent.incumbent.number != best.number:
                if DEBUG: print(number, "follow", descent.incumbent.value, best.value)
                return local
        told = [r for r in past if r.state == "complete" and math.isfinite(r.value)]
        if len(told) < _FEW:
            return local or Gradient(self.radius).ask(space, history, seed=seed, number=number)
        values = np.array([r.value for r in told])
        least = OPT["TOL"] * float(np.median(values) - values.min())
        ahead = credit(past, "descent") * local.note["predicted"] if local is not None else 0.0
        surrogate = Surrogate.of(space, past, gradients=True, rows=self.rows)
        unit, utility = surrogate.maximum(LogEI(surrogate.best), rng)
        expected = math.exp(max(utility, -700.0))
        wants = ratio == 1.0 or told_by_gradient(surrogate, unit, rng) > ratio
        around = credit(past, "model") * expected
        if DEBUG: print(number, "local %.3g*%.3g global %.3g*%.3g least %.3g best %.4g" % (credit(past,"descent"), local.note["predicted"] if local else 0, credit(past,"model"), expected, least, best.value), "scale %.3g" % surrogate.scale, wants, )
        if max(ahead, around) <= least:
            if DEBUG: print("restart")
            candidates = Gradient(self.radius)._restart(space, past, start + 1, best, admission, rng)
            found = admission.first(candidates, rng)
            return replace(found, note={**found.note, "gradient": True})
        if ahead / ratio >= around / (ratio if wants else 1.0):
            return local
        return Proposal(unit, wants, {"phase": "model", "log_ei": utility, "predicted": expected, "gradient": wants})


def cost_ratio(past: Sequence[Record]) -> float:
    """Cost of a value and gradient over that of a value; 1 where no trial has a cost."""
    costs = {True: [], False: []}
    for r in past:
        if r.state == "complete" and r.cost > 0.0:
            costs[r.note.get("gradient", r.gradient is not None)].append(r.cost)
    if not costs[True] and not costs[False]:
        return 1.0
    if not costs[True] or not costs[False]:
        return _ASSUMED
    return max(float(np.median(costs[True]) / np.median(costs[False])), 1.0)


def credit(past: Sequence[Record], phase: str) -> float:
    """Share of what a branch predicted that came true, of its recent trials; 0.5 without any."""
    found, weight = (OPT["MC"] if phase == "model" else 0.5) * _PRIOR, _PRIOR
    best, value = math.inf, {r.number: r.value for r in past}
    age = len(past)
    for record in past:
        age -= 1
        if record.state == "running":
            continue
        predicted = record.note.get("predicted", 0.0)
        if record.note.get("phase") == phase and predicted > 0:
            fall = (value[record.note["parent"]] if phase == "descent" else best) - record.value
            share = min(max(fall / predicted, 0.0), _CREDIT) if math.isfinite(fall) else 0.0
            found += _FORGET**age * share
            weight += _FORGET**age
        if math.isfinite(record.value):
            best = min(best, record.value)
    return found / weight


def told_by_gradient(surrogate, unit, rng):
    posterior, space = surrogate.posterior, surrogate.space
    d = space.dimension
    x = posterior.data.points.x[:, :d]
    near = x[np.argsort(surrogate.mean, kind="stable")[:3]]
    anywhere = rng.random((64, d))
    close = np.clip(near[rng.integers(len(near), size=64)] + 0.1 * rng.standard_normal((64, d)), 0, 1)
    places = space.snap(np.concatenate([anywhere, close]))
    lifted, active = surrogate.sources.lift(places)
    mean, variance = posterior.predict(lifted, active)
    log_ei, *_ = LogEI(surrogate.best)(mean, np.sqrt(variance) + 1e-12 * surrogate.scale)
    weight = np.exp(log_ei - log_ei.max())
    points, active = surrogate.sources.lift(np.concatenate([unit[None], places]))
    on = np.flatnonzero(space.continuous & active[0, :d])
    rows = Rows(np.arange(len(points)), np.zeros(len(on), int), on)
    _, cov = posterior.joint(points, active, rows)
    theta = posterior.theta
    m = len(points)
    mine = np.r_[0, m + np.arange(len(on))]
    own = cov[np.ix_(mine, mine)]
    cross = cov[np.ix_(mine, np.arange(1, m))]
    own[np.diag_indices_from(own)] += np.r_[theta.noise, np.full(len(on), theta.gradient_noise)] + 1e-9 * np.diag(own)
    value_only = (cross[0] ** 2 / own[0, 0]) @ weight
    both = np.einsum("rz,rz->z", cross, np.linalg.solve(own, cross)) @ weight
    return float(both / max(value_only, 1e-300))
