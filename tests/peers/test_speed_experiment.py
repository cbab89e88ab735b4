"""experiments/speed: a disagreement between two peers is found."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "speed"
LOCAL = ("compare", "kit", "peers")


@pytest.fixture
def compare(monkeypatch):
    """The module of the experiment."""
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("compare")
    for name in [name for name in sys.modules if name.split(".")[0] in LOCAL]:
        del sys.modules[name]


def test_a_disagreement_is_found(compare):
    same = {"value": np.array(1.0), "gradient/lr": np.ones(3)}
    assert compare.disagreement(same, same)[1] == 0.0
    off = {**same, "gradient/lr": np.array([1.0, 1.0, 1.0 + 1e-6])}
    assert compare.disagreement(off, same)[0] == "gradient/lr"
    assert compare.disagreement(off, same)[1] == pytest.approx(1e-6 / np.sqrt(3), rel=1e-6)
    assert compare.disagreement({"value": np.array(1.0)}, same)[1] == np.inf
    assert compare.disagreement({**same, "value": np.array(np.nan)}, same)[1] == np.inf
    assert compare.disagreement({**same, "value": np.array(1.0, np.float32)}, same)[1] == np.inf


def test_times_are_refused_where_peers_disagree(compare):
    workload = importlib.import_module("kit.workloads").load("S4", "float64", 2)
    records = {
        ("jax", "scan"): {"arrays": {"value": np.array(1.0)}},
        ("hypergrad", "reverse"): {"arrays": {"value": np.array(1.0 + 1e-9)}},
    }
    with pytest.raises(compare.Disagreement, match="S4 float64: 'value' of hypergrad"):
        compare.verify(workload, "float64", records)


def test_of_a_peer_the_faster_variant_counts(compare):
    rows = [
        {"peer": "jax", "variant": "scan", "hypergradient_us": 3.0},
        {"peer": "jax", "variant": "checkpoint", "hypergradient_us": 2.0},
    ]
    assert compare.best(rows, "jax")["variant"] == "checkpoint"
    assert compare.best(rows, "torch") is None
