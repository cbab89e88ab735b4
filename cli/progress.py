"""Progress of a study on stderr: a live line on a terminal, one line a trial elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

Callback = Callable[[Any, Any], None]


@contextmanager
def progress(total: int | None, seconds: float | None, done: int, quiet: bool) -> Iterator[Callback]:
    """A callback(trial, study) that shows each finished trial, its value, the best value and the time left.

    Args:
        total: finished trials to reach; None when only the time is limited.
        seconds: time budget; None when only the trials are counted.
        done: finished trials that the study holds already.
        quiet: show nothing.
    """
    clock = Clock(total, seconds, done)
    if quiet:
        yield lambda trial, study: None
    elif sys.stderr.isatty():
        with live(clock) as callback:
            yield callback
    else:
        yield lambda trial, study: click.echo(line(clock.tick(), trial, study), err=True)


class Clock:
    """Counts finished trials and foretells the seconds left, from the mean time of a trial so far."""

    def __init__(self, total: int | None, seconds: float | None, done: int) -> None:
        self.total, self.seconds, self.done = total, seconds, done
        self.first, self.start = done, time.monotonic()

    def tick(self) -> Clock:
        """Count one more trial."""
        self.done += 1
        return self

    @property
    def left(self) -> float:
        """Seconds left."""
        spent = time.monotonic() - self.start
        by_trials = math.inf
        if self.total is not None and self.done > self.first:
            by_trials = (self.total - self.done) * spent / (self.done - self.first)
        by_time = self.seconds - spent if self.seconds is not None else math.inf
        return max(0.0, min(by_trials, by_time))

    @property
    def count(self) -> str:
        """``"12/50"``, or ``"12"`` where no number of trials was asked for."""
        return f"{self.done}/{self.total}" if self.total is not None else str(self.done)


def line(clock: Clock, trial: Any, study: Any) -> str:
    """One trial as a line of text."""
    return f"trial {clock.count}  {standing(trial, study)}  {clock.left:.0f} s left"


def standing(trial: Any, study: Any) -> str:
    """The value of a trial and the best value so far."""
    from hypergrad.errors import StudyError

    found = f"value {trial.value:.6g}" if math.isfinite(trial.value) else "diverged"
    try:
        return f"{found}  best {study.best.value:.6g}"
    except StudyError:  # every trial so far diverged
        return found


@contextmanager
def live(clock: Clock) -> Iterator[Callback]:
    """The callback that keeps one line up to date on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("trial {task.fields[count]}"), BarColumn(bar_width=20),
               TextColumn("{task.description}"), TextColumn("{task.fields[left]}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as shown:
        limit = clock.total if clock.total is not None else None
        job = shown.add_task("first trial", total=limit, completed=clock.done, count=clock.count, left="")

        def update(trial: Any, study: Any) -> None:
            clock.tick()
            shown.update(
                job,
                completed=clock.done,
                count=clock.count,
                description=standing(trial, study),
                left=f"{clock.left:.0f} s left",
            )

        yield update
