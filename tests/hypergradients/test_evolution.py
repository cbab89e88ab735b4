"""Evolution strategies estimate the gradient of the smoothed loss, and say how well."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.hypergradients.base import chosen
from hypergrad.hypergradients.perturbation import Coordinate, best_weight
from hypergrad.hypergradients.prepare import unrolled

CURVATURE = np.array([0.5, 1.0, 2.0])
TARGET = np.array([0.3, -0.2, 0.9])


def quadratic(steps=12, **options):
    """Inner 0.5 Σ d_i (w_i - c_i)² from w = 1, outer Σ (w_i - v_i)²."""
    return hg.BilevelProblem(
        **{
            "init": lambda hparams, rng: {"w": np.ones(3)},
            "inner_loss": lambda p, h, b: 0.5 * np.sum(CURVATURE * (p["w"] - h["c"]) ** 2),
            "outer_loss": lambda p, h, v: np.sum((p["w"] - TARGET) ** 2),
            "train": None,
            "valid": None,
            "optimizer": hg.optim.SGD("lr"),
            "steps": steps,
            **options,
        }
    )


CENTRE = np.array([0.5, -0.3, 0.1])
HPARAMS = {"lr": 0.1, "c": CENTRE}


def final(rates, lengths):
    """The outer loss of `quadratic` after runs of the given lengths at the given rates."""
    w = np.ones(3)
    for lr, length in zip(rates, lengths, strict=True):
        w = CENTRE + (1.0 - lr * CURVATURE) ** length * (w - CENTRE)
    return np.sum((w - TARGET) ** 2)


def smoothed_slope(sigma, lengths):
    """dE F / d lr, F at a rate lr e^{σ ε_w} of its own in each window, by Gauss-Hermite quadrature of E F ξ_W / σ."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    total = 0.0
    for index in itertools.product(range(24), repeat=len(lengths)):
        eps = nodes[list(index)]
        total += weights[list(index)].prod() * final(0.1 * np.exp(sigma * eps), lengths) * eps.sum() / sigma
    return total / 0.1


def within(estimate, error, expected, count=4.0):
    assert np.all(np.abs(estimate - expected) <= count * np.asarray(error))


@pytest.mark.parametrize(
    ("unroll", "lengths"), [(None, (12,)), (12, (12,)), (6, (6, 6)), (9, (9, 3)), (4, (4, 4, 4))]
)
def test_the_estimate_is_unbiased_for_the_smoothed_loss(unroll, lengths):
    sigma = 0.2
    expected = smoothed_slope(sigma, lengths)
    method = hg.Evolution(sigma=sigma, pairs=600, unroll=unroll)
    result = hg.hypergradient(quadratic(), HPARAMS, method, wrt="lr")
    error = result.standard_error["lr"]
    assert error < 0.15 * abs(expected)
    within(result.hypergradient["lr"], error, expected)


@pytest.mark.parametrize("unroll", [None, 3, 1])
def test_a_quadratic_loss_keeps_its_gradient_when_smoothed(unroll):
    """F is quadratic in c, which has entries of both signs and is perturbed additively."""
    exact = hg.hypergradient(quadratic(), HPARAMS).hypergradient["c"]
    result = hg.hypergradient(quadratic(), HPARAMS, hg.Evolution(pairs=800, unroll=unroll), wrt="c")
    within(result.hypergradient["c"], result.standard_error["c"], exact)
    assert np.all(result.standard_error["c"] < 0.2 * np.linalg.norm(exact))
    assert result.hypergradient["lr"] is None
    assert result.standard_error["lr"] is None


def test_one_window_is_antithetic_evolution():
    whole = hg.hypergradient(quadratic(), HPARAMS, hg.Evolution())
    for unroll in (12, 50):
        window = hg.hypergradient(quadratic(), HPARAMS, hg.Evolution(unroll=unroll))
        for key in HPARAMS:
            np.testing.assert_array_equal(window.hypergradient[key], whole.hypergradient[key])


