"""``hypergrad run`` and ``hypergrad new-experiment``: exit codes, what is printed, and what is written."""

import json
import os
import signal

import pytest
from experiment_folders import CONFIG, RUN, change, results, write


def check(result, code, *words):
    """The exit code, and that stdout and stderr together hold these words."""
    text = result.stdout + result.stderr
    assert result.exit_code == code, text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text
    if code:
        assert result.stderr.splitlines()[-1].startswith("error: ")


def test_a_new_experiment_runs_and_passes(call, desk):
    check(call("new-experiment", "mine"), 0, "mine", "hypergrad run mine")
    check(call("run", "mine", "--smoke", "--workers", "1"), 0, "improvement", "accepted", "results.json")
    assert json.loads((desk / "mine" / "smoke" / "results.json").read_text())["status"] == "accepted"
    check(call("new-experiment", "mine"), 1, "not empty")
    check(call("new-experiment", "a b/mine"), 0, "hypergrad run 'a b/mine'")
    check(call("new-experiment", "with space"), 1, "no name")


def test_accepted_is_0_and_a_second_run_computes_nothing(call, desk):
    folder = write(desk / "e")
    first = call("run", "e", "--workers", "1")
    check(first, 0, "drawn seed 0", "sums are sums", "Nobody 2000", "total", "accepted")
    before = results(folder)
    second = call("run", "e", "--workers", "1")
    check(second, 0, "accepted")
    assert second.stderr == ""
    assert results(folder) == before


def test_the_default_is_the_folder_that_one_is_in(call, desk, monkeypatch):
    monkeypatch.chdir(write(desk / "with space" / "e"))
    check(call("run", "--workers", "1"), 0, "accepted")


def test_outside_its_bounds_is_3_and_names_the_quantity(call, desk):
    folder = write(desk / "e")
    change(folder / "config.toml", "scale = 0.5", "scale = 0.25")
    check(
        call("run", "e", "--workers", "1"),
        3,
        "e: scale is 0.25, accepted is 0.5",
        "1 gated quantity is",
        "in e",
    )
    check(call("run", "e", "--check"), 3, "scale is 0.25")
    change(folder / "expected.json", '"expected": 0.5', '"gate": false, "expected": 0.5')
    check(call("run", "e", "--workers", "1"), 0, "deviates")


def test_what_fails_is_1(call, desk):
    folder = write(desk / "e")
    change(folder / "run.py", "return scale", "return scale / 0")
    check(call("run", "e", "--workers", "1"), 1, "run.py", "constant()", "line ", "ZeroDivisionError")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config": "title = "}, ["config.toml is not valid TOML"]),
        ({"config": CONFIG.replace("paper", "papers")}, ["papers", "it may have"]),
        ({"expected": "{"}, ["expected.json is not valid JSON"]),
        ({"expected": {"totals": {"about": "x"}}}, ["'totals'", "no quantities function returns"]),
        ({"expected": None}, ["no expected.json", "new-experiment"]),
        ({"run": None}, ["no run.py"]),
        ({"run": RUN.replace("def constant(scale)", "def constant(scales)")}, ["'scales'"]),
        ({"helper": None}, ["helper"]),
    ],
)
def test_wrong_files_are_1_with_a_sentence(call, desk, files, words):
    write(desk / "e", **files)
    check(call("run", "e", "--workers", "1"), 1, *words)


def test_misuse_is_2(call, desk):
    write(desk / "all" / "e")
    for arguments in (
        ["all/e", "--dry-run", "--list"],
        ["all/e", "--check", "--smoke"],
        ["all/e", "--check", "--out", "x"],
        ["all/e", "--workers", "0"],
        ["all/e", "--workers", "two"],
        ["all/e", "--none"],
        ["all/e", "--all"],
        ["all/e", "--check", "--only", "drawn"],
        ["all/e", "--list", "--only", "drawn"],
        ["all/e", "--dry-run", "--only", "drawm"],
        ["all/e", "--only", "drawn", "--needed"],
        ["all/e", "--dry-run", "--needed"],
        ["all/e", "--check", "--needed"],
        ["all/e", "--list", "--needed"],
        ["all/e", "--only", "powerz"],
        ["all", "--all", "--only", "f"],
    ):
        check(call("run", *arguments), 2)
    check(call("run", "none"), 1, "there is no folder")
    check(call("run", "all"), 1, "add --all, or name one: e")
    assert not (desk / "all" / "e" / "results.json").exists()


