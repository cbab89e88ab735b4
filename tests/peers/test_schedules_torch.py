"""Schedules that PyTorch has as well are PyTorch's, to 1e-12."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import hypergrad as hg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PyTorch's own, at import
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle; install the extra [peers]")

o = hg.optim


def theirs(make, steps, field="lr"):
    """The rates that a scheduler sets before each of the steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3, momentum=0.9)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    found = [optimizer.param_groups[0][field]]
    for _ in range(steps - 1):
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0][field])
    return np.array(found, float)


def ours(schedule, hparams, steps):
    """The rates as training reads them: SGD of slope 1 from 0 moves by -rate."""
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(steps)},
        inner_loss=lambda params, hparams, batch: np.sum(params["w"] * batch["row"]),
        outer_loss=lambda params, hparams, valid: np.sum(params["w"]),
        train={"row": np.eye(steps)},
        valid=None,
        optimizer=hg.optim.SGD(schedule),
        steps=steps,
        batches=np.arange(steps)[:, None],
    )
    return -hg.train(problem, hparams).params["w"]


CASES = {
    "cosine": (
        lambda s, opt: s.CosineAnnealingLR(opt, T_max=50),
        o.Cosine("lr"),
        {"lr": 0.3},
    ),
    "cosine to an end": (
        lambda s, opt: s.CosineAnnealingLR(opt, T_max=50, eta_min=0.02),
        o.Cosine("lr", end="end"),
        {"lr": 0.3, "end": 0.02},
    ),
    "cosine that rises again": (
        lambda s, opt: s.CosineAnnealingLR(opt, T_max=20, eta_min=0.02),
        o.Cosine(0.3, 0.02, period=20),
        {},
    ),
    "exponential": (
        lambda s, opt: s.ExponentialLR(opt, gamma=0.93),
        o.Exponential("lr", "decay"),
        {"lr": 0.3, "decay": 0.93},
    ),
    "warm-up": (
        lambda s, opt: s.LinearLR(opt, start_factor=0.2, total_iters=7),
        o.WarmUp("lr", 7, start="first"),
        {"lr": 0.3, "first": 0.2},
    ),
    "a linear fall": (
        lambda s, opt: s.LinearLR(opt, start_factor=1.0, end_factor=0.01, total_iters=49),
        o.PiecewiseLinear("lr"),
        {"lr": np.array([0.3, 0.003])},
    ),
    "warm-up of an exponential": (
        lambda s, opt: s.ChainedScheduler([s.LinearLR(opt, 0.25, 1.0, 10), s.ExponentialLR(opt, gamma=0.95)]),
        o.WarmUp(o.Exponential("lr", 0.95), 10, start=0.25),
        {"lr": 0.3},
    ),
    "constant": (lambda s, opt: s.ConstantLR(opt, factor=1.0), o.Constant("lr"), {"lr": 0.3}),
    "windows": (
        lambda s, opt: s.StepLR(opt, step_size=20, gamma=0.1),
        o.Windows("lr", 20),
        {"lr": np.array([0.3, 0.03, 0.003])},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_is_pytorchs(name):
    make, schedule, hparams = CASES[name]
    np.testing.assert_allclose(ours(schedule, hparams, 50), theirs(make, 50), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("steps", "part"), [(50, 0.3), (51, 0.25), (10, 0.0), (10, 1.0), (3, 0.3), (7, 0.5)])
def test_one_cycle_is_pytorchs(steps, part):
    make = lambda s, opt: s.OneCycleLR(
        opt,
        max_lr=0.4,
        total_steps=steps,
        pct_start=part,
        div_factor=20.0,
        final_div_factor=100.0,
        base_momentum=0.8,
        max_momentum=0.95,
    )
    hparams = {"peak": 0.4, "div": 20.0, "final": 100.0}
    schedule = o.OneCycle("peak", "div", "final", pct_start=part)
    expected = theirs(make, steps)
    np.testing.assert_allclose(ours(schedule, hparams, steps), expected, rtol=1e-12, atol=1e-15)
    momentum = o.OneCycle(0.8, div_factor=0.8 / 0.95, final_div_factor=1.0, pct_start=part)
    expected = theirs(make, steps, "momentum")
    np.testing.assert_allclose(ours(momentum, {}, steps), expected, rtol=1e-12)