def test_persistent_increments_spread_less_than_the_whole_loss():
    """The telescoped estimate leaves out what happened before each perturbation."""
    problem = quadratic(outer_loss=lambda p, h, v: np.sum((p["w"] - TARGET) ** 2) + 100.0 * p["w"][0])
    result = hg.hypergradient(problem, HPARAMS, hg.Evolution(pairs=300, unroll=3), wrt="lr")
    exact = hg.hypergradient(problem, HPARAMS).hypergradient["lr"]
    assert np.sign(result.hypergradient["lr"]) == np.sign(exact)
    assert result.standard_error["lr"] < 0.2 * abs(exact)


def test_the_start_and_the_outer_loss_may_read_what_is_perturbed():
    problem = quadratic(
        init=lambda h, rng: {"w": h["first"]},
        outer_loss=lambda p, h, v: np.sum((p["w"] - TARGET) ** 2) + np.sum(h["first"] * h["c"]),
    )
    hparams = {**HPARAMS, "first": np.array([1.0, -1.0, 0.0])}
    exact = hg.hypergradient(problem, hparams).hypergradient
    result = hg.hypergradient(problem, hparams, hg.Evolution(pairs=600), wrt=("first", "c"))
    for key in ("first", "c"):
        within(result.hypergradient[key], result.standard_error[key], exact[key])


def toy(steps=100):
    """Two log rates, at the start and at the end, of descent over a wavy valley, after Vicol et al. (2021)."""

    def inner_loss(params, hparams, batch):
        x, y = params[0], params[1]
        return (
            np.sqrt(x**2 + 5.0)
            - np.sqrt(y**2 + 5.0)
            + np.sin(y) ** 2 * np.exp(-5.0 * x**2)
            + 0.25 * np.abs(y - 100.0)
        )

    return hg.BilevelProblem(
        init=lambda hparams, rng: np.ones(2),
        inner_loss=inner_loss,
        outer_loss=inner_loss,
        train=None,
        valid=None,
        optimizer=hg.optim.SGD(hg.optim.PiecewiseLinear("lr", log=True)),
        steps=steps,
    )


def test_persistent_evolution_descends_the_toy_surface():
    problem, log_lr = toy(), np.log([0.05, 0.05])
    before = hg.train(problem, {"lr": np.exp(log_lr)}, curve=0).value
    method = hg.Evolution(sigma=0.3, pairs=6, unroll=10)
    for _ in range(15):
        result = hg.hypergradient(problem, {"lr": np.exp(log_lr)}, method, curve=0)
        slope = result.hypergradient["lr"] * np.exp(log_lr)
        log_lr -= 0.2 * slope / np.linalg.norm(slope)
    assert result.value < before - 5.0


def logistic_map(steps):
    """x' = a x (1 - x) from 0.3; chaotic for a above about 3.57."""
    return hg.UnrolledProblem(
        init=lambda hparams, rng: np.array([0.3]),
        step=lambda x, h, b, t: h["a"] * x * (1.0 - x),
        outer_loss=lambda x, h, v: x[0],
        steps=steps,
    )


def test_smooth_where_the_gradient_explodes():
    problem = logistic_map(60)
    method = hg.Evolution(sigma=0.002, pairs=64)
    exact = hg.hypergradient(problem, {"a": 3.9}).hypergradient["a"]
    assert abs(exact) > 1e6
    result = hg.hypergradient(problem, {"a": 3.9}, method)
    assert result.stats["finite"]
    assert result.standard_error["a"] < 20.0
    eps = np.linspace(-6.0, 6.0, 400_001)  # E F ε / σ on a grid much finer than the chaos of the loss
    x, a = np.full(eps.shape, 0.3), 3.9 * np.exp(0.002 * eps)
    for _ in range(60):
        x = a * x * (1.0 - x)
    density = np.exp(-0.5 * eps**2)
    expected = np.sum(density * x * eps) / np.sum(density) / 0.002 / 3.9
    within(result.hypergradient["a"], result.standard_error["a"], expected)


