"""experiments/speed at smoke scale: the peers that are installed and hypergrad compute the same numbers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "speed"
INSTALLED = [name for name in ("jax", "torch", "autograd") if importlib.util.find_spec(name)]


def run(*arguments):
    command = [sys.executable, str(FOLDER / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=FOLDER.parents[1])


@pytest.mark.skipif(not INSTALLED, reason="no peer is installed; install the extra [peers]")
def test_peers_agree_and_the_results_say_how_they_were_measured(tmp_path):
    out = tmp_path / "results.json"
    peer = INSTALLED[-1]
    ended = run(
        "--smoke", "--workloads", "S1", "--dtypes", "float64", "--peers", peer, "hypergrad", "--out", str(out)
    )
    assert ended.returncode == 0, ended.stderr
    assert "hypergrad reverse" in ended.stdout
    results = json.loads(out.read_text())
    assert results["threads"] == 1
    assert results["versions"]["numpy"]
    assert list(dict.fromkeys(row["peer"] for row in results["rows"])) == [peer, "hypergrad"]
    for row in results["rows"]:
        assert row["steps"] == 20
        assert row["training_us_per_step"] > 0
        assert row["hypergradient_us_per_step"] > 0
        assert row["relative_error"] <= results["tolerance"]["float64"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workloads", "S9"], "S9"),
        (["--repeats", "0"], "--repeats must be at least 1"),
        (["--peers", "theano"], "theano"),
    ],
)
def test_misuse_ends_with_status_2(arguments, sentence):
    ended = run(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_disagreement_is_found():
    spec = importlib.util.spec_from_file_location("speed_run", FOLDER / "run.py")
    sys.path.insert(0, str(FOLDER))
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    import numpy as np

    same = {"value": np.array(1.0), "gradient/lr": np.ones(3)}
    assert module.disagreement(same, same)[1] == 0.0
    off = {**same, "gradient/lr": np.array([1.0, 1.0, 1.0 + 1e-6])}
    assert module.disagreement(off, same)[0] == "gradient/lr"
    assert module.disagreement(off, same)[1] == pytest.approx(1e-6 / np.sqrt(3), rel=1e-6)
    assert module.disagreement({"value": np.array(1.0)}, same)[1] == np.inf
    assert module.disagreement({**same, "value": np.array(np.nan)}, same)[1] == np.inf
    assert module.disagreement({**same, "value": np.array(1.0, np.float32)}, same)[1] == np.inf
