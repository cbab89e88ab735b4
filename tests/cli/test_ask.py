"""`hypergrad ask`, `tell` and `best`: a study whose trials are run by something else."""

import json
import math

import numpy as np
import pytest

from hypergrad.samplers import Gradient, Random, Sobol
from hypergrad.space import read_space
from hypergrad.study import Study, load_study

SPACE = """
lr = {type = "float", low = 1e-4, high = 1.0, log = true, default = 0.1}
steps = 1000
[opt]
kind = {type = "categorical", choices = ["sgd", "momentum"]}
momentum = {type = "float", low = 0.5, high = 0.99, active_if = {"opt/kind" = "momentum"}}
l2 = {type = "float", low = 0.0, high = 1.0, shape = 3}
"""


@pytest.fixture
def space(desk):
    path = desk / "space.toml"
    path.write_text(SPACE, encoding="utf-8")
    return path


@pytest.fixture
def answer(call):
    """``answer("ask", "demo", ...)`` -> what it prints as JSON."""

    def run(*arguments):
        result = call(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return json.loads(result.stdout)

    return run


def sentence(result, code):
    """The one line that `result` says, after checking that it is one."""
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def train(hparams):
    """A trainer that knows its derivative by lr and, in part, by l2."""
    lr, l2 = hparams["lr"], np.array(hparams["opt"]["l2"])
    value = (
        math.log(lr / 0.03) ** 2 + float(np.sum((l2 - 0.2) ** 2)) + 0.1 * (hparams["opt"]["kind"] == "sgd")
    )
    return value, 2.0 * math.log(lr / 0.03) / lr, 2.0 * (l2 - 0.2)


def test_a_loop_is_a_study_of_one_process_bit_for_bit(answer, space):
    whole = Study("whole", read_space(space), Gradient(), seed=3)

    def objective(hparams):
        value, by_lr, by_l2 = train(hparams)
        return value, {"lr": by_lr, "opt": {"l2": np.array([by_l2[0], np.nan, by_l2[2]])}}

    whole.optimize(objective, trials=8)
    for number in range(8):
        first = ("--space", space, "--seed", 3, "--sampler", "gradient") if number == 0 else ()
        asked = answer("ask", "demo", *first)
        assert asked["number"] == number
        assert asked["wants_gradient"] is True
        value, by_lr, by_l2 = train(asked["hparams"])
        gradient = {"lr": by_lr, "opt": {"l2": [by_l2[0], None, by_l2[2]]}}
        answer("tell", "demo", number, "--value", repr(value), "--gradient", json.dumps(gradient))
    held = load_study("hypergrad.db")
    for one, two in zip(held.trials, whole.trials, strict=True):
        assert one.unit.tobytes() == two.unit.tobytes()
        assert one.unit_gradient.tobytes() == two.unit_gradient.tobytes()
        assert (one.value, one.note, one.seed, one.wants_gradient) == (
            two.value,
            two.note,
            two.seed,
            two.wants_gradient,
        )
    held.close()
    best = answer("best", "demo")
    assert (best["number"], best["value"]) == (whole.best.number, whole.best.value)
    assert best["hparams"]["lr"] == whole.best.hparams["lr"]


def test_the_table_has_every_digit_and_the_next_command(call, space):
    result = call("ask", "demo", "--space", space, "--sampler", "random", "--store", "my runs.db")
    assert result.exit_code == 0
    assert "trial 0 of study demo, seed 0" in result.stdout
    assert ["opt/l2", "[0.5,", "0.5,", "0.5]"] in [line.split() for line in result.stdout.splitlines()]
    assert "the gradient is not needed" in result.stdout
    assert "hypergrad tell demo 0 --store 'my runs.db' --value VALUE\n" in result.stdout
    shown = call("ask", "demo", "--store", "my runs.db").stdout
    held = load_study("my runs.db")
    assert repr(held.trials[1].hparams["lr"]) in shown
    assert all(repr(x) in shown for x in held.trials[1].hparams["opt"]["l2"].tolist())
    held.close()
    assert "--gradient JSON" in call("ask", "other", "--space", space).stdout


def test_what_is_told_is_kept(answer, call, space, desk):
    answer("ask", "demo", "--space", space)
    (desk / "gradient.json").write_text('{"lr": -0.4, "opt": {"l2": null}}', encoding="utf-8")
    told = answer(
        "tell",
        "demo",
        0,
        "--value",
        "0.31",
        "--gradient",
        "@gradient.json",
        "--cost",
        4000,
        "--metrics",
        '{"acc": 0.9}',
    )
    assert (told["state"], told["value"], told["cost"], told["metrics"]) == (
        "complete",
        0.31,
        4000,
        {"acc": 0.9},
    )
    assert told["gradient"] == {"lr": -0.4, "opt": {"kind": None, "l2": None}, "steps": None}
    assert told["best"] == {"number": 0, "value": 0.31}
    shown = json.loads(call("show", "demo", "--json").stdout)["trials"][0]
    assert {key: told[key] for key in shown} == shown
    assert shown["wants_gradient"] is True


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_diverged_trial(call, space, value):
    call("ask", "demo", "--space", space)
    result = call("tell", "demo", 0, "--value", value)
    assert result.stdout == f"trial 0 of study demo: value {value}\n"
    assert "no trial with a finite value" in sentence(call("best"), 1)


def test_a_negative_value_and_one_with_all_digits(call, space):
    call("ask", "demo", "--space", space)
    result = call("tell", "demo", 0, "--value", "-0.10000000000000003")
    assert result.stdout == (
        "trial 0 of study demo: value -0.10000000000000003; best -0.10000000000000003 in trial 0\n"
    )


def test_a_failed_trial(call, space):
    call("ask", "demo", "--space", space)
    assert call("tell", "demo", 0, "--failed", "out of memory").stdout == (
        "trial 0 of study demo: failed: out of memory\n"
    )
    assert "failed" in call("show", "demo").stdout
    assert "already failed" in sentence(call("tell", "demo", 0, "--value", 1), 1)


def test_each_ask_is_another_trial_until_asked_again(answer, space):
    first, second = answer("ask", "demo", "--space", space), answer("ask", "demo")
    assert (first["number"], second["number"]) == (0, 1)
    assert first["hparams"] != second["hparams"]
    assert answer("ask", "demo", "--again", 0) == first
    assert answer("ask", "demo")["number"] == 2
    answer("tell", "demo", 1, "--value", 2.0)
    assert [trial["state"] for trial in answer("show", "demo")["trials"]] == [
        "running",
        "complete",
        "running",
    ]


def test_the_same_space_may_be_given_each_time(answer, call, space):
    for number in range(2):
        assert answer("ask", "demo", "--space", space, "--seed", 5)["number"] == number
    assert answer("ask", "demo", "--space", space)["number"] == 2
    assert "the seed 5, not 6" in sentence(call("ask", "demo", "--seed", 6), 1)
    assert "the sampler Hybrid" in sentence(call("ask", "demo", "--sampler", "sobol"), 1)
    space.write_text(SPACE.replace("high = 1.0, log", "high = 2.0, log"), encoding="utf-8")
    assert "high=1.0 of 'lr', not 2.0" in sentence(call("ask", "demo", "--space", space), 1)


def test_a_name_that_begins_the_name_of_another_study_is_a_new_one(answer, space):
    answer("ask", "demo2", "--space", space)
    assert answer("ask", "demo", "--space", space)["study"] == "demo"
    assert [study["name"] for study in answer("studies")] == ["demo2", "demo"]


def test_a_study_made_in_python_is_continued(answer, space, desk):
    study = Study("mine", read_space(space), Sobol(), store=desk / "hypergrad.db", seed=2)
    study.optimize(lambda h: 1.0, trials=2)
    died = study.ask()
    study.close()
    assert answer("ask", "mine")["hparams"]["lr"] == died.hparams["lr"]  # the trial whose process is gone
    assert answer("ask", "mine")["number"] == 3


def test_the_last_configuration(answer, call, desk):
    (desk / "space.json").write_text('{"a": {"type": "int", "low": 1, "high": 2}}', encoding="utf-8")
    for number in range(2):
        answer("ask", "demo", "--space", "space.json")
        answer("tell", "demo", number, "--value", number)
    assert "tried all 2 configurations" in sentence(call("ask", "demo"), 1)


def test_shells_that_ask_at_once_get_different_trials(start, space):
    asked = [start("ask", "demo", "--space", space, "--wait", 300, "--json") for _ in range(4)]
    outputs = [process.communicate() for process in asked]
    assert [process.returncode for process in asked] == [0] * 4, outputs
    assert sorted(json.loads(out)["number"] for out, _ in outputs) == [0, 1, 2, 3]
    told = [start("tell", "demo", n, "--value", n, "--wait", 300) for n in range(4)]
    outputs = [process.communicate() for process in told]
    assert [process.returncode for process in told] == [0] * 4, outputs
    held = load_study(space.parent / "hypergrad.db")
    assert [trial.value for trial in held.trials] == [0.0, 1.0, 2.0, 3.0]
    held.close()


def test_a_study_that_another_process_runs(call, space, desk):
    busy = Study("demo", read_space(space), Random(), store=desk / "hypergrad.db")
    busy.ask()
    for arguments in (("ask", "demo"), ("tell", "demo", 0, "--value", 1)):
        line = sentence(call(*arguments, "--wait", 0.05), 1)
        assert "is being run by" in line
    busy.close()


ASKED = ["ask", "demo", "--space", "space.toml"]
MISUSE = {
    "no study": (["ask"], 2, "STUDY"),
    "no space": (["ask", "demo"], 1, "there is no store hypergrad.db; --space FILE makes both"),
    "no such file": (["ask", "demo", "--space", "spcae.toml"], 1, "spcae.toml cannot be read (No such file"),
    "a folder": (["ask", "demo", "--space", "."], 2, "--space"),
    "unknown sampler": ([*ASKED, "--sampler", "sobel"], 2, "did you mean 'sobol'?"),
    "again too early": ([*ASKED, "--again", "0"], 1, "has no trial 0; it has none yet"),
    "negative wait": ([*ASKED, "--wait", "-1"], 2, "--wait"),
}
TOLD = ["tell", "demo", "0"]
MISTOLD = {
    "no value": (TOLD, 2, "give either --value or --failed"),
    "both": ([*TOLD, "--value", "1", "--failed", "x"], 2, "give either --value or --failed"),
    "failed with a gradient": ([*TOLD, "--failed", "x", "--gradient", "{}"], 2, "--failed goes with no"),
    "a word": ([*TOLD, "--value", "low"], 2, "'low' is not a valid float"),
    "a number that is none": (["tell", "demo", "first", "--value", "1"], 2, "NUMBER"),
    "no such trial": (
        ["tell", "demo", "7", "--value", "1"],
        1,
        "has no trial 7; its 1 trials are numbered from 0",
    ),
    "no such study": (["tell", "dmeo", "0", "--value", "1"], 1, "did you mean 'demo'?"),
    "no JSON": ([*TOLD, "--value", "1", "--gradient", '{"lr"'], 2, "--gradient': it is no JSON"),
    "no object": ([*TOLD, "--value", "1", "--gradient", "3"], 2, "it is 3, expected an object such as"),
    "no gradient file": (
        [*TOLD, "--value", "1", "--gradient", "@g.json"],
        2,
        "g.json cannot be read (No such file",
    ),
    "unknown key": (
        [*TOLD, "--value", "1", "--gradient", '{"rl": 1}'],
        1,
        "no hyperparameter 'rl'; choose from lr",
    ),
    "wrong shape": (
        [*TOLD, "--value", "1", "--gradient", '{"opt": {"l2": [1, 2]}}'],
        1,
        "the gradient of trial 0 at 'opt/l2' has the shape (2,), expected (3,)",
    ),
    "ragged": ([*TOLD, "--value", "1", "--gradient", '{"opt": {"l2": [[1], 2, 3]}}'], 1, "opt/l2"),
    "words": (
        [*TOLD, "--value", "1", "--gradient", '{"lr": "steep"}'],
        1,
        "'lr' is 'steep', expected real numbers",
    ),
    "negative cost": ([*TOLD, "--value", "1", "--cost", "-4"], 1, "the cost of trial 0 is -4.0, expected"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_of_ask_is_one_line_and_leaves_no_store(call, space, desk, name):
    arguments, code, says = MISUSE[name]
    assert says in sentence(call(*arguments), code)
    if name != "again too early":
        assert [path.name for path in desk.iterdir()] == ["space.toml"]


@pytest.mark.parametrize("name", MISTOLD)
def test_misuse_of_tell_is_one_line_and_leaves_the_trial_running(call, space, name):
    assert call(*ASKED).exit_code == 0
    arguments, code, says = MISTOLD[name]
    assert says in sentence(call(*arguments), code)
    assert call("tell", "demo", 0, "--value", 1).exit_code == 0


def test_a_bad_space_names_the_file_and_the_key(call, desk):
    (desk / "space.toml").write_text("lr = {type = 'float', lo = 1, high = 2}", encoding="utf-8")
    assert sentence(call(*ASKED), 1) == "error: space.toml: 'lr' (float): no key 'lo'; did you mean 'low'?"


def test_a_space_with_constraints(answer, desk):
    path = desk / "space.toml"
    path.write_text(
        'constraints = ["lr + l2 <= 0.3"]\n'
        + "".join(
            f'{name} = {{type = "float", low = 0.0, high = 1.0, default = 0.1}}\n' for name in ("lr", "l2")
        )
    )
    answer("ask", "demo", "--space", "space.toml")
    for _ in range(5):  # the study is read from the store
        found = answer("ask", "demo")["hparams"]
        assert found["lr"] + found["l2"] <= 0.3


def test_another_study_in_the_store_is_suggested(call, space):
    call(*ASKED)
    line = sentence(call("ask", "dmeo"), 1)
    assert "did you mean 'demo'? (--space FILE makes a new study)" in line
