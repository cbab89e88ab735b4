"""`hypergrad run` and `hypergrad new-experiment`: what they print, and their exit codes."""

import json

import pytest


@pytest.fixture
def first(desk, call):
    """A new experiment, run at smoke scale."""
    assert call("new-experiment", "mine/first").exit_code == 0
    result = call("run", "mine/first", "--smoke", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "improvement" in result.stdout
    assert "accepted" in result.stdout
    return desk / "mine" / "first"


def bounds(folder, **changes):
    path = folder / "expected.json"
    found = json.loads(path.read_text())
    found["improvement"] |= changes
    path.write_text(json.dumps(found))


def test_outside_of_a_gate_is_exit_code_3_and_a_readable_difference(call, first):
    bounds(first, smoke={"at_most": 0.5}, theirs=0.4)
    result = call("run", "mine/first", "--smoke", "--workers", "1")
    assert result.exit_code == 3
    assert "first: improvement is 0.9509 (seed 0), accepted is ≤ 0.5; the source has 0.4" in result.stderr
    assert result.stderr.splitlines()[-1] == "error: 1 gated quantities are outside their bounds, in first"


def test_what_does_not_gate_deviates(call, first):
    bounds(first, smoke={"at_most": 0.5}, gate=False)
    result = call("run", "mine/first", "--smoke", "--workers", "1")
    assert result.exit_code == 0
    assert "deviates" in result.stdout


def test_the_plan_says_what_is_there(call, first):
    assert "there" in call("run", "mine/first", "--smoke", "--dry-run").stdout
    planned = call("run", "mine/first", "--dry-run")
    assert planned.stdout.count("to compute") == 3  # the smoke scale has other parameters
    assert planned.exit_code == 0


def test_a_list_names_the_claims(call, first):
    result = call("run", "mine", "--list")
    assert "first" in result.stdout
    assert "A penalty learned by hypergradients" in result.stdout


def test_a_check_of_what_was_not_run_fails(call, first):
    result = call("run", "mine/first", "--check")
    assert result.exit_code == 1
    assert "first: there are no results" in result.stderr


def test_the_table_of_all_and_its_check(call, first):
    (first / "config.toml").write_text(
        (first / "config.toml")
        .read_text()
        .replace("seeds = [0, 1, 2]", "seeds = [0]")
        .replace("iterations = 40", "iterations = 12")
    )
    bounds(first, at_most=1.0)
    result = call("run", "mine", "--all", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    table = first.parent / "README.md"
    assert "| [first](first) | Authors Year, figure or table |" in table.read_text()
    assert "| reproduced |" in table.read_text()
    assert call("run", "mine", "--all", "--check").exit_code == 0
    table.write_text(
        "# Mine\n\nwords\n\n"
        + table.read_text().partition("\n\n")[2].replace("reproduced", "wonderful")
        + "after\n"
    )
    result = call("run", "mine", "--all", "--check")
    assert result.exit_code == 1
    assert "is not of these results" in result.stderr
    result = call("run", "mine", "--all", "--needed")
    assert "first: its results are of this code; skipped" in result.stdout
    text = table.read_text()
    assert text.startswith("# Mine\n\nwords\n")
    assert text.endswith("after\n")
    assert "| reproduced |" in text


def test_one_stage_alone_writes_no_results(call, first):
    result = call("run", "mine/first", "--only", "learned", "--smoke", "--workers", "1")
    assert result.exit_code == 0
    assert call("run", "mine/first", "--only", "lerned").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere"], 1, "there is no folder"),
        ([], 1, "there is no experiment"),
        (["--check", "--dry-run"], 2, "exclude each other"),
        (["--check", "--smoke"], 2, "leave out --smoke"),
        (["--workers", "0"], 2, "--workers"),
    ],
)
def test_misuse_is_a_sentence(call, desk, arguments, code, sentence):
    result = call("run", *arguments)
    assert result.exit_code == code
    assert sentence in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_of_experiments_needs_all(call, first):
    assert call("new-experiment", "mine/second").exit_code == 0
    result = call("run", "mine")
    assert result.exit_code == 1
    assert "add --all, or name one: first, second" in result.stderr


def test_a_new_experiment_overwrites_nothing(call, first):
    result = call("new-experiment", "mine/first")
    assert result.exit_code == 1
    assert "exists and is not empty" in result.stderr


def test_results_go_where_they_are_sent(call, first, desk):
    result = call("run", "mine/first", "--smoke", "--workers", "1", "--out", "there")
    assert result.exit_code == 0
    assert (desk / "there" / "first" / "smoke" / "results.json").is_file()
