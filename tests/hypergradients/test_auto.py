"""`Auto`: the method that fits, the same one each time, and a sentence that is true."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad import tree


def ridge(steps, **changes):
    rng = np.random.default_rng(8)
    x, y = rng.standard_normal((90, 30)), rng.standard_normal(90)
    return hg.BilevelProblem(
        **{
            "init": lambda h, rng: np.zeros(30),
            "inner_loss": lambda w, h, b: (
                0.5 * np.mean((b["x"] @ w - b["y"]) ** 2) + 0.5 * np.sum(h["l2"] * w**2)
            ),
            "outer_loss": lambda w, h, v: 0.5 * np.mean((v["x"] @ w - v["y"]) ** 2),
            "train": {"x": x[:60], "y": y[:60]},
            "valid": {"x": x[60:], "y": y[60:]},
            "optimizer": hg.optim.SGD("lr"),
            "steps": steps,
            **changes,
        }
    )


def auto(problem, hparams, **options):
    return hg.hypergradient(problem, hparams, method=hg.Auto(), **options)


def test_many_hyperparameters_take_reverse_mode():
    r = auto(ridge(100), {"lr": 0.1, "l2": np.full(30, 0.1)})
    assert r.stats["method"] == "Reverse()"
    assert "31 hyperparameter entries" in r.stats["why"]
    assert "does not grow with their number" in r.stats["why"]


def test_one_hyperparameter_takes_the_cheaper_mode_by_the_plans():
    problem, hparams = ridge(100), {"lr": 0.1, "l2": 0.1}
    factors = {m: m.explain(problem, hparams, wrt="lr").factor for m in (hg.Reverse(), hg.Forward())}
    r = auto(problem, hparams, wrt="lr")
    assert r.stats["method"] == str(min(factors, key=factors.get))
    assert r.hypergradient["l2"] is None


def test_a_budget_is_kept_and_one_that_is_too_small_is_refused():
    problem, hparams = ridge(4000), {"lr": 0.1, "l2": np.full(30, 0.1)}
    for memory in (30_000, 60_000, 200_000, 1_000_000):
        assert hg.Auto(memory=memory).explain(problem, hparams).bytes <= memory
    with pytest.raises(hg.errors.DerivativeError, match="give at least that"):
        hg.Auto(memory=3000).explain(problem, hparams)


def test_a_stationary_point_takes_the_implicit_hypergradient():
    problem, hparams = ridge(3000), {"lr": 0.3, "l2": np.linspace(0.05, 0.2, 30)}
    r, exact = auto(problem, hparams, wrt="l2"), hg.hypergradient(problem, hparams, wrt="l2")
    assert r.stats["method"].startswith("Implicit")
    assert "stationary point" in r.stats["why"]
    np.testing.assert_allclose(r.hypergradient["l2"], exact.hypergradient["l2"], rtol=1e-8)
    assert r.stats["linearised_steps"] < 200
    assert r.value == exact.value
    np.testing.assert_array_equal(r.curve, exact.curve)


@pytest.mark.parametrize("changes", [{"steps": 20}, {"batch_size": 5}], ids=str)
def test_a_point_that_is_not_stationary_takes_the_backward_run(changes):
    problem, hparams = ridge(**{"steps": 3000, **changes}), {"lr": 0.3, "l2": np.full(30, 0.1)}
    r, exact = auto(problem, hparams, wrt="l2"), hg.hypergradient(problem, hparams, wrt="l2")
    assert r.stats["method"] == "Reverse()"
    for a, b in zip(tree.leaves(r.hypergradient), tree.leaves(exact.hypergradient), strict=True):
        if a is not None:
            np.testing.assert_array_equal(a, b)


def test_a_learning_rate_that_is_asked_for_keeps_the_implicit_method_away():
    r = auto(ridge(3000), {"lr": 0.3, "l2": 0.1})
    assert not r.stats["method"].startswith("Implicit")
    assert r.hypergradient["lr"] is not None


def test_the_choice_and_the_result_are_the_same_every_time(classifier, hparams):
    first, second = (auto(classifier(), hparams) for _ in range(2))
    assert first.stats["why"] == second.stats["why"]
    for a, b in zip(tree.leaves(first.hypergradient), tree.leaves(second.hypergradient), strict=True):
        np.testing.assert_array_equal(a, b)


def test_explain_says_why_and_trains_nothing(capsys):
    calls = []

    def watched(w, h, b):
        calls.append(type(w).__name__)
        return 0.5 * np.sum((w - h["l2"]) ** 2)

    problem = ridge(50, inner_loss=watched)
    plan = hg.Auto().explain(problem, {"lr": 0.1, "l2": 0.1})
    traced = len(calls)
    hg.Auto().explain(problem, {"lr": 0.1, "l2": 0.1})
    assert len(calls) == traced
    assert plan.why
    out = capsys.readouterr().out
    assert "because" in out
    assert "step evaluations" in out
    assert "training runs" in out


def test_a_study_uses_it():
    study = hg.Study("auto", hg.Space(l2=hg.Float(1e-2, 1.0, log=True, shape=(30,))), seed=0)
    study.optimize(ridge(3000, optimizer=hg.optim.SGD(0.3)), trials=3)
    assert all(trial.stats["why"] for trial in study.trials)
    assert study.trials[0].stats["method"].startswith("Implicit")
