"""Penalties of lasso and elastic net: exact fits, exact derivatives, and minima that grids do not beat."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_regression
from sklearn.linear_model import ElasticNet, ElasticNetCV, LassoCV
from sklearn.model_selection import KFold

import hypergrad as hg
from hypergrad.errors import DataError
from hypergrad.tasks import ElasticNetCriterion, find_penalty
from hypergrad.tasks.elastic_net import Fold


def data(rows, features, active, correlation=0.5, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features))
    for j in range(1, features):
        x[:, j] = correlation * x[:, j - 1] + np.sqrt(1 - correlation**2) * x[:, j]
    w = np.zeros(features)
    w[rng.choice(features, active, replace=False)] = rng.standard_normal(active)
    return x + 3.0, x @ w + noise * rng.standard_normal(rows) - 7.0


SHAPES = {"tall": (80, 12, 5), "wide": (40, 120, 10), "dense": (50, 80, 60)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [1.0, 0.6, 0.05])
@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.01])
def test_fits_are_the_minimisers(shape, ratio, fraction):
    """The objective is scikit-learn's, to its tolerance or better, and the optimality conditions hold."""
    x, y = data(*SHAPES[shape])
    rows = np.arange(len(y))
    fold = Fold(x, y, rows, rows[:5])
    alpha = fraction * fold.start().a1 / ratio
    fit = fold.solve(alpha * ratio, alpha * (1 - ratio), fold.start())
    peer = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-13, max_iter=200_000).fit(x, y)
    w = np.zeros(x.shape[1])
    w[fit.support] = fit.weights
    assert fit.violation < 1e-9
    np.testing.assert_allclose(w, peer.coef_, atol=1e-6 * np.abs(peer.coef_).max())
    c = (x - x.mean(0)).T @ (y - y.mean() - (x - x.mean(0)) @ w) / len(y)
    assert np.abs(c).max() <= alpha * ratio + alpha * (1 - ratio) * np.abs(w).max() + 1e-12
    np.testing.assert_allclose(c, fit.correlations, atol=1e-12 * np.abs(y).max())


def test_repeated_columns_and_more_features_than_rows():
    """K is singular where a column and its copy are both active: the fit still fulfils its conditions."""
    x, y = data(30, 20, 10)
    x = np.c_[x, x, -x[:, :5], np.ones(30)]
    rows = np.arange(30)
    fold = Fold(x, y, rows, rows[:5])
    near = fold.start()
    for fraction in (0.3, 0.1, 0.03, 0.01, 0.001):
        near = fold.solve(fraction * fold.start().a1, 0.0, near)
        assert near.violation < 1e-8
        peer = Fold(x[:, :20], y, rows, rows[:5])
        alone = peer.solve(near.a1, 0.0, peer.start())
        assert fold.error(near)[0] == pytest.approx(peer.error(alone)[0], rel=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ratio", [1.0, 0.7, 0.1])
def test_derivatives_are_those_of_differences(shape, ratio):
    x, y = data(*SHAPES[shape])
    criterion = ElasticNetCriterion(x, y, KFold(4, shuffle=True, random_state=1))
    alpha = 0.07 * criterion.alpha_max(ratio)
    value, gradient = criterion({"alpha": alpha, "l1_ratio": ratio})
    step = 1e-6
    sides = [criterion.evaluate(alpha * (1 + e), ratio).value for e in (step, -step)]
    assert gradient["alpha"] == pytest.approx((sides[0] - sides[1]) / (2 * step * alpha), rel=1e-5)
    if ratio < 1.0:
        sides = [criterion.evaluate(alpha, ratio + e).value for e in (step, -step)]
        assert gradient["l1_ratio"] == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=1e-5)
    else:
        inside = criterion.evaluate(alpha, 1.0 - step).value
        assert gradient["l1_ratio"] == pytest.approx((value - inside) / step, rel=1e-3)


def test_the_derivative_is_that_of_implicit_differentiation():
    """`hg.Implicit()` at the end of FISTA, on one split, in scikit-learn's penalties by the chain rule."""
    x, y = data(60, 15, 5, correlation=0.3)
    train, valid = np.arange(40), np.arange(40, 60)
    criterion = ElasticNetCriterion(x, y, [(train, valid)])
    alpha, ratio = 0.2, 0.8
    value, gradient = criterion({"alpha": alpha, "l1_ratio": ratio})
    mean = x[train].mean(0)
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"b": np.zeros(()), "w": np.zeros(15)},
        inner_loss=lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2),
        outer_loss=lambda p, h, b: np.mean((b["x"] @ p["w"] + p["b"] - b["y"]) ** 2),
        train={"x": x[train] - mean, "y": y[train]},
        valid={"x": x[valid] - mean, "y": y[valid]},
        optimizer=hg.optim.ISTA(0.3, hg.optim.ElasticNet("a1", "a2", on="w")),
        steps=4000,
    )
    r = hg.hypergradient(problem, {"a1": alpha * ratio, "a2": alpha * (1 - ratio)}, hg.Implicit())
    by_a1, by_a2 = r.hypergradient["a1"], r.hypergradient["a2"]
    assert value == pytest.approx(r.value, rel=1e-10)
    assert gradient["alpha"] == pytest.approx(ratio * by_a1 + (1 - ratio) * by_a2, rel=1e-8)
    assert gradient["l1_ratio"] == pytest.approx(alpha * (by_a1 - by_a2), rel=1e-8)


