"""Folds and seeds as one outer loss: the mean of explicit runs, and NumPy's standard errors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import KFold

import hypergrad as hg
from hypergrad.errors import ProblemError
from hypergrad.hypergradients import groups
from hypergrad.study import tune


@pytest.fixture
def apart(monkeypatch):
    """Every run is made alone."""
    monkeypatch.setattr(groups, "PER_EQUATION", 0)


@pytest.fixture
def cross(classifier):
    """``cross(**changes)``: the classifier, cross-validated."""
    return lambda **changes: classifier(**{"valid": None, "folds": 4, **changes})


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in hg.tree.leaves(tree) if leaf is not None])


def by_hand(classifier, hparams, folds, seeds, run=hg.hypergradient, **changes):
    """The result of each explicit problem with each seed."""
    whole = classifier().train
    found = []
    for train, valid in KFold(folds, shuffle=True, random_state=0).split(whole["x"]):
        problem = classifier(
            train={k: v[train] for k, v in whole.items()},
            valid={k: v[valid] for k, v in whole.items()},
            **changes,
        )
        found += [run(problem, hparams, seed=seed) for seed in seeds]
    return found


@pytest.mark.parametrize("folds", [3, 4])  # 20 rows: uneven and even
@pytest.mark.parametrize("changes", [{}, {"batch_size": None}, {"optimizer": hg.optim.Adam("lr")}])
def test_alone_they_are_the_mean_of_a_loop_bit_for_bit(classifier, cross, hparams, apart, folds, changes):
    seeds = [3, 1]
    result = hg.hypergradient(cross(folds=folds, **changes), hparams, seed=seeds)
    each = by_hand(classifier, hparams, folds, seeds, **changes)
    assert result.stats["together"] == 1
    assert result.value == np.mean([r.value for r in each])
    slopes = np.stack([flat(r.hypergradient) for r in each])
    for key, found in result.hypergradient.items():
        np.testing.assert_array_equal(found, np.mean([r.hypergradient[key] for r in each], 0))
    count = len(each)
    np.testing.assert_allclose(
        result.value_error, np.std([r.value for r in each], ddof=1) / count**0.5, rtol=1e-12
    )
    np.testing.assert_allclose(
        flat(result.hypergradient_error), slopes.std(0, ddof=1) / count**0.5, rtol=1e-12
    )
    np.testing.assert_array_equal(result.curve, np.mean([r.curve for r in each], 0))
    assert isinstance(result.params, tuple)
    for mine, theirs in zip(result.params, each, strict=True):
        np.testing.assert_array_equal(mine["w"], theirs.params["w"])
    assert [r.value for r in result.runs] == [r.value for r in each] == result.stats["values"]
    assert result.stats["step_evaluations"] == 24 * count
    assert result.stats["bytes"] == max(r.stats["bytes"] for r in each)
    assert (result.stats["runs"], result.stats["folds"], result.stats["seeds"]) == (count, folds, seeds)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_size": None},
        {"folds": 3},
        {"folds": 3, "batch_size": None},
        {"optimizer": hg.optim.Adam("lr")},
        {"optimizer": hg.optim.Momentum(hg.optim.PerStep("rates"), "mu")},
    ],
)
@pytest.mark.parametrize("seeds", [0, [0, 1, 5]])
def test_together_they_are_the_same_numbers(cross, hparams, monkeypatch, changes, seeds):
    hparams = {**hparams, "rates": np.linspace(0.3, 0.1, 12)}
    accuracy = {"accuracy": lambda p, h, d: np.mean(np.argmax(d["x"] @ p["w"] + p["b"], 1) == d["y"])}
    problem = cross(metrics=accuracy, **changes)
    joint, value = hg.hypergradient(problem, hparams, seed=seeds), hg.train(problem, hparams, seed=seeds)
    again = hg.hypergradient(problem, hparams, seed=seeds)
    together = joint.stats["together"]
    assert max(together if isinstance(together, list) else [together]) > 1
    monkeypatch.setattr(groups, "PER_EQUATION", 0)
    alone = hg.hypergradient(cross(metrics=accuracy, **changes), hparams, seed=seeds)
    assert alone.stats["together"] == 1
    assert joint.value == value.value == again.value
    np.testing.assert_array_equal(flat(joint.hypergradient), flat(again.hypergradient))
    np.testing.assert_array_equal(joint.curve, value.curve)
    exact = {"rtol": 1e-12, "atol": 1e-14}
    for a, b in zip([joint, *joint.runs], [alone, *alone.runs], strict=True):
        np.testing.assert_allclose(a.value, b.value, **exact)
        np.testing.assert_allclose(flat(a.hypergradient), flat(b.hypergradient), **exact)
        np.testing.assert_allclose(a.curve, b.curve, **exact)
        assert a.metrics == b.metrics
        assert a.disconnected == b.disconnected
        if not a.runs:
            np.testing.assert_allclose(flat(a.params), flat(b.params), **exact)
            assert {k: type(v) for k, v in a.stats.items()} == {k: type(v) for k, v in b.stats.items()}
    np.testing.assert_allclose(flat(joint.hypergradient_error), flat(alone.hypergradient_error), rtol=1e-9)
    for key in ("step_evaluations", "forward_steps", "linearised_steps", "steps"):
        assert joint.stats[key] == alone.stats[key]


def test_draws_inside_the_loss_are_those_of_each_run(cross, hparams, monkeypatch):
    def inner_loss(params, h, batch, rng):
        kept = rng.random(batch["x"].shape) < 0.7
        logits = np.where(kept, batch["x"], 0.0) @ params["w"] + params["b"] + rng.normal(0.0, h["scale"])
        return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean()

    problem = cross(inner_loss=inner_loss)
    joint = hg.hypergradient(problem, hparams, seed=[0, 1])
    assert joint.stats["together"] == 8
    monkeypatch.setattr(groups, "PER_EQUATION", 0)
    alone = hg.hypergradient(problem, hparams, seed=[0, 1])
    np.testing.assert_allclose(joint.stats["values"], alone.stats["values"], rtol=1e-12)
    np.testing.assert_allclose(flat(joint.hypergradient), flat(alone.hypergradient), rtol=1e-11)


def test_explicit_batches_and_seeds(classifier, hparams, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 20, (12, 5))
    problem = classifier(batch_size=None, batches=rows)
    joint = hg.hypergradient(problem, hparams, seed=range(3))
    assert joint.stats["together"] == 3
    monkeypatch.setattr(groups, "PER_EQUATION", 0)
    alone = hg.hypergradient(problem, hparams, seed=np.arange(3))
    np.testing.assert_allclose(flat(joint.hypergradient), flat(alone.hypergradient), rtol=1e-12)


def test_float32(cross, hparams):
    def init(h, rng):
        return {"w": rng.standard_normal((3, 3)).astype(np.float32), "b": np.zeros(3, np.float32)}

    narrow = {**hparams, "l2": hparams["l2"].astype(np.float32)}
    result = hg.hypergradient(cross(init=init), narrow)
    assert result.stats["together"] == 4
    assert result.hypergradient["l2"].dtype == result.hypergradient_error["l2"].dtype == np.float32
    assert result.params[0]["w"].dtype == np.float32
    wide = hg.hypergradient(
        cross(init=lambda h, rng: {k: v.astype(float) for k, v in init(h, rng).items()}), hparams
    )
    np.testing.assert_allclose(result.hypergradient["l2"], wide.hypergradient["l2"], rtol=1e-4, atol=1e-6)


def test_the_gradient_of_ridge_cross_validation():
    """w = (A + n l2 I)⁻¹ b, A = XᵀX, b = Xᵀy of the fold's n rows; dw/dl2 = -n (A + n l2 I)⁻¹ w."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 4))
    y = x @ rng.standard_normal(4) + rng.standard_normal(30)
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.zeros(4),
        inner_loss=lambda w, h, b: 0.5 * np.mean((b["x"] @ w - b["y"]) ** 2) + 0.5 * h["l2"] * np.sum(w**2),
        outer_loss=lambda w, h, b: np.mean((b["x"] @ w - b["y"]) ** 2),
        train={"x": x, "y": y},
        folds=5,
        optimizer=hg.optim.SGD(0.4),
        steps=400,
    )
    l2, values, slopes = 0.3, [], []
    for train, valid in KFold(5, shuffle=True, random_state=0).split(x):
        n = len(train)
        matrix = x[train].T @ x[train] + n * l2 * np.eye(4)
        w = np.linalg.solve(matrix, x[train].T @ y[train])
        error = x[valid] @ w - y[valid]
        values.append(np.mean(error**2))
        slopes.append(2.0 * np.mean(error * (x[valid] @ (-n * np.linalg.solve(matrix, w)))))
    result = hg.hypergradient(problem, {"l2": l2})
    np.testing.assert_allclose(result.value, np.mean(values), rtol=1e-12)
    np.testing.assert_allclose(result.hypergradient["l2"], np.mean(slopes), rtol=1e-10)
    np.testing.assert_allclose(result.value_error, np.std(values, ddof=1) / 5**0.5, rtol=1e-10)
    np.testing.assert_allclose(result.hypergradient_error["l2"], np.std(slopes, ddof=1) / 5**0.5, rtol=1e-10)


