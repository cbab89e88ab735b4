"""The front of the command line: version, help, encodings, pipes."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hypergrad

COMMANDS = ["tune", "grad", "show", "studies", "ask", "tell", "best", "importance", "slice", "why"]


def test_version(call):
    assert call("--version").stdout == f"hypergrad {hypergrad.__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(call, name):
    result = call(name, "--help")
    assert result.exit_code == 0
    assert "Usage: hypergrad " + name in result.stdout


def test_help_of_tune_lists_tasks_samplers_and_keys(call):
    from hypergrad.report.summary import TuneSummary
    from hypergrad.samplers import SAMPLERS
    from hypergrad.tasks import TASKS
    from hypergrad.tasks.data import BUNDLED

    text = call("tune", "--help").stdout
    for word in (*TASKS, *SAMPLERS, *TuneSummary.documented_keys()):
        assert f"  {word} " in text, word
    assert all(name in text for name in BUNDLED)


def test_help_loads_nothing_heavy(start):
    code = "import sys, hypergrad_cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"sklearn", "pandas", "scipy", "rich", "pydantic"} & set(loaded.split())


def test_output_that_nobody_reads_ends_quietly(start):
    process = start("tune", "--help")
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait() in (0, 141)
    assert errors == b""


def test_a_full_disk_behind_stdout_is_one_line(start):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb") as full:
        process = start("--help", stdout=full)
        errors = process.communicate()[1].decode()
    assert process.returncode == 1
    assert errors == "error: No space left on device\n"


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are of POSIX")
def test_progress_on_a_narrow_terminal(start):
    import pty

    ours, theirs = pty.openpty()
    command = ("tune", "ridge", "--data", "diabetes", "--trials", 2)
    process = start(*command, stderr=theirs, TERM="xterm", COLUMNS="50", NO_COLOR="1")
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end was closed
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    output = process.communicate()[0].decode()
    assert process.returncode == 0, shown
    assert "trial 2/2" in shown.decode()
    assert "Traceback" not in shown.decode()
    assert "\x1b" not in output
    assert output.startswith("best validation loss")