def test_values_are_those_that_scikit_learn_reports():
    x, y = data(80, 12, 5)
    cv = KFold(5, shuffle=True, random_state=3)
    peer = LassoCV(cv=cv, tol=1e-12, max_iter=100_000).fit(x, y)
    criterion = ElasticNetCriterion(x, y, cv)
    for i in (10, 50, 90):
        found = criterion.evaluate(float(peer.alphas_[i]))
        assert found.value == pytest.approx(peer.mse_path_[i].mean(), rel=1e-9)
        assert found.standard_error == pytest.approx(peer.mse_path_[i].std(ddof=1) / np.sqrt(5), rel=1e-8)


def test_without_an_intercept():
    x, y = data(60, 10, 5)
    peer = LassoCV(cv=3, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y)
    criterion = ElasticNetCriterion(x, y, 3, intercept=False)
    assert criterion.evaluate(float(peer.alphas_[60])).value == pytest.approx(
        peer.mse_path_[60].mean(), rel=1e-9
    )
    assert find_penalty(criterion).intercept == 0.0


def show():
    """The data and folds of the benchmark."""
    x, y = make_regression(500, 1000, noise=40, random_state=42)
    return x, y, KFold(5, shuffle=True, random_state=42)


def small(seed):
    rng = np.random.default_rng(seed)
    rows, features = int(rng.integers(40, 120)), int(rng.choice([5, 20, 60, 150]))
    x, y = data(
        rows, features, int(rng.integers(1, features + 1)), float(rng.choice([0.0, 0.5, 0.95])), 2.0, seed
    )
    return x, y, 5


CASES = {
    "show": show,
    "diabetes": lambda: (*load_diabetes(return_X_y=True), 5),
    **{f"small {seed}": lambda seed=seed: small(seed) for seed in range(5)},
}


@pytest.mark.parametrize("case", CASES)
def test_lasso_is_within_a_thousandth_of_the_best_of_a_hundred_alphas(case):
    x, y, cv = CASES[case]()
    found = find_penalty(ElasticNetCriterion(x, y, cv))
    exact = ElasticNetCriterion(x, y, cv)
    grid = exact.alpha_whole * np.geomspace(1.0, 1e-3, 100)  # LassoCV's
    best = min(exact.evaluate(float(alpha)).value for alpha in (grid if case != "show" else grid[:60]))
    assert found.value <= best * 1.001
    assert exact.evaluate(found.alpha).value == pytest.approx(found.value, rel=1e-9)
    assert max(e.violation for e in found.evaluations) < 1e-8


@pytest.mark.parametrize("case", [case for case in CASES if case != "show"])
def test_elastic_net_is_within_a_thousandth_of_the_best_of_the_grid(case):
    x, y, cv = CASES[case]()
    found = find_penalty(ElasticNetCriterion(x, y, cv), l1_ratio=None)
    peer = ElasticNetCV(cv=cv, l1_ratio=[0.1, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0], tol=1e-6, max_iter=20_000).fit(
        x, y
    )
    best = ElasticNetCriterion(x, y, cv).evaluate(float(peer.alpha_), float(peer.l1_ratio_)).value
    assert found.value <= best * 1.001


def test_the_model_is_that_of_all_rows():
    x, y = data(80, 12, 5)
    found = find_penalty(ElasticNetCriterion(x, y), l1_ratio=0.7)
    peer = ElasticNet(alpha=found.alpha, l1_ratio=0.7, tol=1e-13, max_iter=100_000).fit(x, y)
    np.testing.assert_allclose(found.coef, peer.coef_, atol=1e-8)
    assert found.intercept == pytest.approx(peer.intercept_, rel=1e-8)
    assert not found.edge


def test_pure_noise_has_no_weights_and_no_noise_has_the_smallest_alpha():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((60, 30))
    criterion = ElasticNetCriterion(x, rng.standard_normal(60))
    noise = find_penalty(criterion)
    assert noise.alpha == criterion.alpha_max()
    assert not noise.coef.any()
    exact = find_penalty(ElasticNetCriterion(x, x[:, 0] - x[:, 1]))
    assert exact.edge
    np.testing.assert_allclose(exact.coef[:2], [1.0, -1.0], atol=0.02)


