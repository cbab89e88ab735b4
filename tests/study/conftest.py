import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypergrad.study.codec import encode, pack

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="session")
def child():
    """The module of the process that tests kill: its space, its sampler, its objective."""
    spec = importlib.util.spec_from_file_location("study_child", HERE / "child.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def spawn():
    """Start child.py with arguments; what still runs at the end of the test is killed."""
    started = []

    def start(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, str(HERE / "child.py"), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def bits():
    """Everything of a trial that must not depend on interruptions, as text and bytes."""

    def of(trial):
        return (
            trial.number,
            trial.state,
            trial.wants_gradient,
            trial.seed,
            pack(trial.unit),
            encode(trial.hparams),
            encode(trial.value),
            encode(trial.gradient),
            None if trial.unit_gradient is None else pack(trial.unit_gradient),
            encode(trial.note),
            encode(trial.cost),
            pack(trial.curve),
            encode(trial.metrics),
            trial.error,
        )

    return lambda study: [of(trial) for trial in study.trials]
