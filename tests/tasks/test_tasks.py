"""Every task on small data: its space, its problem, its hypergradient and its score."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import hypergrad as hg
from hypergrad.errors import DataError
from hypergrad.tasks import MLP, TASKS, Dataset, Logistic, Ridge, load


def blobs(n: int = 60, kind: str = "classification") -> Dataset:
    """Two numbers, a category with gaps and a column named like a keyword."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"lambda": rng.normal(size=n), "b": rng.normal(size=n)})
    frame["c"] = rng.choice(["u", "v", "w"], n).astype(object)
    score = frame["lambda"] - 0.5 * frame["b"] + (frame["c"] == "u") + 0.3 * rng.normal(size=n)
    frame.loc[::6, "c"] = None
    frame["y"] = score if kind == "regression" else np.digitize(score, [-0.5, 0.5])
    return load(frame, "y", kind=kind)


def cases() -> list:
    both = [(name, kind) for name in TASKS for kind in ("classification", "regression")]
    return [case for case in both if case != ("logistic", "regression")]


def small(name: str):
    return TASKS[name](steps=12, knots=3, **({"hidden": 4} if name == "mlp" else {}))


def test_registry():
    assert {name: task().name for name, task in TASKS.items()} == {name: name for name in TASKS}
    assert (TASKS["ridge"], TASKS["logistic"], TASKS["mlp"]) == (Ridge, Logistic, MLP)


@pytest.mark.parametrize(("name", "kind"), cases())
def test_hypergradient_agrees_with_central_differences(name, kind):
    dataset, task = blobs(kind=kind), small(name)
    problem, space = task.problem(dataset), task.space(dataset)
    hparams = space.from_unit(np.random.default_rng(1).uniform(0.2, 0.8, space.dimension))
    result = hg.hypergradient(problem, hparams)
    assert result.stats["finite"]
    assert result.disconnected == ()
    gradient = space.gradient_to_unit(hparams, result.hypergradient)
    assert np.isfinite(gradient).all()
    unit, step = space.to_unit(hparams), 1e-5
    numeric = np.zeros_like(unit)
    for i in range(space.dimension):
        ends = []
        for sign in (1, -1):
            moved = unit.copy()
            moved[i] += sign * step
            ends.append(hg.train(problem, space.from_unit(moved)).value)
        numeric[i] = (ends[0] - ends[1]) / (2 * step)
    assert np.linalg.norm(gradient - numeric) <= 1e-6 * np.linalg.norm(numeric)
    assert (gradient != 0).all()


@pytest.mark.parametrize(("name", "kind"), cases())
def test_training_loss_is_that_of_its_definition(name, kind):
    """One full-batch step of momentum from the initial point follows the gradient of mean ℓ + Ω."""
    dataset = blobs(kind=kind)
    task = TASKS[name](steps=1, knots=2)
    hparams = task.space(dataset).defaults() | {"l2_group": np.array([[0.5], [1.2], [1.4]])}
    problem = task.problem(dataset)
    tiny = hparams | {"lr_knots": np.full(2, 1e-12)}
    start = hg.train(problem, tiny).params
    moved = hg.train(problem, hparams | {"lr_knots": np.full(2, 1e-2)}).params

    def loss(params):
        outputs = task.outputs(params, dataset.train["x"])
        rows = task.row_loss(dataset)(outputs, task.targets(dataset, dataset.train["y"]))
        factor = hparams["l2_group"][dataset.group_of]
        return np.mean(rows) + task.penalty(params, hparams, factor)

    gradient = hg.grad(loss)(start)
    for before, after, slope in zip(
        hg.tree.leaves(start), hg.tree.leaves(moved), hg.tree.leaves(gradient), strict=True
    ):
        np.testing.assert_allclose(after, before - 1e-2 * slope, rtol=1e-8, atol=1e-11)


def test_penalty_formulas():
    rng = np.random.default_rng(0)
    factor = np.array([[0.5], [2.0], [2.0]])
    w = rng.normal(size=(3, 2))
    expected = 0.5 * 0.1 * (0.5 * (w[0] ** 2).sum() + 2.0 * (w[1:] ** 2).sum())
    assert Ridge().penalty({"w": w}, {"l2": 0.1}, factor) == pytest.approx(expected, rel=1e-14)
    params = {"hidden": {"w": w}, "out": {"w": rng.normal(size=(2, 4))}}
    found = MLP().penalty(params, {"l2_hidden": 0.1, "l2_out": 0.3}, factor)
    assert found == pytest.approx(expected + 0.15 * (params["out"]["w"] ** 2).sum(), rel=1e-14)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("data", ["digits", "breast_cancer", "wine", "diabetes"])