@pytest.mark.parametrize(
    "method", [hg.Forward(), hg.Truncated(steps=5), hg.Reverse(memory="24KiB"), hg.Auto()]
)
def test_every_method_takes_folds(cross, hparams, method):
    problem = cross()
    result = hg.hypergradient(problem, hparams, method=method, wrt=["lr", "l2"])
    each = [hg.hypergradient(one, hparams, method=method) for one in problem.folds]
    assert result.hypergradient["mu"] is None
    assert result.hypergradient_error["mu"] is None
    np.testing.assert_allclose(
        result.hypergradient["lr"], np.mean([r.hypergradient["lr"] for r in each]), rtol=1e-12
    )
    plan = method.explain(problem, hparams)
    assert plan.step_evaluations == result.stats["step_evaluations"]


def test_auto_makes_small_runs_together_where_it_chooses_reverse_mode(cross, hparams):
    problem = cross(steps=30, optimizer=hg.optim.Momentum(hg.optim.PerStep("lr"), "mu"))
    hparams["lr"] = np.full(30, 0.2)
    reverse, auto = (
        hg.hypergradient(problem, hparams, method=method) for method in (hg.Reverse(), hg.Auto())
    )
    assert auto.stats["together"] == 4
    assert auto.stats["why"].startswith("for 35 hyperparameter entries over 30 steps reverse mode")
    np.testing.assert_array_equal(flat(auto.hypergradient), flat(reverse.hypergradient))
    assert hg.Auto().explain(problem, hparams).why == auto.stats["why"]