def test_only_a_stage(call, desk):
    folder = write(desk / "e")
    check(call("run", "e", "--only", "powers", "--workers", "1"), 0, "drawn seed 1", "powers seed 0 power 2")
    assert not (folder / "results.json").exists()
    second = call("run", "e", "--workers", "1")
    assert "drawn" not in second.stderr
    assert "constant" in second.stderr
    change(folder / "run.py", "return scale", "return scale / 0")
    check(call("run", "e", "--only", "constant", "--workers", "1"), 1, "ZeroDivisionError")


def test_dry_run_and_list_run_nothing(call, desk):
    folder = write(desk / "all" / "e")
    before = call("run", "all/e", "--dry-run")
    check(before, 0, "drawn seed 0", "to compute")
    assert "there" not in before.stdout
    check(call("run", "all", "--list"), 0, "\ne            Nobody 2000   sums are sums")
    check(call("run", "all/e", "--list"), 0, "Nobody 2000")
    assert not (folder / "results.json").exists()
    assert not (folder / ".cache").exists()
    some = call("run", "all/e", "--dry-run", "--only", "drawn")
    check(some, 0, "drawn seed 0")
    assert "powers" not in some.stdout
    call("run", "all/e", "--workers", "1")
    after = call("run", "all/e", "--dry-run")
    check(after, 0, "there")
    assert "to compute" not in after.stdout
    check(call("run", "all", "--all", "--dry-run"), 0, "there")


def test_all_of_a_folder_and_its_table(call, desk):
    one, two = write(desk / "all" / "one"), write(desk / "all" / "two")
    change(two / "run.py", "return scale", "return scale / 0")
    check(
        call("run", "all", "--all", "--workers", "1"),
        1,
        "1 of 2 experiments ran to the end",
        "ZeroDivisionError",
    )
    table = (desk / "all" / "README.md").read_text()
    assert "reproduced" in table
    assert "not run" in table
    change(two / "run.py", "return scale / 0", "return scale")
    needed = call("run", "all", "--all", "--needed", "--workers", "1")
    check(needed, 0, "one: its results are of this code; skipped")
    assert "one: drawn" not in needed.stderr
    check(call("run", "all", "--all", "--check"), 0, "one: accepted", "two: accepted")
    change(desk / "all" / "README.md", "reproduced", "refuted")
    check(call("run", "all", "--all", "--check"), 1, "the table in", "--all --needed")
    check(call("run", "all", "--all", "--needed"), 0)
    check(call("run", "all", "--all", "--check"), 0)
    change(one / "run.py", "FACTOR = 2.0", "FACTOR = 3.0")
    check(call("run", "all", "--all", "--check"), 1, "one: there are no results, or they are of other code")
    check(call("run", "all", "--all", "--only", "tw*", "--check"), 0, "two: accepted")


def test_all_of_a_folder_with_one_that_cannot_be_read(call, desk):
    good, _ = write(desk / "all" / "good"), write(desk / "all" / "odd", config="title = ")
    change(good / "config.toml", "scale = 0.5", "scale = 0.25")
    found = call("run", "all", "--all", "--workers", "1")
    check(
        found,
        1,
        "good: scale is 0.25",
        "odd: ",
        "not valid TOML",
        "the table of all experiments is not written",
    )
    assert (good / "results.json").exists()
    check(call("run", "all", "--list"), 1, "not valid TOML")
    check(call("run", "all", "--all", "--check"), 1, "good: outside", "not valid TOML")


