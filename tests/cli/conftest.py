"""How these tests call the command: in this process through its entry point, or as a process of its own."""

import os
import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner

START = "import sys; sys.argv[0] = 'hypergrad'; from hypergrad_cli import main; main()"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(desk):
    """``call("tune", "ridge", ...)`` -> click's Result, with stdout, stderr and exit_code."""
    (entry,) = metadata.entry_points(group="console_scripts", name="hypergrad")
    main = entry.load()
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments], "hypergrad")


@pytest.fixture
def start(desk):
    """``start("tune", ...)`` -> a running process of the command, in the working directory of the test."""
    running = []

    def run(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, before=None, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, arguments)],
            cwd=desk,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=before,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
