"""Every failure is one sentence on stderr and exit code 1 or 2; never a traceback."""

import numpy as np
import pytest

import hypergrad as hg


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def table(rows, **columns):
    """A CSV with two numeric columns and the column ``y``; `columns` replaces or adds some."""
    rng = np.random.default_rng(0)
    found = {"a": rng.normal(size=rows), "b": rng.normal(size=rows), "y": rng.normal(size=rows)} | columns
    lines = [",".join(found)] + [",".join(map(str, row)) for row in zip(*found.values(), strict=True)]
    return "\n".join(lines) + "\n"


def sentence(result, code):
    """The one line that `result` says, after checking that it is one."""
    assert result.exit_code == code, (result.exit_code, result.stderr, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


MISUSE = {
    "unknown task": (["tune", "rige", "--data", "diabetes"], "no task 'rige'; did you mean 'ridge'?"),
    "no such task": (["tune", "xyzzy", "--data", "diabetes"], "ridge"),
    "unknown command": (["tuen", "ridge"], "no command 'tuen'; did you mean 'tune'?"),
    "unknown option": (["tune", "ridge", "--data", "diabetes", "--trails", "3"], "--trials"),
    "unknown sampler": (
        ["tune", "ridge", "--data", "diabetes", "--sampler", "sobel"],
        "did you mean 'sobol'?",
    ),
    "no task": (["tune"], "TASK"),
    "no data": (["tune", "ridge"], "--data"),
    "negative trials": (["tune", "ridge", "--data", "diabetes", "--trials", "-3"], "-3"),
    "no trials": (["tune", "ridge", "--data", "diabetes", "--trials", "0"], "--trials"),
    "half a trial": (["tune", "ridge", "--data", "diabetes", "--trials", "1.5"], "1.5"),
    "negative seconds": (["tune", "ridge", "--data", "diabetes", "--seconds", "-1"], "--seconds"),
    "seconds without end": (["tune", "ridge", "--data", "diabetes", "--seconds", "nan"], "--seconds"),
    "negative seed": (["tune", "ridge", "--data", "diabetes", "--seed", "-1"], "--seed"),
    "unknown hyperparameter": (["grad", "ridge", "--data", "diabetes", "--wrt", "momentun"], "'momentum'"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_exits_2(call, name):
    arguments, hint = MISUSE[name]
    assert hint in sentence(call(*arguments), 2)


ROWS = 60
TABLES = {
    "unknown target": (table(ROWS, income=np.arange(ROWS)), "incom", ["'income'"]),
    "all-NaN column": (table(ROWS, gap=["nan"] * ROWS), "y", ["gap"]),
    "infinities": (table(ROWS, a=["inf"] * ROWS), "y", ["'a'"]),
    "constant target": (table(ROWS, y=[1.0] * ROWS), "y", ["'y'"]),
    "3 rows": (table(3), "y", ["3 rows"]),
    "header only": ("a,b,y\n", "y", []),
    "empty": ("", "y", []),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_learned_from_exits_1(call, desk, name):
    text, target, hints = TABLES[name]
    file = write(desk / "people.csv", text)
    line = sentence(call("tune", "ridge", "--data", file.name, "--target", target, "--trials", 1), 1)
    assert all(hint in line for hint in hints)


def test_one_class_is_not_enough(call, desk):
    file = write(desk / "people.csv", table(ROWS, y=["yes"] * (ROWS - 1) + ["no"]))
    sentence(call("tune", "logistic", "--data", file.name, "--target", "y", "--trials", 1), 1)


def test_a_missing_file_exits_1(call):
    assert "nowhere.csv" in sentence(call("tune", "ridge", "--data", "nowhere.csv", "--target", "y"), 1)


def test_a_misspelt_bundled_set_suggests_the_nearest(call):
    assert "'digits'" in sentence(call("tune", "logistic", "--data", "digit"), 2)


def test_a_folder_is_no_table(call, desk):
    (desk / "folder.csv").mkdir()
    sentence(call("tune", "ridge", "--data", "folder.csv", "--target", "y"), 1)


def test_a_binary_file_called_csv_exits_1(call, desk):
    (desk / "people.csv").write_bytes(bytes(range(256)) * 20)
    sentence(call("tune", "ridge", "--data", "people.csv", "--target", "y"), 1)


def test_a_csv_without_a_target_lists_its_columns(call, desk):
    write(desk / "people.csv", table(ROWS))
    result = call("tune", "ridge", "--data", "people.csv")
    line = sentence(result, 1)
    assert "'a', 'b', 'y'" in line
    assert "--target COLUMN" in line


def test_nothing_is_left_behind_by_a_failure(call, desk):
    call("tune", "ridge", "--data", "nowhere.csv", "--target", "y")
    call("show")
    call("studies")
    assert list(desk.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "studies"])
def test_a_store_that_does_not_exist_exits_1(call, command):
    assert "hypergrad.db" in sentence(call(command), 1)


def test_a_store_that_is_no_store_exits_1(call, desk):
    write(desk / "hypergrad.db", "this is a letter, not a store\n" * 100)
    assert "hypergrad.db" in sentence(call("tune", "ridge", "--data", "diabetes", "--trials", 1), 1)
    assert "hypergrad.db" in sentence(call("show"), 1)


def test_a_failure_of_the_system_is_one_line(call, monkeypatch):
    def full(*arguments, **named):
        raise OSError(28, "No space left on device", "hypergrad.db")

    monkeypatch.setattr(hg, "Study", full)
    line = sentence(call("tune", "ridge", "--data", "diabetes", "--trials", 1), 1)
    assert line == "error: hypergrad.db: No space left on device"


def broken(*arguments, **named):
    raise RuntimeError("a bug\nin two lines")


def test_a_bug_is_one_line_too(call, monkeypatch):
    monkeypatch.setattr(hg, "Study", broken)
    line = sentence(call("tune", "ridge", "--data", "diabetes", "--trials", 1), 1)
    assert "unexpected RuntimeError: a bug in two lines" in line
    assert "--debug" in line


def test_debug_shows_the_traceback(call, monkeypatch):
    monkeypatch.setattr(hg, "Study", broken)
    result = call("--debug", "tune", "ridge", "--data", "diabetes", "--trials", 1)
    assert isinstance(result.exception, RuntimeError)
