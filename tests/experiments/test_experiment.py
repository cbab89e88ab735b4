"""What the key of a task depends on, and which mistakes in run.py are found before anything runs."""

import sys
import warnings
from types import ModuleType

import pytest
from experiment_folders import CONFIG, RUN, change, write

from hypergrad.errors import ExperimentError
from hypergrad.experiments.experiment import Experiment


def keys(folder, scale="full"):
    return {str(task): task.key for task in Experiment(folder, scale).tasks.values()}


def changed(before, after):
    return {name for name in after if before.get(name) != after[name]}


def test_tasks_are_the_stages_at_each_value_of_their_axes(tmp_path):
    assert set(keys(write(tmp_path / "e"))) == {
        "constant",
        "drawn seed 0",
        "drawn seed 1",
        *(f"powers seed {seed} power {power}" for seed in (0, 1) for power in (1, 2)),
    }


POWERS = {f"powers seed {seed} power {power}" for seed in (0, 1) for power in (1, 2)}
DRAWN = {"drawn seed 0", "drawn seed 1"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("run.py", "FACTOR = 2.0", "FACTOR = 3.0", POWERS),
        ("run.py", "    return FACTOR", "    return FACTOR + 1", POWERS),
        ("run.py", "    return scale\n", "    return 1.0 * scale\n", {"constant"}),
        ("run.py", "    return 1\n", "    return 2\n", set()),
        ("run.py", "def factor():", "# why\n\n\ndef factor():", set()),
        ("run.py", "def factor():", 'def factor():\n    """Says what."""', set()),
        ("run.py", '"finite": True', '"finite": False', set()),
        ("run.py", "axes.legend()", "axes.legend(fontsize=3)", set()),
        ("run.py", 'drawn["x"] ** power', 'drawn["x"]**(power)', set()),
        ("helper.py", "standard_normal", "standard_exponential", POWERS | DRAWN),
        ("helper.py", '"""Normal numbers."""', '"""Other words."""  # and more', set()),
        ("config.toml", "scale = 0.5", "scale = 0.25", {"constant"}),
        ("config.toml", "rows = 3", "rows = 4", POWERS | DRAWN),
        ("config.toml", "power = [1, 2]", "power = [1, 2, 3]", {f"powers seed {s} power 3" for s in (0, 1)}),
        ("config.toml", 'title = "Small"', 'title = "Smaller"', set()),
        ("numbers.csv", "2", "4", POWERS | DRAWN | {"constant"}),
    ],
)
def test_a_key_changes_with_what_the_result_depends_on_and_with_nothing_else(
    tmp_path, file, old, new, expected
):
    folder = write(tmp_path / "e")
    before = keys(folder)
    change(folder / file, old, new)
    assert changed(before, keys(folder)) == expected


@pytest.mark.parametrize(
    ("head", "call"),
    [
        ("from helper import *", "noise"),
        ("try:\n    from helper import noise\nexcept ImportError:\n    noise = None", "noise"),
        ("import helper", "helper.noise"),
        ("import importlib\n\nhelper = importlib.import_module('helper')", "helper.noise"),
        ("from importlib import import_module", "import_module(name='helper').noise"),
        ("", "__import__('helper').noise"),
        (
            "if True:\n\n    def noise(seed, rows):\n        import helper\n\n        return helper.noise(seed, rows)",
            "noise",
        ),
        ("import helper as h\n\nTABLE = {}\nTABLE['noise'] = h.noise", "TABLE['noise']"),
    ],
)
def test_a_module_counts_however_it_is_imported(tmp_path, head, call):
    run = RUN.replace("from helper import noise", head).replace("noise(seed, rows)}", "")
    run = RUN.replace("from helper import noise", head).replace('"x": noise(', f'"x": {call}(')
    folder = write(tmp_path / "e", run=run)
    before = keys(folder)
    change(folder / "helper.py", "standard_normal", "standard_exponential")
    assert changed(before, keys(folder)) >= DRAWN


REGISTER = "TABLE = {}\n\n\ndef kept(f):\n    TABLE['noise'] = f\n    return f\n\n\n@kept\ndef other(seed, rows):\n    "


