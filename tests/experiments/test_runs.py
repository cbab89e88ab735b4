"""Whole runs of experiment folders: what is computed again and what is not, kills, damage, the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from hypergrad.errors import ExperimentError, UnknownNameError
from hypergrad.experiments import Experiment, run
from hypergrad.experiments.harness import check, chosen, run_stages
from hypergrad.experiments.template import FILES, new_experiment

CONFIG = """
title = "Walks"
paper = "nobody, never"
claim = "steps add up"
seeds = [0, 1]

[axes]
kind = ["up", "down"]

[parameters]
steps = 4
scale = 1.0

[smoke]
seeds = [1]

[smoke.parameters]
steps = 2
"""
CODE = """
import numpy as np
from pathlib import Path
from hypergrad.experiments import figure, quantities, stage, table

SIGN = {"up": 1.0, "down": -1.0}
LOG = Path(__file__).with_name("log.txt")


def note(*words):
    with LOG.open("a") as file:
        print(*words, file=file)


def unused():
    return 1


@stage
def draws(seed, steps):
    note("draws", seed)
    return {"x": np.random.default_rng(seed).standard_normal(steps), "from": ("a", 1, None)}


@stage
def walk(kind, seed, draws, scale):
    note("walk", kind, seed)
    assert draws["from"] == ("a", 1, None)
    return SIGN[kind] * scale * draws["x"].cumsum()


@quantities
def ends(seed, walk):
    return {"last": walk["up"][-1], "mirrored": bool((walk["up"] == -walk["down"]).all())}


@quantities
def whole(walk):
    return {"walks": sum(len(by) for by in walk.values())}


@table
def paths(walk):
    return [{"kind": kind, "seed": seed, "end": path[-1]} for kind, by in walk.items() for seed, path in by.items()]


@figure
def lines(canvas, walk):
    axes = canvas.add_subplot()
    for by in walk.values():
        for path in by.values():
            axes.plot(path)
