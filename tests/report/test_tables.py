"""What people read: numbers, vectors and tables, on terminals and in files."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from hypergrad.hypergradients.differences import Direction, Leaf
from hypergrad.report import tables
from hypergrad.report.summary import Baseline, Best, TuneSummary


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (1e-9, "1e-09"),
        (3, "3"),
        (None, "-"),
        ("tanh", "tanh"),
        (True, "True"),
        (float("nan"), "nan"),
        (np.float64(2.5), "2.5"),
        ([0.1, 0.2], "0.1 0.2"),
        (np.linspace(0, 1, 101), "0 0.2 0.4 0.6 0.8 1 (6 of 101)"),
        (np.linspace(0, 1, 11).reshape(11, 1), "11 values from 0 to 1, median 0.5"),
        (np.full((64, 1), 0.25), "64 values, all 0.25"),
        (["relu", "tanh"], "['relu', 'tanh']"),
    ],
)
def test_describe(value, text):
    assert tables.describe(value) == text


def test_describe_names_the_extremes():
    value = np.array([[2.0], [0.5], [1.0], [1.0], [1.0], [1.0], [8.0]])
    assert tables.describe(value, list("abcdefg")) == "7 values from 0.5 (b) to 8 (g), median 1"


def trial(number, value, state="complete"):
    hparams = {"opt": {"lr": 0.1 * (number + 1)}, "l2": np.linspace(1e-3, 1e-2, 9), "activation": "tanh"}
    return SimpleNamespace(number=number, state=state, value=value, seconds=0.25, hparams=hparams)


def text(renderable):
    stream = io.StringIO()
    tables.write(renderable, stream)
    return stream.getvalue()


def test_trials_one_a_row_with_the_best_marked():
    lines = text(tables.trials([trial(0, 0.5), trial(1, 0.25)], best=1)).splitlines()
    assert lines[0].split() == ["trial", "state", "value", "seconds", "activation", "l2", "opt/lr"]
    assert lines[2].split() == ["0", "complete", "0.5", "0.25", "tanh", "0.001..0.01", "0.1"]
    assert lines[3].split()[0] == "1*"


def test_a_trial_without_a_value_or_a_hyperparameter_has_dashes():
    bare = SimpleNamespace(number=2, state="running", value=None, seconds=0.0, hparams={"lr": 1.0})
    lines = text(tables.trials([trial(0, float("inf")), bare])).splitlines()
    assert lines[2].split()[2] == "inf"
    assert lines[3].split() == ["2", "running", "-", "0", "-", "-", "-", "1"]


def test_a_limit_on_the_rows():
    assert len(text(tables.trials([trial(i, 1.0) for i in range(9)], limit=3)).splitlines()) == 5


def test_hyperparameters_that_do_not_fit_are_left_out_and_named():
    lines = text(tables.trials([trial(0, 0.5)], width=64)).splitlines()
    assert lines[0].split() == ["trial", "state", "value", "seconds", "activation", "l2"]
    assert lines[-1].strip() == "no room for opt/lr; --json has all"
    narrow = text(tables.trials([trial(0, 0.5)], width=1)).splitlines()
    assert narrow[0].split() == ["trial", "state", "value", "seconds"]


def test_studies():
    found = text(tables.studies([{"study": "mlp-digits", "trials": 50, "best": 0.0712345678}]))
    assert found.split()[:3] == ["study", "trials", "best"]
    assert found.split()[-3:] == ["mlp-digits", "50", "0.0712346"]


def test_outside_a_terminal_a_wide_table_is_not_cut():
    wide = trial(0, 1.0)
    wide.hparams = {f"p{i}": 1 for i in range(99)}
    head = text(tables.trials([wide])).splitlines()[0]
    assert head.split()[-1] == "p98"


def test_ascii_streams_are_written_without_error():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tables.write(tables.trials([trial(0, 1.0)]), stream)
    stream.flush()
    assert b"complete" in stream.buffer.getvalue()


def test_names_that_look_like_markup_are_printed_as_they_are():
    assert "[bold]x" in text(tables.studies([{"study": "[bold]x"}]))


@pytest.fixture
def result():
    hparams = {"lr": np.float64(0.1), "l2": np.full((3, 1), 0.5), "hidden": 16}
    figures = {part: {"loss": 0.25, "accuracy": 0.9} for part in ("train", "valid", "test")}
    return TuneSummary(
        task="logistic",
        data="digits",
        target="class",
        study="logistic-digits-0",
        store="hypergrad.db",
        seed=0,
        sampler="gradient",
        trials=4,
        step_evaluations=2400,
        seconds=1.5,
        groups=["a", "b", "c"],
        best=Best(trial=3, value=0.25, hparams=hparams),
        metrics=figures,
        baseline=Baseline(value=float("inf"), metrics=figures),
        stopped=None,
        notes=["2 of 4 trials diverged"],
        version="1",
    )


def test_the_summary_shows_parameters_figures_and_notes(result):
    found = text(tables.summary(result))
    assert "best validation loss 0.25 in trial 3 of 4 (defaults: inf)" in found
    assert "0.5 0.5 0.5" in found
    assert ["train", "loss", "0.25", "0.25"] in [line.split() for line in found.splitlines()]
    assert ["test", "accuracy", "0.9", "0.9"] in [line.split() for line in found.splitlines()]
    assert "note: 2 of 4 trials diverged" in found


def test_json_is_strict_and_complete(result):
    import json

    def refuse(text):
        raise AssertionError(text)

    found = json.loads(result.to_json(), parse_constant=refuse)
    assert '      "l2": [[0.5], [0.5], [0.5]],\n' in result.to_json()
    assert found["best"]["hparams"] == {"lr": 0.1, "l2": [[0.5], [0.5], [0.5]], "hidden": 16}
    assert found["baseline"]["value"] is None
    keys = {f"{key}.{inner}" for key in ("best", "baseline") for inner in found[key]}
    keys |= set(found) - {"best", "baseline"}
    assert keys == set(TuneSummary.documented_keys())
    assert all(TuneSummary.documented_keys().values())


def test_differences():
    rows = (Direction("[3,0]", 0.1, 1.5, 1.5, 1e-12), Direction("random", None, 0.5, 0.25, 0.1))
    leaves = [Leaf("l2", 64, 2.5, rows), Leaf("lr", 1, 1.0, (Direction("", 0.1, 1, 1, 0),))]
    found = text(tables.differences(leaves))
    lines = [line.rstrip() for line in found.splitlines()]
    assert lines[2] == "l2 (64 values, norm 2.5)"
    assert lines[3].split() == ["[3,0]", "0.1", "1.50000000e+00", "1.50000000e+00", "1.0e-12"]
    assert lines[4].split()[:2] == ["random", "direction"]
    assert lines[5].split()[0] == "lr"