@pytest.mark.parametrize(
    "head",
    [
        "TABLE = {}\nTABLE['noise'] = lambda seed, rows: WAS",
        "TABLE = {}\nTABLE.update({k: lambda seed, rows: WAS for k in ['noise']})",
        "TABLE = {}\nfor name in ['noise']:\n    TABLE[name] = lambda seed, rows: WAS",
        "TABLE = {}\nif True:\n    which = 'noise'\n    TABLE[which] = lambda seed, rows: WAS",
        "TABLE = {}\nTABLE['noise'], other = (lambda seed, rows: WAS), 1",
        REGISTER + "return WAS",
    ],
)
def test_what_changes_an_object_counts(tmp_path, head):
    run = RUN.replace("from helper import noise", head).replace('"x": noise(', '"x": TABLE["noise"](')
    before = keys(write(tmp_path / "e", run=run.replace("WAS", "1.0")))
    assert changed(before, keys(write(tmp_path / "e", run=run.replace("WAS", "2.0")))) >= DRAWN


@pytest.mark.parametrize(
    "end",
    [
        "def made(factor):\n    def inner(scale):\n        return WAS * factor\n\n    return inner\n\n\n"
        "one, two = stage(made(1)), stage(made(2))\n",
        "def inner(scale):\n    return WAS\n\n\nglobals()['one'] = stage(inner)\n",
    ],
)
def test_a_stage_made_by_a_function_counts_with_what_made_it(tmp_path, end):
    before = keys(write(tmp_path / "e", run=RUN + end.replace("WAS", "1.0")))
    assert len(before) > 7
    after = keys(write(tmp_path / "e", run=RUN + end.replace("WAS", "2.0")))
    assert changed(before, after) >= set(before) - POWERS - DRAWN - {"constant"}


def test_what_a_run_writes_is_no_data(tmp_path):
    folder = write(tmp_path / "e", config=CONFIG.replace("numbers.csv", "**/*.*"))
    before = keys(folder), Experiment(folder).definition
    for name in ("results.json", "rows_of.csv", "drawing.png", "table.md", "timings.json"):
        (folder / name).write_text("1")
    for name in (".cache", "smoke"):
        (folder / name).mkdir()
        (folder / name / "x.json").write_text("1")
    assert (keys(folder), Experiment(folder).definition) == before
    (folder / "more.csv").write_text("1")
    assert keys(folder) != before[0]


def test_a_package_beside_counts_with_its_init(tmp_path):
    run = RUN.replace("from helper import noise", "from shared.draws import noise")
    folder = write(tmp_path / "e", run=run, helper=None)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "__init__.py").write_text("SCALE = 1.0\n")
    (shared / "draws.py").write_text(
        "from . import SCALE\nfrom .deep import base\n\n\ndef noise(seed, rows):\n    return SCALE * base(seed, rows)\n"
    )
    (shared / "deep.py").write_text(
        "import numpy as np\n\n\ndef base(seed, rows):\n    return np.full(rows, float(seed))\n"
    )
    before = keys(folder)
    for file, old, new in (("__init__.py", "1.0", "2.0"), ("deep.py", "float(seed)", "2.0 * seed")):
        change(shared / file, old, new)
        after = keys(folder)
        assert changed(before, after) >= DRAWN, file
        before = after


def test_keys_do_not_depend_on_where_the_folder_lies(tmp_path):
    assert keys(write(tmp_path / "a" / "e")) == keys(write(tmp_path / "with space" / "é" / "e"))


def test_smoke_shares_what_it_has_in_common_with_the_full_scale(tmp_path):
    folder = write(tmp_path / "e")
    full, smoke = keys(folder), keys(folder, "smoke")
    assert full["constant"] == smoke["constant"]
    assert full["drawn seed 0"] != smoke["drawn seed 0"]


def test_modules_that_warn_when_asked_are_not_asked(tmp_path, monkeypatch):
    """As deprecated ones that a stage has imported do."""
    odd = ModuleType("odd")
    odd.__getattr__ = lambda name: warnings.warn(f"odd has no {name}", DeprecationWarning, stacklevel=2)
    monkeypatch.setitem(sys.modules, "odd", odd)
    assert keys(write(tmp_path / "e"))


def test_modules_of_two_experiments_may_have_one_name(tmp_path):
    one = write(tmp_path / "one")
    two = write(tmp_path / "two", helper="def noise(seed, rows):\n    return 7.0 + 0.0 * rows\n")
    first, second = Experiment(one), Experiment(two)
    assert first.call("drawn", {"seed": 0})["x"].shape == (3,)
    assert second.call("drawn", {"seed": 0})["x"] == 7.0
    assert first.call("drawn", {"seed": 0})["x"].shape == (3,)


