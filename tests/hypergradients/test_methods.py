"""Forward, Truncated and DrMAD beside Reverse and closed forms; what every method reports."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad import tree
from hypergrad.hypergradients.trust import CHAOS

KNOTS = hg.optim.PiecewiseLinear("lr")
EXACT = [hg.Forward(), hg.Forward(memory="32KiB"), hg.Reverse(checkpoints=2), hg.Truncated(steps=99)]


def distance(a, b):
    """The largest error of a leaf, relative to its norm."""
    return max(
        np.linalg.norm(np.subtract(x, y)) / max(np.linalg.norm(x), 1e-300)
        for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True)
        if x is not None
    )


@pytest.mark.parametrize("method", EXACT, ids=str)
@pytest.mark.parametrize(
    ("changes", "also"),
    [
        ({}, {}),
        ({"batch_size": None}, {}),
        ({"optimizer": hg.optim.Momentum(KNOTS, "mu")}, {"lr": np.array([0.3, 0.1, 0.05])}),
        ({"optimizer": hg.optim.Adam("lr", ("mu", 0.99))}, {"lr": 0.05}),
        ({"optimizer": hg.optim.SGD(hg.optim.PerStep("lr"))}, {"lr": np.linspace(0.3, 0.1, 12)}),
        ({"optimizer": hg.optim.Momentum("lr", "mu")}, {"lr": {"w": 0.2, "b": 0.1}}),
    ],
    ids=["momentum", "full", "knots", "adam", "per-step", "layers"],
)
def test_exact_methods_agree(classifier, hparams, method, changes, also):
    problem, point = classifier(**changes), {**hparams, **also}
    one, other = (
        hg.hypergradient(problem, point, seed=2),
        hg.hypergradient(problem, point, method=method, seed=2),
    )
    if "optimizer" in changes and "mu" not in str(changes["optimizer"]):
        one.hypergradient.pop("mu"), other.hypergradient.pop("mu")
    assert one.value == pytest.approx(other.value, rel=1e-14)
    assert distance(one.hypergradient, other.hypergradient) < 1e-11
    np.testing.assert_allclose(one.curve, other.curve, rtol=1e-13)
    for key in ("steps", "step_evaluations", "seconds", "bytes", "finite", "trusted", "method"):
        assert key in other.stats
    assert other.stats["trusted"]
    assert other.warnings == ()


@pytest.mark.parametrize("method", [hg.Reverse(), *EXACT, hg.DrMAD(), hg.Truncated(3)], ids=str)
def test_a_plan_says_what_will_be_run(classifier, hparams, method, capsys):
    problem = classifier()
    plan = method.explain(problem, hparams)
    stats = hg.hypergradient(problem, hparams, method=method).stats
    assert plan.step_evaluations == stats["step_evaluations"]
    assert plan.bytes == stats["bytes"]
    assert plan.factor >= 1.0
    assert capsys.readouterr().out.strip() == str(plan)


@pytest.mark.parametrize(
    "method", [hg.Forward(), hg.Reverse(checkpoints=3), hg.Truncated(4), hg.DrMAD()], ids=str
)
def test_only_what_is_asked_for_is_returned(classifier, hparams, method):
    r = hg.hypergradient(classifier(), hparams, method=method, wrt=["lr"])
    assert isinstance(r.hypergradient["lr"], float)
    assert r.hypergradient["l2"] is None
    assert r.stats.get("tangents", 1) == 1


@pytest.mark.parametrize("method", [hg.Forward(), hg.Truncated(400), hg.DrMAD()], ids=str)
def test_divergence_is_a_result(classifier, hparams, method):
    r = hg.hypergradient(classifier(steps=400), {**hparams, "lr": 1e300}, method=method)
    assert not np.isfinite(r.value)
    assert np.isnan(r.hypergradient["lr"])
    assert not r.stats["finite"]


@pytest.mark.parametrize("method", [hg.Forward(), hg.Truncated(7), hg.Truncated(3), hg.DrMAD(8)], ids=str)
def test_early_stopping_ends_every_method(classifier, hparams, method):
    stopped = classifier(steps=40, stop=lambda params, hparams, t: t == 7)
    early = hg.hypergradient(stopped, hparams, method=method)
    whole = hg.hypergradient(classifier(steps=7), hparams, method=method)
    assert distance(whole.hypergradient, early.hypergradient) < 1e-13
    assert early.stats["steps"] == 7


def test_float32_stays_float32():
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.float32([1.0, -2.0]),
        inner_loss=lambda p, h, b: 0.5 * np.sum(h["d"] * p**2),
        outer_loss=lambda p, h, v: np.sum(p**2),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=10,
    )
    point = {"lr": 0.1, "d": np.float32([1.0, 2.0])}
    for method in (hg.Reverse(), hg.Forward(), hg.DrMAD(), hg.Truncated(2)):
        r = hg.hypergradient(problem, point, method=method)
        assert r.hypergradient["d"].dtype == np.float32
        assert r.params.dtype == np.float32
    a, b = (hg.hypergradient(problem, point, method=m).hypergradient for m in (hg.Reverse(), hg.Forward()))
    assert distance(a, b) < 1e-6


def quadratic(steps, d=(0.5, 1.5, 3.0)):
    """Inner 0.5 Σ d_i (w_i - c_i)² from w = 1, outer 0.5 Σ w_i²."""
    d = np.array(d)
    return d, hg.BilevelProblem(
        init=lambda h, rng: np.ones(3),
        inner_loss=lambda p, h, b: 0.5 * np.sum(d * (p - h["c"]) ** 2),
        outer_loss=lambda p, h, v: 0.5 * np.sum(p**2),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=steps,
    )


def test_the_bias_of_truncation_falls_at_the_theoretical_rate():
    """dw_T/dc through K steps is 1 - q^K, q = 1 - lr d: the bias is w (q^K - q^T) (Shaban et al. 2019, prop. 3.1)."""
    lr, c = 0.2, np.array([0.4, -0.3, 0.7])
    d, problem = quadratic(200)
    q = 1 - lr * d
    exact = hg.hypergradient(problem, {"lr": lr, "c": c})
    for k in (1, 2, 5, 20, 60):
        cut = hg.hypergradient(problem, {"lr": lr, "c": c}, method=hg.Truncated(k))
        bias = exact.hypergradient["c"] - cut.hypergradient["c"]
        np.testing.assert_allclose(bias, exact.params * (q**k - q**200), rtol=1e-10, atol=1e-14)
        assert np.linalg.norm(bias) <= 1.01 * (1 - lr * d.min()) ** k * np.linalg.norm(exact.params)


def test_one_step_of_truncation_is_the_last_step_alone():
    lr, c = 0.1, np.array([0.4, -0.3, 0.7])
    d, problem = quadratic(30)
    r = hg.hypergradient(problem, {"lr": lr, "c": c}, method=hg.Truncated())
    before = c + (1 - lr * d) ** 29 * (1 - c)
    np.testing.assert_allclose(r.hypergradient["lr"], r.params @ (-d * (before - c)), rtol=1e-12)
    np.testing.assert_allclose(r.hypergradient["c"], r.params * lr * d, rtol=1e-12)


def test_what_init_reads_is_cut_off_unless_all_steps_are_kept(classifier, hparams):
    assert hg.hypergradient(classifier(), hparams, method=hg.Truncated(11)).hypergradient["scale"] == 0.0
    assert hg.hypergradient(classifier(), hparams, method=hg.Truncated(12)).hypergradient["scale"] != 0.0


def test_more_knots_bring_drmad_to_the_exact_hypergradient(classifier, hparams):
    problem = classifier(steps=64, batch_size=None)
    exact = hg.hypergradient(problem, hparams).hypergradient
    errors = [
        distance(exact, hg.hypergradient(problem, hparams, method=hg.DrMAD(k)).hypergradient)
        for k in (2, 9, 33, 65)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] / errors[2] > 4.0
    assert errors[3] < 1e-13


def test_drmad_is_exact_where_the_path_is_a_line():
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.ones(3),
        inner_loss=lambda p, h, b: np.sum(h["slope"] * p),
        outer_loss=lambda p, h, v: 0.5 * np.sum(p**2),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=20,
    )
    point = {"lr": 0.02, "slope": np.array([1.0, 2.0, -3.0])}
    exact = hg.hypergradient(problem, point).hypergradient
    assert distance(exact, hg.hypergradient(problem, point, method=hg.DrMAD()).hypergradient) < 1e-12


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: hg.Truncated(0), "Truncated.steps=.... takes a positive int"),
        (lambda: hg.Truncated(1.5), "positive int"),
        (lambda: hg.DrMAD(1), "2 or more"),
        (lambda: hg.Forward(memory="x"), "number of bytes"),
        (
            lambda: hg.Forward(memory=200).explain(quadratic(3)[1], {"lr": 0.1, "c": np.ones(3)}),
            "one tangent",
        ),
    ],
)
def test_arguments_outside_their_domain_are_refused(make, sentence):
    with pytest.raises(hg.errors.DerivativeError, match=sentence):
        make()


def logistic_map(steps):
    """x' = a x (1 - x): the textbook of chaos; the onset is a = 3.57."""
    return hg.UnrolledProblem(
        init=lambda h, rng: np.array([0.3]),
        step=lambda x, h, batch, t: h["a"] * x * (1 - x),
        outer_loss=lambda x, h, valid: np.sum((x - 0.5) ** 2),
        steps=steps,
    )