def test_results_elsewhere(call, desk):
    folder = write(desk / "all" / "e")
    check(call("run", "all", "--all", "--out", "there is", "--workers", "1"), 0)
    assert not (folder / ".cache").exists()
    assert not (desk / "all" / "README.md").exists()
    check(call("run", "all/e", "--workers", "1"), 0)
    assert results(folder) == results(desk / "there is" / "e")


INTERRUPT = "import os, signal\n\n    os.kill(os.getpid(), signal.SIGINT)\n"
SWALLOW = f"try:\n        {INTERRUPT}    except BaseException:\n        pass\n".replace("\n\n", "\n    ")
FINALISER = f"class Left:\n        def __del__(self):\n            {INTERRUPT}\n    Left()\n".replace(
    "\n\n", "\n        ", 1
)
NAMED = (
    "import os\n\n\nclass Named:\n    def __set_name__(self, owner, name):\n        os.kill(os.getpid(), 2)\n\n\n"
    "class Owner:\n    name = Named()\n\n\n"
)


def interrupted(process):
    """Whether it ended as one that was interrupted does; what it said."""
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT, said
    assert b"Traceback" not in said
    assert said.decode().splitlines()[-1] == "interrupted; the same command continues"
    return said.decode()


@pytest.mark.parametrize(
    ("old", "new", "workers"),
    [
        ("    return scale\n", f"    {INTERRUPT}    return scale\n", 1),
        ("    return scale\n", f"    {INTERRUPT.replace('getpid', 'getppid')}    return scale\n", 2),
        ("    return scale\n", f"    {SWALLOW}    return scale\n", 1),
        ("    return scale\n", f"    {FINALISER}    return scale\n", 1),
        ('    return {"scale"', f'    {INTERRUPT}    return {{"scale"', 2),
        ('    return {"scale"', f'    {SWALLOW}    return {{"scale"', 1),
        ("FACTOR = 2.0\n", f"FACTOR = 2.0\n{NAMED}", 1),  # of which Python may make a RuntimeError
    ],
)
def test_interrupted_wherever_it_is_says_how_to_go_on(start, call, desk, old, new, workers):
    folder = write(desk / "e")
    change(folder / "run.py", old, new)
    interrupted(start("run", "e", "--workers", workers))
    change(folder / "run.py", new, old)
    check(call("run", "e", "--workers", 1), 0, "accepted")


def test_a_stage_that_swallows_an_interruption_is_not_kept(start, desk):
    folder = write(desk / "e")
    change(folder / "run.py", "    return scale\n", f"    {SWALLOW}    return scale\n")
    interrupted(start("run", "e", "--workers", 1, "--only", "constant"))
    assert not list(folder.glob(".cache/*"))


def test_interrupted_while_the_command_is_imported(start, desk):
    (desk / "sitecustomize.py").write_text(
        "import os, sys\n\n\nclass Interrupts:\n    def find_spec(self, name, *rest):\n"
        "        if name == 'click':\n            os.kill(os.getpid(), 2)\n\n\n"
        "sys.meta_path.insert(0, Interrupts())\n"
    )
    write(desk / "e")
    path = os.pathsep.join([str(desk), *filter(None, [os.environ.get("PYTHONPATH")])])
    interrupted(start("run", "e", PYTHONPATH=path))


def test_an_interruption_when_all_is_said_changes_nothing(start, desk):
    folder = write(desk / "e")
    change(
        folder / "run.py",
        "FACTOR = 2.0\n",
        "import atexit\nimport os\n\natexit.register(lambda: os.kill(os.getpid(), 2))\nFACTOR = 2.0\n",
    )
    process = start("run", "e", "--workers", 1)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"results.json" in printed
    assert b"nterrupt" not in said


def test_a_process_without_stdout_prints_nothing(start, desk):
    write(desk / "e")
    process = start("run", "e", "--list", stdout=None, before=lambda: os.close(1))
    _, said = process.communicate(timeout=120)
    assert said == b""
    assert process.returncode == 0