def test_an_estimate_that_is_noise_is_not_trusted():
    problem = quadratic(outer_loss=lambda p, h, v: np.sum(p["w"] ** 2) + np.sum(h["many"] ** 2))
    result = hg.hypergradient(problem, {**HPARAMS, "many": np.ones(200)}, hg.Evolution(pairs=4))
    assert not result.stats["trusted"]
    assert "standard error" in result.warnings[0]
    assert result.stats["relative_error"] > np.sqrt(0.5)


@pytest.mark.parametrize(("a", "low", "high"), [(2.8, 0.9, 1.0), (3.9, 0.0, 1e-6)])
def test_the_mixture_takes_what_spreads_less(a, low, high):
    problem, method = logistic_map(60), hg.Evolution(sigma=0.002, pairs=32)
    alone = hg.hypergradient(problem, {"a": a}, method)
    mixed = hg.hypergradient(problem, {"a": a}, hg.Evolution(sigma=0.002, pairs=32, combine=hg.Reverse()))
    (weight,) = mixed.stats["combined_weights"]
    assert low <= weight <= high
    assert mixed.standard_error["a"] <= alone.standard_error["a"] * (1.0 + 1e-12)
    assert mixed.stats["smoothed_value"] == pytest.approx(alone.stats["smoothed_value"], rel=1e-9)
    if a == 2.8:
        assert mixed.standard_error["a"] < 0.01 * alone.standard_error["a"]
        assert mixed.hypergradient["a"] == pytest.approx(1.0 / a**2, rel=1e-3)  # of 1 - 1/a, the fixed point


@pytest.mark.parametrize("seed", range(5))
def test_the_mixture_spreads_no_more_than_either(seed):
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((20, 3)) * rng.uniform(0.1, 10.0)
    second = rng.standard_normal((20, 3)) + rng.uniform(-1.0, 1.0) * first
    weight = best_weight(first, second)
    mixed = weight * first + (1.0 - weight) * second
    spread = [np.sum(np.var(s, axis=0)) for s in (mixed, first, second)]
    assert spread[0] <= min(spread[1:]) * (1.0 + 1e-12)


def test_independent_estimates_are_weighted_by_their_inverse_variances():
    rng = np.random.default_rng(0)
    first, second = 3.0 * rng.standard_normal((100_000, 1)), rng.standard_normal((100_000, 1))
    assert best_weight(first, second) == pytest.approx(0.1, abs=0.01)
    assert best_weight(1e250 * first, second) == pytest.approx(0.0, abs=1e-12)
    assert best_weight(np.full((3, 1), np.nan), np.ones((3, 1))) == 0.0
    assert best_weight(np.zeros((3, 1)), np.zeros((3, 1))) == 1.0


def test_the_mixture_of_a_pathwise_gradient_in_logarithms():
    exact = smoothed_slope(0.3, (12,))
    method = hg.Evolution(sigma=0.3, pairs=300, combine=hg.Reverse())
    result = hg.hypergradient(quadratic(), HPARAMS, method, wrt="lr")
    within(result.hypergradient["lr"], result.standard_error["lr"], exact)
    assert result.standard_error["lr"] < 0.02 * abs(exact)
    plain = hg.hypergradient(quadratic(), HPARAMS).hypergradient["lr"]
    assert abs(plain - exact) > 4.0 * result.standard_error["lr"]  # the loss itself has another slope


def test_a_positive_leaf_stays_positive():
    problem = quadratic(outer_loss=lambda p, h, v: np.sum(np.sqrt(h["s"])) + 0.0 * p["w"][0])
    hparams = {**HPARAMS, "s": np.array([1.0, 1e-3])}
    result = hg.hypergradient(problem, hparams, hg.Evolution(sigma=1.0, pairs=400), wrt="s")
    assert result.stats["diverged_pairs"] == 0
    # E sqrt(s) e^{ε/2} = sqrt(s) e^{1/8}
    within(result.hypergradient["s"], result.standard_error["s"], 0.5 / np.sqrt(hparams["s"]) * np.exp(0.125))


