"""Whatever `Reverse` keeps, its hypergradient is the same to the last bit, and it keeps no more than it may."""

import numpy as np
import pytest

import hypergrad as hg
from hypergrad import tree
from hypergrad.unroll.checkpoint import forward_runs

PLANS = [{"checkpoints": s} for s in (1, 2, 3, 5, 12, 40)] + [
    {"memory": m} for m in ("8KiB", "12 kb", 20_000)
]


def same(a, b):
    for x, y in zip(tree.leaves(a.hypergradient), tree.leaves(b.hypergradient), strict=True):
        np.testing.assert_array_equal(x, y)
    assert a.value == b.value
    np.testing.assert_array_equal(a.curve, b.curve)
    np.testing.assert_array_equal(a.params["w"], b.params["w"])


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_plan_gives_the_same_bits(classifier, hparams, plan):
    problem = classifier(steps=37)
    whole = hg.hypergradient(problem, hparams, seed=3)
    same(whole, hg.hypergradient(problem, hparams, method=hg.Reverse(**plan), seed=3))


@pytest.mark.parametrize("steps", [1, 2, 11, 37])
@pytest.mark.parametrize("slots", [1, 2, 3, 7, 50])
def test_revolve_takes_the_least_number_of_steps(classifier, hparams, steps, slots, capsys):
    problem, method = classifier(steps=steps), hg.Reverse(checkpoints=slots)
    stats = hg.hypergradient(problem, hparams, method=method).stats
    assert stats["forward_steps"] == forward_runs(steps, slots)
    assert stats["linearised_steps"] == steps
    assert stats["step_evaluations"] - steps == forward_runs(steps, slots)
    assert stats["states"] == min(steps, slots)
    plan = method.explain(problem, hparams)
    assert (plan.forward_steps, plan.linearised_steps) == (stats["forward_steps"], steps)
    assert plan.bytes == stats["bytes"]
    assert str(plan) in capsys.readouterr().out


@pytest.mark.parametrize("memory", ["8KiB", "9KiB", "12KiB", "64KiB", "1MiB"])
def test_a_plan_keeps_to_its_budget_and_says_what_it_will_run(classifier, hparams, memory):
    problem, method = classifier(steps=200), hg.Reverse(memory=memory)
    plan = method.explain(problem, hparams)
    stats = hg.hypergradient(problem, hparams, method=method).stats
    assert plan.bytes == stats["bytes"] <= float(memory[:-3]) * (1024 if "K" in memory else 1 << 20)
    assert (plan.forward_steps, plan.linearised_steps) == (stats["forward_steps"], stats["linearised_steps"])


def test_more_memory_never_predicts_more_time(classifier, hparams):
    factors = [
        hg.Reverse(memory=m).explain(classifier(steps=400), hparams).factor
        for m in range(12_000, 200_000, 4000)
    ]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] > factors[-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"memory": "64MX"}, "number of bytes or a text such as '64MiB'"),
        ({"memory": -1}, "number of bytes"),
        ({"memory": True}, "number of bytes"),
        ({"checkpoints": 0}, "positive int"),
        ({"checkpoints": 2.0}, "positive int"),
    ],
)
def test_a_budget_that_is_none_is_refused(arguments, sentence):
    with pytest.raises(hg.errors.DerivativeError, match=sentence):
        hg.Reverse(**arguments)


@pytest.mark.parametrize("arguments", [{"memory": 100}, {"memory": "6KiB", "checkpoints": 30}])
def test_a_budget_below_the_least_plan_is_refused_with_what_is_needed(classifier, hparams, arguments):
    with pytest.raises(hg.errors.DerivativeError, match=r"this problem needs .*KiB"):
        hg.hypergradient(classifier(steps=37), hparams, method=hg.Reverse(**arguments))


def test_divergence_under_a_budget_is_a_result(classifier, hparams):
    result = hg.hypergradient(
        classifier(steps=400), {**hparams, "lr": 1e300}, method=hg.Reverse(checkpoints=3)
    )
    assert not np.isfinite(result.value)
    assert np.isnan(result.hypergradient["lr"])


@pytest.mark.parametrize("plan", [{}, *PLANS], ids=str)
@pytest.mark.parametrize("last", [1, 2, 17, 30])
def test_training_that_stops_early_is_differentiated_up_to_there(classifier, hparams, plan, last):
    stopped = classifier(steps=40, stop=lambda params, hparams, t: t == last)
    early = hg.hypergradient(stopped, hparams, method=hg.Reverse(**plan), seed=1)
    whole = hg.hypergradient(classifier(steps=last), hparams, seed=1)
    for a, b in zip(tree.leaves(early.hypergradient), tree.leaves(whole.hypergradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    assert early.value == whole.value == hg.train(stopped, hparams, seed=1).value
    assert early.stats["steps"] == early.stats["linearised_steps"] == last
    assert hg.train(stopped, hparams, seed=1).stats["step_evaluations"] == last


def test_early_stopping_waits_for_its_patience(classifier, hparams):
    rising = {**hparams, "lr": 3.0}
    problem = classifier(steps=300, stop=hg.EarlyStopping(patience=2, every=5))
    result = hg.train(problem, rising)
    losses = [hg.train(classifier(steps=t), rising).value for t in range(5, result.stats["steps"] + 1, 5)]
    assert result.stats["steps"] < 300
    assert min(losses[:-2]) <= min(losses[-2:])
    assert all(
        min(losses[:i]) > losses[i] or min(losses[: i - 1]) > losses[i - 1] for i in range(2, len(losses) - 1)
    )
    assert hg.hypergradient(problem, rising).value == result.value


def test_a_stop_rule_that_is_none_is_refused(classifier, hparams):
    with pytest.raises(hg.errors.ProblemError, match="stop is called with"):
        classifier(stop=lambda params: True)
    with pytest.raises(hg.errors.ProblemError, match="True or False, got 1"):
        hg.train(classifier(stop=lambda params, hparams, t: 1), hparams)
    with pytest.raises(hg.errors.ProblemError, match="patience"):
        hg.EarlyStopping(patience=0)


EVERY = [
    hg.Reverse(),
    *(hg.Reverse(checkpoints=slots) for slots in (1, 2, 3, 7, 29)),
    hg.Reverse(memory="10KB"),
    hg.Forward(),
    hg.Truncated(3),
    hg.DrMAD(),
    hg.Auto(),
]


@pytest.mark.parametrize("method", EVERY, ids=str)
@pytest.mark.parametrize("steps", [1, 2, 5, 29])
def test_the_plan_counts_what_a_run_takes_that_might_have_stopped_early(steps, method, capsys):
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": rng.standard_normal(20)},
        inner_loss=lambda p, h, b: np.sum(p["w"] ** 2) + h["l2"] * np.sum(np.tanh(p["w"]) ** 2),
        outer_loss=lambda p, h, v: np.sum((p["w"] - 1.0) ** 2),
        train=None,
        valid=None,
        optimizer=hg.optim.Momentum("lr", 0.5),
        steps=steps,
        stop=lambda params, hparams, t: False,
    )
    hparams = {"lr": 0.01, "l2": 0.1}
    plan = method.explain(problem, hparams)
    stats = hg.hypergradient(problem, hparams, method=method).stats
    assert plan.bytes == stats["bytes"]
    assert (plan.forward_steps, plan.linearised_steps) == (stats["forward_steps"], stats["linearised_steps"])