def test_the_same_call_has_the_same_bits():
    x, y = data(60, 100, 10)
    one, two = (find_penalty(ElasticNetCriterion(x, y), l1_ratio=None) for _ in range(2))
    assert (one.alpha, one.l1_ratio, one.value) == (two.alpha, two.l1_ratio, two.value)
    assert len(one.evaluations) == len(two.evaluations)


def test_a_study_takes_the_criterion_as_its_objective():
    x, y = data(60, 20, 5)
    criterion = ElasticNetCriterion(x, y)
    top = criterion.alpha_max()
    space = hg.Space(alpha=hg.Float(1e-3 * top, top, log=True, default=0.1 * top))
    study = hg.Study("lasso", space, seed=0)
    study.optimize(criterion, trials=15)
    assert study.best.value <= find_penalty(criterion).value * 1.02


def test_errors():
    x, y = data(30, 5, 2)
    with pytest.raises(DataError, match="x has 30 rows and y has 29"):
        ElasticNetCriterion(x, y[:-1])
    with pytest.raises(DataError, match="x must be a 2-d array"):
        ElasticNetCriterion(x[0], y)
    with pytest.raises(DataError, match="y holds numbers that are not finite"):
        ElasticNetCriterion(x, np.where(y > y.mean(), np.nan, y))
    with pytest.raises(DataError, match="no feature is correlated"):
        ElasticNetCriterion(x, np.ones(30))
    with pytest.raises(DataError, match="does not split the 30 rows"):
        ElasticNetCriterion(x, y, cv=31)
    criterion = ElasticNetCriterion(x, y)
    with pytest.raises(DataError, match="alpha must be a positive number"):
        criterion.evaluate(0.0)
    with pytest.raises(DataError, match=r"l1_ratio must lie in \(0, 1\]"):
        criterion.evaluate(1.0, 0.0)
    with pytest.raises(DataError, match="hparams hold alpha and l1_ratio, got 'alpa'"):
        criterion({"alpa": 1.0})
    with pytest.raises(DataError, match="l1_ratio"):
        find_penalty(criterion, l1_ratio=2.0)
    with pytest.raises(DataError, match="eps"):
        find_penalty(criterion, eps=1.5)


def test_masks_are_row_numbers():
    x, y = RNG_BAD.standard_normal((60, 8)), RNG_BAD.standard_normal(60)
    rows = np.arange(60)
    by_number = ElasticNetCriterion(x, y, cv=[(rows[:40], rows[40:])]).evaluate(0.1)
    by_mask = ElasticNetCriterion(x, y, cv=[(rows < 40, rows >= 40)]).evaluate(0.1)
    assert by_mask.value == by_number.value
    assert by_mask.by_alpha == by_number.by_alpha


RNG_BAD = np.random.default_rng(2)
ROWS = np.arange(60)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"y": np.full(60, 0.1)}, "no feature is correlated with y"),
        ({"y": np.ones((60, 1))}, r"write y.ravel\(\)"),
        ({"x": np.ones(60)}, r"write x\[:, None\]"),
        ({"y": np.full(60, 1e160)}, "rescale it"),
        ({"cv": []}, r"cv=\[\] has no folds"),
        ({"cv": [(ROWS[:40], ROWS[40:] + 1)]}, "must name rows 0 to 59 .* from 41 to 60"),
        ({"cv": [(ROWS[:40], -ROWS[1:9])]}, "must name rows 0 to 59"),
        ({"cv": [(ROWS[:40] / 1.0, ROWS[40:])]}, "got float64"),
        ({"cv": [(ROWS[:40, None], ROWS[40:])]}, r"got int64 of shape \(40, 1\)"),
        ({"cv": 1}, "cv=1 does not split the 60 rows"),
        ({"intercept": "no"}, "intercept must be True or False"),
    ],
)
def test_bad_data_are_one_sentence(change, sentence):
    data = {"x": RNG_BAD.standard_normal((60, 3)), "y": RNG_BAD.standard_normal(60)}
    with pytest.raises(DataError, match=sentence) as caught:
        ElasticNetCriterion(**{**data, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"criterion": (1, 2)}, "find_penalty takes hg.tasks.ElasticNetCriterion.*, got tuple"),
        ({"l1_ratio": "lasso"}, "l1_ratio must lie in"),
        ({"eps": "small"}, "eps must lie in"),
        ({"tolerance": None}, "tolerance must be a positive number, got None"),
        ({"max_evaluations": float("nan")}, "max_evaluations must be 3 or more"),
    ],
)
def test_bad_arguments_of_the_search_are_one_sentence(change, sentence):
    criterion = ElasticNetCriterion(RNG_BAD.standard_normal((30, 3)), RNG_BAD.standard_normal(30))
    with pytest.raises(DataError, match=sentence):
        find_penalty(**{"criterion": criterion, **change})
    for alpha in ("a", None, np.ones(2), float("nan")):
        with pytest.raises(DataError, match="alpha must be a positive number"):
            criterion({"alpha": alpha})