def test_pairs_that_diverge_count_for_nothing_and_are_told():
    result = hg.hypergradient(
        quadratic(steps=3000), {"lr": 0.5, "c": CENTRE}, hg.Evolution(sigma=0.7, pairs=10), wrt="lr"
    )
    lost = result.stats["diverged_pairs"]
    assert 0 < lost < 9
    assert np.isfinite(result.hypergradient["lr"])
    assert f"{lost} of 10 pairs" in result.warnings[0]
    assert not result.stats["trusted"]
    for method in (
        hg.Evolution(pairs=3),
        hg.Evolution(pairs=3, unroll=7),
        hg.Evolution(combine=hg.Reverse()),
    ):
        result = hg.hypergradient(quadratic(steps=300), {"lr": 1e6, "c": CENTRE}, method)
        assert np.isnan(result.hypergradient["lr"])
        assert np.isnan(result.hypergradient["c"]).all()
        assert "nothing was estimated" in result.warnings[0]


@pytest.mark.parametrize("options", [{}, {"unroll": 5}, {"combine": hg.Reverse()}])
def test_the_plan_is_what_is_run(options, capsys):
    problem, method = quadratic(), hg.Evolution(pairs=4, **options)
    plan = method.explain(problem, HPARAMS)
    stats = hg.hypergradient(problem, HPARAMS, method).stats
    assert plan.forward_steps == stats["forward_steps"]
    assert plan.linearised_steps == stats["linearised_steps"]
    assert plan.bytes == stats["bytes"]
    assert "4 pairs" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_bits_and_other_points_other_directions():
    problem = quadratic()
    found = [hg.hypergradient(problem, HPARAMS, hg.Evolution(seed=s)).hypergradient["lr"] for s in (3, 3, 4)]
    assert found[0] == found[1] != found[2]
    linear = quadratic(outer_loss=lambda p, h, v: np.sum(h["c"]) + 0.0 * p["w"][0])
    moved = [
        hg.hypergradient(linear, {"lr": 0.1, "c": CENTRE + shift}, hg.Evolution()).hypergradient["c"]
        for shift in (0.0, 1e-9)
    ]
    assert np.max(np.abs(moved[0] - moved[1])) > 1e-3


def test_trees_dtypes_and_what_nothing_depends_on():
    problem = quadratic(init=lambda hparams, rng: {"w": np.ones(3, np.float32)})
    hparams = {
        "lr": np.float32(0.1),
        "c": CENTRE.astype(np.float32),
        "n": 3,
        "unused": 1.0,
        "none": np.zeros(0),
    }
    result = hg.hypergradient(problem, hparams, hg.Evolution())
    assert result.hypergradient["lr"].dtype == np.float32
    assert result.hypergradient["c"].dtype == np.float32
    assert result.hypergradient["n"] is None
    assert result.hypergradient["unused"] == result.standard_error["unused"] == 0.0
    assert result.hypergradient["none"].shape == (0,)
    assert result.disconnected == ("none", "unused")
    assert len(result.stats["standard_errors"]) == 2
    assert result.value == hg.train(problem, hparams).value
    assert result.curve.shape == (12,)


