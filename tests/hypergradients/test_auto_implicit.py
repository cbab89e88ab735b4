"""`Auto` takes the implicit hypergradient only where it is right, and says what it did and would do."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

N = 30
RNG = np.random.default_rng(9)
X, VX = RNG.standard_normal((40, N)), RNG.standard_normal((30, N))
Y, VY = RNG.standard_normal(40), RNG.standard_normal(30)
L2 = np.linspace(0.05, 0.5, N)


def squares(p, h, b):
    return 0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2)


def ridge(p, h, b):
    return squares(p, h, b) + 0.5 * np.sum(h["l2"] * p["w"] ** 2)


def problem(steps, optimizer=None, dtype=float, **changes):
    return hg.BilevelProblem(
        **{
            "init": lambda h, rng: {"w": np.zeros(N, dtype)},
            "inner_loss": ridge,
            "outer_loss": squares,
            "train": {"x": X, "y": Y},
            "valid": {"x": VX, "y": VY},
            "optimizer": optimizer or hg.optim.Momentum(0.1, 0.9),
            "steps": steps,
            **changes,
        }
    )


def off(a, b):
    return np.linalg.norm(np.subtract(a, b)) / np.linalg.norm(b)


ARRIVED = {
    "ridge": (problem(3000), {}),
    "seeds": (problem(3000), {"seed": [0, 1]}),
    "folds": (problem(3000, valid=None, folds=2), {}),
    "stop": (problem(5000, stop=lambda p, h, t: t >= 3000), {}),
    "decay": (problem(3000, hg.optim.SGD(0.1, weight_decay=0.1)), {}),
    "lasso": (
        problem(300, hg.optim.CoordinateDescent(penalty=hg.optim.L1("l2")), inner_loss=squares),
        {},
    ),
}


@pytest.mark.parametrize("memory", [None, "1MiB"])
@pytest.mark.parametrize("name", ARRIVED)
def test_a_point_where_training_has_arrived(name, memory):
    make, options = ARRIVED[name]
    h, method = {"l2": L2}, hg.Auto(memory=memory)
    one, two = (hg.hypergradient(make, h, method, **options) for _ in range(2))
    assert off(one.hypergradient["l2"], hg.hypergradient(make, h, **options).hypergradient["l2"]) < 1e-8
    np.testing.assert_array_equal(one.hypergradient["l2"], two.hypergradient["l2"])
    assert one.stats["method"].startswith("Implicit(")
    assert one.stats["linearised_steps"] < one.stats["forward_steps"]
    for why in np.atleast_1d(one.stats["why"]):
        assert "training has arrived at a stationary point" in why
        assert "e-1" in why
        assert "no backward run through" in why
    assert "left out for the implicit hypergradient" in method.explain(make, h, **options).why


def test_single_precision_arrives_to_its_own_precision():
    make, h = problem(3000, dtype=np.float32), {"l2": L2}
    found = hg.hypergradient(make, h, hg.Auto())
    assert found.stats["method"].startswith("Implicit(")
    assert off(found.hypergradient["l2"], hg.hypergradient(problem(3000), h).hypergradient["l2"]) < 1e-5


ELSEWHERE = {
    "nearly there": problem(350),  # 5e-9 from the minimum, but the derivative of the run 9e-8 from its own
    "too few steps": problem(60),
    "minibatches": problem(500, hg.optim.SGD(0.05), batch_size=10),
    "decoupled decay": problem(500, hg.optim.AdamW(0.01)),
    "a maximum": problem(
        200,
        hg.optim.SGD(0.1),
        inner_loss=lambda p, h, b: np.sum(p["w"] ** 4) - 0.5 * np.sum(h["l2"] * p["w"] ** 2),
    ),
    "more weights than rows": problem(
        500,
        hg.optim.SGD(0.3),
        inner_loss=lambda p, h, b: 0.5 * np.mean((b["x"] @ (h["l2"] * p["w"]) - b["y"]) ** 2),
        train={"x": X[:10], "y": Y[:10]},
    ),
    "steps that shrink": hg.UnrolledProblem(
        init=lambda h, rng: np.zeros(N),
        step=lambda s, h, b, t: s - (s - h["l2"]) / (1.0 + t) ** 2,
        outer_loss=lambda s, h, v: np.sum(np.sin(s)),
        steps=300,
    ),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_point_that_is_not_one(name):
    make, h = ELSEWHERE[name], {"l2": L2}
    found, exact = hg.hypergradient(make, h, hg.Auto()), hg.hypergradient(make, h)
    assert not found.stats["method"].startswith("Implicit(")
    np.testing.assert_allclose(found.hypergradient["l2"], exact.hypergradient["l2"], rtol=1e-9, atol=1e-14)
    assert "stationary" not in found.stats["why"]


def test_a_look_at_the_last_state_costs_less_than_the_backward_run():
    """An ill-conditioned Hessian, at its minimum: conjugate gradients would take more products than there are steps."""
    scale = np.logspace(0.0, -4.0, N)
    make = problem(
        60,
        hg.optim.SGD(1.0),
        init=lambda h, rng: {"w": np.r_[1.0, 0.7 * np.ones(N - 1)]},
        inner_loss=lambda p, h, b: (
            0.5 * np.sum((scale * (np.eye(N) + 0.1) @ (p["w"] - 0.7) + 0.0 * h["l2"]) ** 2)
            + 1e-9 * np.sum(h["l2"] * p["w"])
        ),
    )
    h = {"l2": L2}
    found = hg.hypergradient(make, h, hg.Auto())
    assert found.stats["linearised_steps"] <= 2 * 60
    exact = hg.hypergradient(make, h).hypergradient["l2"]
    np.testing.assert_allclose(found.hypergradient["l2"], exact, rtol=1e-8)


def test_forward_mode_leaves_no_backward_run_out():
    """Where forward mode is the cheaper one, the plan does not speak of a backward run."""
    make = problem(3000, inner_loss=lambda p, h, b: ridge(p, {"l2": h["l2"] * np.ones(N)}, b))
    plan = hg.Auto().explain(make, {"l2": 0.1})
    assert "Forward()" in plan.method
    assert "backward" not in plan.why


def test_forward_mode_takes_at_least_the_training_run(capsys):
    plan = hg.Forward().explain(problem(20), {"l2": L2, "k": 1}, wrt=[])
    assert plan.factor == 1.0
    assert plan.forward_steps == 20
    stopping = hg.Forward().explain(problem(20, stop=lambda p, h, t: False), {"l2": 0.1})
    assert stopping.forward_steps == stopping.linearised_steps == 20
    assert stopping.factor >= 2.0
