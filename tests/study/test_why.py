"""Why a trial was tried: in words and in figures, for every sampler, from the trials before it alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import StudyError
from hypergrad.samplers import SAMPLERS, Bayes, Explanation, Gradient, Proposal, Random, Sampler, Sobol
from hypergrad.samplers.explanation import outlook
from hypergrad.samplers.moves import moves
from hypergrad.study.codec import encode

SPACE = hg.Space(
    lr=hg.Float(1e-4, 1.0, log=True, default=0.5),
    l2=hg.Float(0.0, 1.0, shape=(2,)),
    kind=hg.Categorical(["sgd", "momentum"]),
    momentum=hg.Float(0.1, 0.99, active_if={"kind": "momentum"}),
)


def loss(h):
    l = math.log10(h["lr"])
    value = (
        0.3 * (l + 2) ** 2 + np.sum((h["l2"] - 0.3) ** 2) + (0.2 if h["kind"] == "sgd" else h["momentum"] / 3)
    )
    gradient = {"lr": 0.6 * (l + 2) / (h["lr"] * math.log(10)), "l2": 2 * (h["l2"] - 0.3)}
    return value, gradient | ({"momentum": 1 / 3} if "momentum" in h else {})


def said(sampler, trials=20, **options):
    study = hg.tune(loss, SPACE, trials=trials, sampler=sampler, **options)
    return study, [study.why(number) for number in range(trials)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_trial_of_every_sampler_has_a_reason(name):
    study, reasons = said(SAMPLERS[name]())
    for number, (why, trial) in enumerate(zip(reasons, study.trials, strict=True)):
        assert str(why) == why.text
        assert why.text.startswith(f"trial {number}: ")
        assert why.text.endswith(".")
        assert "\n" not in why.text
        assert f"Its value is {trial.value:.6g}" in why.text
        assert why.value == trial.value
        assert dict(why.note) == trial.note
        json.loads(encode(dict(why.data)))
    assert "the defaults of the space" in reasons[0].text
    assert reasons[0].best_before is None
    assert "the first that is finite" in reasons[0].text


def test_the_model_tells_what_it_expected():
    study, reasons = said(Bayes())
    for why, trial in zip(reasons, study.trials, strict=True):
        if trial.note["phase"] != "model":
            continue
        data = why.data
        assert data["log_ei"] == pytest.approx(trial.note["log_ei"], abs=1e-6)
        before = study.trials[: trial.number]
        best = min(before, key=lambda t: t.value)
        assert (data["best"], data["best_value"]) == (best.number, best.value)
        assert why.best_before == best.number
        assert f"the model expects {data['expected']:.4g} ± {data['deviation']:.2g} there" in why.text
        assert f"(trial {best.number}): expected improvement {data['improvement']:.2g}" in why.text
    model = [why for why in reasons if why.note["phase"] == "model"]
    assert any("mostly because" in why.text for why in model)
    away = [abs(why.value - why.data["expected"]) / why.data["deviation"] for why in model]
    assert np.median(away) < 2.0


def test_the_expected_improvement_is_in_the_unit_of_the_value():
    """All values times 1000: a thousand times the figures."""
    study, reasons = said(Bayes(), trials=10)
    large = hg.tune(
        lambda h: (1000 * loss(h)[0], {k: 1000 * v for k, v in loss(h)[1].items()}),
        SPACE,
        trials=10,
        sampler=Bayes(),
    )
    small = reasons[6].data
    found = outlook(SPACE, large._records()[:6], study.trials[6].unit)
    for name in ("expected", "deviation", "improvement", "without"):
        assert getattr(found, name) == pytest.approx(1000 * small[name], rel=1e-2)


def test_the_cause_is_the_move_whose_undoing_costs_most():
    """Two trials that differ in x alone matter; y has no effect and cannot be the cause."""
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    study = hg.Study("s", space, Bayes(initial=12))
    f = lambda h: ((h["x"] - 0.9) ** 2, {"x": 2 * (h["x"] - 0.9), "y": 0.0})
    rng = np.random.default_rng(0)
    for x, y in zip(0.6 * rng.random(10), rng.random(10), strict=True):
        study.enqueue({"x": x, "y": y})
        study.tell(study.ask(), *f({"x": x, "y": y}))
    found = outlook(space, study._records(), np.array([0.88, 0.3]))
    assert found.cause.name == "x"
    assert found.without < 0.1 * found.improvement


def test_a_reason_depends_on_the_trials_before_alone():
    study, reasons = said(Bayes(), trials=14)
    short, _ = said(Bayes(), trials=10)
    assert [short.why(number) for number in range(10)] == reasons[:10]
    assert study.why(12) == reasons[12]


def test_a_descent_tells_its_parent_and_its_prediction():
    study, reasons = said(Gradient(), trials=15)
    steps = [why for why in reasons if why.note["phase"] == "descent"]
    assert steps
    for why in steps:
        parent = why.note["parent"]
        assert f"from trial {parent}, whose value is {study.trials[parent].value:.6g}" in why.text
        assert why.data["predicted"] == why.note["predicted"]
    begun = [why for why in reasons[1:] if why.note["phase"] == "start"]
    assert all("begins here, as descent" in why.text for why in begun)


def test_points_of_a_sequence():
    _, reasons = said(Sobol(), trials=3)
    assert "point 2 of a scrambled Sobol sequence" in reasons[2].text
    grid = hg.tune(lambda h: h["n"] / 7, hg.Space(n=hg.Int(0, 3)), trials=4, sampler=Sobol())
    places = [int(str(grid.why(n)).split("point ")[1].split()[0]) for n in range(1, 4)]
    assert places == sorted(set(places))


def test_no_improvement_expected_and_trials_of_other_kinds():
    space = hg.Space(x=hg.Float(0.0, 1.0))
    study = hg.Study("s", space, Bayes())
    for _ in range(14):
        study.tell(study.ask(), 1.0, {"x": 0.0})
    assert study.why(13).text.endswith("Its value is 1, as the best before it.")
    history = study._records()
    idle = replace(history[13], note={"phase": "explore"})
    found = Bayes().explain(space, history[:13], idle)
    assert found.text.endswith("as the model expects next to no improvement anywhere")
    study.enqueue({"x": 0.25})
    study.tell(study.ask(), math.inf)
    assert "it was enqueued by hand; beside the best so far, 1 of trial" in study.why(14).text
    assert study.why(14).text.endswith("It diverged, with the value inf.")
    study.fail(study.ask(), "power cut")
    assert study.why(15).text.endswith("It failed.")
    study.ask()
    assert study.why(16).text.endswith("It has not ended yet.")
    assert math.isnan(study.why(16).value)


def test_a_point_beside_the_one_that_the_model_chose():
    space = hg.Space(x=hg.Float(0.0, 1.0))
    study = hg.tune(lambda h: (h["x"], {"x": 1.0}), space, trials=12, sampler=Bayes())
    drawn = [w for w in map(study.why, range(12)) if "was taken or not allowed; the model expects" in w.text]
    assert drawn  # the best point, 0, was taken by an earlier trial
    assert all(w.data["log_ei"] < w.note["log_ei"] - 1.0 for w in drawn)


def test_a_sampler_of_ones_own(tmp_path):
    class Middle(Sampler):
        def ask(self, space, history, *, seed, number):
            return Proposal(np.full(space.dimension, 0.5 + 0.01 * number), wants_gradient=False)

    study = hg.Study("own", SPACE, Middle(), store=tmp_path / "runs.db")
    study.optimize(loss, trials=2)
    assert "Middle proposed it; beside the best so far" in study.why(1).text
    assert "moves from" in study.why(1).text
    study.close()
    from hypergrad.study import load_study

    loaded = load_study(tmp_path / "runs.db")
    assert "a sampler of your own proposed it" in loaded.why(1).text

    class Talkative(Middle):
        def explain(self, space, before, record):
            return Explanation("I felt like it", {"trials": len(before)})

    talking = hg.Study("talk", SPACE, Talkative())
    talking.optimize(loss, trials=3)
    assert talking.why(2).text.startswith("trial 2: I felt like it. Its value is")
    assert talking.why(2).data == {"trials": 2}


def test_constraints_of_a_stored_study_are_not_called(tmp_path):
    def sensible(h):
        return h["lr"] < 0.9

    space = hg.Space({"lr": hg.Float(0.1, 1.0), "l2": hg.Float(0.0, 1.0)}, constraints=[sensible])
    f = lambda h: (h["lr"] + h["l2"] ** 2, {"lr": 1.0, "l2": 2 * h["l2"]})
    study = hg.tune(f, space, trials=9, sampler=Bayes(), store=tmp_path / "runs.db")
    reasons = [study.why(n).text for n in range(9)]
    study.close()
    from hypergrad.study import load_study

    loaded = load_study(tmp_path / "runs.db")
    assert [loaded.why(n).text for n in range(9)] == reasons
    assert "with what its constraints refuse" in loaded.importance().notes[-1]
    assert len(loaded.slice("lr", points=5).dataframe()) == 5


@pytest.mark.parametrize("number", [3, -1])
def test_an_unknown_trial(number):
    study, _ = said(Random(), trials=3)
    with pytest.raises(StudyError, match=f"has no trial {number}; its 3 trials are numbered from 0"):
        study.why(number)
    with pytest.raises(StudyError, match="has no trial 0; it has none yet"):
        hg.Study("empty", SPACE, Random()).why(0)


def test_moves():
    def unit(**change):
        hparams = {"lr": 0.1, "l2": np.array([0.1, 0.2]), "kind": "momentum", "momentum": 0.5} | change
        if hparams["kind"] == "sgd":
            hparams.pop("momentum")
        return SPACE.to_unit(hparams)

    def spelled(**change):
        return [str(move) for move in moves(SPACE, unit(), unit(**change))]

    assert spelled() == []
    assert spelled(lr=0.01) == ["lr moves from 0.1 to 0.01"]
    assert spelled(lr=0.1000001) == ["lr moves from 0.1 to 0.1000001"]
    assert spelled(l2=np.array([0.15, 0.9])) == ["l2[1] moves from 0.2 to 0.9 (the largest of 2 changes)"]
    assert spelled(kind="sgd") == ["kind moves from 'momentum' to 'sgd'", "momentum drops out"]
    assert str(moves(SPACE, unit(kind="sgd"), unit())[1]) == "momentum comes in at 0.5"
    assert [move.name for move in moves(SPACE, unit(), unit(lr=0.05, momentum=0.9))] == ["momentum", "lr"]
