"""Whole experiments, run in this process."""

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
from experiment_folders import CONFIG, EXPECTED, RUN, change, results, write

from hypergrad.errors import ExperimentError, UnknownNameError
from hypergrad.experiments import harness
from hypergrad.experiments.experiment import Experiment
from hypergrad.experiments.overview import BEGIN, END, overview, stale, write_overview


class Log:
    """What ended, as text."""

    def __init__(self):
        self.lines = []

    def __call__(self, kind, experiment, task, detail):
        if kind == "ended":
            self.lines.append(str(task))
        if kind == "failed":
            self.lines.append(f"failed: {detail}")


def run(folder, *, workers=1, **keywords):
    """The outcome, and what ended."""
    log = Log()
    return harness.run([folder], event=log, workers=workers, **keywords), log.lines


def record(folder):
    return json.loads((folder / "results.json").read_text())


def test_a_run_writes_results_tables_figures_and_times(tmp_path):
    folder = write(tmp_path / "e")
    outcome, ended = run(folder)
    assert outcome.status == "accepted"
    assert len(ended) == 7
    assert set(results(folder)) == {"results.json", "table.md", "rows_of.csv", "drawing.svg", "drawing.png"}
    found = record(folder)
    assert found["quantities"]["data"]["values"] == [3.0, 3.0]
    assert found["quantities"]["scale"] | {"interval": None} == {
        "values": [0.5],
        "seeds": None,
        "mean": 0.5,
        "interval": None,
        "accepted": "0.5",
        "status": "accepted",
    }
    assert found["quantities"]["finite"]["values"] == [True, True]
    assert len((folder / "rows_of.csv").read_text().splitlines()) == 5
    assert "| total |" in (folder / "table.md").read_text()
    times = json.loads((folder / "timings.json").read_text())
    assert len(times["tasks"]) == 7


def test_running_again_computes_nothing_and_writes_the_same(tmp_path):
    folder = write(tmp_path / "e")
    run(folder)
    before = results(folder)
    outcome, ended = run(folder)
    assert ended == []
    assert outcome.status == "accepted"
    assert results(folder) == before


def test_results_do_not_depend_on_workers_nor_on_the_place(tmp_path):
    one, two = write(tmp_path / "a" / "e"), write(tmp_path / "with space" / "e")
    run(one, workers=1)
    _, ended = run(two, workers=2)
    assert len(ended) == 7
    assert results(one) == results(two)


def test_what_was_changed_is_computed_again_and_nothing_else(tmp_path):
    folder = write(tmp_path / "e")
    run(folder)
    change(folder / "config.toml", "scale = 0.5", "scale = 0.25")
    outcome, ended = run(folder)
    assert ended == ["constant"]
    assert outcome.status == "outside"
    assert [v.name for v in outcome.verdicts["e"] if v.status == "outside"] == ["scale"]
    change(folder / "config.toml", "scale = 0.25", "scale = 0.5")
    assert run(folder)[1] == []  # what was computed before is still there


@pytest.mark.parametrize("workers", [1, 2])
def test_a_result_during_which_the_data_changed_is_not_kept(tmp_path, workers):
    folder = write(tmp_path / "e")
    edit = "(Path(__file__).parent / 'numbers.csv').write_text('1\\n5\\n')\n"
    change(folder / "run.py", "    return scale\n", f"    {edit}    return scale\n")
    outcome, ended = run(folder, workers=workers)
    assert "constant: the data of" in outcome.failed["e"]
    assert "constant" not in ended
    assert not list(folder.glob(".cache/constant-*"))
    assert run(folder)[0].status == "accepted"  # written again, the data are the same


def test_a_damaged_result_is_computed_again(tmp_path):
    folder = write(tmp_path / "e")
    run(folder)
    before = results(folder)
    files = sorted((folder / ".cache").glob("drawn-*.json"))
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[1].unlink()
    _, ended = run(folder)
    assert sorted(ended) == ["drawn seed 0", "drawn seed 1"]
    assert results(folder) == before


def test_smoke_results_lie_apart(tmp_path):
    folder = write(tmp_path / "e")
    run(folder, scale="smoke")
    assert not (folder / "results.json").exists()
    found = json.loads((folder / "smoke" / "results.json").read_text())
    assert found["seeds"] == [0]
    assert found["quantities"]["scale"]["status"] == "reported"  # not judged there
    assert len(run(folder)[1]) == 6  # all but `constant`, which both scales share


