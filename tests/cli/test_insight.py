"""`hypergrad importance`, `slice` and `why`, and the options of `tune` that stop a study."""

import json
import math

import numpy as np
import pytest

from hypergrad.samplers import Bayes
from hypergrad.space import Categorical, Float, Space
from hypergrad.study import Study, load_study

QUICK = ("tune", "ridge", "--data", "diabetes", "--sampler", "sobol")


def loss(h):
    value = math.log10(h["lr"]) ** 2 + np.sum((h["l2"] - 0.5) ** 2) + 0.1 * (h["kind"] == "b")
    return value, {"lr": 2 * math.log10(h["lr"]) / (h["lr"] * math.log(10)), "l2": 2 * (h["l2"] - 0.5)}


@pytest.fixture
def store(desk):
    space = Space(
        lr=Float(1e-3, 10.0, log=True), l2=Float(0.0, 1.0, shape=(2,)), kind=Categorical(["a", "b"])
    )
    for name, trials in (("older", 3), ("newer", 14)):
        study = Study(name, space, Bayes(), store=desk / "hypergrad.db")
        study.optimize(loss, trials=trials)
        study.close()
    return load_study(desk / "hypergrad.db", "newer")


def lines(result):
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def cells(result):
    """Of the rows below the rule."""
    found = lines(result)
    rule = next(number for number, line in enumerate(found) if line.strip() and not line.strip("─ "))
    return [line.split() for line in found[rule + 1 :] if not line.startswith("note")]


def misuse(result, code=2):
    assert result.exit_code == code, (result.exit_code, result.stderr)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_importance(call, store):
    result = call("importance")
    assert lines(result)[0] == "study newer: 14 losses, 14 gradients"
    rows = cells(result)
    assert rows[0][0] == "lr"
    assert {row[0] for row in rows} == {"lr", "l2", "kind"}
    kind = next(row for row in rows if row[0] == "kind")
    assert kind[-3:] == ["-", "-", "-"]
    assert len(cells(call("importance", "newer", "--by", "coordinate"))) == 4
    assert [row[0] for row in cells(call("importance", "newer", "--limit", 1))] == ["lr"]


def test_importance_as_json(call, store):
    found = json.loads(call("importance", "newer", "--by", "coordinate", "--json").stdout)
    exact = store.importance()
    assert (found["study"], found["gradients"], found["values"]) == ("newer", 14, 14)
    assert found["explained"] == pytest.approx(exact.explained)
    assert [row["name"] for row in found["rows"]] == [row.name for row in exact.coordinates]
    assert found["rows"][0]["total"] == pytest.approx(exact.coordinates[0].total)


def test_slice(call, store):
    result = call("slice", "newer", "lr")
    assert lines(result)[0] == f"study newer: lr through trial {store.best.number}"
    rows = cells(result)
    assert len(rows) == 11
    assert float(rows[0][0]) == 1e-3
    assert len(cells(call("slice", "newer", "lr", "kind", "--points", 3))) == 6
    assert "trial 2" in lines(call("slice", "newer", "l2[1]", "--at", 2))[0]
    found = json.loads(call("slice", "newer", "kind", "--json").stdout)
    assert [row["kind"] for row in found["rows"]] == ["a", "b"]
    assert found["rows"][0]["derivative"] is None
    assert found["trial"] == store.best.number


def test_slice_into_files(call, store, desk):
    pytest.importorskip("matplotlib")
    assert lines(call("slice", "newer", "lr", "-o", "a.png")) == ["written to a.png"]
    assert (desk / "a.png").read_bytes().startswith(b"\x89PNG")
    assert lines(call("slice", "newer", "lr", "-o", "a.csv")) == ["written to a.csv"]
    table = (desk / "a.csv").read_text().splitlines()
    assert table[0] == "lr,mean,sd,median,low,high,derivative"
    assert len(table) == 102


