"""What samplers are told beyond values and gradients: noise, constraints, fidelities and earlier studies."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.samplers import SAMPLERS, Bayes, Random, Record, Sampler
from hypergrad.samplers.asking import proposal
from hypergrad.samplers.base import Proposal
from hypergrad.samplers.feasibility import Feasibility, bilog
from hypergrad.samplers.fidelity import relative_cost, spent_below
from hypergrad.samplers.sources import Sources
from hypergrad.samplers.surrogate import Surrogate, by_study, kernel_of, observations, warp
from hypergrad.space import Categorical, Fidelity, Float, Int, Space

PLANE = Space(x=Float(0.0, 1.0, shape=(2,)))
STEPS = Space(x=Float(0.0, 1.0, shape=(2,)), steps=Fidelity(10, 200))


def branin(u):
    """Branin's function over the unit square, divided by 50 (least value 0.00796), and its gradient."""
    x1, x2 = 15.0 * u[0] - 5.0, 15.0 * u[1]
    b, c, t = 5.1 / (4.0 * np.pi**2), 5.0 / np.pi, 1.0 / (8.0 * np.pi)
    q = x2 - b * x1**2 + c * x1 - 6.0
    value = q * q + 10.0 * (1.0 - t) * np.cos(x1) + 10.0
    slope = np.array([2.0 * q * (c - 2.0 * b * x1) - 10.0 * (1.0 - t) * np.sin(x1), 2.0 * q])
    return value / 50.0, 0.3 * slope


LEAST = 0.397887 / 50.0


def rough(x, share):
    """Branin seen at a share of its fidelity: a tilt, a ripple and a level that vanish at the target."""
    value, slope = branin(x)
    away = 1.0 - share
    wave = 7.0 * x[0] + 3.0 * x[1]
    value += away * (0.2 + 0.15 * np.sin(wave))
    return value, slope + away * 0.15 * np.cos(wave) * np.array([7.0, 3.0])


def start(seed):
    return np.random.default_rng(seed).random(2)


def new(space, sampler, seed=0, **settings):
    return hg.Study("s", space, sampler, seed=seed, **settings)


# --- noise


def test_noise_that_was_told_enters_the_variances_by_the_warp():
    values, errors = [1.0, 2.0, 3.0, 7.0], [0.1, 0.0, 0.2, 0.4]
    records = [
        Record(
            i, start(i), "complete", v, np.array([1.0, np.nan]), noise=e, gradient_noise=np.array([e, np.nan])
        )
        for i, (v, e) in enumerate(zip(values, errors, strict=True))
    ]
    data = observations(kernel_of(PLANE), PLANE, records, True)
    rate = warp(np.array(values))[1]
    assert rate.max() > rate.min()
    np.testing.assert_allclose(data.value_noise, (errors * rate) ** 2, rtol=1e-12)
    np.testing.assert_allclose(data.gradient_noise[:, 0], (errors * rate) ** 2, rtol=1e-12)
    np.testing.assert_array_equal(data.gradient_noise[:, 1], 0.0)
    assert (observations(kernel_of(PLANE), PLANE, records, False).value_noise == data.value_noise).all()


def test_a_value_of_great_noise_is_not_believed():
    """One lucky outlier, told to be noise, is not where the model sees the optimum."""
    rng = np.random.default_rng(0)
    units = rng.random((12, 2))
    values = [float(((u - 0.3) ** 2).sum()) for u in units]
    far = int(np.argmax(values))
    values[far] = -1.0

    def at_outlier(noise):
        records = [Record(i, u, "complete", v, noise=noise if i == far else 0.0)
                   for i, (u, v) in enumerate(zip(units, values, strict=True))]  # fmt: skip
        return Surrogate.of(PLANE, records, gradients=False, rows=400).mean

    assert int(np.argmin(at_outlier(0.0))) == far
    assert int(np.argmin(at_outlier(50.0))) != far