def test_the_chaos_monitor_looks_at_each_run(cross, hparams, monkeypatch):
    joint = hg.hypergradient(cross(), hparams)
    monkeypatch.setattr(groups, "PER_EQUATION", 0)
    alone = hg.hypergradient(cross(), hparams)
    assert len(set(joint.stats["growth_per_step"])) == 4
    np.testing.assert_allclose(joint.stats["growth_per_step"], alone.stats["growth_per_step"], rtol=1e-12)
    chaotic = hg.UnrolledProblem(
        init=lambda h, rng: {"x": rng.uniform(0.1, 0.9)},
        step=lambda s, h, b, t: {"x": h["r"] * s["x"] * (1.0 - s["x"])},
        outer_loss=lambda s, h, v: 1.0 * s["x"],
        steps=60,
    )
    alone = hg.hypergradient(chaotic, {"r": 3.7}, seed=range(3))
    monkeypatch.undo()
    joint = hg.hypergradient(chaotic, {"r": 3.7}, seed=range(3))
    assert joint.stats["together"] == 3
    assert [run.stats["trusted"] for run in joint.runs] == [run.stats["trusted"] for run in alone.runs]
    assert [run.warnings for run in joint.runs] == [run.warnings for run in alone.runs]
    assert joint.stats["trusted"] is False
    assert joint.warnings == alone.warnings
    assert joint.warnings[0].startswith("seed 0: training is chaotic")


def test_what_the_plan_of_several_runs_says(cross, hparams, capsys):
    plan = hg.Reverse().explain(cross(), hparams, seed=[0, 1])
    assert "in each of 8 runs, 8 together" in capsys.readouterr().out
    assert plan.step_evaluations == 8 * hg.Reverse().explain(cross().folds[0], hparams).step_evaluations


def test_large_steps_are_made_alone(hparams):
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((400, 50)), "y": rng.standard_normal(400)}
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.zeros(50),
        inner_loss=lambda w, h, b: np.mean((b["x"] @ w - b["y"]) ** 2),
        outer_loss=lambda w, h, b: np.mean((b["x"] @ w - b["y"]) ** 2),
        train=data,
        folds=2,
        optimizer=hg.optim.SGD("lr"),
        steps=3,
    )
    assert hg.train(problem, {"lr": 0.1}).stats["together"] == 1


def test_a_step_that_may_fail_is_made_alone(cross, hparams):
    def inner_loss(params, h, batch):
        gram = batch["x"].T @ batch["x"] + np.eye(3)
        return np.sum(np.linalg.solve(gram, params["w"]) ** 2) + np.sum(params["b"] ** 2)

    assert hg.train(cross(inner_loss=inner_loss), hparams).stats["together"] == 1


def test_under_debug_each_run_is_made_alone(cross, hparams):
    with hg.debug():
        assert hg.train(cross(), hparams).stats["together"] == 1


