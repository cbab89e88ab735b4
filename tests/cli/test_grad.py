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


def test_explain_lists_the_methods_and_says_which_one_and_why(call):
    result = call("grad", "ridge", "--data", "diabetes", "--explain")
    assert result.exit_code == 0, result.stderr
    for name in ("reverse", "forward", "implicit", "truncated", "reversible", "evolution", "drmad"):
        assert any(line.startswith(name) for line in result.stdout.splitlines()), name
    assert "because for" in result.stdout.splitlines()[-1]
    rows = json.loads(call("grad", "ridge", "--data", "diabetes", "--explain", "--json").stdout)
    assert {row["method"] for row in rows} >= {"auto", "reverse", "forward"}
    assert all((row["plan"] is None) == bool(row["refusal"]) for row in rows)


@pytest.mark.parametrize("method", ["auto", "reverse", "forward", "reversible"])
def test_exact_methods_agree_with_finite_differences(call, method):
    arguments = ("grad", "ridge", "--data", "diabetes", "--wrt", "momentum", "--method", method, "--json")
    result = call(*arguments)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert all(row["relative"] < 1e-5 for leaf in found["leaves"] for row in leaf["directions"])
    assert found["warnings"] == []


def test_a_byte_budget_is_kept_or_refused(call):
    arguments = ("grad", "ridge", "--data", "diabetes", "--wrt", "momentum", "--json")
    small = json.loads(call(*arguments, "--method", "reverse", "--memory", "30KiB").stdout)
    assert small["method"] == "Reverse(memory='30KiB')"
    assert small["leaves"] == json.loads(call(*arguments, "--method", "reverse").stdout)["leaves"]
    refused = call(*arguments, "--memory", "10")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "give at least that" in refused.stderr
    useless = call(*arguments, "--method", "drmad", "--memory", "30KiB")
    assert useless.exit_code == 2
    assert "of no use" in useless.stderr


def test_what_has_no_implicit_derivative_is_one_sentence(call):
    result = call("grad", "ridge", "--data", "diabetes", "--method", "implicit", "--wrt", "momentum")
    assert result.exit_code == 1
    assert "no implicit derivative" in result.stderr