def test_spaces_of_the_bundled_sets(name, data):
    dataset = bundled(data)
    task = TASKS[name]()
    if (name, data) == ("logistic", "diabetes"):
        with pytest.raises(
            DataError, match="the target 'target' of diabetes is a quantity; use ridge or mlp"
        ):
            task.space(dataset)
        with pytest.raises(DataError, match="use ridge or mlp"):
            task.problem(dataset)
        return
    space = task.space(dataset)
    assert space.dimension >= 20 + len(dataset.groups) - 1
    assert space.continuous.all()
    assert space.defaults() in space
    assert hg.Space.from_json(space.to_json()).to_json() == space.to_json()
    reach = space.parameters["l2_group"].high
    assert 1.5 <= reach <= 10.0


_CACHE: dict[str, Dataset] = {}


def bundled(name: str) -> Dataset:
    return _CACHE.setdefault(name, load(name))


@pytest.mark.parametrize(
    ("name", "data", "key", "bound"),
    [
        ("logistic", "wine", "accuracy", 0.9),
        ("logistic", "breast_cancer", "accuracy", 0.9),
        ("mlp", "wine", "accuracy", 0.9),
        ("mlp", "diabetes", "rmse", 65.0),
        ("ridge", "wine", "accuracy", 0.9),
        ("ridge", "diabetes", "rmse", 60.0),
    ],
)
def test_defaults_learn(name, data, key, bound):
    task, dataset = TASKS[name](), bundled(data)
    hparams = task.space(dataset).defaults()
    result = hg.train(task.problem(dataset, hparams), hparams)
    score = task.score(dataset, result.params, hparams)
    assert list(score) == ["train", "valid", "test"]
    assert all(list(part) == ["loss", key] for part in score.values())
    assert score["valid"]["loss"] == pytest.approx(result.value, rel=1e-12)
    worst = {"accuracy": min, "rmse": max}[key](part[key] for part in score.values())
    assert worst >= bound if key == "accuracy" else worst <= bound


def test_ridge_agrees_with_its_closed_form():
    dataset, task = bundled("diabetes"), Ridge(steps=2000)
    hparams = task.space(dataset).defaults() | {"l2": 0.05}
    params = hg.train(task.problem(dataset), hparams).params
    x, y = dataset.train["x"], dataset.train["y"]
    exact = np.linalg.solve(x.T @ x / len(x) + 0.05 * np.eye(x.shape[1]), x.T @ y / len(x))
    np.testing.assert_allclose(params["w"][:, 0], exact, rtol=1e-5, atol=1e-7)


def test_rmse_is_in_the_unit_of_the_target():
    dataset, task = bundled("diabetes"), Ridge()
    params = {"w": np.zeros((10, 1)), "b": np.zeros(1)}
    mean, std = dataset.target_scale
    own = dataset.test["y"] * std + mean
    score = task.score(dataset, params)
    assert score["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((own - mean) ** 2)), rel=1e-12)
    assert score["test"]["loss"] == pytest.approx(0.5 * np.mean(dataset.test["y"] ** 2), rel=1e-12)


def test_problem_is_made_once():
    dataset = blobs()
    assert Ridge().problem(dataset) is Ridge().problem(dataset, {"l2": 1.0})
    assert Ridge(steps=3).problem(dataset) is not Ridge().problem(dataset)
    assert Ridge().problem(blobs()) is not Ridge().problem(dataset)


def test_batches_only_where_there_are_rows_enough():
    assert Ridge(batch_size=10).problem(blobs(60)).batches.length == 10
    assert Ridge().problem(blobs(60)).batches.length == len(blobs(60).train["y"])


def test_rates_shrink_where_features_are_alike():
    rng = np.random.default_rng(0)
    common = rng.normal(size=(80, 1))
    frame = pd.DataFrame(common + 0.01 * rng.normal(size=(80, 300)), columns=[f"f{j}" for j in range(300)])
    frame["y"] = common[:, 0] + rng.normal(size=80)
    dataset = load(frame, "y")
    for task in (Ridge(), MLP()):
        space = task.space(dataset)
        knots = space.parameters["lr_knots"]
        result = hg.train(task.problem(dataset), space.defaults())
        assert result.value < 2.0
        assert knots.high < 0.01


def test_divergence_is_data():
    dataset, task = blobs(kind="regression"), Ridge(knots=2)
    hparams = task.space(dataset).defaults() | {"lr_knots": np.full(2, 1e3)}
    result = hg.train(task.problem(dataset), hparams)
    assert not result.stats["finite"]
    score = task.score(dataset, result.params)
    assert not np.isfinite(score["test"]["loss"])


@pytest.mark.parametrize(
    ("name", "data"), [("logistic", "breast_cancer"), ("mlp", "diabetes"), ("ridge", "wine")]
)
def test_a_few_hypergradients_improve_on_the_defaults(name, data):
    dataset, task = bundled(data), TASKS[name]()
    space = task.space(dataset)
    study = hg.tune(task.problem(dataset), space, trials=6)
    assert study.best.value < study.trials[0].value
    assert study.best.hparams in space
    result = hg.train(task.problem(dataset), study.best.hparams)
    score = task.score(dataset, result.params, study.best.hparams)
    assert score["valid"]["loss"] == pytest.approx(study.best.value, rel=1e-12)
