"""Tasks of experiments, run in their order by one or more processes, one thread each.

A result goes to the cache as soon as it is there, so that whatever ends the run loses only the tasks under way.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from threadpoolctl import threadpool_limits

from hypergrad.errors import ExperimentError
from hypergrad.experiments.experiment import Experiment, Task

__all__ = ["execute"]

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_WATCH = 1.0  # seconds between looks at whether the parent is still there

Id = tuple[str, str]
Event = Callable[[str, Experiment, "Task | None", "float | str"], None]


def execute(
    work: Sequence[tuple[Experiment, dict[Id, Task]]],
    workers: int,
    event: Event,
    done: Callable[[Experiment], None],
) -> dict[str, str]:
    """Run the tasks whose results are not in the cache.

    Args:
        work: experiments, and the tasks wanted of each, dependencies first.
        workers: processes; 1: this one.
        event: told of ``"begun"``, ``"ended"`` (with its CPU seconds) and ``"failed"`` (with the sentence) tasks.
        done: called with an experiment when all that is wanted of it is there.

    Returns:
        the experiment's name -> sentence, of those that failed; the others are complete.

    Raises:
        ExperimentError: a worker was killed.
    """
    failed: dict[str, str] = {}
    waiting: dict[tuple[int, Id], set[Id]] = {}
    left: dict[int, set[Id]] = {}
    for number, (experiment, tasks) in enumerate(work):
        try:
            absent = {id for id in tasks if not experiment.cache.has(*id)}
        except ExperimentError as error:
            event("failed", experiment, None, str(error))
            failed[experiment.name] = str(error)
            continue
        left[number] = set(absent)
        for id in absent:
            waiting[number, id] = set(tasks[id].before) & absent
        if not absent:
            _finish(experiment, done, event, failed)
    order = [(n, id) for n, (_, tasks) in enumerate(work) for id in tasks if (n, id) in waiting]
    running: dict[Future[float], tuple[int, Id]] = {}

    def alone(number: int, id: Id) -> bool:
        return work[number][0].functions[id[0]].alone

    workers = min(workers, max(len(waiting), 2))  # no process that would never have a task
    with _pool(workers if waiting else 1) as pool:
        while waiting or running:
            free = [place for place in order if place in waiting and not waiting[place]]
            together = [place for place in free if not alone(*place)]
            held = any(alone(*place) for place in running.values())
            chosen = [] if held else (together or (free[:1] if not running else []))
            for number, id in chosen[: max(workers - len(running), 0)]:
                experiment, tasks = work[number]
                del waiting[number, id]
                event("begun", experiment, tasks[id], 0.0)
                try:
                    future = pool.submit(_compute, experiment.folder, experiment.scale, experiment.out, id)
                except BrokenProcessPool:
                    raise _killed(work, [*running.values()] or [(number, id)]) from None
                running[future] = number, id
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, id = running.pop(future)
                experiment, tasks = work[number]
                try:
                    seconds = future.result()
                except BrokenProcessPool:
                    raise _killed(work, [(number, id), *running.values()]) from None
                except ExperimentError as error:
                    event("failed", experiment, tasks[id], str(error))
                    failed[experiment.name] = str(error)
                    waiting = {place: before for place, before in waiting.items() if place[0] != number}
                    left[number].clear()
                    continue
                event("ended", experiment, tasks[id], seconds)
                for place, before in waiting.items():
                    if place[0] == number:
                        before.discard(id)
                left[number].discard(id)
                if not left[number] and experiment.name not in failed:
                    _finish(experiment, done, event, failed)
    return failed


def _finish(
    experiment: Experiment, done: Callable[[Experiment], None], event: Event, failed: dict[str, str]
) -> None:
    try:
        done(experiment)
    except ExperimentError as error:
        event("failed", experiment, None, str(error))
        failed[experiment.name] = str(error)


def _killed(
    work: Sequence[tuple[Experiment, dict[Id, Task]]], places: Sequence[tuple[int, Id]]
) -> ExperimentError:
    tasks = sorted(f"{work[number][0].name}: {work[number][1][id]}" for number, id in places)
    return ExperimentError(
        f"a worker was killed, perhaps for want of memory, during {' or '.join(tasks)}; what is finished is kept, and "
        "the same command goes on; --workers 1 takes the least memory"
    )


@lru_cache(maxsize=8)
def _loaded(folder: Path, scale: str, out: Path | None) -> Experiment:
    return Experiment(folder, scale, out)


def _compute(folder: Path, scale: str, out: Path | None, id: Id) -> float:
    """Run one task and keep its result; the CPU seconds that it took."""
    experiment = _loaded(folder, scale, out)
    task = experiment.tasks.get(id)
    if task is None:
        raise ExperimentError(f"{folder} changed while it ran; run the same command again")
    with threadpool_limits(1):
        began = _spent()
        result = experiment.call(task.stage, dict(task.place))
        seconds = _spent() - began
    try:
        experiment.cache.save(*id, result, seconds)
    except ExperimentError as error:
        raise ExperimentError(f"{folder / 'run.py'}: {task.stage}(): {error}") from None
    return seconds


def _spent() -> float:
    """CPU seconds of this process and of those that it started, so that other load does not count."""
    return sum(os.times()[:4])


class _Here(Executor):
    """Runs a call at once, in this process."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The call's future, done."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **kwargs))
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


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """An executor whose processes have one thread for linear algebra, and end with this process."""
    if workers == 1:
        _loaded.cache_clear()
        yield _Here()
        return
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    pool = _Processes(
        workers, multiprocessing.get_context("spawn"), initializer=_watch, initargs=(os.getpid(),)
    )
    try:
        yield pool
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
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
