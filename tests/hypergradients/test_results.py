"""What comes back: values, trees, names, numbers of their own, the same bits every time."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, ProblemError, TreeError, UnknownNameError
from hypergrad.unroll.trajectory import Trajectory


def arrays(result):
    """All arrays of a result."""
    leaves = [*hg.tree.leaves(result.params), *hg.tree.leaves(result.hypergradient), result.curve]
    return [leaf for leaf in leaves if isinstance(leaf, np.ndarray) and leaf.size]


def same(a, b):
    """Whether two results agree bit for bit."""
    return a.value == b.value and all(np.array_equal(x, y) for x, y in zip(arrays(a), arrays(b), strict=True))


def test_a_result_says_what_was_done(classifier, hparams):
    result = hg.hypergradient(classifier(), hparams)
    assert isinstance(result.value, float)
    assert result.stats["steps"] == 12
    assert result.stats["step_evaluations"] == 24
    assert result.stats["finite"] is True
    assert result.stats["bytes"] > 0
    assert 0.0 <= result.stats["seconds_training"] <= result.stats["seconds"]
    assert result.curve.shape == (12,)
    assert {k: v.shape for k, v in result.params.items()} == {"w": (3, 3), "b": (3,)}
    value = hg.train(classifier(), hparams)
    assert value.hypergradient is None
    assert value.stats["step_evaluations"] == 12


def test_the_curve_is_the_inner_loss_before_each_step(classifier, hparams):
    problem = classifier()
    curve = hg.train(problem, hparams).curve
    for t in (1, 5, 11):
        shorter = classifier(steps=t)
        params = hg.train(shorter, hparams).params
        rows = problem.batches.at(0, t)
        batch = {k: v[rows] for k, v in problem.train.items()}
        np.testing.assert_allclose(curve[t], problem.inner_loss(params, hparams, batch), rtol=1e-12)


def test_train_and_hypergradient_agree_bit_for_bit(classifier, hparams):
    for changes in ({}, {"batch_size": None}, {"optimizer": hg.optim.Adam("lr")}, {"steps": 1}):
        problem = classifier(**changes)
        full, value = hg.hypergradient(problem, hparams), hg.train(problem, hparams)
        assert full.value == value.value
        assert np.array_equal(full.curve, value.curve)
        for a, b in zip(hg.tree.leaves(full.params), hg.tree.leaves(value.params), strict=True):
            assert np.array_equal(a, b)


def test_the_same_call_gives_the_same_bits(classifier, hparams):
    problem = classifier()
    first = hg.hypergradient(problem, hparams, seed=3)
    other = hg.hypergradient(problem, hparams, seed=4)
    assert first.value != other.value
    assert same(first, hg.hypergradient(problem, hparams, seed=3))
    assert same(first, hg.hypergradient(classifier(), hparams, seed=3))
    assert same(first, hg.hypergradient(classifier(), hparams, seed=np.int64(3)))


def test_problems_may_be_interleaved(classifier, hparams):
    problem = classifier()
    expected = {seed: hg.train(problem, hparams, seed=seed).params["w"] for seed in (0, 1)}
    runs = {seed: Trajectory(problem, hparams, seed) for seed in (0, 1)}
    states = {seed: run.initial() for seed, run in runs.items()}
    for t in range(12):
        for seed, run in runs.items():
            states[seed] = run.forward(states[seed], t, t + 1)
    for seed, run in runs.items():
        np.testing.assert_array_equal(run.params(states[seed])["w"], expected[seed])


def test_threads_may_share_a_problem(classifier, hparams):
    problem = classifier()
    calls = [({**hparams, "lr": lr}, seed) for lr in (0.1, 0.2) for seed in range(2)]
    expected = [hg.hypergradient(classifier(), h, seed=seed) for h, seed in calls]
    found: dict[tuple[int, int], hg.HypergradientResult] = {}

    def work(number: int) -> None:
        for i in np.random.default_rng(number).permutation(len(calls)).tolist():
            found[number, i] = hg.hypergradient(problem, calls[i][0], seed=calls[i][1])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 * len(calls)
    assert all(same(result, expected[i]) for (_, i), result in found.items())


def test_no_array_of_a_result_is_shared(classifier, hparams):
    start = {"w": np.ones((3, 3)), "b": np.zeros(3)}
    problem = classifier(init=lambda h, rng: h["start"])
    given = {**hparams, "start": start}
    first, second = hg.hypergradient(problem, given), hg.hypergradient(problem, given)
    ours, theirs = arrays(first), arrays(second)
    for i, a in enumerate(ours):
        inputs = [*start.values(), hparams["l2"], *problem.train.values(), *problem.valid.values()]
        assert not any(np.shares_memory(a, b) for b in [*theirs, *inputs, *ours[:i]])
    for a in ours:
        a += 1.0
    assert same(hg.hypergradient(problem, given), second)
    np.testing.assert_array_equal(start["w"], np.ones((3, 3)))


def test_hyperparameters_that_nothing_reads_are_named(classifier, hparams):
    given = {**hparams, "idle": 1.0, "more": {"idle": np.ones(3)}, "n": 3}
    result = hg.hypergradient(classifier(optimizer=hg.optim.SGD("lr")), given)
    assert result.disconnected == ("idle", "more/idle", "mu")
    assert result.hypergradient["idle"] == 0.0
    np.testing.assert_array_equal(result.hypergradient["more"]["idle"], np.zeros(3))
    assert result.hypergradient["n"] is None
    assert hg.train(classifier(), given).disconnected == ("idle", "more/idle")
    assert hg.hypergradient(classifier(), hparams).disconnected == ()


def test_a_hyperparameter_that_only_switches_the_outer_loss_is_connected(classifier, hparams):
    problem = classifier(outer_loss=lambda p, h, v: np.sum(np.where(h["switch"] > 0, p["w"], p["w"] ** 2)))
    result = hg.hypergradient(problem, {**hparams, "switch": 1.0})
    assert result.hypergradient["switch"] == 0.0
    assert result.disconnected == ()


@pytest.mark.parametrize(
    ("wrt", "names"),
    [
        (None, {"opt/lr", "opt/mu", "l2"}),
        ("l2", {"l2"}),
        ("opt", {"opt/lr", "opt/mu"}),
        (["opt/mu"], {"opt/mu"}),
        (("l2", "opt"), {"opt/lr", "opt/mu", "l2"}),
        ([], set()),
    ],
)
def test_wrt_chooses_leaves_and_subtrees(classifier, wrt, names):
    problem = classifier(
        optimizer=hg.optim.Momentum("opt/lr", "opt/mu"),
        init=lambda h, rng: {"w": np.zeros((3, 3)), "b": np.zeros(3)},
    )
    given = {"opt": {"lr": 0.2, "mu": 0.5}, "l2": 0.1, "n": 3}
    result = hg.hypergradient(problem, given, wrt=wrt)
    full = hg.hypergradient(problem, given)
    assert result.value == full.value
    rows = zip(
        hg.tree.paths(given),
        hg.tree.leaves(result.hypergradient),
        hg.tree.leaves(full.hypergradient),
        strict=True,
    )
    for path, leaf, expected in rows:
        assert (leaf == expected) if path in names else leaf is None


@pytest.mark.parametrize(
    ("wrt", "error", "message"),
    [
        ("lrr", UnknownNameError, r"no hyperparameter 'lrr'; did you mean 'lr'\?"),
        (["lr", "nothing like it"], UnknownNameError, "choose from "),
        ("n", DerivativeError, r"hparams\['n'\] is 3, which has no derivative; write a float"),
        ("name", DerivativeError, r"hparams\['name'\] is 'a', which has no derivative"),
        ("idle", DerivativeError, r"nothing depends on hparams\['idle'\]"),
        (0, DerivativeError, "wrt must be names of hyperparameters such as 'lr' or 'opt/lr', got 0"),
        ([0.1], DerivativeError, r"got \[0\.1\]"),
    ],
)
def test_wrt_names_what_has_a_derivative(classifier, hparams, wrt, error, message):
    given = {**hparams, "n": 3, "name": "a", "idle": 1.0}
    with pytest.raises(error, match=message):
        hg.hypergradient(classifier(), given, wrt=wrt)


@pytest.mark.parametrize("value", [3, True, "relu", None, np.int64(3), np.arange(3), np.array([True])])
def test_what_is_no_float_is_static_and_seen_as_it_is(classifier, hparams, value):
    seen = []

    def outer_loss(params, h, valid):
        seen.append(h["static"])
        return np.sum(params["w"] ** 2)

    result = hg.hypergradient(classifier(outer_loss=outer_loss), {**hparams, "static": value})
    assert result.hypergradient["static"] is None
    assert all(type(s) is type(value) and np.all(s == value) for s in seen)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"l2": 1j}, TreeError, r"hparams\['l2'\] must be an array of real numbers, got complex"),
        ({"l2": object()}, TreeError, r"hparams\['l2'\] must be an array of real numbers, got object"),
        ({"l2": np.array(["a"])}, TreeError, r"hparams\['l2'\] .*dtype <U1"),
        ({"deep": {"x": [object()]}}, TreeError, r"hparams\['deep/x/0'\]"),
    ],
)
def test_hyperparameters_are_numbers(classifier, hparams, changes, error, message):
    with pytest.raises(error, match=message):
        hg.hypergradient(classifier(), {**hparams, **changes})


@pytest.mark.parametrize("seed", [-1, None, 1.5, "a", True])
@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
def test_a_seed_is_a_count(classifier, hparams, call, seed):
    with pytest.raises(ProblemError, match="seed must be an int, 0 or more, got"):
        call(classifier(), hparams, seed=seed)


@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
def test_a_problem_is_a_problem(hparams, call):
    with pytest.raises(
        ProblemError, match=r"expected an hg\.BilevelProblem or hg\.UnrolledProblem, got 'mlp'"
    ):
        call("mlp", hparams)


def test_a_method_is_a_method(classifier, hparams):
    for method in (hg.Reverse, "reverse"):
        with pytest.raises(DerivativeError, match=r"method must be one of .* such as hg\.Reverse\(\)"):
            hg.hypergradient(classifier(), hparams, method=method)


def test_metrics_are_evaluated_on_every_data_set(classifier, hparams):
    def accuracy(params, h, data):
        return np.mean(np.argmax(data["x"] @ params["w"] + params["b"], 1) == data["y"])

    def penalty(params, h, data):
        assert type(h["lr"]) is float
        return h["lr"]

    problem = classifier(metrics={"accuracy": accuracy, "lr": penalty})
    result = hg.hypergradient(problem, hparams)
    assert set(result.metrics) == {"train", "valid", "test"}
    for name in result.metrics:
        expected = accuracy(result.params, hparams, getattr(problem, name))
        assert result.metrics[name] == {"accuracy": expected, "lr": 0.2}
    assert hg.train(problem, hparams).metrics == result.metrics
    assert set(hg.train(classifier(metrics={"a": accuracy}, test=None), hparams).metrics) == {
        "train",
        "valid",
    }
    assert hg.train(classifier(), hparams).metrics == {}


def test_a_metric_is_one_number(classifier, hparams):
    problem = classifier(metrics={"margin": lambda p, h, d: d["x"] @ p["w"]})
    with pytest.raises(
        ProblemError, match=r"metrics\['margin'\] must return one number, got float64 of shape"
    ):
        hg.train(problem, hparams)