def test_packages_without_init_of_three_experiments_may_have_one_name(tmp_path):
    places = []
    for name, value in (("one", 1.0), ("two", 2.0), ("three", 3.0)):
        places.append(write(tmp_path / name, run=RUN.replace("from helper", "from parts.draws")))
        (places[-1] / "parts").mkdir()
        (places[-1] / "parts" / "draws.py").write_text(f"def noise(seed, rows):\n    return {value}\n")
    found = [Experiment(place) for place in places]
    assert [e.call("drawn", {"seed": 0})["x"] for e in found] == [1.0, 2.0, 3.0]


CYCLE = """
from hypergrad.experiments import quantities, stage


@stage
def one(two):
    return two


@stage
def two(one):
    return one


@quantities
def q(two):
    return {"total": two}
"""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"run": CYCLE}, ["run.py", "need each other", "one", "two"]),
        ({"run": CYCLE.replace("def one(two)", "def one(one)")}, ["one"]),
        ({"run": None}, ["no run.py"]),
        ({"run": "x = 1"}, ["declares no quantities"]),
        ({"run": "def f(:"}, ["run.py", "line 1"]),
        ({"run": "x = 1\nraise ValueError('broken')"}, ["run.py", "line 2", "broken"]),
        ({"run": "import nothing_of_this_name"}, ["nothing_of_this_name"]),
        ({"run": RUN.replace("def drawn(seed, rows)", "def drawn(seed, rowz)")}, ["drawn()", "'rowz'", "'rows'"]),
        ({"run": RUN.replace("def rows_of(powers)", "def rows_of(seed, powers)")}, ["rows_of()", "'seed'"]),
        ({"run": RUN.replace("def sums(seed, powers", "def sums(seed, power, powers")}, ["sums()", "'power'"]),
        ({"run": RUN.replace("def constant(scale)", "def rows(scale)").replace("scales(constant)", "scales(rows)")
          .replace('"scale": constant', '"scale": rows')}, ["'rows'", "rename"]),
        ({"config": CONFIG.replace('data = ["numbers.csv"]', 'data = ["*.txt"]')}, ["config.toml", "*.txt"]),
        ({"config": 'needs = ["nothing_of_this_name"]\n' + CONFIG}, ["nothing_of_this_name", "pip install"]),
        ({"config": 'needs = ["nothing_of.this_name"]\n' + CONFIG}, ["nothing_of.this_name"]),
        ({"config": CONFIG.replace("numbers.csv", "/etc/*")}, ["config.toml", "'/etc/*'", "relative"]),
        ({"config": CONFIG.replace('"numbers.csv"', '""')}, ["config.toml", "''", "relative"]),
        ({"run": RUN.replace("def rows_of", "def numbers")}, ["'numbers.csv'", "what a run writes", "rename"]),
        ({"run": "import sys\nsys.exit(0)"}, ["run.py", "line 2", "SystemExit"]),
        ({"run": "x = 1\nraise BaseException('broken')"}, ["run.py", "line 2", "BaseException: broken"]),
        ({"run": RUN.replace("def drawing(canvas, powers)", "def drawing(powers)")}, ["drawing()", "'canvas'"]),
        ({"config": CONFIG.replace("numbers.csv", ".")}, ["config.toml", "'.'", "relative"]),
        ({"run": RUN.replace("constant", "canvas")}, ["run.py", "'canvas'", "rename"]),
        ({"config": CONFIG.replace("scale = 0.5", "scale = 0.5\ncanvas = 1")}, ["'canvas'", "rename"]),
        ({"run": RUN.replace("@stage\ndef constant", "from functools import cache\n\n\n@stage\n@cache\ndef constant")},
         ["run.py", "line 34", "@stage", "constant", "without other decorators"]),
        ({"run": RUN.replace("@stage\ndef constant", "from functools import cache\n\n\n@cache\n@stage\ndef constant")},
         ["run.py", "@stage", "constant", "without other decorators"]),
        ({"run": RUN.replace("@stage\ndef constant", "@stage(True)\ndef constant")}, ["@stage is on True, which"]),
    ],
)  # fmt: skip
def test_mistakes_are_sentences(tmp_path, files, words):
    folder = write(tmp_path / "e", **files)
    with pytest.raises(ExperimentError) as error:
        _ = Experiment(folder).tasks
    for word in words:
        assert word in str(error.value)
