"""What the pages of docs show beside Python blocks: shell examples, and a plugin with its tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hypergrad.samplers import Gradient
from hypergrad.space import read_space
from hypergrad.study import Study, load_study
from hypergrad_cli import main

DOCS = Path(__file__).parent.parent / "docs"
ROOT = DOCS.parent
START = "import sys; from hypergrad_cli import main; sys.argv[0] = 'hypergrad'; main()"


def blocks(page, language):
    """The blocks of a page in one language."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path):
    """``shell(script)`` runs it by bash in an empty folder, where `hypergrad` is this one; returns what it prints."""
    tools = tmp_path / "tools"
    tools.mkdir()
    command = tools / "hypergrad"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{START}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "OPENBLAS_NUM_THREADS": "1",
    }
    work = tmp_path / "work"
    work.mkdir()

    def run(script):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout, work

    return run


def test_the_example_of_ask_and_tell_runs_and_is_a_study_of_one_process(shell):
    (script,) = blocks("ask-tell.md", "bash")
    printed, work = shell(script)
    assert "trial 7 of study valley: value" in printed
    held = load_study(work / "hypergrad.db")
    space = read_space(work / "valley.toml")
    again = Study("again", space, Gradient() if held.sampler is None else held.sampler)
    for told in held.trials:
        trial = again.ask()
        assert trial.unit.tobytes() == told.unit.tobytes()
        again.tell(trial, told.value, told.gradient)
    assert again.best.value < 0.1
    held.close()


def test_the_space_of_the_page_is_one(tmp_path):
    (text,) = blocks("ask-tell.md", "toml")
    (tmp_path / "space.toml").write_text(text, encoding="utf-8")
    assert read_space(tmp_path / "space.toml").dimension == 8


def test_the_commands_of_the_page_exist():
    text = (DOCS / "ask-tell.md").read_text(encoding="utf-8")
    found = re.findall(r"`hypergrad ([a-z]+)", text)
    assert {"ask", "tell", "best", "show"} <= set(found)
    for name in found:
        command = main.get_command(click.Context(main), name)
        assert command is not None, f"no command {name!r}"
    options = {option for name in ("ask", "tell") for p in main.commands[name].params for option in p.opts}
    for option in re.findall(r"(?<![\w-])--[a-z]+", text):
        assert option in options, option


def test_the_plugins_of_the_page_pass_their_tests(tmp_path):
    files = [blocks("extending.md", "python")[0], *blocks("extending.md", "py")]
    for text in files:
        name = re.match(r"# (\w+\.py)\n", text)[1]
        (tmp_path / name).write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
    passed = int(re.search(r"(\d+) passed", ran.stdout)[1])
    assert len(files) == 3
    assert passed > 100


def test_the_page_names_every_attribute_of_the_suite():
    from hypergrad.testing import SamplerSuite

    text = (DOCS / "extending.md").read_text(encoding="utf-8")
    for name in ("learns", "defaults_first", "repeats", "dimensions", "trials"):
        assert f"`{name} = {getattr(SamplerSuite, name)!r}`" in text
        assert f"        {name}: " in SamplerSuite.__doc__


def test_the_commands_of_the_experiments_page_run(shell):
    (script,) = blocks("experiments.md", "bash")
    printed, work = shell(script)
    assert printed.rstrip().endswith("there")
    assert (work / "penalties" / "curves.svg").is_file()
    assert (work / "penalties" / "smoke" / "results.json").is_file()


def test_the_experiment_of_the_page_runs(shell):
    (code,) = blocks("experiments.md", "python")
    (bounds,) = blocks("experiments.md", "json")
    _, work = shell("mkdir walks")
    (work / "walks" / "run.py").write_text(code, encoding="utf-8")
    (work / "walks" / "expected.json").write_text(bounds, encoding="utf-8")
    (work / "walks" / "config.toml").write_text(
        'title = "Walks"\npaper = "none"\nclaim = "none"\nseeds = [0, 1]\n[parameters]\nsteps = 3\n',
        encoding="utf-8",
    )
    printed, _ = shell("hypergrad run walks")
    assert "positive" in printed
    for name in ("ends.csv", "paths.svg", "paths.png", "results.json", "table.md", "timings.json"):
        assert (work / "walks" / name).is_file()