def test_results_go_where_out_says(tmp_path):
    folder, out = write(tmp_path / "e"), tmp_path / "out"
    before = sorted(file.name for file in folder.iterdir())
    run(folder, out=out)
    assert sorted(file.name for file in folder.iterdir() if file.name != "__pycache__") == before
    run(folder)
    assert results(folder) == results(out / "e")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_that_raises_ends_its_experiment_and_not_the_others(tmp_path, workers):
    bad = write(
        tmp_path / "bad", run=RUN.replace("    return scale\n", "    raise ValueError('two\\nlines')\n")
    )
    good = write(tmp_path / "good")
    outcome = harness.run([bad, good], workers=workers)
    assert outcome.status == "failed"
    assert list(outcome.verdicts) == ["good"]
    line = RUN.splitlines().index("    return scale") + 1
    for word in (str(bad / "run.py"), "constant()", f"line {line}: ", "ValueError", "two"):
        assert word in outcome.failed["bad"]
    assert not (bad / "results.json").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return scale", "return {1, 2}", ["constant()", "set"]),
        ("return scale", "return {3: scale}", ["constant()", "3"]),
        ("return scale", "yield scale", ["constant()", "generator"]),
        ("return scale", "raise SystemExit(0)", ["constant()", "SystemExit"]),
        ("return scale", "raise type('Odd', (BaseException,), {})(3)", ["constant()", "Odd: 3"]),
        (
            "return scale",
            "raise type('Odd', (Exception,), {'__str__': None})",
            ["constant()", "line 33: Odd"],
        ),
        (
            "return scale",
            "import sys; sys.path.remove(sys.path[0]); 1 / 0",
            ["constant()", "ZeroDivisionError"],
        ),
        ('{"scale": constant}', '{"scale": constant, "\\ud800": 1}', ["cannot be written", "no Unicode"]),
        ('return [{"seed": seed', 'return [{"x": "\\ud800"}] or [{"seed": seed', ["csv cannot be written"]),
        ("noise(seed, rows)", "noise(seed, None, rows)", ["drawn() at seed 0", "line 23: TypeError"]),
        ("noise(seed, rows)", "noise(seed, -1)", ["drawn() at seed 0", "helper.py, line 8: ValueError"]),
        ("axes.legend()", "axes.set_title('$x^{$')", ["drawing()", "cannot be written as svg"]),
        ('"scale": constant', '"scale": "much"', ["scales()", "'much'"]),
        ('{"scale": constant}', "[constant]", ["scales()", "list"]),
        ('{"scale": constant}', '{"total": constant}', ["two functions", "'total'"]),
        ('{"scale": constant}', '{"other": constant}', ["'scale'", "no quantities function returns"]),
        ('{"scale": constant}', "{}[constant]", ["scales()", "KeyError"]),
        ("axes.legend()", "axes.lengend()", ["drawing()", "lengend"]),
        ('return [{"seed": seed', 'return 3 or [{"seed": seed', ["rows_of()", "int"]),
    ],
)
def test_what_cannot_be_written_is_a_sentence_and_leaves_no_results(tmp_path, old, new, words):
    folder = write(tmp_path / "e")
    change(folder / "run.py", old, new)
    outcome, _ = run(folder)
    for word in words:
        assert word in outcome.failed["e"]
    assert not (folder / "results.json").exists()


def test_nan_is_written_by_name_and_never_accepted(tmp_path):
    folder = write(tmp_path / "e")
    change(folder / "run.py", '"scale": constant', '"scale": float("nan"), "far": -float("inf")')
    outcome, _ = run(folder)
    assert outcome.status == "outside"
    assert record(folder)["quantities"]["scale"]["values"] == ["nan"]
    assert record(folder)["quantities"]["far"]["mean"] == "-inf"
    again, old = harness.check([folder])
    assert again.status == "outside"
    assert old == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    folder, out = write(tmp_path / "e"), tmp_path / "out"
    out.mkdir()
    out.chmod(0o500)
    outcome, _ = run(folder, out=out)
    out.chmod(0o700)
    assert "cannot be written" in outcome.failed["e"]


@pytest.mark.parametrize("place", [".cache", "e"])
def test_a_full_disk_is_a_sentence_and_what_is_there_stays(tmp_path, monkeypatch, place):
    folder, make = write(tmp_path / "e"), tempfile.mkstemp

    def full(dir, prefix):
        if Path(dir).name == place and "constant" not in prefix:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return make(dir=dir, prefix=prefix)

    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "mkstemp", full)
        outcome, _ = run(folder)
    assert "cannot be written: No space left on device" in outcome.failed["e"]
    assert not (folder / "results.json").exists()
    outcome, ended = run(folder)
    assert outcome.status == "accepted"
    assert "constant" not in ended