"""
EXPECTED = {
    "last": {"about": "where it ends", "theirs": 0.0, "expected": 0.0, "tolerance": 50.0},
    "mirrored": {"about": "up and down", "expected": True},
    "walks": {"about": "how many", "expected": 4, "smoke": {"expected": 2}},
}


def made(folder: Path, code: str = CODE, config: str = CONFIG, expected: object = EXPECTED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(config)
    (folder / "run.py").write_text(textwrap.dedent(code))
    (folder / "expected.json").write_text(json.dumps(expected))
    return folder


@pytest.fixture
def walks(tmp_path):
    return made(tmp_path / "of walks")


def computed(folder: Path) -> list[str]:
    """What was computed since the last question."""
    log = folder / "log.txt"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(lines)


def finished(folder: Path, scale: str = "full", **options) -> dict:
    outcome = run([folder], scale, workers=1, **options)
    assert outcome.failed == {}
    return json.loads((folder / ("" if scale == "full" else scale) / "results.json").read_text())


ALL = ["draws 0", "draws 1", "walk down 0", "walk down 1", "walk up 0", "walk up 1"]


def test_a_run_writes_everything_and_computes_once(walks):
    record = finished(walks)
    assert computed(walks) == ALL
    assert record["status"] == "accepted"
    assert record["quantities"]["mirrored"] == {
        "values": [True, True],
        "seeds": [0, 1],
        "mean": 1.0,
        "interval": None,
        "accepted": "yes",
        "status": "accepted",
    }
    assert record["quantities"]["walks"]["values"] == [4.0]
    low, high = record["quantities"]["last"]["interval"]
    assert low < record["quantities"]["last"]["mean"] < high
    for name in ("table.md", "paths.csv", "lines.svg", "lines.png", "timings.json"):
        assert (walks / name).stat().st_size > 0
    before = {path.name: path.read_bytes() for path in walks.iterdir() if path.is_file()}
    finished(walks)
    assert computed(walks) == []
    assert {path.name: path.read_bytes() for path in walks.iterdir() if path.is_file()} == {
        name: content for name, content in before.items() if name != "log.txt"
    }


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("# nothing", "", []),
        ("return 1\n", "return 2\n", []),
        ('    note("draws", seed)\n', '    # a remark\n    note("draws", seed)\n', []),
        ("standard_normal", "random", ALL),
        ("* scale *", "* (scale) *", []),
        ('"down": -1.0', '"down": -1.0 * 1.0', [line for line in ALL if line.startswith("walk")]),
        ("return SIGN[kind]", "return 1.0 * SIGN[kind]", [line for line in ALL if line.startswith("walk")]),
        ("axes.plot(path)", "axes.plot(path, ':')", []),
    ],
)
def test_a_stage_is_computed_again_when_what_it_uses_changes(walks, old, new, again):
    made(walks, CODE + "# nothing\n")
    finished(walks)
    computed(walks)
    assert old in CODE + "# nothing\n"
    made(walks, (CODE + "# nothing\n").replace(old, new))
    finished(walks)
    assert computed(walks) == again


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("steps = 4", "steps = 5", ALL),
        ("scale = 1.0", "scale = 2.0", [line for line in ALL if line.startswith("walk")]),
        ("seeds = [0, 1]", "seeds = [0, 1, 2]", ["draws 2", "walk down 2", "walk up 2"]),
        ('title = "Walks"', 'title = "Other walks"', []),
    ],
)
def test_parameters_count_where_they_are_used(walks, old, new, again):
    finished(walks)
    computed(walks)
    expected = {**EXPECTED, "walks": {"about": "how many", "at_least": 4}}
    made(walks, config=CONFIG.replace(old, new, 1), expected=expected)
    finished(walks)
    assert computed(walks) == again


def test_modules_beside_and_data_count(tmp_path):
    code = CODE.replace("import numpy as np\n", "import numpy as np\nfrom helper import steps_of\n", 1)
    folder = made(
        tmp_path / "one", code.replace("standard_normal(steps)", "standard_normal(steps_of(steps))")
    )
    (folder / "helper.py").write_text("def steps_of(n):\n    return n\n")
    finished(folder)
    computed(folder)
    (folder / "helper.py").write_text("def steps_of(n):\n    return n + 1\n")
    finished(folder)
    assert computed(folder) == ALL
    made(folder, (folder / "run.py").read_text(), 'data = ["*.txt"]\n' + CONFIG)
    (folder / "numbers.txt").write_text("1")
    finished(folder)
    computed(folder)
    (folder / "numbers.txt").write_text("2")
    finished(folder)
    assert computed(folder) == ALL


def test_two_experiments_may_have_modules_of_one_name(tmp_path):
    code = CODE.replace("SIGN =", "import helper\nSIGN =", 1).replace(
        'return {"last"', 'return {"own": helper.OWN, "last"'
    )
    folders = []
    for number in (1, 2):
        folder = made(tmp_path / f"number{number}", code)
        (folder / "helper.py").write_text(f"OWN = {number}\n")
        folders.append(folder)
    outcome = run(folders, workers=1)
    assert outcome.failed == {}
    own = [v.values[0] for verdicts in outcome.verdicts.values() for v in verdicts if v.name == "own"]
    assert own == [1.0, 2.0]


def test_the_scales_are_apart(walks):
    record = finished(walks, "smoke")
    assert computed(walks) == ["draws 1", "walk down 1", "walk up 1"]
    assert record["seeds"] == [1]
    assert record["quantities"]["walks"]["values"] == [2.0]
    assert not (walks / "results.json").exists()


def test_workers_and_places_do_not_change_a_byte(walks, tmp_path):
    finished(walks)
    outcome = run([walks], workers=2, out=tmp_path / "elsewhere")
    assert outcome.failed == {}
    for name in ("results.json", "lines.svg", "lines.png", "paths.csv", "table.md"):
        assert (walks / name).read_bytes() == (tmp_path / "elsewhere" / "of walks" / name).read_bytes()


SLOW = CODE.replace('    note("walk", kind, seed)\n', "    import time\n    time.sleep(0.4)\n")
START = "import sys; from hypergrad.experiments import run; run([sys.argv[1]], workers=int(sys.argv[2]))"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, workers):
    whole = made(tmp_path / "a" / "walks", SLOW)
    finished(whole)
    killed = made(tmp_path / "b" / "walks", SLOW)
    kept = []
    for pause in (1, 2, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", START, str(killed), str(workers)], start_new_session=True, cwd=tmp_path
        )
        deadline = time.monotonic() + 60.0
        cache = killed / ".cache"
        while child.poll() is None and time.monotonic() < deadline:
            if cache.is_dir() and len(list(cache.glob("*.json"))) >= pause:
                break
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        kept.append(len(list(cache.glob("*.json"))))
    assert kept[0] >= 1
    assert kept == sorted(kept)
    assert not (killed / "results.json").exists()
    finished(killed)
    for name in ("results.json", "lines.svg", "lines.png", "table.md", "paths.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_a_damaged_result_is_computed_again(walks):
    first = finished(walks)
    computed(walks)
    damaged = sorted((walks / ".cache").glob("walk-*.json"))[0]
    damaged.write_text(damaged.read_text()[:-9])
    assert finished(walks) == first
    assert len(computed(walks)) == 1


def test_a_failure_names_the_line_and_spares_the_others(tmp_path):
    bad = made(tmp_path / "bad", CODE.replace("return SIGN[kind]", "return SIGN[kind + 'x']"))
    good = made(tmp_path / "good")
    outcome = run([bad, good], workers=1)
    assert set(outcome.verdicts) == {"good"}
    assert "walk() at kind up at seed 0: " in outcome.failed["bad"]
    assert "KeyError: 'upx'" in outcome.failed["bad"]
    line = 1 + CODE.splitlines().index('    return SIGN[kind] * scale * draws["x"].cumsum()')
    assert f"line {line}" in outcome.failed["bad"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("def walk(kind, seed, draws, scale)", "def walk(kind, seed, drawz, scale)", "did you mean 'draws'?"),
        ("def draws(seed, steps)", "def draws(seed, steps, walk)", "need each other"),
        ("@quantities\n", "", "declares no quantities"),
        ("def whole(walk)", "def whole(kind, walk)", "takes the axis 'kind'"),
        ("import numpy as np", "import numpy as np\n1 / 0", "line 3: ZeroDivisionError"),
        ("import numpy as np", "import numpy as np\ndef (:", "line 3"),
        ('"walks": sum', '"last": sum', "two functions return 'last'"),
        ("len(by) for by", "'x' for by", "TypeError"),
        ('return {"walks"', 'return 3 and {"walkz"', "expected.json names 'walks'"),
        ("return SIGN[kind] * scale", "return object() if 1 else scale", "which cannot be stored"),
    ],
)
def test_mistakes_in_the_code_are_a_sentence(tmp_path, old, new, sentence):
    assert old in CODE
    folder = made(tmp_path / "bad", CODE.replace(old, new))
    outcome = run([folder], workers=1)
    assert sentence in outcome.failed["bad"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("title = 3\n", "title"),
        (CONFIG.replace("[smoke]", "[smok]"), "smok"),
        (CONFIG.replace("steps = 2", "stepz = 2"), "'stepz'"),
        (CONFIG.replace("steps = 4", "steps = 4\nseed = 1"), "'seed'"),
        (CONFIG.replace("seeds = [0, 1]", "seeds = [0, 0]"), "distinct"),
        (CONFIG.replace("seeds = [0, 1]", "seeds = []"), "seeds"),
        (CONFIG.replace("title", "title ="), "not valid TOML"),
        ('needs = ["no_such_module"]\n' + CONFIG, "pip install no_such_module"),
        ('data = ["*.csv"]\n' + CONFIG, "no file fits '*.csv'"),
    ],
)
def test_mistakes_in_the_config_are_a_sentence(tmp_path, config, sentence):
    folder = made(tmp_path / "bad", config=config)
    outcome = run([folder], workers=1)
    assert sentence in outcome.failed["bad"]
    assert "\n" not in outcome.failed["bad"]


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ([1], "expected an object"),
        ({"last": {"tolerance": 1.0, "about": "x"}}, "tolerance is given without expected"),
        ({"last": {"about": "x", "atleast": 1.0}}, "atleast"),
        ({"last": {"at_least": 1.0}}, "about"),
        ({"last": {"about": "x", "smoke": True}}, "smoke"),
    ],
)
def test_mistakes_in_what_is_expected_are_a_sentence(tmp_path, expected, sentence):
    outcome = run([made(tmp_path / "bad", expected=expected)], workers=1)
    assert sentence in outcome.failed["bad"]


def test_nan_is_outside_and_can_be_written(tmp_path):
    code = CODE.replace('"last": walk["up"][-1]', '"last": float("nan")')
    outcome = run([made(tmp_path / "nan", code)], workers=1)
    assert outcome.status == "outside"
    (last,) = [v for v in outcome.verdicts["nan"] if v.name == "last"]
    assert "nan (seed 0)" in last.complaint
    record = json.loads((tmp_path / "nan" / "results.json").read_text())
    assert record["quantities"]["last"]["values"] == ["nan", "nan"]
    judged, old = check([tmp_path / "nan"])
    assert (judged.status, old) == ("outside", [])


def test_results_of_other_code_are_told(walks):
    finished(walks)
    assert check([walks])[1] == []
    assert run([walks], needed=True).skipped == ("of walks",)
    made(walks, CODE.replace("scale *", "scale * 2.0 *"))
    assert check([walks])[1] == ["of walks"]
    assert run([walks], workers=1, needed=True).skipped == ()
    assert check([walks])[1] == []


def test_one_stage_and_what_it_needs(walks):
    experiment = Experiment(walks)
    assert run_stages(experiment, ["draws"], 1, lambda *_: None) == {}
    assert computed(walks) == ["draws 0", "draws 1"]
    assert not (walks / "results.json").exists()
    with pytest.raises(UnknownNameError, match="did you mean 'walk'"):
        run_stages(experiment, ["wlk"], 1, lambda *_: None)


def test_folders_that_a_command_means(tmp_path, walks):
    assert chosen(walks, False) == [walks]
    with pytest.raises(ExperimentError, match="add --all, or name one: of walks"):
        chosen(tmp_path, False)
    made(tmp_path / "another")
    assert [p.name for p in chosen(tmp_path, True)] == ["another", "of walks"]
    assert [p.name for p in chosen(tmp_path, True, ["*walks"])] == ["of walks"]
    with pytest.raises(UnknownNameError, match="did you mean 'another'"):
        chosen(tmp_path, True, ["anoter"])
    with pytest.raises(ExperimentError, match="there is no folder"):
        chosen(tmp_path / "nowhere", False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExperimentError, match="there is no experiment"):
        chosen(tmp_path / "empty", True)


def test_the_template_runs_and_passes(tmp_path):
    folder = new_experiment(tmp_path / "first")
    assert {path.name for path in folder.iterdir()} == {*FILES, ".gitignore"}
    assert finished(folder, "smoke")["status"] == "accepted"
    with pytest.raises(ExperimentError, match="not empty"):
        new_experiment(folder)
    with pytest.raises(ExperimentError, match="is no name for an experiment"):
        new_experiment(tmp_path / "my first")
