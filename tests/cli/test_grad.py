"""`hypergrad grad`: a hypergradient that agrees with finite differences."""

import json

import pytest


@pytest.mark.parametrize(("task", "data"), [("ridge", "diabetes"), ("logistic", "wine"), ("mlp", "wine")])
def test_it_agrees_with_finite_differences(call, task, data):
    result = call("grad", task, "--data", data, "--coordinates", 1, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["task"], found["data"], found["seed"]) == (task, data, 0)
    assert len(found["leaves"]) >= 2
    rows = [row for leaf in found["leaves"] for row in leaf["directions"]]
    assert all(row["relative"] < 1e-5 for row in rows), rows


def test_one_hyperparameter_as_a_table(call):
    result = call("grad", "ridge", "--data", "diabetes", "--wrt", "momentum")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "hypergradient" in lines[0]
    assert "finite difference" in lines[0]
    assert lines[2].split()[0] == "momentum"
    assert len(lines[2].split()) == 5
    assert "validation loss at the defaults" in result.stdout


def test_at_a_stored_trial(call):
    call("tune", "ridge", "--data", "diabetes", "--trials", 2, "--sampler", "random", "--quiet")
    arguments = ("grad", "ridge", "--data", "diabetes", "--wrt", "momentum", "--json")
    default, first, second = (
        json.loads(call(*arguments, *at).stdout) for at in ((), ("--trial", 0), ("--trial", 1))
    )
    assert default["leaves"] == first["leaves"] != second["leaves"]
    assert second["trial"] == 1
    stored = json.loads(call("show", "--json").stdout)["trials"][1]
    assert second["value"] == stored["value"]
    assert second["leaves"][0]["directions"][0]["at"] == stored["hparams"]["momentum"]


def test_a_trial_that_does_not_fit_is_one_sentence(call):
    call("tune", "ridge", "--data", "diabetes", "--trials", 1, "--quiet")
    for task, data, trial, hint in (
        ("ridge", "diabetes", 1, "no trial 1"),
        ("mlp", "wine", 0, "another task"),
    ):
        result = call("grad", task, "--data", data, "--trial", trial)
        assert result.exit_code == 1
        assert hint in result.stderr
        assert result.stderr.count("\n") == 1
