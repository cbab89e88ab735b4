"""Tasks of experiments, run in their order by one or more processes, one thread each.

A result goes to the cache as soon as it is there, so that whatever ends the run loses only the tasks under way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from queue import Empty, SimpleQueue
from typing import Any

from hypergrad.errors import ExperimentError
from hypergrad.experiments.experiment import Experiment, Task
from hypergrad.experiments.interruption import Held
from hypergrad.experiments.workers import Crew, compute, pool

__all__ = ["execute"]

Id = tuple[str, str]
Place = tuple[int, Id]  # of an experiment in the work, and of its task
_LOOK = 1.0  # seconds between looks after the crew
_DIED = "a worker died in the midst of it, perhaps for want of memory"
_AGAIN = "the same command tries again; --workers 1 takes the least memory"
Event = Callable[[str, Experiment, "Task | None", "float | str"], None]


def execute(
    work: Sequence[tuple[Experiment, dict[Id, Task]]],
    workers: int,
    event: Event,
    done: Callable[[Experiment], None],
) -> dict[str, str]:
    """Run the tasks whose results are not in the cache.

    A worker that dies breaks the pool: the tasks that ran are run again one by one, and the one in which a worker
    dies while nothing else runs fails its experiment.

    Args:
        work: experiments, and the tasks wanted of each, dependencies first.
        workers: processes; 1: this one, if a single experiment has anything to compute.
        event: told of ``"begun"``, ``"ended"`` (with its CPU seconds), ``"failed"`` and ``"again"`` (with the
            sentence) tasks.
        done: called with an experiment when all that is wanted of it is there.

    Returns:
        the experiment's name -> sentence, of those that failed; the others are complete.
    """
    finished: SimpleQueue[Any] = SimpleQueue()
    with Held(wake=lambda: finished.put(None)) as held:
        return _Run(work, event, done, held, finished).go(workers)


class _Run:
    """What is left to do, and what became of the rest."""

    def __init__(
        self,
        work: Sequence[tuple[Experiment, dict[Id, Task]]],
        event: Event,
        done: Callable[[Experiment], None],
        held: Held,
        finished: SimpleQueue[Future[float] | None],
    ) -> None:
        self.work, self.event, self.done, self.held, self.finished = work, event, done, held, finished
        self.failed: dict[str, str] = {}
        self.waiting: dict[Place, set[Id]] = {}  # in their order, with what each waits for
        self.left: dict[int, set[Id]] = {}
        self.running: dict[Future[float], Place] = {}
        self.suspects: list[Place] = []  # ran when a worker died

    def go(self, workers: int) -> dict[str, str]:
        """Run everything; the sentences of what failed."""
        for number, (experiment, tasks) in enumerate(self.work):
            try:
                absent = {id for id in tasks if not experiment.cache.has(*id)}
            except ExperimentError as error:
                self.fail((number, None), str(error))
                continue
            self.left[number] = absent
            self.waiting |= {(number, id): set(tasks[id].before) & absent for id in tasks if id in absent}
            self.conclude(number)
        several = len({number for number, _ in self.waiting}) > 1
        apart = workers > 1 or several  # in this process, one that dies would take the others along
        workers = min(workers, len(self.waiting))  # no process that would never have a task
        while self.waiting:
            with pool(workers, apart, self.held) as crew:
                self.through(crew, workers)
        return self.failed

    def through(self, crew: Crew, workers: int) -> None:
        """Run tasks until none is left, or a worker has died."""
        while self.waiting or self.running:
            for place in self.chosen()[: max(workers - len(self.running), 0)]:
                number, id = place
                experiment, _ = self.work[number]
                self.tell("begun", place, 0.0)
                try:
                    future = crew.submit(compute, experiment.folder, experiment.scale, experiment.out, id)
                except BrokenProcessPool:
                    crew.kill()
                    self.died([] if self.running else [place], certain=place in self.suspects)
                    return
                del self.waiting[place]
                self.running[future] = place
                future.add_done_callback(self.finished.put)
            try:
                ended = self.finished.get(timeout=_LOOK)
            except Empty:
                crew.tend()
                continue
            self.held.check()
            if ended not in self.running:  # what Ctrl-C put there, or of a pool before
                continue
            place = self.running.pop(ended)
            if not self.settled(ended, place):
                crew.kill()
                self.died([place], certain=not self.running)
                return

    def chosen(self) -> list[Place]:
        """The tasks that may begin now."""
        free = [place for place, before in self.waiting.items() if not before]
        suspects = [place for place in free if place in self.suspects]
        if suspects or any(place in self.suspects or self.alone(place) for place in self.running.values()):
            return [] if self.running else suspects[:1]
        return [place for place in free if not self.alone(place)] or ([] if self.running else free[:1])

    def alone(self, place: Place) -> bool:
        """Whether nothing may run beside a task."""
        number, (stage, _) = place
        return self.work[number][0].functions[stage].alone

    def settled(self, ended: Future[float], place: Place) -> bool:
        """Take note of a task that has ended; False where its worker died before its result was kept."""
        number, id = place
        try:
            seconds = ended.result()
        except BrokenProcessPool:
            try:
                _, seconds = self.work[number][0].cache.load(*id)
            except ExperimentError:
                return False
        except ExperimentError as error:
            self.fail(place, str(error))
            return True
        self.tell("ended", place, seconds)
        for (other, _), before in self.waiting.items():
            if other == number:
                before.discard(id)
        self.left[number].discard(id)
        self.conclude(number)
        return True

    def died(self, lost: list[Place], certain: bool) -> None:
        """Take note of a worker that died.

        Args:
            lost: tasks that died with it, beside those that are still counted as running.
            certain: whether the first of them is to blame, as nothing else ran.
        """
        wait(self.running)
        lost += [place for ended, place in self.running.items() if not self.settled(ended, place)]
        self.running.clear()
        for place in lost:
            number, id = place
            experiment, tasks = self.work[number]
            if certain:
                self.fail(place, f"{tasks[id]}: {_DIED}; what is finished is kept, and {_AGAIN}")
            elif experiment.name not in self.failed:
                self.suspects.append(place)
                self.waiting[place] = set()
                self.tell("again", place, f"{_DIED}; it is run again, alone")

    def conclude(self, number: int) -> None:
        """Tell that all of an experiment is there, where it is."""
        experiment, _ = self.work[number]
        if self.left[number] or experiment.name in self.failed:
            return
        try:
            self.held.let(self.done, experiment)
        except ExperimentError as error:
            self.fail((number, None), str(error))

    def fail(self, place: tuple[int, Id | None], sentence: str) -> None:
        """An experiment has failed; nothing more of it is begun."""
        number, _ = place
        self.waiting = {other: before for other, before in self.waiting.items() if other[0] != number}
        if self.failed.setdefault(self.work[number][0].name, sentence) is sentence:
            self.tell("failed", place, sentence)

    def tell(self, kind: str, place: tuple[int, Id | None], detail: float | str) -> None:
        number, id = place
        experiment, tasks = self.work[number]
        self.held.let(self.event, kind, experiment, None if id is None else tasks[id], detail)