def test_any_iteration_may_have_folds(monkeypatch):
    """Proximal steps of a rate that falls with t."""

    def step(state, h, b, t):
        rate = h["lr"] / (1 + t)
        w = state["w"] - rate * b["x"].T @ (b["x"] @ state["w"] - b["y"]) / len(b["y"])
        return {"w": np.sign(w) * np.maximum(np.abs(w) - rate * h["l1"], 0.0)}

    rng = np.random.default_rng(0)
    problem = hg.UnrolledProblem(
        init=lambda h, rng: {"w": h["scale"] * rng.standard_normal(4)},
        step=step,
        outer_loss=lambda s, h, v: np.mean((v["x"] @ s["w"] - v["y"]) ** 2) + h["lr"] ** 2,
        train={"x": rng.standard_normal((31, 4)), "y": rng.standard_normal(31)},
        folds=3,
        steps=20,
        batch_size=6,
    )
    hparams = {"lr": 0.1, "l1": 0.05, "scale": 0.7}
    joint = hg.hypergradient(problem, hparams, seed=[0, 1])
    assert joint.stats["together"] == 6
    assert np.all(np.isnan(joint.curve))
    monkeypatch.setattr(groups, "PER_EQUATION", 0)
    alone = hg.hypergradient(problem, hparams, seed=[0, 1])
    np.testing.assert_allclose(flat(joint.hypergradient), flat(alone.hypergradient), rtol=1e-12)
    assert hg.check_hypergradient(problem, hparams, seed=[0, 1]).agrees


def test_training_that_stops_early_is_made_alone(cross, hparams):
    problem = cross(stop=lambda params, h, t: t >= 5)
    result = hg.hypergradient(problem, hparams)
    assert result.stats["together"] == 1
    assert result.stats["step_evaluations"] < 4 * 24


def test_a_run_that_diverges_leaves_the_others_alone(classifier, hparams):
    start = {0: 1.0, 1: np.inf, 2: 2.0}

    def init(h, rng):
        return {"w": np.full((3, 3), start[len(seen)]), "b": np.zeros(3)}

    seen: list[int] = []

    def counted(h, rng):
        found = init(h, rng)
        seen.append(0)
        return found

    result = hg.hypergradient(classifier(init=counted), hparams, seed=[0, 1, 2])
    assert result.stats["together"] == 3
    assert np.isnan(result.value)
    assert np.isnan(result.hypergradient["lr"])
    assert np.isnan(result.value_error)
    assert [np.isfinite(run.hypergradient["lr"]) for run in result.runs] == [True, False, True]
    assert [run.stats["finite"] for run in result.runs] == [True, False, True]
    assert result.stats["finite"] is False
    assert result.warnings == ("1 of 3 runs are not finite (seed 1)",)


def test_one_seed_in_a_list_has_no_standard_error(classifier, hparams):
    single, listed = (
        hg.hypergradient(classifier(), hparams),
        hg.hypergradient(classifier(), hparams, seed=[0]),
    )
    assert listed.value == single.value
    assert listed.value_error is None
    assert listed.hypergradient_error is None
    assert single.runs == ()
    assert len(listed.runs) == len(listed.params) == 1


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ([], "seed is an empty sequence, expected at least one int"),
        ([0, 1, 0], "seed 0 is given twice, which would count one run as two"),
        ([0, -1], "seed must be an int, 0 or more, got -1"),
        ([0.5], "seed must be an int, 0 or more, got 0.5"),
    ],
)
@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
def test_seeds_are_counts(classifier, hparams, call, seed, message):
    with pytest.raises(ProblemError, match=message):
        call(classifier(), hparams, seed=seed)


def test_a_study_of_a_problem_with_folds(cross, tmp_path):
    space = hg.Space(
        lr=hg.Float(1e-3, 1.0, log=True),
        mu=hg.Float(0.1, 0.9),
        l2=hg.Float(1e-4, 1.0, log=True, shape=(3, 1)),
        scale=hg.Float(0.1, 1.0),
    )
    study = tune(cross(), space, trials=5, store=tmp_path / "runs.db")
    again = tune(cross(), space, trials=5)
    assert [t.value for t in study.trials] == [t.value for t in again.trials]
    for trial in study.trials:
        assert trial.stats["value_error"] > 0.0
        assert len(trial.stats["values"]) == trial.stats["folds"] == 4
        assert trial.cost == trial.stats["step_evaluations"]
        if trial.gradient is not None:
            assert len(trial.stats["hypergradient_error"]) == 4
    study.close()


def test_finite_differences_confirm_folds_and_seeds(cross, hparams):
    check = hg.check_hypergradient(cross(), hparams, seed=[0, 1])
    assert check.agrees, str(check)
    assert check.digits > 8