@pytest.mark.parametrize("method", [hg.Reverse(), hg.Reverse(checkpoints=5), hg.Forward()], ids=str)
def test_chaos_is_noticed_and_stability_is_not(method):
    calm = hg.hypergradient(logistic_map(200), {"a": 2.8}, method=method)
    wild = hg.hypergradient(logistic_map(200), {"a": 3.9}, method=method)
    assert calm.stats["trusted"]
    assert calm.warnings == ()
    assert not wild.stats["trusted"]
    assert "training is chaotic" in wild.warnings[0]
    assert "hg.Truncated" in wild.warnings[0]


def test_the_monitor_measures_the_lyapunov_exponent():
    """At a = 4 it is log 2 (Ruelle 1978); what is lost is what lies more than log(CHAOS) / log 2 steps back."""
    stats = hg.hypergradient(logistic_map(60), {"a": 4.0}).stats
    assert np.log(stats["growth_per_step"]) == pytest.approx(np.log(2), rel=0.15)
    assert 60 - stats["lost_before"] == pytest.approx(np.log2(CHAOS), abs=8)
    assert stats["growth"] > 1e12


def test_an_adjoint_that_overflows_says_where():
    r = hg.hypergradient(logistic_map(3000), {"a": 4.0})
    assert np.isfinite(r.value)
    assert not r.stats["finite"]
    assert "overflowed at step" in r.warnings[0]
