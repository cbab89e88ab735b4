"""`Implicit` says where its answer is not to be trusted, and is right about how far it is off."""

from __future__ import annotations

import numpy as np
import pytest
from ridge import Ridge, off

import hypergrad as hg


def test_a_point_that_is_not_stationary_is_said():
    ridge = Ridge(0.2)
    r = hg.hypergradient(ridge.problem(4), ridge.h, hg.Implicit())
    (sentence,) = r.warnings
    assert "has not arrived at a stationary point" in sentence
    assert "run more steps" in sentence
    assert not r.stats["trusted"]
    assert hg.hypergradient(ridge.problem(4), ridge.h, hg.Implicit(accuracy=1e3)).warnings == ()
    silent = hg.hypergradient(ridge.problem(4), ridge.h, hg.Implicit(estimate=False))
    assert np.isnan(silent.stats["error"])
    assert silent.stats["solver_products"] < r.stats["solver_products"]


@pytest.mark.parametrize("terms", [3, 10, 40])
def test_the_error_of_a_truncated_series_is_estimated(terms):
    ridge = Ridge(0.2)
    method = hg.Implicit("neumann", terms=terms, step=0.4)
    r = hg.hypergradient(ridge.problem(1500), ridge.h, method)
    error = abs(r.hypergradient["l2"] - ridge.gradient)
    assert 0.5 * error <= r.stats["error"] <= 2.0 * error
    assert bool(r.warnings) == (r.stats["relative_error"] > 1e-3)


def test_a_saddle_is_said_by_cg_and_solved_by_minres():
    """½ (a² − b²) − c a + c b: the stationary point (c, c) is a saddle; started there, training stays."""
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"a": h["start"] * np.ones(()), "b": h["start"] * np.ones(())},
        inner_loss=lambda p, h, b: 0.5 * (p["a"] ** 2 - p["b"] ** 2) - h["c"] * p["a"] + h["c"] * p["b"],
        outer_loss=lambda p, h, v: p["a"] + 3.0 * p["b"],
        train=None,
        valid=None,
        optimizer=hg.optim.SGD(0.1),
        steps=3,
    )
    h = {"c": 2.0, "start": 2.0}
    refused = hg.hypergradient(problem, h, hg.Implicit("cg"))
    assert any("negative curvature" in s and '"minres"' in s for s in refused.warnings)
    assert not refused.stats["converged"]
    found = hg.hypergradient(problem, h, hg.Implicit("minres"))
    assert found.hypergradient["c"] == pytest.approx(4.0, rel=1e-13)
    assert found.warnings == ()
    chosen = hg.hypergradient(problem, h, hg.Implicit())
    assert chosen.hypergradient["c"] == pytest.approx(4.0, rel=1e-13)
    assert chosen.stats["solver"] == "minres"
    (sentence,) = chosen.warnings
    assert "no minimum" in sentence


def test_a_singular_system_is_said():
    """Fewer rows than weights, no ridge: the outer slope has parts that the inner loss does not see."""
    ridge = Ridge(0.3)
    problem = ridge.problem(3000, train={"x": ridge.x[:3], "y": ridge.y[:3]})
    for estimate in (True, False):
        r = hg.hypergradient(problem, {**ridge.h, "l2": 0.0}, hg.Implicit(estimate=estimate))
        assert not r.stats["converged"]
        assert "A is singular" in r.warnings[0]
        assert "use a stronger penalty" in r.warnings[0]
    assert not any("run more steps" in sentence for sentence in r.warnings)


@pytest.mark.parametrize("solver", [None, "minres", "gmres", "dense"])
@pytest.mark.parametrize("digits", [6, 9, 12])
@pytest.mark.parametrize("seed", range(5))
def test_the_error_of_an_ill_conditioned_ridge_is_told_honestly(solver, digits, seed):
    """Condition 10^digits, at the minimum in 60 digits: the truth lies within ten of the estimate, or of rounding."""
    import mpmath as mp

    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal(shape))[0] for shape in ((40, 6), (6, 6)))
    x, y = u * np.logspace(0, -digits / 2, 6) @ v * np.sqrt(40), rng.standard_normal(40)
    vx, vy = rng.standard_normal((30, 6)), rng.standard_normal(30)
    with mp.workdps(60):
        a, b, c, d = (mp.matrix(m.tolist()) for m in (x, y, vx, vy))
        hessian = a.T * a / 40 + mp.mpf(10.0**-digits) * mp.eye(6)
        w = mp.lu_solve(hessian, a.T * b / 40)
        exact = -float((mp.lu_solve(hessian, c.T * (c * w - d) / 30).T * w)[0])
    start = np.array([float(entry) for entry in w])
    problem = Ridge(0.3).problem(
        1,
        hg.optim.SGD(1e-30),
        init=lambda h, rng: {"w": start},
        train={"x": x, "y": y},
        valid={"x": vx, "y": vy},
        outer_loss=lambda p, h, b: 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2),
    )
    r = hg.hypergradient(problem, {"l2": 10.0**-digits}, hg.Implicit(solver))
    error = abs(r.hypergradient["l2"] - exact) / abs(exact)
    assert r.warnings == ()
    assert error < 1e-9
    assert error <= 10.0 * max(r.stats["relative_error"], 1e-13)


def test_products_keep_no_copy_of_the_data():
    ridge = Ridge(0.3)
    r = hg.hypergradient(ridge.problem(1500), ridge.h, hg.Implicit())
    assert r.stats["bytes"] < ridge.x.nbytes / 2


def test_a_tiny_outer_loss():
    """Squares of its slope are below the range of floats."""
    ridge = Ridge(0.3)
    large, tiny = (
        hg.hypergradient(
            ridge.problem(1500, outer_loss=lambda p, h, v, s=scale: s * np.sum(p["w"] ** 2)),
            ridge.h,
            hg.Implicit(),
        ).hypergradient["l2"]
        for scale in (1.0, 1e-200)
    )
    assert off(tiny * 1e200, large) < 1e-12


def test_a_fixed_point_that_repels_is_said():
    """s' = 2 s + c at s = −c = 0: dF/dc = −1, but any disturbance grows."""
    problem = hg.UnrolledProblem(
        init=lambda h, rng: np.zeros(2),
        step=lambda s, h, b, t: 2.0 * s + h["c"],
        outer_loss=lambda s, h, v: np.sum(s),
        steps=20,
    )
    r = hg.hypergradient(problem, {"c": np.zeros(2)}, hg.Implicit())
    np.testing.assert_allclose(r.hypergradient["c"], -1.0, rtol=1e-13)
    (sentence,) = r.warnings
    assert sentence.startswith("a step leads away from the fixed point")
