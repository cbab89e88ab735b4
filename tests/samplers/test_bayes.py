"""Bayesian optimisation with and without derivatives: finds optima, survives what trials bring, resumes bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import SpaceError
from hypergrad.samplers import Bayes, Record
from hypergrad.samplers.surrogate import kernel_of, observations, warp
from hypergrad.space import Categorical, Float, Int, Space

A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])


def hartmann(x):
    """Hartmann's function of six variables (least value -3.32237), and its gradient."""
    terms = WEIGHTS * np.exp(-np.sum(A * (x - P) ** 2, axis=1))
    return -terms.sum(), terms @ (2.0 * A * (x - P))


def study(sampler, seed, trials, function=hartmann, dimension=6, gradient=True):
    start = np.random.default_rng(seed).random(dimension)
    space = Space(x=Float(0.0, 1.0, shape=(dimension,), default=start))
    found = hg.Study("bayes", space, sampler=sampler, seed=seed)

    def objective(hparams):
        value, slope = function(hparams["x"])
        return (value, {"x": slope}) if gradient else value

    found.optimize(objective, trials=trials)
    return found


@pytest.mark.parametrize("seed", [10, 11, 12])
def test_twenty_trials_with_gradients_reach_one_of_the_two_lowest_minima_of_hartmann(seed):
    """They are -3.322 and -3.203."""
    found = study(Bayes(), seed, 20).best
    assert found.value < -3.2
    assert np.linalg.norm(hartmann(found.hparams["x"])[1]) < 0.05


def test_without_gradients_it_beats_random_search():
    for seed in (3, 4):
        found = study(Bayes(gradients=False), seed, 30, gradient=False)
        assert not any(trial.wants_gradient for trial in found.trials)
        rng = np.random.default_rng(seed)
        assert found.best.value < min(hartmann(rng.random(6))[0] for _ in range(60))


def test_half_of_a_gradient_helps_and_a_diverged_trial_does_no_harm():
    def partly(x):
        value, slope = hartmann(x)
        slope[::2] = np.nan
        return (np.nan, np.full(6, np.nan)) if x[0] > 0.9 else (value, slope)

    assert study(Bayes(), 5, 25, partly).best.value < -3.0


def test_mixed_spaces():
    space = Space(x=Float(0.0, 1.0), k=Int(1, 9), c=Categorical(["a", "b", "c"]))

    def objective(hparams):
        away = {"a": 0.4, "b": 0.0, "c": 0.2}[hparams["c"]]
        value = (hparams["x"] - 0.7) ** 2 + 0.05 * (hparams["k"] - 6) ** 2 + away
        return value, {"x": 2.0 * (hparams["x"] - 0.7), "k": None, "c": None}

    found = hg.Study("mixed", space, sampler=Bayes(), seed=1)
    found.optimize(objective, trials=30)
    assert (found.best.hparams["k"], found.best.hparams["c"]) == (6, "b")
    assert found.best.value < 1e-3


def test_resuming_is_the_same_as_not_stopping(tmp_path):
    whole = study(Bayes(), 7, 16)
    space = whole.space
    for trials in (9, 16):
        parts = hg.Study("bayes", space, sampler=Bayes(), seed=7, store=tmp_path / "runs.db")
        parts.optimize(lambda h: (hartmann(h["x"])[0], {"x": hartmann(h["x"])[1]}), trials=trials)
    for a, b in zip(whole.trials, parts.trials, strict=True):
        np.testing.assert_array_equal(a.hparams["x"], b.hparams["x"])


def test_running_trials_are_kept_away_from():
    found = study(Bayes(), 8, 7)
    asked = [found.ask().hparams["x"] for _ in range(4)]
    for i, one in enumerate(asked):
        for other in asked[:i]:
            assert np.abs(one - other).max() > 1e-3


def test_the_warp_is_the_identity_below_the_median_and_differentiable():
    values = np.array([1.0, 2.0, 3.0, 50.0, 1e6])
    warped, slope = warp(values)
    np.testing.assert_array_equal(warped[:3], values[:3])
    assert (np.diff(warped) > 0).all()
    assert warped[-1] < 40.0
    step = 1e-6 * values
    moved = [warp(np.where(np.arange(5) == i, values + step, values))[0][i] for i in (3, 4)]
    np.testing.assert_allclose((np.array(moved) - warped[3:]) / step[3:], slope[3:], rtol=1e-4)


def test_what_is_told_is_what_can_be_trusted():
    space = Space(x=Float(0.0, 1.0, shape=(2,)))
    past = [
        Record(0, np.array([0.1, 0.2]), "complete", 1.0, np.array([0.5, np.nan])),
        Record(1, np.array([0.6, 0.2]), "complete", np.inf, np.array([1.0, 1.0])),
        Record(2, np.array([0.3, 0.9]), "complete", 2.0, np.array([1e9, 0.1])),
        Record(3, np.array([0.3, 0.1]), "failed"),
    ]
    data = observations(kernel_of(space), space, past, gradients=True)
    assert len(data) == 3
    assert data.values[1] == data.values.max()
    assert list(zip(data.rows.points.tolist(), data.rows.coordinates.tolist(), strict=True)) == [
        (0, 0),
        (2, 1),
    ]


@pytest.mark.parametrize("arguments", [{"initial": 1}, {"initial": 2.5}, {"rows": 0}, {"rows": True}])
def test_arguments_outside_their_domain_are_refused(arguments):
    with pytest.raises(SpaceError, match="expected an int, 2 or more"):
        Bayes(**arguments)


def test_the_optimum_on_the_edge_of_a_constraint():
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0), constraints=[lambda h: h["x"] + h["y"] < 1.0])

    def objective(hparams):
        away = {key: hparams[key] - 0.8 for key in ("x", "y")}
        return sum(v**2 for v in away.values()), {key: 2.0 * v for key, v in away.items()}

    found = hg.Study("edge", space, sampler=Bayes(), seed=1)
    found.optimize(objective, trials=20)
    assert found.best.value < 0.2  # 0.18 at (0.5, 0.5)
