r"""Iterations that can be solved by hand: value and hypergradient equal the formula.

Notation: T steps, rate h, start w_0, each step w' = w - h (a w - b_t).
"""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

T = 12


def test_a_linear_recursion():
    """b_t = t: w_T = q^T w_0 + h sum_t q^(T-1-t) t with q = 1 - a h; the outer loss is w_T^2 / 2."""
    a, h, w0 = 0.8, 0.3, 2.0
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: {"w": np.array([w0])},
        step=lambda state, hparams, batch, t: {"w": state["w"] - hparams["h"] * (a * state["w"] - t)},
        outer_loss=lambda state, hparams, batch: 0.5 * np.sum(state["w"] ** 2),
        steps=T,
    )
    found = hg.hypergradient(problem, {"h": h})
    t, q = np.arange(T), 1.0 - a * h
    w = q**T * w0 + h * np.sum(q ** (T - 1.0 - t) * t)
    slope = -a * T * q ** (T - 1) * w0 + np.sum(q ** (T - 1.0 - t) * t)
    slope -= a * h * np.sum((T - 1.0 - t) * q ** (T - 2.0 - t) * t)
    assert found.params["w"][0] == pytest.approx(w, rel=1e-13)
    assert found.value == pytest.approx(0.5 * w**2, rel=1e-13)
    assert found.hypergradient["h"] == pytest.approx(w * slope, rel=1e-12)


def test_gradient_descent_on_a_diagonal_ridge(close):
    r"""Loss 1/2 sum_i [a_i (w_i - c_i)^2 + l_i w_i^2] has, with s = a + l and q = 1 - h s,

    w_T = q^T w_0 + (1 - q^T) a c / s,
    dw_T/dh = -s T q^(T-1) (w_0 - a c / s),
    dw_T/dl = -h T q^(T-1) (w_0 - a c / s) - (1 - q^T) a c / s^2,
    dw_T/dw_0 = q^T.
    """
    rng = np.random.default_rng(0)
    a, c, start = rng.uniform(0.5, 1.5, 4), rng.standard_normal(4), rng.standard_normal(4)
    h, scale, l = 0.4, 1.3, rng.uniform(0.1, 0.5, 4)
    rows = np.sqrt(4 * np.diag(a))
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": hparams["scale"] * start},
        inner_loss=lambda params, hparams, batch: (
            0.5 * np.mean((batch["x"] @ (params["w"] - c)) ** 2)
            + 0.5 * np.sum(hparams["l"] * params["w"] ** 2)
        ),
        outer_loss=lambda params, hparams, batch: params["w"] @ batch["g"][0],
        train={"x": rows},
        valid={"g": np.arange(1.0, 5.0)[None]},
        optimizer=hg.optim.SGD(lr="h"),
        steps=T,
    )
    found = hg.hypergradient(problem, {"h": h, "l": l, "scale": scale})
    g, s = np.arange(1.0, 5.0), a + l
    q, target = 1.0 - h * s, a * c / s
    w = q**T * scale * start + (1 - q**T) * target
    close(found.params["w"], w, 1e-13, "w_T")
    assert found.value == pytest.approx(g @ w, rel=1e-13)
    away = T * q ** (T - 1) * (scale * start - target)
    close(found.hypergradient["h"], g @ (-s * away), 1e-12, "rate")
    close(found.hypergradient["l"], g * (-h * away - (1 - q**T) * a * c / s**2), 1e-12, "penalties")
    close(found.hypergradient["scale"], g @ (q**T * start), 1e-12, "scale of the start")


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_on_a_parabola_is_a_matrix_power(momentum, close):
    """(m', w') = M (m, w) with M = [[momentum, a], [-h momentum, 1 - h a]].

    d(M^T)/dh = sum_k M^k dM/dh M^(T-1-k).
    """
    a, h, w0 = 1.7, 0.2, 1.5
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.array([w0])},
        inner_loss=lambda params, hparams, batch: 0.5 * a * np.sum(params["w"] ** 2),
        outer_loss=lambda params, hparams, batch: np.sum(params["w"]),
        train={"x": np.zeros((1, 1))},
        valid=None,
        optimizer=hg.optim.Momentum(lr="h", momentum="momentum"),
        steps=T,
    )
    found = hg.hypergradient(problem, {"h": h, "momentum": momentum})
    power = np.linalg.matrix_power
    M = np.array([[momentum, a], [-h * momentum, 1 - h * a]])
    moves = {"h": np.array([[0, 0], [-momentum, -a]]), "momentum": np.array([[1, 0], [-h, 0]])}
    assert found.value == pytest.approx(power(M, T)[1, 1] * w0, rel=1e-12)
    for key, move in moves.items():
        slope = sum(power(M, k) @ move @ power(M, T - 1 - k) for k in range(T))[1, 1] * w0
        close(found.hypergradient[key], slope, 1e-12, key)
