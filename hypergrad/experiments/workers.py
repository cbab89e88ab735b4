"""Where tasks are computed: in this process, or in others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from hypergrad.errors import ExperimentError
from hypergrad.experiments.experiment import Experiment
from hypergrad.experiments.interruption import Held, unswallowed

__all__ = ["Crew", "compute", "pool"]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_WATCH = 1.0  # seconds between looks at whether the parent is still there
_PATIENCE = 10.0  # seconds that idle workers have to end
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


@lru_cache(maxsize=8)
def _loaded(folder: Path, scale: str, out: Path | None) -> Experiment:
    return Experiment(folder, scale, out)


def compute(folder: Path, scale: str, out: Path | None, id: tuple[str, str]) -> float:
    """Run one task and keep its result; the CPU seconds that it took."""
    experiment = _loaded(folder, scale, out)
    task = experiment.tasks.get(id)
    if task is None:
        raise ExperimentError(f"{folder} changed while it ran; run the same command again")
    with threadpool_limits(1):
        began = _spent()
        result = unswallowed(experiment.call, task.stage, dict(task.place))
        seconds = _spent() - began
    if experiment.data_changed:
        raise ExperimentError(
            f"{task}: the data of {folder} changed while it ran, so its result is not kept; "
            "run the same command again"
        )
    try:
        with Held():
            experiment.cache.save(task.stage, task.key, result, seconds)
    except ExperimentError as error:
        raise ExperimentError(f"{folder / 'run.py'}: {task.stage}(): {error}") from None
    return seconds


def _spent() -> float:
    """CPU seconds of this process and of those that it started, so that other load does not count."""
    return sum(os.times()[:4])


class Crew(Executor):
    """Who computes."""

    def tend(self) -> None:
        """To be called every second while the crew is waited for."""

    def kill(self) -> None:
        """End the others, whatever they do."""


class _Here(Crew):
    """Runs a call at once, in this process, where Ctrl-C acts at once."""

    def __init__(self, held: Held) -> None:
        self._held = held

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The call's future, done."""
        future: Future[Any] = Future()
        try:
            future.set_result(self._held.let(function, *args, **kwargs))
        except ExperimentError as error:
            future.set_exception(error)
        return future


class _Processes(ProcessPoolExecutor, Crew):
    """Processes that, while they start, neither end by Ctrl-C, which this one answers, nor import its main module.

    So a script may run experiments without asking whether it is the main module.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The call's future. What is blocked here is blocked in a process that this starts."""
        masks = hasattr(signal, "pthread_sigmask")
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
        main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            return super().submit(function, *args, **kwargs)
        finally:
            sys.modules["__main__"] = main
            if masks:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def tend(self) -> None:
        """End what a dead one has left: as long as its children live, they hide from the pool that it is dead."""
        for process in self._all():
            if process.exitcode is not None:
                _signal(process, _KILL)

    def kill(self) -> None:
        """End the processes and what they started, whatever they do."""
        for process in self._all():
            _signal(process, _KILL)

    def close(self) -> None:
        """End them when they are idle; a thread that a task left behind is not waited for long."""
        patience = threading.Timer(_PATIENCE, self.kill)
        patience.start()
        self.shutdown(cancel_futures=True)
        patience.cancel()

    def pause(self) -> None:
        """Stop with them, as Ctrl-Z asks, until all go on."""
        for process in self._all():
            _signal(process, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        for process in self._all():
            _signal(process, signal.SIGCONT)

    def _all(self) -> list[BaseProcess]:
        return [*(self._processes or {}).values()]


def _signal(process: BaseProcess, number: int) -> None:
    """Send a signal to a process and to what it started."""
    assert process.pid is not None
    if hasattr(os, "killpg"):
        with suppress(
            ProcessLookupError, PermissionError
        ):  # where it leads no group: not yet, or it has ended
            os.killpg(process.pid, number)
            return
    if number == _KILL:
        process.kill()


@contextmanager
def pool(workers: int, apart: bool, held: Held) -> Iterator[Crew]:
    """An executor whose processes have one thread for linear algebra, and end with this process.

    Args:
        workers: processes.
        apart: whether they are others than this one.
        held: entered; so Ctrl-C interrupts neither the start of a process nor the end of all.
    """
    if not apart:
        _loaded.cache_clear()
        yield _Here(held)
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    processes = _Processes(
        workers, multiprocessing.get_context("spawn"), initializer=_watch, initargs=(os.getpid(),)
    )

    def pause(number: int, frame: FrameType | None) -> None:
        processes.pause()
        held.wake()  # else the main thread would wait for what ends alone: its time is over

    pausing = (
        hasattr(signal, "SIGTSTP")
        and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
        and threading.current_thread() is threading.main_thread()
    )
    if pausing:
        signal.signal(signal.SIGTSTP, pause)
    try:
        yield processes
    except BaseException:
        processes.kill()
        raise
    finally:
        wake, held.wake = held.wake, processes.kill  # Ctrl-C does not wait for them
        processes.close()
        held.wake = wake
        if pausing:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _watch(parent: int) -> None:
    """Lead a group of what this worker starts, to end with it when the parent is gone; that one answers Ctrl-C."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        if hasattr(os, "killpg"):
            os.killpg(os.getpgrp(), _KILL)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
