"""The chaos monitor, on looks that are given: norms of any size, zeros, overflow."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.hypergradients.trust import CHAOS, adjoint_growth
from hypergrad.unroll.trajectory import row_norms


def looks(adjoint, weights=None):
    """From the last step to the first, as a method hands them over."""
    steps = len(adjoint) - 1
    weights = np.ones(len(adjoint)) if weights is None else weights
    return [(steps - i, float(a), float(w)) for i, (a, w) in enumerate(zip(adjoint, weights, strict=True))]


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
@pytest.mark.parametrize("weight", [1.0, 1e-300, 1e300])
def test_growth_does_not_depend_on_scales(scale, weight):
    """G_t is a ratio: norms whose product overflows or underflows change nothing."""
    tripling = 3.0 ** np.arange(9)
    found = adjoint_growth(looks(scale * tripling, np.full(9, weight)), 8)
    assert found.stats["growth"] == pytest.approx(3.0**8, rel=1e-9)
    assert found.stats["growth_per_step"] == pytest.approx(3.0, rel=1e-9)
    assert found.stats["lost_before"] == 8 - int(np.ceil(np.log(CHAOS) / np.log(3)))
    assert "chaotic" in found.warnings[0]


@pytest.mark.parametrize(
    "given",
    [
        looks([0.0, 0.0]),  # the outer loss is flat
        looks([1.0, 1.0], [0.0, 1.0]),  # the parameters are 0 in the end
        looks([1.0, 0.0, 1.0]),  # a step that forgets
        looks([1.0, 1.0], [np.inf, 1.0]),
        looks([1.0, 1.0], [1.0, np.nan]),
        looks([1.0]),
    ],
)
def test_nothing_to_tell(given):
    found = adjoint_growth(given, 2)
    assert found.warnings == ()
    assert found.stats == {"growth": 1.0, "growth_per_step": pytest.approx(1.0), "lost_before": None}


def test_growth_beyond_all_numbers():
    found = adjoint_growth(looks([1e-320, 1.0, 1e300]), 2)
    assert found.stats["growth"] == np.inf
    assert found.stats["lost_before"] == 1
    assert adjoint_growth(looks([1.0, np.nan]), 1).stats["lost_before"] == 0


@pytest.mark.parametrize(
    ("dtype", "size"), [(np.float32, 1e-30), (np.float32, 1e30), (float, 1e-200), (float, 1e200)]
)
def test_norms_neither_overflow_nor_vanish(dtype, size):
    rows = np.stack([np.full(4, size, dtype), np.zeros(4, dtype), np.array([np.nan, 1, 1, 1], dtype)])
    np.testing.assert_allclose(row_norms(rows), [2.0 * float(dtype(size)), 0.0, np.nan], rtol=1e-12)


@pytest.mark.parametrize("size", [1e-25, 1e25])
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_an_outer_loss_of_any_unit(size, seed):
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": np.ones(3, np.float32)},
        inner_loss=lambda p, h, b: np.sum((p["w"] - 2.0) ** 2),
        outer_loss=lambda p, h, v: size * np.sum(p["w"]),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=5,
    )
    stats = hg.hypergradient(problem, {"lr": 0.1}, seed=seed).stats
    assert stats["trusted"]
    assert stats["growth_per_step"] != 1.0


def test_drmad_does_not_call_training_chaotic_because_its_line_is():
    """w rests in one trough of -cos w and is thrown into the next; the line between the ends crosses the ridge."""
    problem = hg.UnrolledProblem(
        init=lambda h, rng: 0.1 * np.ones(2),
        step=lambda s, h, b, t: s - h["lr"] * np.sin(s) + np.where(t == 200, 2.0 * np.pi, 0.0),
        outer_loss=lambda s, h, v: np.sum((s - 0.5) ** 2),
        steps=400,
    )
    exact = hg.hypergradient(problem, {"lr": 0.2})
    line = hg.hypergradient(problem, {"lr": 0.2}, method=hg.DrMAD())
    assert exact.warnings == ()
    assert line.stats["growth"] > 100.0
    assert "did not follow the lines" in line.warnings[0]
