"""`hypergrad tune` from end to end: its JSON, its text, its study; continued, interrupted, killed."""

import json
import signal

import numpy as np
import pytest

from hypergrad.report.summary import TuneSummary
from hypergrad.study import load_study, studies
from hypergrad.study.codec import encode

QUICK = ("tune", "ridge", "--data", "diabetes")


def tuned(result):
    """The JSON of a run that ended well and said nothing else."""
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))


def lasting(found):
    """What does not depend on the clock, or on whether the run was continued."""
    return {key: value for key, value in found.items() if key not in ("seconds", "notes", "store")}


def flat(found):
    """Dotted keys of the JSON."""
    inner = {f"{key}.{name}" for key in ("best", "baseline") for name in found[key]}
    return inner | set(found) - {"best", "baseline"}


def history(store):
    """What a store holds of each trial, without clock times."""
    trials = load_study(store).trials
    vectors = ((t.unit, t.curve, () if t.unit_gradient is None else t.unit_gradient) for t in trials)
    return [
        (t.number, t.state, t.value, *(np.asarray(vector).tobytes() for vector in found))
        for t, found in zip(trials, vectors, strict=True)
    ]


def test_regression(call):
    found = tuned(call(*QUICK, "--trials", 3, "--json"))
    assert flat(found) == set(TuneSummary.documented_keys())
    assert found["task"] == "ridge"
    assert found["data"] == "diabetes"
    assert (found["trials"], found["seed"], found["sampler"]) == (3, 0, "hybrid")
    for figures in (found["metrics"], found["baseline"]["metrics"]):
        assert set(figures) == {"train", "valid", "test"}
        assert all(set(part) == {"loss", "rmse"} for part in figures.values())
        assert all(np.isfinite(value) for part in figures.values() for value in part.values())
    assert found["best"]["value"] <= found["baseline"]["value"]
    assert found["best"]["value"] == pytest.approx(found["metrics"]["valid"]["loss"], rel=1e-12)
    assert found["baseline"]["value"] == found["baseline"]["metrics"]["valid"]["loss"]


def test_classification(call):
    found = tuned(call("tune", "logistic", "--data", "wine", "--trials", 2, "--json"))
    assert set(found["metrics"]["test"]) == {"loss", "accuracy"}
    assert 0.0 <= found["metrics"]["test"]["accuracy"] <= 1.0


def test_a_table_with_words_gaps_and_a_keyword_for_a_name(call, desk):
    rng = np.random.default_rng(0)
    rows = ['class,lambda,income (k€),"name, first",import']
    for i in range(90):
        word = rng.choice(["red", "green", ""])
        number = "" if i % 7 == 0 else f"{rng.normal():.3f}"
        rows.append(f'{"yes" if rng.random() < 0.5 else "no"},{word},{number},"a, b",{rng.normal():.3f}')
    (desk / "my people.csv").write_text("\n".join(rows), encoding="utf-8")
    found = tuned(
        call("tune", "logistic", "--data", "my people.csv", "--target", "class", "--trials", 2, "--json")
    )
    assert (found["data"], found["target"], found["trials"]) == ("my people.csv", "class", 2)


@pytest.mark.parametrize("sampler", ["random", "sobol", "gradient", "bayes"])
def test_three_trials_and_three_more_are_six_at_once(call, desk, sampler):
    command = (*QUICK, "--sampler", sampler, "--json")
    call(*command, "--trials", 3, "--store", "parts.db")
    parts = tuned(call(*command, "--trials", 6, "--store", "parts.db"))
    whole = tuned(call(*command, "--trials", 6, "--store", "whole.db"))
    assert lasting(parts) == lasting(whole)
    assert history("parts.db") == history("whole.db")
    assert any("continued after 3 trials" in note for note in parts["notes"])


def test_a_spent_budget_computes_nothing_and_prints_the_same(call, desk):
    first = tuned(call(*QUICK, "--trials", 3, "--json"))
    before = (desk / "hypergrad.db").read_bytes()
    again = tuned(call(*QUICK, "--trials", 3, "--json"))
    assert lasting(again) == lasting(first)
    assert (desk / "hypergrad.db").read_bytes() == before
    assert any("already held 3 trials" in note for note in again["notes"])


