"""`hypergrad show` and `hypergrad studies` on a store made through the Python interface."""

import json

import numpy as np
import pytest

from hypergrad.samplers import Random
from hypergrad.space import Categorical, Float, Space
from hypergrad.study import Study


def objective(hparams):
    if hparams["activation"] == "relu":
        return float("inf"), {}
    return float(np.sum(hparams["l2"] ** 2) + hparams["lr"]), {"lr": 1.0, "l2": 2 * hparams["l2"]}


@pytest.fixture
def store(desk):
    space = Space(
        lr=Float(0.0, 1.0), l2=Float(0.0, 1.0, shape=(9, 1)), activation=Categorical(["tanh", "relu"])
    )
    for name, trials in (("older", 2), ("newer", 6)):
        study = Study(
            name, space, Random(), store=desk / "hypergrad.db", info={"task": "toy", "target": None}
        )
        study.optimize(objective, trials=trials)
        study.close()
    return study


def rows(result):
    """The cells of the table's rows, without its head, its rule and the lines around it."""
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    rule = next(number for number, line in enumerate(lines) if line.strip() and not line.strip("─ "))
    return [line.split() for line in lines[rule + 1 :]]


def test_the_newest_study_is_shown(call, store):
    result = call("show")
    assert result.stdout.startswith("study newer: task toy, seed 0, made 2")
    found = rows(result)
    assert [cells[0].rstrip("*") for cells in found] == list("012345")
    values = [float(cells[2]) for cells in found]
    (best,) = (number for number, cells in enumerate(found) if cells[0].endswith("*"))
    assert values[best] == min(values)


def test_another_study_by_name(call, store):
    assert len(rows(call("show", "older"))) == 2


def test_sorted_by_value_with_a_limit(call, store):
    every = sorted(float(cells[2]) for cells in rows(call("show")))
    found = rows(call("show", "--sort-by", "value", "--limit", 3))
    assert [float(cells[2]) for cells in found[:-1]] == every[:3]
    assert found[-1] == ["3", "of", "6", "trials"]


def test_json_has_everything(call, store):
    found = json.loads(call("show", "newer", "--json").stdout)
    assert found["study"] == "newer"
    assert found["info"] == {"task": "toy", "target": None}
    finite = [trial for trial in found["trials"] if trial["value"] is not None]
    assert 0 < len(finite) < 6
    best = min(finite, key=lambda trial: trial["value"])
    assert found["best"] == best["number"]
    assert np.shape(best["hparams"]["l2"]) == (9, 1)
    assert best["gradient"]["lr"] == 1.0
    assert best["gradient"]["activation"] is None
    assert best["versions"]["numpy"] == np.__version__


def test_studies(call, store):
    found = rows(call("studies"))
    assert [(cells[0], cells[1], cells[3], cells[4]) for cells in found] == [
        ("older", "Random", "11", "2"),
        ("newer", "Random", "11", "6"),
    ]
    assert [each["name"] for each in json.loads(call("studies", "--json").stdout)] == ["older", "newer"]


def test_a_study_without_finished_trials(call, desk):
    Study("empty", Space(lr=Float(0.0, 1.0)), Random(), store=desk / "hypergrad.db").close()
    assert rows(call("show")) == []
    assert json.loads(call("show", "--json").stdout)["best"] is None
    assert json.loads(call("studies", "--json").stdout)[0]["best"] is None


def test_a_misspelt_study_suggests_the_nearest(call, store):
    result = call("show", "odler")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "did you mean 'older'" in result.stderr