def test_a_scale_for_each_name():
    method = hg.Evolution(sigma={"lr": 0.01, "c": 0.5})
    assert hg.hypergradient(quadratic(), HPARAMS, method).stats["finite"]
    only = hg.Evolution(sigma={"lr": 0.01})
    assert hg.hypergradient(quadratic(), HPARAMS, only, wrt="lr").stats["finite"]
    with pytest.raises(hg.errors.DerivativeError, match=r"no scale for hparams\['c'\]"):
        hg.hypergradient(quadratic(), HPARAMS, only)
    with pytest.raises(hg.errors.UnknownNameError, match="did you mean 'lr'"):
        hg.hypergradient(quadratic(), HPARAMS, hg.Evolution(sigma={"l": 0.1, "lr": 0.1, "c": 0.1}))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sigma": 0.0}, "positive number for sigma, got 0.0"),
        ({"sigma": {"lr": -1.0}}, r"sigma\['lr'\], got -1.0"),
        ({"pairs": 1}, "2 pairs or more, got 1"),
        ({"pairs": True}, "2 pairs or more"),
        ({"unroll": 0}, "1 step or more"),
        ({"seed": -1}, "its seed"),
        ({"combine": True}, "a method such as"),
        ({"combine": hg.Reverse(), "unroll": 3}, "leave out unroll or combine"),
    ],
)
def test_arguments_outside_their_domain(options, match):
    with pytest.raises(hg.errors.DerivativeError, match=match):
        hg.Evolution(**options)


def test_runs_that_stop_early():
    problem = quadratic(steps=200, stop=hg.EarlyStopping(patience=2, every=5, tolerance=1e-3))
    result = hg.hypergradient(problem, HPARAMS, hg.Evolution(pairs=4))
    assert result.stats["steps"] < 200
    assert result.stats["step_evaluations"] < 9 * 200
    assert result.value == hg.train(problem, HPARAMS).value
    for call in (
        hg.Evolution(unroll=10).explain,
        lambda p, h: hg.hypergradient(p, h, hg.Evolution(unroll=10)),
    ):
        with pytest.raises(hg.errors.DerivativeError, match="leave out unroll or stop"):
            call(problem, HPARAMS)


def test_momentum_and_betas_stay_below_one(classifier, hparams):
    """mu = 0.95 is perturbed in log mu/(1 - mu): no pair leaves (0, 1), and the slope is that of reverse mode."""
    problem = classifier(batch_size=None, steps=40, optimizer=hg.optim.Momentum("lr", "mu"))
    point = {**hparams, "lr": 0.02, "mu": 0.95}
    method = hg.Evolution(sigma=0.02, pairs=400)
    found = hg.hypergradient(problem, point, method=method, wrt="mu")
    exact = hg.hypergradient(problem, point, wrt="mu").hypergradient["mu"]
    assert found.stats["diverged_pairs"] == 0
    assert abs(found.hypergradient["mu"] - exact) <= 4.0 * found.standard_error["mu"] + 0.02 * abs(exact)


def test_a_decay_factor_has_a_logit_coordinate():
    """dψ/dh = 1 / (h (1 - h)), and the pathwise slope is that of finite differences."""
    place = Coordinate(np.array(0.9), 2.0, "logit")
    for epsilon in (np.array(-3.0), np.array(0.4), np.array(3.0)):
        moved = place.at(epsilon)
        assert 0.0 < moved < 1.0
        assert np.log(moved / (1 - moved)) == pytest.approx(np.log(9.0) + 2.0 * epsilon, rel=1e-12)
        slope = (place.at(epsilon + 1e-4) - place.at(epsilon - 1e-4)) / (2e-4 * place.sigma)
        assert place.pathwise(np.array(1.0), epsilon) == pytest.approx(slope, rel=1e-7)
    assert place.natural(np.array(1.0)) == pytest.approx(1.0 / 0.09)


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [(hg.optim.Momentum("lr", "mu"), "logit"), (hg.optim.Momentum("mu", "lr"), "log"), (None, "log")],
)
def test_only_what_is_read_as_a_decay_factor_has_one(classifier, hparams, optimizer, kind):
    problem = classifier(**({} if optimizer is None else {"optimizer": optimizer}))
    if optimizer is None:
        problem = classifier(optimizer=hg.optim.SGD("mu"))
    trajectory = unrolled(problem, hparams, 0)
    places = hg.Evolution()._places(trajectory, chosen(trajectory, "mu"))
    assert [place.kind for place in places if place is not None] == [kind]