def test_other_arguments_and_changed_data_make_other_studies(call, desk):
    def table(shift):
        rng = np.random.default_rng(0)
        rows = [f"{a},{b},{a - b + shift}" for a, b in rng.normal(size=(40, 2))]
        (desk / "t.csv").write_text("\n".join(["a,b,y", *rows]), encoding="utf-8")

    table(0.0)
    command = ("tune", "ridge", "--data", "t.csv", "--target", "y", "--trials", 1, "--json")
    names = [tuned(call(*command))["study"]]
    names.append(tuned(call(*command, "--seed", 1))["study"])
    names.append(tuned(call(*command, "--sampler", "random"))["study"])
    table(0.125)
    names.append(tuned(call(*command))["study"])
    assert len(set(names)) == 4
    assert [each.name for each in studies("hypergrad.db")] == names


def test_seconds_end_a_run_and_say_so(call):
    found = tuned(call(*QUICK, "--trials", 100000, "--seconds", 0.01, "--json"))
    assert 1 <= found["trials"] < 100000
    assert any("0.01 s were spent" in note for note in found["notes"])


def test_the_text_names_the_figures_the_store_and_what_comes_next(call, desk):
    result = call(*QUICK, "--trials", 2, "--store", "my runs.db", "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    for words in ("best validation loss", "tuned", "defaults", "test rmse", "kept in my runs.db"):
        assert words in result.stdout
    show, more = (line.strip() for line in result.stdout.splitlines()[-2:])
    assert show.startswith("hypergrad show ridge-diabetes-")
    assert show.endswith("--store 'my runs.db'")
    assert more == "hypergrad tune ridge --data diabetes --trials 4 --store 'my runs.db'"


def test_progress_is_one_line_a_trial_on_stderr(call):
    result = call(*QUICK, "--trials", 3)
    lines = result.stderr.splitlines()
    assert [line.split()[:2] for line in lines] == [["trial", "1/3"], ["trial", "2/3"], ["trial", "3/3"]]
    assert all("value" in line and "best" in line and "s left" in line for line in lines)


def test_ctrl_c_leaves_one_line_and_the_same_command_continues(start, call, desk):
    process = start(*QUICK, "--trials", 6)
    assert process.stderr.readline().startswith(b"trial 1/6")
    process.send_signal(signal.SIGINT)
    *_, last = process.stderr.read().decode().splitlines()
    assert process.wait() in (130, 0)
    if process.returncode == 130:
        assert last == "interrupted; the same command continues"
    parts = tuned(call(*QUICK, "--trials", 6, "--json"))
    whole = tuned(call(*QUICK, "--trials", 6, "--json", "--store", "whole.db"))
    assert lasting(parts) == lasting(whole)
    assert history("hypergrad.db") == history("whole.db")


@pytest.mark.parametrize("lines", [1, 4])
def test_killed_at_any_moment_the_same_command_ends_the_same(start, call, desk, lines):
    process = start(*QUICK, "--trials", 6)
    for _ in range(lines):
        process.stderr.readline()
    process.kill()
    process.wait()
    kept = history("hypergrad.db")
    parts = tuned(call(*QUICK, "--trials", 6, "--json"))
    whole = tuned(call(*QUICK, "--trials", 6, "--json", "--store", "whole.db"))
    assert lasting(parts) == lasting(whole)
    assert history("hypergrad.db") == history("whole.db")
    done = [trial for trial in kept if trial[1] == "complete"]
    assert len(done) >= lines
    assert done == history("hypergrad.db")[: len(done)]


def test_plain_streams_and_the_c_locale(start):
    process = start(*QUICK, "--trials", 1, LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii", COLUMNS="20")
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    output.decode("ascii")
    assert b"\x1b" not in output + errors


def test_an_earlier_study_tells_where_to_look(call):
    first = tuned(call(*QUICK, "--trials", 3, "--json"))
    arguments = (*QUICK, "--seed", 1, "--trials", 2)
    found = tuned(call(*arguments, "--earlier", first["study"], "--json"))
    assert found["study"] != tuned(call(*arguments, "--json"))["study"]
    assert f"3 trials of the earlier study {first['study']} told where to look" in found["notes"]
    new = load_study("hypergrad.db", found["study"])
    best = load_study("hypergrad.db", first["study"]).best.hparams
    assert encode(new.trials[0].hparams, sort=True) == encode(best, sort=True)
    assert tuned(call(*arguments, "--earlier", first["study"], "--json"))["trials"] == 2
    assert f"--earlier {first['study']}" in call(*arguments, "--earlier", first["study"]).stdout.replace(
        "\n", ""
    )
    result = call(*arguments, "--earlier", "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no study 'nobody'" in result.stderr
