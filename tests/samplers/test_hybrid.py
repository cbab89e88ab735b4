"""The competition of model and descent: its credits, its costs, gradients on demand, the subspace of large arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import SpaceError
from hypergrad.samplers import Bayes, Hybrid, Record
from hypergrad.samplers.hybrid import cost_ratio, credit, rests, told_by_gradient
from hypergrad.samplers.subspace import Subspace
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.space import Categorical, Float, Int, Space

from .test_bayes import hartmann


def rosenbrock(x):
    """Of four variables in [-5, 10], as a function of the unit cube; and its gradient."""
    y = 15.0 * np.asarray(x) - 5.0
    rise, slope = y[1:] - y[:-1] ** 2, np.zeros(4)
    slope[1:] += 200.0 * rise
    slope[:-1] += -400.0 * y[:-1] * rise - 2.0 * (1.0 - y[:-1])
    return float(np.sum(100.0 * rise**2 + (1.0 - y[:-1]) ** 2)), 15.0 * slope


def ripples(x):
    """Many minima in the unit square, least value -2; and its gradient."""
    value = math.sin(9.0 * x[0]) + math.cos(7.0 * x[1])
    return value, np.array([9.0 * math.cos(9.0 * x[0]), -7.0 * math.sin(7.0 * x[1])])


def searched(function, dimension, seed, trials, sampler=None):
    start = np.random.default_rng(1000 + seed).random(dimension)
    space = Space(x=Float(0.0, 1.0, shape=(dimension,), default=start))
    study = hg.Study("hybrid", space, sampler=sampler, seed=seed)

    def objective(hparams):
        value, slope = function(hparams["x"])
        return value, {"x": slope}

    study.optimize(objective, trials=trials)
    return study


def test_it_is_the_default():
    assert searched(hartmann, 6, 0, 1).sampler == Hybrid()


@pytest.mark.parametrize("seed", [2, 3, 7])
def test_twenty_trials_solve_hartmann_and_rosenbrock(seed):
    assert searched(hartmann, 6, seed, 20).best.value < -3.27
    assert searched(rosenbrock, 4, seed, 20).best.value < 10.0


def test_both_branches_get_trials_and_say_why():
    study = searched(ripples, 2, 0, 25)
    notes = [record.note for record in study._refresh().records]
    phases = [note["phase"] for note in notes]
    assert {"model", "descent"} <= set(phases)
    for number, note in enumerate(notes):
        if "rates" in note:
            mine, other = ("model", "descent") if note["phase"] == "model" else ("descent", "model")
            assert note["rates"][mine] >= note["rates"][other]
            assert "the better offer per cost" in study.why(number).text


def test_the_best_descent_goes_on_once_others_were_in_vain():
    study = searched(hartmann, 6, 1, 29)
    records = study._refresh().records
    last = next(
        r
        for r in records
        if r.note.get("phase") == "descent"
        and r.note["start"] < max(q.note.get("start", -1) for q in records[: r.number])
    )
    before = records[: last.number]
    assert last.note["start"] + 2 <= max(r.note.get("start", -1) for r in before)
    assert last.note["parent"] == min(before, key=lambda r: r.value).number
    assert study.best.value == pytest.approx(-3.32237, abs=1e-5)
    assert "descent" in study.why(last.number).text


def record(number, value, unit=0.5, cost=0.0, gradient=None, **note):
    return Record(number, np.array([unit]), "complete", value, gradient, note, cost)


def test_credit_is_the_share_of_predictions_that_came_true_and_fades():
    kept = [
        record(0, 10.0),
        record(1, 8.0, phase="descent", parent=0, predicted=2.0),
        record(2, 7.0, phase="descent", parent=1, predicted=1.0),
    ]
    broken = [*kept[:1], record(1, 12.0, phase="descent", parent=0, predicted=2.0)]
    none = credit(kept[:1], "descent")
    assert credit(broken, "descent") < none < credit(kept, "descent") <= 1.0
    later = [*broken, *(record(n, 9.0) for n in range(2, 40))]
    assert credit(broken, "descent") < credit(later, "descent") < none
    assert none - credit(later, "descent") < 0.01


def test_a_step_is_judged_by_its_parent_and_the_model_by_the_best():
    past = [record(0, 1.0), record(1, 5.0)]
    step = record(2, 4.0, phase="descent", parent=1, predicted=1.0)
    trial = record(2, 4.0, phase="model", predicted=1.0)
    assert credit([*past, step], "descent") > credit(past, "descent")
    assert credit([*past, trial], "model") < credit(past, "model")


@pytest.mark.parametrize(
    ("trials", "ratio"),
    [
        ([record(0, 1.0), record(1, 1.0, gradient=np.zeros(1))], 1.0),
        ([record(0, 1.0, cost=8.0, gradient=np.zeros(1))], 3.0),
        ([record(0, 1.0, cost=8.0, gradient=np.zeros(1)), record(1, 1.0, cost=2.0)], 4.0),
        ([record(0, 1.0, cost=2.0)], 3.0),
    ],
)
def test_the_cost_of_a_gradient_is_what_trials_told(trials, ratio):
    assert cost_ratio(trials) == ratio


def test_a_model_that_failed_lets_the_descent_go_on_longer_each_time():
    past = [record(0, 5.0, phase="start"), record(1, 4.0, phase="model")]
    assert not rests(past)
    past.append(record(2, 6.0, phase="model"))
    for number in range(3, 7):
        assert rests(past)
        past.append(record(number, 3.0, phase="descent"))
    assert not rests(past)
    past.append(record(7, 3.5, phase="model"))
    later = [record(8 + k, 2.0, phase="descent") for k in range(16)]
    assert rests(past + later[:15])
    assert not rests(past + later)
    assert not rests([*past, record(8, 1.0, phase="model")])
    assert rests([past[0], *[record(1 + k, 6.0, phase="model") for k in range(2000)]])


def test_where_values_are_noisy_no_descent_beats_the_model():
    rng = np.random.default_rng(3)
    study = hg.Study("noisy", Space(x=Float(0.0, 1.0, shape=(6,), default=rng.random(6))), seed=3)
    for _ in range(25):
        trial = study.ask()
        value, slope = hartmann(trial.hparams["x"])
        noise = 0.3 * rng.standard_normal(7)
        study.tell(
            trial,
            value + noise[0],
            {"x": slope + noise[1:]},
            noise=0.3,
            gradient_noise={"x": np.full(6, 0.3)},
        )
    competed = [record.note for record in study._refresh().records if "rates" in record.note]
    of_the_model = [note["phase"] == "model" for note in competed]
    assert sum(of_the_model) >= 5
    assert all(note["phase"] == "model" or note["rates"]["model"] < 0.1 for note in competed)


def test_a_gradient_that_was_asked_for_and_distrusted_has_its_cost():
    asked = Record(0, np.zeros(1), "complete", 1.0, None, {"gradient": True}, 8.0)
    assert cost_ratio([asked, record(1, 1.0, cost=2.0)]) == 4.0


def plane(seed, dimension, noise):
    rng = np.random.default_rng(seed)
    records = []
    for number in range(12):
        unit = rng.random(dimension)
        value = float(np.sum((unit - 0.3) ** 2))
        gradient = 2.0 * (unit - 0.3) + noise * rng.standard_normal(dimension)
        records.append(Record(number, unit, "complete", value, gradient))
    return Space(x=Float(0.0, 1.0, shape=(dimension,))), records


def test_a_gradient_tells_more_in_more_dimensions_and_nothing_when_it_is_noise():
    told = {}
    for dimension, noise in [(1, 0.0), (8, 0.0), (8, 30.0)]:
        space, records = plane(0, dimension, noise)
        model = Surrogate.of(space, records, gradients=True, rows=400)
        rng = np.random.default_rng(1)
        told[dimension, noise] = told_by_gradient(model, np.full(dimension, 0.45), rng)
    assert all(ratio >= 1.0 for ratio in told.values())
    assert told[8, 0.0] > 1.5 * told[1, 0.0]
    assert told[8, 0.0] > told[8, 30.0]


def test_gradients_are_asked_for_where_they_pay():
    """With a gradient at the price of 40 values, most trials of the model ask for values alone."""
    space = Space(x=Float(0.0, 1.0, shape=(2,)))
    study = hg.Study("cost", space, seed=0)
    for _ in range(25):
        trial = study.ask()
        value, slope = ripples(trial.hparams["x"])
        gradient = {"x": slope} if trial.wants_gradient else None
        study.tell(trial, value, gradient, cost=40.0 if trial.wants_gradient else 1.0)
    model = [
        t for t, r in zip(study.trials, study._refresh().records, strict=True) if r.note["phase"] == "model"
    ]
    assert model
    assert sum(t.wants_gradient for t in model) < 0.5 * len(model)
    assert study.best.value < -1.9


def test_descent_from_a_best_trial_without_gradient():
    space = Space(x=Float(0.0, 1.0, shape=(3,)))
    history = []
    for number, unit in enumerate(np.random.default_rng(0).random((6, 3))):
        history.append(
            Record(number, unit, "complete", float(np.sum((unit - 0.4) ** 2)), None, {"enqueued": True})
        )
    proposal = Hybrid().ask(space, history, seed=0, number=6)
    assert space.violated(space.from_unit(proposal.unit)) is None


def large(path="a"):
    return Space(
        {path: Float(0.0, 1.0, shape=(300,)), "lr": Float(1e-4, 1.0, log=True), "k": Int(1, 5)},
    )


def test_the_subspace_follows_the_gradients_of_large_arrays():
    space, rng = large(), np.random.default_rng(0)
    direction = rng.standard_normal(300)
    records = []
    for number in range(5):
        gradient = np.full(302, np.nan)
        gradient[space.columns["a"]] = (number + 1.0) * direction
        gradient[space.columns["lr"]] = 0.5
        records.append(Record(number, space.snap(rng.random(302)), "complete", float(number), gradient))
    found = Subspace.of(space, records, records[0])
    assert found.space.dimension == 3
    assert set(found.space.parameters) == {"a", "k", "lr"}
    np.testing.assert_allclose(found.lift(found.shrink(records[0]).unit), records[0].unit, atol=1e-15)
    # the chain rule, by central differences of a linear function along the direction
    small = found.shrink(records[0])
    step = np.zeros(3)
    step[found.space.columns["a"]] = 1e-4
    centre = Record(0, np.full(302, 0.5), "complete", 0.0, records[0].gradient)
    inside = Subspace.of(space, records, centre)
    there = [inside.lift(inside.shrink(centre).unit + sign * step) for sign in (1.0, -1.0)]
    change = direction @ (there[0] - there[1])[space.columns["a"]] / 2e-4
    np.testing.assert_allclose(inside.shrink(centre).gradient[found.space.columns["a"]], change, rtol=1e-9)
    assert math.isnan(small.gradient[found.space.columns["k"]][0])
    back = inside.widen(inside.shrink(centre).gradient)
    np.testing.assert_allclose(back[space.columns["a"]], direction, rtol=1e-9)


def test_large_spaces_with_integers_are_searched_by_both():
    space, target = large(), np.random.default_rng(3).random(300)
    study = hg.Study("large", space, seed=0)

    def objective(hparams):
        away = hparams["a"] - target
        log = math.log10(hparams["lr"])
        value = float(away @ away) + (log + 2.0) ** 2 + (hparams["k"] - 4) ** 2
        return value, {"a": 2.0 * away, "lr": 2.0 * (log + 2.0) / (hparams["lr"] * math.log(10.0)), "k": None}

    study.optimize(objective, trials=40)
    assert {record.note["phase"] for record in study._refresh().records} >= {"model", "descent"}
    assert study.best.value < 1.5
    assert study.best.hparams["k"] == 4


def test_choices_are_the_models():
    space = Space(x=Float(0.0, 1.0), kind=Categorical(["a", "b", "c", "d"]))
    study = hg.Study("mixed", space, seed=1)
    offset = {"a": 3.0, "b": 2.0, "c": 0.0, "d": 1.0}

    def objective(hparams):
        return (hparams["x"] - 0.7) ** 2 + offset[hparams["kind"]], {"x": 2.0 * (hparams["x"] - 0.7)}

    study.optimize(objective, trials=20)
    assert study.best.hparams["kind"] == "c"
    assert study.best.value < 1e-4


@pytest.mark.parametrize(
    "arguments", [{"radius": 0.0}, {"radius": 0.9}, {"rows": 1}, {"rows": 2.5}, {"rows": True}]
)
def test_arguments_outside_their_domain(arguments):
    with pytest.raises(SpaceError, match="of Hybrid is"):
        Hybrid(**arguments)


def test_without_gradients_it_is_bayes_by_values():
    def chosen(sampler):
        study = hg.Study("values", Space(x=Float(0.0, 1.0, shape=(2,))), sampler=sampler, seed=3)
        study.optimize(lambda hparams: ripples(hparams["x"])[0], trials=16)
        return study

    found, plain = chosen(Hybrid()), chosen(Bayes(gradients=False))
    np.testing.assert_array_equal(
        [t.hparams["x"] for t in found.trials], [t.hparams["x"] for t in plain.trials]
    )
    asked = [trial.number for trial in found.trials if trial.wants_gradient]
    assert asked == [0, 2, 4, 8]
    assert "by values alone" in found.why(found.trials[12].number).text


def test_a_gradient_that_is_told_late_is_used():
    study = hg.Study("late", Space(x=Float(0.0, 1.0, shape=(2,))), seed=3)
    for number in range(8):
        trial = study.ask()
        value, slope = ripples(trial.hparams["x"])
        study.tell(trial, value, {"x": slope} if trial.wants_gradient and number > 1 else None)
    phases = [trial.note["phase"] for trial in study.trials]
    assert phases[1:3] == ["values", "values"]
    assert "values" not in phases[3:]
    assert "descent" in phases[3:]


def test_integers_and_choices_alone_are_searched_by_values():
    space = Space(n=Int(1, 40), kind=Categorical(["a", "b", "c"]))

    def chosen(sampler):
        study = hg.Study("choices", space, sampler=sampler, seed=1)
        study.optimize(lambda h: (h["n"] - 17) ** 2 + "bca".index(h["kind"]), trials=14)
        return [trial.hparams for trial in study.trials]

    assert chosen(Hybrid()) == chosen(Bayes(gradients=False))
