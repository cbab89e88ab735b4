"""The experiments on lasso and elastic net at smoke scale: the searches end within a thousandth of the grids' best."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypergrad.experiments import harness

ROOT = Path(__file__).parents[2] / "experiments"
NAMES = ("bertrand2020-lasso", "bertrand2021-elastic-net")


@pytest.mark.parametrize("name", NAMES)
def test_the_experiment_runs_and_keeps_its_promise(name, tmp_path):
    outcome = harness.run([ROOT / name], "smoke", workers=1, out=tmp_path)
    assert not outcome.failed
    verdicts = {verdict.name: verdict for verdict in outcome.verdicts[name]}
    assert all(verdict.status != "outside" for verdict in verdicts.values())
    assert verdicts["excess_simulated"].mean <= 1e-3


def test_the_recorded_results_keep_their_promise():
    outcome, _ = harness.check([ROOT / name for name in NAMES])
    assert set(outcome.verdicts) == set(NAMES)
    for verdicts in outcome.verdicts.values():
        values = {verdict.name: verdict.values for verdict in verdicts}
        assert max(values["excess_simulated"]) <= 1e-3
        assert max(values["excess_diabetes"]) <= 1e-3
        assert min(values["speedup"]) > 1.0
