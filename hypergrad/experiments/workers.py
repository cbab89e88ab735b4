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
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from hypergrad.errors import ExperimentError
from hypergrad.experiments.experiment import Experiment
from hypergrad.experiments.interruption import Held, unswallowed

__all__ = ["compute", "pool"]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_WATCH = 1.0  # seconds between looks at whether the parent is still there


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


class _Here(Executor):
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


class _Processes(ProcessPoolExecutor):
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

    def kill(self) -> None:
        """End the processes, whatever they do."""
        for process in [*(self._processes or {}).values()]:
            process.kill()


@contextmanager
def pool(workers: int, apart: bool, held: Held) -> Iterator[Executor]:
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
    try:
        yield processes
    except BaseException:
        processes.kill()
        raise
    finally:
        processes.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _watch(parent: int) -> None:
    """End this worker when its parent is gone; Ctrl-C is for the parent to answer, and for what the worker starts."""
    signal.signal(signal.SIGINT, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