@pytest.mark.parametrize("noise", [1e300, np.finfo(float).tiny])
def test_noise_of_any_size_is_survived(noise):
    study = new(PLANE, Bayes(initial=2))
    for _ in range(5):
        trial = study.ask()
        value, slope = branin(trial.hparams["x"])
        study.tell(trial, value, {"x": slope}, noise=noise, gradient_noise={"x": [noise, np.nan]})
    assert len({t.unit.tobytes() for t in study.trials}) == 5


# --- constraints


def test_bilog_keeps_the_sign_and_has_the_slope_it_says():
    values = np.array([-3.0, -0.5, 0.0, 0.2, 40.0])
    y, slope = bilog(values)
    assert (np.sign(y) == np.sign(values)).all()
    scale = np.median(np.abs(values))
    step = 1e-6
    up, down = ((np.sign(v) * scale * np.log1p(np.abs(v) / scale)) for v in (values + step, values - step))
    np.testing.assert_allclose((up - down) / (2.0 * step), slope, rtol=1e-5)
    np.testing.assert_array_equal(bilog(np.zeros(3))[0], 0.0)


@pytest.mark.parametrize("gradients", [False, True])
def test_the_probability_of_feasibility_and_its_gradient(gradients):
    rng = np.random.default_rng(1)
    records = []
    for i, unit in enumerate(rng.random((14, 2))):
        margins = np.array([unit.sum() - 1.0, unit[0] - 0.8 if i % 2 else np.nan])
        slopes = np.array([[1.0, 1.0], [1.0, 0.0]]) if i % 3 else None
        records.append(
            Record(
                i,
                unit,
                "complete",
                1.0,
                constraints=margins,
                constraint_gradients=slopes if gradients else None,
            )
        )
    model = Feasibility.of(kernel_of(PLANE), PLANE, records, gradients=gradients, rows=400)
    assert len(model.posteriors) == 2
    inside, outside = np.array([[0.2, 0.2]]), np.array([[0.9, 0.9]])
    assert model.log_probability(inside)[0] > np.log(0.9)
    assert model.log_probability(outside)[0] < np.log(0.1)
    x, step = rng.random((5, 2)), 1e-5
    slope = model.log_probability(x)[1]
    for i in range(2):
        shift = step * np.eye(2)[i]
        numeric = (model.log_probability(x + shift)[0] - model.log_probability(x - shift)[0]) / (2.0 * step)
        np.testing.assert_allclose(slope[:, i], numeric, rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_bayes_finds_the_constrained_optimum(seed):
    """The least of x + y outside a disc around the origin: on its rim, (r, r)/√2 has x + y = r √2, the corners r."""
    space = Space(x=Float(0.0, 1.0, shape=(2,), default=start(seed)))
    study = new(space, Bayes(), seed, constraints=["inside"])

    def objective(hparams):
        x = hparams["x"]
        inside = 0.4 - float(np.hypot(*x))
        return hg.Outcome(
            float(x[0] + 1.5 * x[1]), {"x": np.array([1.0, 1.5])}, constraints={"inside": inside}
        )

    study.optimize(objective, trials=18)
    assert study.best.trial.feasible
    assert study.best.value < 0.42  # at (0.4, 0), of value 0.4


def test_feasibility_is_searched_first():
    """All but 3 % of the square is infeasible, and the objective leads away from it."""
    study = new(PLANE, Bayes(gradients=False, initial=5), constraints=["far"])

    def objective(hparams):
        x = hparams["x"]
        far = float(np.hypot(*(x - 0.85))) - 0.1
        return hg.Outcome(float(x.sum()), constraints={"far": far})

    study.optimize(objective, trials=25)
    assert study.best.trial.feasible
    assert study.best.value < 1.7


@pytest.mark.parametrize(
    "told", [{"c": -1.0}, {"c": 1.0}, {"c": np.nan}, {}, {"c": np.inf}, {"c": 1e308}, {"c": 0.0}], ids=str
)
def test_constraints_of_every_kind_are_survived(told):
    space = Space(x=Float(0.0, 1.0), k=Int(1, 3))
    study = new(space, Bayes(initial=2), constraints=["c"])
    study.optimize(
        lambda h: hg.Outcome(
            h["x"] ** 2, {"x": 2.0 * h["x"]}, constraints=told, constraint_gradients={"c": {"x": 1.0}}
        ),
        trials=7,
    )
    assert len({t.unit.tobytes() for t in study.trials}) == 7


# --- fidelity


class Low(Sampler):
    """Proposes the middle of everything, the fidelity's too."""

    uses_fidelity = True

    def ask(self, space, history, *, seed, number):
        return Proposal(np.full(space.dimension, 0.5), False)


class Blind(Low):
    uses_fidelity = False


def test_a_sampler_that_does_not_use_fidelities_never_sees_one():
    assert new(STEPS, Low()).ask().hparams["steps"] < 200
    assert new(STEPS, Blind()).ask().hparams["steps"] == 200


@pytest.mark.parametrize("sampler", [kind() for kind in SAMPLERS.values()], ids=list(SAMPLERS))
def test_every_sampler_in_a_space_with_a_fidelity(sampler):
    """Those that do not use it search as in the space without it; cheap trials tell them nothing."""
    study = new(STEPS, sampler)
    study.enqueue({"x": [0.1, 0.1], "steps": 10})
    plain = new(Space(x=Float(0.0, 1.0, shape=(2,)), steps=200), sampler)

    def objective(hparams):
        value, slope = rough(hparams["x"], hparams["steps"] / 200)
        return (value - (100.0 if hparams["steps"] == 10 else 0.0)), {"x": slope, "steps": 1.0}

    study.optimize(objective, trials=9)
    assert study.trials[0].hparams["steps"] == 10
    assert study.trials[0].gradient["steps"] is None
    assert study.best.hparams["steps"] == 200
    if not sampler.uses_fidelity:
        assert all(t.hparams["steps"] == 200 for t in study.trials[1:])
    if type(sampler) is Random:
        plain.optimize(objective, trials=9)
        for a, b in zip(study.trials[2:], plain.trials[2:], strict=True):
            np.testing.assert_array_equal(a.hparams["x"], b.hparams["x"])


def test_costs_are_those_told_once_two_fidelities_told_theirs():
    column = STEPS.columns["steps"].start

    def record(number, u, cost):
        unit = np.full(3, 0.5)
        unit[column] = u
        return Record(number, STEPS.snap(unit), "complete", 1.0, cost=cost)

    units = np.array([0.0, 0.5, 1.0])
    shares = STEPS.parameters["steps"].share(units)
    np.testing.assert_allclose(shares, [10 / 200, 45 / 200, 1.0])
    np.testing.assert_array_equal(relative_cost(STEPS, [record(0, 1.0, 30.0)])(units), shares)
    told = [record(0, 1.0, 100.0 + 200.0 * 2.0), record(1, 0.0, 100.0 + 10.0 * 2.0)]
    np.testing.assert_allclose(relative_cost(STEPS, told)(units), [120 / 500, 190 / 500, 1.0], rtol=1e-9)
    falling = [record(0, 1.0, 1.0), record(1, 0.0, 5.0)]
    np.testing.assert_array_equal(relative_cost(STEPS, falling)(units), shares)
    assert spent_below(STEPS, [*told, record(2, 0.0, 0.0)], lambda u: u + 0.25) == 0.5


def cheap(study, function, budget, gradients=True):
    """The regret of the best trial once `budget` full trials have been spent."""
    spent = 0.0
    while spent < budget:
        trial = study.ask()
        share = trial.hparams["steps"] / 200
        value, slope = function(trial.hparams["x"], share)
        study.tell(trial, value, {"x": slope} if gradients else None)
        spent += share
    return study.best.value - LEAST


def test_lower_fidelities_find_the_optimum_at_less_cost():
    regrets = {True: [], False: []}
    for seed in range(3):
        for fidelity in (True, False):
            steps = Fidelity(10, 200) if fidelity else 200
            space = Space(x=Float(0.0, 1.0, shape=(2,), default=start(seed)), steps=steps)
            study = new(space, Bayes(gradients=False), seed)
            regrets[fidelity].append(cheap(study, rough, 6.0, gradients=False))
            if fidelity:
                below = np.cumsum([0.0 if t.hparams["steps"] == 200 else 1.0 for t in study.trials])
                assert below[-1] > 5
                since = spent = 0.0
                for trial in study.trials:
                    share = trial.hparams["steps"] / 200
                    since = 0.0 if share == 1.0 else since + share
                    spent += share
                    assert since <= 1.0 + 1e-9
    assert np.median(regrets[True]) < 0.02 < np.median(regrets[False])


def test_the_fidelity_of_a_problem_is_its_steps():
    """Only `steps` differs: a quadratic, trained; the hypergradient is that of the value at that fidelity."""
    target = np.array([1.0, -1.0])

    def factory(hparams):
        return hg.UnrolledProblem(
            init=lambda hparams, rng: {"w": np.zeros(2)},
            step=lambda state, hparams, batch, t: {"w": state["w"] - hparams["lr"] * (state["w"] - target)},
            outer_loss=lambda params, hparams, batch: np.sum((params["w"] - target) ** 2),
            steps=hparams["steps"],
        )

    space = Space(lr=Float(1e-3, 0.5, log=True), steps=Fidelity(2, 20))
    study = new(space, Bayes(initial=2))
    study.optimize(factory, trials=8)
    for trial in study.trials:
        lr, steps = trial.hparams["lr"], trial.hparams["steps"]
        assert trial.value == pytest.approx(2.0 * (1.0 - lr) ** (2 * steps), rel=1e-9)
        assert trial.gradient["lr"] == pytest.approx(-4.0 * steps * (1.0 - lr) ** (2 * steps - 1), rel=1e-9)
    assert len({t.hparams["steps"] for t in study.trials}) > 1
    assert study.best.hparams["steps"] == 20


# --- earlier studies


def earlier_study(function, trials=20, space=PLANE, seed=50):
    study = new(space, hg.samplers.Sobol(), seed)
    study.optimize(lambda h: (function(h["x"])[0], {"x": function(h["x"])[1]}), trials=trials)
    return study


def test_only_samplers_that_use_earlier_studies_are_told_them():
    seen = []

    class Watch(Low):
        def ask(self, space, history, *, seed, number):
            seen.append([record.study for record in history])
            return super().ask(space, history, seed=seed, number=number)

    class Uses(Watch):
        uses_earlier = True

    own = Record(0, np.full(2, 0.2), "complete", 1.0)
    before = Record(0, np.full(2, 0.3), "complete", 1.0, study=1)
    for sampler in (Watch(), Uses()):
        proposal(sampler, PLANE, (before, own), seed=0, number=1)
    assert seen == [[0], [1, 0]]


def test_levels_and_scales_of_sources_are_removed():
    """Study 1 is 1000 f + 5000: after matching, its values lie where this study's do."""
    kernel = kernel_of(PLANE)
    rng = np.random.default_rng(3)

    def records(points, map_value, study):
        return [Record(i, u, "complete", map_value(branin(u)[0]), study=study) for i, u in enumerate(points)]

    points = rng.random((30, 2))
    own = observations(kernel, PLANE, records(points[:10], lambda v: v, 0), False)
    other = observations(kernel, PLANE, records(points, lambda v: 1000.0 * v + 5000.0, 1), False)
    sources = Sources.of(kernel, PLANE, own, [other])
    assert len(sources.data) == 40
    apart = sources.data.values[10:20] - sources.data.values[:10]
    assert np.abs(apart).max() < 0.2 * np.ptp(own.values)
    before = other.values[:10] - own.values
    assert np.abs(apart).max() < 0.2 * np.abs(before).max()


def test_nothing_changes_without_earlier_studies_and_fidelities():
    kernel = kernel_of(PLANE)
    own = observations(kernel, PLANE, [Record(0, start(0), "complete", 1.0)], False)
    sources = Sources.of(kernel, PLANE, own)
    assert sources.data is own
    assert sources.kernel is kernel
    assert sources.priors is None
    x = np.full((1, 2), 0.5)
    assert sources.lift(x)[0] is x
    assert by_study([Record(0, start(0), "failed", study=1)]) == []


@pytest.mark.parametrize("kind", ["same", "another unit", "negated"])
def test_an_earlier_study_helps_or_does_not_hurt_for_long(kind):
    maps = {"same": (1.0, 0.0), "another unit": (1000.0, 5000.0), "negated": (-1.0, 0.0)}
    factor, level = maps[kind]
    alone, helped, early = [], [], []
    for seed in range(3):
        before = earlier_study(lambda u: (factor * branin(u)[0] + level, factor * branin(u)[1]), 25)
        shift = np.random.default_rng(seed).uniform(-0.05, 0.05, 2)
        space = Space(x=Float(0.0, 1.0, shape=(2,), default=start(seed)))
        for found, studies in ((alone, None), (helped, [before])):
            study = new(space, Bayes(gradients=False), seed, earlier=studies)
            study.optimize(lambda h, shift=shift: branin(h["x"] + shift)[0], trials=12)
            values = [t.value - LEAST for t in study.trials]
            found.append(min(values))
            if studies:
                early.append((min(values[:4]), kind))
    assert np.median(helped) < (0.15 if kind == "negated" else 0.03)
    if kind != "negated":
        assert np.median([value for value, _ in early]) < 0.1
    assert np.isfinite(alone).all()


def test_resuming_is_bit_identical_with_all_of_it(tmp_path):
    """A fidelity, a constraint, noise, and an earlier study that grows meanwhile."""
    space = Space(
        x=Float(0.0, 1.0, shape=(2,)), kind=Categorical(["a", "b"]), steps=Fidelity(10, 200), k=Int(1, 4)
    )

    def objective(hparams):
        value, slope = rough(hparams["x"], hparams["steps"] / 200)
        return hg.Outcome(
            value + 0.1 * hparams["k"],
            {"x": slope},
            noise=0.01,
            gradient_noise={"x": [0.1, 0.1]},
            constraints={"c": float(hparams["x"].sum()) - 1.5},
            constraint_gradients={"c": {"x": [1.0, 1.0]}},
            cost=float(hparams["steps"]),
        )

    before = hg.Study("before", PLANE, Random(), store=tmp_path / "before.db")
    before.optimize(lambda h: (branin(h["x"])[0], {"x": branin(h["x"])[1]}), trials=6)
    settings = {"constraints": ["c"], "seed": 3, "earlier": [tmp_path / "before.db"]}
    whole = hg.Study("s", space, Bayes(initial=3), store=tmp_path / "whole.db", **settings)
    parts = hg.Study("s", space, Bayes(initial=3), store=tmp_path / "parts.db", **settings)
    whole.optimize(objective, trials=12)
    for trials in (4, 7, 12):
        parts.optimize(objective, trials=trials)
        parts.close()
        before.optimize(lambda h: 0.0, trials=before.finished + 2)
        parts = hg.Study("s", space, Bayes(initial=3), store=tmp_path / "parts.db", **settings)
    assert [t.unit.tobytes() for t in whole.trials] == [t.unit.tobytes() for t in parts.trials]
    assert [dict(t.note) for t in whole.trials] == [dict(t.note) for t in parts.trials]
    assert len(whole.trials) == 12
    assert whole.trials[0].note == {"enqueued": True}