def test_a_file_in_the_place_of_the_results_is_a_sentence(tmp_path):
    folder = write(tmp_path / "e")
    (folder / ".cache").write_text("")
    outcome, _ = run(folder)
    assert "cannot be written" in outcome.failed["e"]
    (folder / ".cache").unlink()
    (folder / "table.md").mkdir()
    outcome, _ = run(folder)
    assert "table.md cannot be written" in outcome.failed["e"]
    (folder / "table.md").rmdir()
    outcome, ended = run(folder)
    assert outcome.status == "accepted"
    assert ended == []  # what was computed was kept


def test_numbers_too_large_for_their_interval_are_written(tmp_path):
    folder = write(tmp_path / "e")
    change(folder / "run.py", '"finite": True', '"finite": 1e308 * (1 - 2 * seed)')
    assert run(folder)[0].status == "accepted"
    assert record(folder)["quantities"]["finite"]["interval"] == ["-inf", "inf"]


def test_what_is_not_judged_at_the_smoke_scale_may_be_absent_there(tmp_path):
    folder = write(tmp_path / "e")
    change(folder / "run.py", '{"scale": constant}', '{"scale": constant} if rows == 3 else {}')
    change(folder / "run.py", "def scales(constant)", "def scales(constant, rows)")
    assert run(folder, scale="smoke")[0].status == "accepted"
    assert "scale" not in json.loads((folder / "smoke" / "results.json").read_text())["quantities"]
    assert run(folder)[0].status == "accepted"


def test_misuse_of_run_is_a_sentence(tmp_path):
    one, two = write(tmp_path / "a" / "e"), write(tmp_path / "b" / "e")
    with pytest.raises(ExperimentError, match="one name"):
        harness.run([one, two])
    for workers in (0, -1):
        with pytest.raises(ExperimentError, match=f"workers is {workers}, expected 1 or more"):
            harness.run([one], workers=workers)
    assert harness.run(str(one), workers=1, out=str(tmp_path / "out")).status == "accepted"
    assert (tmp_path / "out" / "e" / "results.json").exists()


def test_needed_skips_what_is_of_this_code(tmp_path):
    folder = write(tmp_path / "e")
    assert run(folder, needed=True)[0].verdicts
    assert run(folder, needed=True)[0].skipped == ("e",)
    change(folder / "run.py", "def unused", "# a comment\n\n\ndef unused")
    assert run(folder, needed=True)[0].skipped == ("e",)
    change(folder / "numbers.csv", "2", "5")
    assert run(folder, needed=True)[0].skipped == ()


def test_check_judges_what_is_there(tmp_path):
    folder = write(tmp_path / "e")
    assert harness.check([folder]) == (harness.Outcome(), ["e"])
    run(folder)
    outcome, old = harness.check([folder])
    assert outcome.status == "accepted"
    assert old == []
    change(folder / "expected.json", '"at_least": -100.0', '"at_least": 100.0')
    outcome, old = harness.check([folder])
    assert outcome.status == "outside"
    assert old == []
    change(folder / "run.py", "FACTOR = 2.0", "FACTOR = 3.0")
    assert harness.check([folder])[1] == ["e"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"quantities": 3}',
        '{"quantities": {"total": {}}}',
        '{"quantities": {"total": {"values": [], "seeds": []}}}',
        '{"quantities": {"total": {"values": [1.0], "seeds": [0, 1]}}}',
        '{"quantities": {"total": {"values": [null], "seeds": null}}}',
        '{"quantities": {"total": {"values": [[1.0]], "seeds": null}}}',
    ],
)
def test_damaged_results_are_a_sentence_and_spare_the_others(tmp_path, content):
    folder, good = write(tmp_path / "e"), write(tmp_path / "good")
    run(good)
    (folder / "results.json").write_text(content)
    outcome, _ = harness.check([folder, good])
    assert "results.json is damaged" in outcome.failed["e"]
    assert list(outcome.verdicts) == ["good"]


def test_only_some_stages(tmp_path):
    experiment, log = Experiment(write(tmp_path / "e")), Log()
    assert harness.run_stages(experiment, ["powers"], 1, log) == {}
    assert sorted({line.split()[0] for line in log.lines}) == ["drawn", "powers"]
    assert not (experiment.folder / "results.json").exists()
    with pytest.raises(UnknownNameError, match="no stage 'power'; did you mean 'powers'"):
        harness.run_stages(experiment, ["power"], 1, log)


