"""Run experiment folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hypergrad.errors import ExperimentError, unknown_name
from hypergrad.experiments.config import SCALES
from hypergrad.experiments.execute import execute
from hypergrad.experiments.experiment import Experiment, Task, find
from hypergrad.experiments.judge import Verdict, overall
from hypergrad.experiments.outputs import conclude, read, verdicts_of
from hypergrad.experiments.overview import is_current

__all__ = ["Outcome", "check", "chosen", "cores", "run", "run_stages"]

Event = Callable[[str, Experiment, "Task | None", "float | str"], None]


@dataclass(frozen=True)
class Outcome:
    """What became of experiments.

    Attributes:
        verdicts: name -> verdicts, of those that were run to their end.
        failed: name -> sentence, of those that were not.
        skipped: names of those whose results were of this code already.
    """

    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """``"failed"``, ``"outside"``, ``"deviates"`` or ``"accepted"``, the worst of all."""
        if self.failed:
            return "failed"
        return overall([v for verdicts in self.verdicts.values() for v in verdicts])


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def chosen(folder: Path, every: bool, only: Sequence[str] = ()) -> list[Path]:
    """The experiment folders that a command means.

    Args:
        folder: an experiment, or with `every` a folder of experiments.
        every: all in it.
        only: globs of names; of those in the folder, only these.

    Raises:
        ExperimentError: there are none, or `folder` is not what `every` says.
        UnknownNameError: nothing fits one of `only`.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise ExperimentError(f"there is no folder {folder}")
    found = find(folder)
    if not found:
        raise ExperimentError(
            f"{folder} has no config.toml, nor has a folder in it, so there is no experiment; "
            "'hypergrad new-experiment' makes one"
        )
    if found == [folder]:
        return found
    if not every:
        raise ExperimentError(
            f"{folder} is a folder of experiments; add --all, or name one: {', '.join(f.name for f in found)}"
        )
    for pattern in only:
        if not any(fnmatchcase(place.name, pattern) for place in found):
            raise unknown_name("experiment", pattern, [place.name for place in found])
    return [p for p in found if not only or any(fnmatchcase(p.name, pattern) for pattern in only)]


def run(
    folders: Sequence[Path | str] | Path | str,
    scale: str = "full",
    *,
    workers: int | None = None,
    needed: bool = False,
    out: Path | str | None = None,
    event: Event | None = None,
    concluded: Callable[[Experiment, list[Verdict]], None] | None = None,
) -> Outcome:
    """Run experiments, or continue them, and write what they found.

    A failure ends its experiment and not the others.

    Args:
        folders: of experiments, of different names; or a single one.
        scale: ``"full"`` or ``"smoke"``.
        workers: processes, one thread each; None: one a core. With 1, a single experiment runs in this process.
        needed: skip experiments whose results are of this code, these data and this hypergrad.
        out: where results go, a folder for each experiment; None: beside the code.
        event: told what begins and ends; see `hypergrad.experiments.execute.execute`.
        concluded: called with an experiment and its verdicts as soon as it is complete.

    Raises:
        ExperimentError: an unknown scale; fewer than one worker; two folders of one name.
    """
    if scale not in SCALES:
        raise unknown_name("scale", scale, SCALES, ExperimentError)
    if workers is not None and workers < 1:
        raise ExperimentError(f"workers is {workers}, expected 1 or more, or None for one a core")
    places = [Path(f).resolve() for f in ([folders] if isinstance(folders, str | Path) else folders)]
    names = [place.name for place in places]
    twice = [str(place) for place in places if names.count(place.name) > 1]
    if twice:
        raise ExperimentError(
            f"experiments of one name cannot run together: {' and '.join(twice)}; run each alone"
        )
    work, outcome, skipped = [], Outcome(), []
    tell = event or (lambda *_: None)

    def done(experiment: Experiment) -> None:
        verdicts = conclude(experiment)
        outcome.verdicts[experiment.name] = verdicts
        if concluded is not None:
            concluded(experiment, verdicts)

    for place in places:
        try:
            experiment = Experiment(place, scale, None if out is None else Path(out).resolve())
            if needed and is_current(experiment, surroundings=True):
                skipped.append(experiment.name)
                continue
            work.append((experiment, experiment.tasks))
        except ExperimentError as error:
            outcome.failed[place.name] = str(error)
    outcome.failed.update(execute(work, workers or cores(), tell, done))
    return Outcome(outcome.verdicts, outcome.failed, tuple(skipped))


def run_stages(experiment: Experiment, names: Sequence[str], workers: int, event: Event) -> dict[str, str]:
    """Compute stages of an experiment and what they need, and write no results; sentences of failures."""
    stages = [name for name, f in experiment.functions.items() if f.role == "stage"]
    for name in names:
        if name not in stages:
            raise unknown_name("stage", name, stages)
    return execute([(experiment, experiment.needed(list(names)))], workers, event, lambda _: None)


def check(folders: Sequence[Path]) -> tuple[Outcome, list[str]]:
    """Judge the results that lie in folders, at full scale, and run nothing.

    Returns:
        The verdicts, and sentences on experiments whose files are wrong; names of those whose results are missing or
        of other code, settings or data.
    """
    outcome, old = Outcome(), []
    for folder in folders:
        try:
            experiment = Experiment(folder)
            record: dict[str, Any] | None = read(experiment)
            if record is None or not is_current(experiment):
                old.append(experiment.name)
            if record is not None:
                outcome.verdicts[experiment.name] = verdicts_of(experiment, record)
        except ExperimentError as error:
            outcome.failed[folder.name] = str(error)
    return outcome, old