def test_why(call, store):
    (line,) = lines(call("why", "newer", 8))
    assert line == store.why(8).text
    found = json.loads(call("why", "newer", 8, "--json").stdout)
    assert (found["study"], found["number"], found["text"]) == ("newer", 8, line)
    assert found["note"] == store.trials[8].note


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("slice", "newer", "lrr"), 2, "no hyperparameter 'lrr'; did you mean 'lr'?"),
        (("slice", "newer", "x"), 2, "no hyperparameter 'x'; choose from kind, l2, lr"),
        (("slice", "newer", "l2"), 1, "such as 'l2[0]'"),
        (("slice", "newer"), 2, "NAMES"),
        (("slice", "newer", "lr", "-o", "a.jpgg"), 2, "ends in none of .csv, .png, .pdf, .svg"),
        (("why", "newer", "99"), 1, "has no trial 99; its 14 trials are numbered from 0"),
        (("why", "newer", "last"), 2, "not a valid integer"),
        (("importance", "newest"), 1, "did you mean 'newer'?"),
    ],
)
def test_misuse_is_one_line(call, store, arguments, code, words):
    assert words in misuse(call(*arguments), code)


def test_a_study_without_finished_trials(call, desk):
    Study("empty", Space(lr=Float(0.0, 1.0)), Bayes(), store=desk / "hypergrad.db").close()
    assert "has no trial of finite value yet" in misuse(call("importance"), 1)
    assert "has no trial of finite value yet" in misuse(call("slice", "empty", "lr"), 1)
    assert "has no trial 0; it has none yet" in misuse(call("why", "empty", 0), 1)


def test_tune_stops_when_it_lost_patience_and_does_not_go_on(call):
    first = json.loads(call(*QUICK, "--trials", 30, "--patience", 2, "--json").stdout)
    assert 3 <= first["trials"] < 30
    (said,) = (note for note in first["notes"] if "stopped after" in note)
    assert said.startswith(
        f"stopped after {first['trials']} of 30 trials: none of the last 2 trials improved on"
    )
    again = json.loads(call(*QUICK, "--trials", 30, "--patience", 2, "--json").stdout)
    assert again["trials"] == first["trials"]
    assert again["best"] == first["best"]
    assert said in again["notes"]
    assert any("already held" in note for note in again["notes"])
    assert said in call(*QUICK, "--trials", 30, "--patience", 2, "--quiet").stdout


def test_tune_with_patience_counts_what_improves_by_enough(call):
    options = ("--trials", 30, "--patience", 2, "--min-improvement", 1e6)
    found = json.loads(call(*QUICK, *options, "--json").stdout)
    assert found["trials"] == 3
    assert found["stopped"].startswith("none of the last 2 trials improved on the value")
    assert found["stopped"].endswith("of trial 0 by more than 1e+06")
    assert "--patience" in misuse(call(*QUICK, "--min-improvement", "1"))


def test_tune_says_why_it_stopped_where_only_the_time_is_limited(call):
    options = ("--seconds", 600, "--target-value", 100.0)
    found = json.loads(call(*QUICK, *options, "--json").stdout)
    assert f"stopped after 1 trial: {found['stopped']}" in found["notes"]
    assert "the target is 100" in call(*QUICK, *options, "--quiet").stdout
    assert json.loads(call(*QUICK, "--trials", 2, "--json").stdout)["stopped"] is None


def test_tune_stops_at_a_target_value_or_a_tolerance(call):
    found = json.loads(call(*QUICK, "--target-value", 100.0, "--json").stdout)
    assert found["trials"] == 1
    assert any("trial 0 reached" in note and "the target is 100" in note for note in found["notes"])
    found = json.loads(call(*QUICK, "--trials", 14, "--tolerance", 1e6, "--json").stdout)
    assert found["trials"] == 10
    assert any("expects improvements of" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--target-value", "nan"),
        ("--patience", "0"),
        ("--min-improvement", "nan"),
        ("--tolerance", "0"),
        ("--tolerance", "-1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_misuse(call, option, value):
    assert option in misuse(call(*QUICK, option, value))