def test_experiments_are_chosen_by_name(tmp_path):
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    (tmp_path / "other").mkdir()
    assert harness.chosen(tmp_path, True) == [one, two]
    assert harness.chosen(tmp_path, True, ["t*"]) == [two]
    assert harness.chosen(one, False) == [one]
    with pytest.raises(UnknownNameError, match="'twoo'"):
        harness.chosen(tmp_path, True, ["twoo"])
    with pytest.raises(ExperimentError, match="one, two"):
        harness.chosen(tmp_path, False)
    with pytest.raises(ExperimentError, match="no experiment"):
        harness.chosen(tmp_path / "other", True)
    with pytest.raises(ExperimentError, match="there is no folder"):
        harness.chosen(tmp_path / "none", False)


def test_the_table_of_all_experiments(tmp_path):
    folder = write(tmp_path / "one")
    write(tmp_path / "with space", config=CONFIG.replace("sums are sums", "a | b"))
    run(folder)
    (tmp_path / "README.md").write_text("before\n")
    assert stale(tmp_path)
    path = write_overview(tmp_path)
    text = path.read_text()
    assert text.startswith("before\n")
    assert "reproduced" in text
    assert "not run" in text
    assert "a \\| b" in text
    assert "[one](one)" in text
    assert "[with space](with%20space)" in text
    assert not stale(tmp_path)
    path.write_text(text + "after\n")
    assert not stale(tmp_path)
    write_overview(tmp_path)
    assert path.read_text().endswith("after\n")
    path.write_text(text.replace(END, ""))
    with pytest.raises(ExperimentError, match="without"):
        write_overview(tmp_path)
    path.write_text(f"{BEGIN}\n{END}\n")
    assert stale(tmp_path)


def test_a_page_that_is_no_text_is_a_sentence(tmp_path):
    run(write(tmp_path / "one"))
    (tmp_path / "README.md").write_bytes(b"\xff")
    with pytest.raises(ExperimentError, match=r"README\.md cannot be read"):
        write_overview(tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "one" / "timings.json").write_text('{"seconds": "few"}')
    assert "not known" in write_overview(tmp_path).read_text()


def test_a_result_that_cannot_be_read_spares_the_others(tmp_path):
    folder, good = write(tmp_path / "e"), write(tmp_path / "good")
    run(folder)
    place = next((folder / ".cache").iterdir())
    place.unlink()
    place.mkdir()
    outcome = harness.run([folder, good], workers=1)
    assert f"{place} cannot be read" in outcome.failed["e"]
    assert list(outcome.verdicts) == ["good"]


def test_a_headline_that_is_no_quantity_is_a_sentence(tmp_path):
    folder = write(tmp_path / "e", config=CONFIG.replace('["total"]', '["totals"]'))
    run(folder)
    with pytest.raises(ExperimentError, match="headline names 'totals'"):
        overview(tmp_path)


def test_an_unknown_scale_is_a_sentence(tmp_path):
    with pytest.raises(ExperimentError, match="'smok'"):
        harness.run([write(tmp_path / "e")], "smok")


def test_expectations_are_not_part_of_results(tmp_path):
    folder = write(tmp_path / "e")
    run(folder)
    (folder / "expected.json").write_text(json.dumps(EXPECTED | {"data": {"about": "x", "at_least": 4.0}}))
    outcome, ended = run(folder)
    assert ended == []
    assert outcome.status == "outside"


TIMED = """
import time
from hypergrad.experiments import quantities, stage


@stage(alone=True)
def clock():
    return time.perf_counter()


@stage
def later(clock):
    return clock + 1.0


@stage
def exact():
    return 3


@quantities
def measured(later):
    return {"when": later}


@quantities
def counted(exact):
    return {"count": exact}
"""


def test_what_is_measured_is_judged_and_not_part_of_results(tmp_path):
    folder = write(tmp_path / "e")
    (folder / "run.py").write_text(TIMED)
    (folder / "config.toml").write_text('title = "t"\npaper = "p"\nclaim = "c"\n')
    entries = {"when": {"about": "w", "at_least": 0.0}, "count": {"about": "c", "expected": 3}}
    (folder / "expected.json").write_text(json.dumps(entries))
    outcome, _ = run(folder)
    assert outcome.status == "accepted"
    first = (folder / "results.json").read_bytes()
    assert list(record(folder)["quantities"]) == ["count"]
    assert list(json.loads((folder / "timings.json").read_text())["quantities"]) == ["when"]
    assert harness.check([folder])[0].status == "accepted"
    for file in (folder / ".cache").iterdir():
        file.unlink()
    run(folder)
    assert (folder / "results.json").read_bytes() == first
    entries["when"]["at_least"] = 1e12
    (folder / "expected.json").write_text(json.dumps(entries))
    assert harness.check([folder])[0].status == "outside"
