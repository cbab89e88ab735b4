"""The README: its Python blocks run and print what it says, its commands exist. The pages of docs: theirs run."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import click
import pytest

from hypergrad_cli import main

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def python_blocks():
    """(code, output shown below it or None) of each Python block."""
    shown = [*BLOCKS[1:], ("", "")]
    return [
        (text, below if kind == "text" else None)
        for (language, text), (kind, below) in zip(BLOCKS, shown, strict=True)
        if language == "python"
    ]


PAGES = {
    page.name: re.findall(
        r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    for page in sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
}


def commands():
    """Every line of the README's shell blocks that runs hypergrad."""
    found = []
    for language, text in BLOCKS:
        if language in ("bash", "console", "sh"):
            for part in re.split(r"\n|&&", text):
                line = part.partition("#")[0].strip().removeprefix("$ ")
                if line.startswith("hypergrad "):
                    found.append(line)
    return found


def test_there_is_something_to_check():
    assert python_blocks()
    assert commands()


@pytest.mark.parametrize("number", range(len(python_blocks())))
def test_a_python_block_runs_and_prints_what_is_shown(number):
    code, shown = python_blocks()[number]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if shown is None:
        return
    assert NUMBER.sub("#", printed.getvalue()).split() == NUMBER.sub("#", shown).split()
    numbers = [[float(x) for x in NUMBER.findall(text)] for text in (printed.getvalue(), shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=2e-3, abs=1e-9)


@pytest.mark.parametrize("name", [name for name, blocks in PAGES.items() if blocks])
def test_the_blocks_of_a_page_run_one_after_the_other(name):
    scope = {"__name__": "page"}
    with contextlib.redirect_stdout(io.StringIO()):
        for number, code in enumerate(PAGES[name]):
            exec(compile(code, f"{name}, block {number}", "exec"), scope)


@pytest.mark.parametrize("line", commands())
def test_a_command_parses(line):
    name, *arguments = shlex.split(line)[1:]
    if name.startswith("-"):
        return
    command = main.get_command(click.Context(main), name)
    assert command is not None, f"no command {name!r}"
    arguments = [word for word in arguments if word != "..."]
    command.make_context(name, arguments, parent=click.Context(main))


def test_there_are_exactly_two_set_up_commands():
    section = re.search(r"^## Set up\n(.*?)^## ", README, flags=re.MULTILINE | re.DOTALL)
    assert section
    ((language, text),) = re.findall(r"^```(\w+)\n(.*?)^```$", section[1], flags=re.MULTILINE | re.DOTALL)
    assert language == "bash"
    first, second = (line.partition("#")[0].strip() for line in text.strip().splitlines())
    assert first.startswith("pip install")
    assert "hypergrad tune" in first
    assert second.startswith("pip install")
    assert second.endswith("pytest")


@pytest.mark.parametrize("name", sorted(main.commands))
def test_a_command_has_help_for_itself_and_each_option(name):
    command = main.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"hypergrad {name} {parameter.opts[0]} has no help"
        else:
            assert parameter.human_readable_name in command.help, f"hypergrad {name} does not explain it"


def test_the_readme_names_the_keys_of_the_json():
    from hypergrad.report.summary import TuneSummary

    for key in TuneSummary.documented_keys():
        assert f"`{key}`" in README, f"README does not document {key}"
