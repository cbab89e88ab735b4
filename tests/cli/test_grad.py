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
