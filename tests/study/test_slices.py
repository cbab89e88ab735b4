"""Slices of the model: what they show of a known function, in natural units, of every kind of hyperparameter."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import HypergradError, SpaceError, StudyError, UnknownNameError
from hypergrad.samplers import Bayes, Random, Sobol

SPACE = hg.Space(
    lr=hg.Float(1e-4, 1.0, log=True),
    l2=hg.Float(0.0, 1.0, shape=(2,)),
    width=hg.Int(1, 6),
    kind=hg.Categorical(["sgd", "momentum"]),
    momentum=hg.Float(0.1, 0.99, logit=True, active_if={"kind": "momentum"}),
)


def loss(h):
    l = math.log10(h["lr"])
    kind = 0.5 if h["kind"] == "sgd" else (h["momentum"] - 0.8) ** 2
    value = 0.3 * (l + 2) ** 2 + np.sum((h["l2"] - 0.3) ** 2) + 0.05 * (h["width"] - 3) ** 2 + kind
    gradient = {"lr": 0.6 * (l + 2) / (h["lr"] * math.log(10)), "l2": 2 * (h["l2"] - 0.3)}
    return value, gradient | ({"momentum": 2 * (h["momentum"] - 0.8)} if h["kind"] == "momentum" else {})


@pytest.fixture(scope="module")
def study():
    return hg.tune(loss, SPACE, trials=60, sampler=Sobol())


def test_a_logarithmic_number(study):
    best = study.best
    found = study.slice("lr")
    frame = found.dataframe()
    assert list(frame) == ["lr", "mean", "sd", "median", "low", "high", "derivative"]
    assert frame["lr"].iloc[[0, -1]].tolist() == [1e-4, 1.0]
    assert np.ptp(np.diff(np.log(frame["lr"]))) < 1e-10
    assert found.number == best.number
    exact = np.array([loss({**best.hparams, "lr": lr})[0] for lr in frame["lr"]])
    inside = (exact >= frame["low"]) & (exact <= frame["high"])
    assert inside.mean() > 0.7  # of a model with hardly any noise, which is sure of itself
    near = np.abs(np.log10(frame["lr"]) - math.log10(best.hparams["lr"])) < 1.0
    assert np.abs(frame["median"] - exact)[near].max() < 0.1
    slopes = [loss({**best.hparams, "lr": lr})[1]["lr"] for lr in frame["lr"][near]]
    assert np.allclose(frame["derivative"][near], slopes, rtol=0.3, atol=0.3 / frame["lr"][near])


def test_the_derivative_is_that_of_the_median(study):
    for name in ("lr", "l2[1]", "momentum"):
        at = {**study.best.hparams, "kind": "momentum", "momentum": 0.5}
        frame = study.slice(name, at=at, points=1001).dataframe()
        difference = np.gradient(frame["median"].to_numpy(), frame[name].to_numpy())[1:-1]
        found = frame["derivative"].to_numpy()[1:-1]
        # A central difference across the kink of the warp, and on an uneven grid, is right to the grid's width only.
        assert np.median(np.abs(found - difference)) < 1e-3 * np.abs(difference).max(), name


def test_the_moments_lie_with_the_interval(study):
    frame = study.slice("l2[0]").dataframe()
    assert (frame["low"] < frame["median"]).all()
    assert (frame["median"] < frame["high"]).all()
    calm = frame["high"] - frame["low"] < 0.2
    assert calm.any()
    assert np.allclose(frame["mean"][calm], frame["median"][calm], atol=0.02)
    assert np.allclose(frame["sd"][calm], (frame["high"] - frame["low"])[calm] / 3.92, rtol=0.2)


def test_choices_and_integers_have_every_value(study):
    frame = study.slice("kind").dataframe()
    assert frame["kind"].tolist() == ["sgd", "momentum"]
    assert frame["derivative"].isna().all()
    frame = study.slice("width", points=100).dataframe()
    assert frame["width"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["width"][frame["median"].argmin()] in (2, 3, 4)
    wide = hg.Space(n=hg.Int(1, 10**6, log=True))
    trials = hg.tune(lambda h: math.log(h["n"]), wide, trials=5, sampler=Random())
    values = trials.slice("n", points=20).dataframe()["n"].tolist()
    assert values == sorted(set(values))
    assert (values[0], values[-1]) == (1, 10**6)
    assert len(values) <= 20


def test_two_axes(study):
    found = study.slice("lr", "kind", points=5)
    frame = found.dataframe()
    assert frame["kind"].tolist() == ["sgd", "momentum"] * 5
    assert frame["lr"].iloc[::2].tolist() == study.slice("lr", points=5).dataframe()["lr"].tolist()
    held = study.slice("lr", at={**study.best.hparams}, points=5).dataframe()
    mine = frame[frame["kind"] == study.best.hparams["kind"]]
    assert mine["median"].tolist() == pytest.approx(held["median"].tolist(), rel=1e-9)
    assert frame["derivative"].isna().all()


def test_where_the_others_are_held(study):
    assert np.array_equal(study.slice("lr", at=3).at["l2"], study.trials[3].hparams["l2"])
    assert study.slice("lr", at=3).number == 3
    given = {**study.trials[3].hparams}
    there = study.slice("lr", at=given)
    assert there.number is None
    assert np.array_equal(there.median, study.slice("lr", at=3).median)


def test_the_trials_that_were_seen(study):
    assert study.slice("lr").seen.shape == (60, 2)
    active = sum("momentum" in trial.hparams for trial in study.trials)
    at = {**study.best.hparams, "kind": "momentum", "momentum": 0.5}
    assert study.slice("lr", "momentum", at=at, points=3).seen.shape == (active, 3)


def test_a_slice_along_a_parent_where_the_child_is_not_everywhere(study):
    at = {**study.best.hparams, "kind": "momentum", "momentum": 0.5}
    frame = study.slice("momentum", "kind", at=at, points=4).dataframe()
    sgd = frame[frame["kind"] == "sgd"]["median"]
    assert np.ptp(sgd) == 0.0
    assert np.ptp(frame[frame["kind"] == "momentum"]["median"]) > 0.0


def test_values_that_diverged_and_equal_values():
    space = hg.Space(x=hg.Float(0.0, 1.0))
    broken = hg.tune(lambda h: math.inf if h["x"] > 0.6 else h["x"], space, trials=12, sampler=Random())
    frame = broken.slice("x", points=11).dataframe()
    assert np.isfinite(frame["median"]).all()
    assert frame["median"].iloc[0] < 0.2 < frame["median"].iloc[-1]
    equal = hg.tune(lambda h: 2.5, space, trials=4, sampler=Random()).slice("x", points=3).dataframe()
    assert equal["median"].tolist() == pytest.approx([2.5] * 3)


def test_the_same_bits_again(study):
    one, two = study.slice("lr", points=7).dataframe(), study.slice("lr", points=7).dataframe()
    assert one.equals(two)


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        (("lrr",), {}, UnknownNameError, "no hyperparameter 'lrr'; did you mean 'lr'"),
        (("l2",), {}, StudyError, "is an array of 2 coordinates; name one of them, such as 'l2[0]'"),
        (("momentum",), {"at": "sgd"}, StudyError, "'momentum' is inactive at the hparams"),
        ((), {}, StudyError, "one or two hyperparameters, and got 0: none"),
        (("lr", "lr"), {}, StudyError, "one or two hyperparameters, and got 2: 'lr', 'lr'"),
        (("lr", "width", "kind"), {}, StudyError, "and got 3"),
        (("lr",), {"points": 1}, StudyError, "points is 1, expected at least 2"),
        (("lr",), {"at": 99}, StudyError, "has no trial 99; its 60 trials are numbered from 0"),
        (("lr",), {"at": {"lr": 3.0}}, SpaceError, "hparams lacks the hyperparameter"),
    ],
)
def test_misuse_is_one_sentence(study, names, options, error, message):
    if options.get("at") == "sgd":
        options = {"at": next(t.number for t in study.trials if t.hparams["kind"] == "sgd")}
    with pytest.raises(error) as caught:
        study.slice(*names, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0,)])
def test_too_few_trials_is_one_sentence(values):
    study = hg.Study("few", hg.Space(x=hg.Float(0.0, 1.0)), Bayes())
    for value in values:
        study.tell(study.ask(), value)
    with pytest.raises(HypergradError, match=r"(trials of finite value|no trial of finite value yet)"):
        study.slice("x")
