"""Arguments that fit nowhere are one sentence; numbers of NumPy count as Python's."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, ProblemError


def problem(**options):
    return hg.BilevelProblem(
        init=lambda h, rng: {"w": np.zeros(3)},
        inner_loss=lambda p, h, b: np.sum((p["w"] - 1.0) ** 2) + h["l2"] * np.sum(p["w"] ** 2),
        outer_loss=lambda p, h, v: np.sum((p["w"] - 1.1) ** 2),
        train=None,
        valid=None,
        optimizer=hg.optim.Momentum("lr", "mu"),
        steps=6,
        **options,
    )


HPARAMS = {"lr": 0.1, "mu": 0.5, "l2": 0.01}


@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
@pytest.mark.parametrize(
    ("seed", "got"),
    [([0, 1.5], "1.5"), ([[1, 2], [3, 4]], r"\[1, 2\]"), ([], "empty"), ([3, 3], "twice"), ("12", "'12'")],
)
def test_seeds(call, seed, got):
    with pytest.raises(ProblemError, match=got):
        call(problem(), HPARAMS, seed=seed)


@pytest.mark.parametrize("seed", [np.int64(3), np.array(3), np.uint8(3)])
def test_a_seed_may_be_a_number_of_numpy(seed):
    assert hg.train(problem(), HPARAMS, seed=seed).value == hg.train(problem(), HPARAMS, seed=3).value


@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
@pytest.mark.parametrize("points", [-1, 1.5, "x", None, True])
def test_points_of_the_curve(call, points):
    with pytest.raises(ProblemError, match="curve must be"):
        call(problem(), HPARAMS, curve=points)


@pytest.mark.parametrize("tolerance", [-1, "x", None, True, float("nan")])
def test_tolerance_of_early_stopping(tolerance):
    with pytest.raises(ProblemError, match="tolerance"):
        hg.EarlyStopping(tolerance=tolerance)


@pytest.mark.parametrize("kind", [hg.optim.PiecewiseLinear, hg.optim.PiecewiseCubic])
def test_log_of_a_piecewise_schedule(kind):
    with pytest.raises(ProblemError, match="log"):
        kind("lr", log=3)


@pytest.mark.parametrize(
    "method",
    [
        hg.Reverse(checkpoints=np.int64(2)),
        hg.Reverse(memory=np.int64(1 << 20)),
        hg.Truncated(np.int64(2)),
        hg.DrMAD(np.int64(3)),
        hg.Forward(memory=np.int64(1 << 20)),
        hg.Reversible(fraction_bits=np.int64(40)),
        hg.Evolution(sigma=np.float32(0.05), pairs=np.int64(2), seed=np.int64(1)),
        hg.Auto(memory=np.int64(1 << 20)),
    ],
    ids=lambda method: type(method).__name__,
)
def test_numbers_of_numpy_leave_plain_stats(method, capsys):
    json.dumps(hg.hypergradient(problem(), HPARAMS, method=method).stats)
    plan = method.explain(problem(), HPARAMS)
    assert all(
        type(number) is int for number in (plan.bytes, plan.steps, plan.forward_steps, plan.linearised_steps)
    )


@pytest.mark.parametrize("kind", [hg.Reverse, hg.Forward, hg.Auto])
def test_what_an_error_asks_for_is_enough(kind):
    with pytest.raises(DerivativeError, match=rf"^{kind.__name__}\(memory=1\)") as info:
        hg.hypergradient(problem(), HPARAMS, method=kind(memory=1))
    found = re.findall(r"needs (?:[0-9.]+ \w+ \()?([0-9,]+) bytes", str(info.value))
    needed = min(int(number.replace(",", "")) for number in found)
    hg.hypergradient(problem(), HPARAMS, method=kind(memory=needed))
    with pytest.raises(DerivativeError):
        hg.hypergradient(problem(), HPARAMS, method=kind(memory=needed - 1))


@pytest.mark.parametrize("call", [hg.hypergradient, hg.train])
def test_two_hyperparameters_of_one_name(call):
    with pytest.raises(ProblemError, match="two leaves called 'a/b'"):
        call(problem(), {**HPARAMS, "a/b": 0.1, "a": {"b": 0.2}})


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_a_check_of_an_unusual_dtype(dtype):
    made = problem()
    made.init = lambda h, rng: {"w": np.zeros(3, dtype)}
    check = hg.check_hypergradient(made, HPARAMS)
    assert check.verdict != "differs"
    assert any("float16" in note for note in check.notes) == (dtype is np.float16)
