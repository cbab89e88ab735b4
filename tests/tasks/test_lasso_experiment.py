"""experiments/lasso at smoke scale: it runs, and what it finds is within a thousandth of LassoCV's best."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_experiment_runs_and_keeps_its_promise():
    run = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "lasso" / "run.py"), "--smoke"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lasso        hypergrad" in run.stdout


def test_the_recorded_results_keep_their_promise():
    record = json.loads((ROOT / "experiments" / "lasso" / "results.json").read_text(encoding="utf-8"))
    assert set(record["results"]) == {"lasso", "elastic net"}
    for found in record["results"].values():
        assert found["excess"] <= 1e-3
        assert found["speedup"] > 1.0
