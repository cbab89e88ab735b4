"""What ``hypergrad tune`` does between parsing and printing: the study of a request, and its summary."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options
from .group import version
from .progress import progress

if TYPE_CHECKING:
    from hypergrad.report.summary import TuneSummary

DEFAULT_TRIALS = 30
UNLIMITED = 10**9


@dataclass(frozen=True)
class Request:
    """The arguments of one ``hypergrad tune``."""

    task: str
    data: str
    target: str | None
    trials: int | None
    seconds: float | None
    seed: int
    store: Path
    sampler: str
    earlier: tuple[str, ...] = ()
    target_value: float | None = None
    patience: int | None = None
    min_improvement: float | None = None
    tolerance: float | None = None

    @property
    def total(self) -> int | None:
        """Finished trials to reach; None when only the time is limited."""
        if self.trials is not None:
            return self.trials
        return DEFAULT_TRIALS if self.seconds is None else None

    @property
    def stop(self) -> list[Any]:
        """The stop rules asked for, the cheap ones first."""
        from hypergrad.study import ExpectedImprovementBelow, Patience, Target

        found: list[Any] = []
        if self.target_value is not None:
            found.append(Target(self.target_value))
        if self.patience is not None:
            found.append(Patience(self.patience, self.min_improvement or 0.0))
        if self.tolerance is not None:
            found.append(ExpectedImprovementBelow(self.tolerance))
        return found


def study_key(**parts: Any) -> str:
    """The hash under which the study of these parts is kept."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def tune_summary(request: Request, silent: bool) -> TuneSummary:
    """Start or continue the study of `request`, and sum it up.

    Raises:
        HypergradError: the data cannot be learned from, the store cannot be used, or no trial finished.
    """
    import hypergrad as hg
    from hypergrad.report.summary import Baseline, Best, TuneSummary
    from hypergrad.samplers import SAMPLERS
    from hypergrad.tasks import TASKS

    began = time.monotonic()
    task = TASKS[request.task]()
    dataset = options.load_data(request.data, request.target, request.seed)
    space = task.space(dataset)
    key = study_key(
        task=request.task,
        data=dataset.digest,
        target=dataset.target,
        split=[len(part["y"]) for part in (dataset.train, dataset.valid, dataset.test)],
        seed=request.seed,
        space=space.to_json(),
        sampler=request.sampler,
        version=version(),
        **({"earlier": list(request.earlier)} if request.earlier else {}),
    )
    name = f"{request.task}-{Path(request.data).stem}-{key[:8]}"
    sampler = SAMPLERS[request.sampler]()
    info = {"task": request.task, "data": request.data, "target": dataset.target}
    earlier = [(request.store, which) for which in request.earlier]
    study = hg.Study(
        name,
        space,
        sampler=sampler,
        store=request.store,
        seed=request.seed,
        key=key,
        info=info,
        earlier=earlier,
    )
    held = study.finished
    if request.total is None or held < request.total:
        with progress(request.total, request.seconds, held, silent) as callback:
            study.optimize(
                lambda hparams: task.problem(dataset, hparams),
                trials=request.total or UNLIMITED,
                seconds=request.seconds,
                callback=callback,
                stop=request.stop,
            )
    best = study.best

    def figures(hparams: Any) -> Any:
        result = hg.train(task.problem(dataset, hparams), hparams, seed=request.seed)
        return task.score(dataset, result.params, hparams)

    tuned, baseline = figures(best.hparams), figures(space.defaults())
    return TuneSummary(
        task=request.task,
        data=request.data,
        target=dataset.target,
        study=name,
        store=str(request.store),
        seed=request.seed,
        sampler=request.sampler,
        trials=study.finished,
        step_evaluations=round(sum(trial.cost for trial in study.trials)),
        seconds=time.monotonic() - began,
        groups=list(dataset.groups),
        best=Best(trial=best.number, value=best.value, hparams=best.hparams),
        metrics=tuned,
        baseline=Baseline(value=baseline["valid"]["loss"], metrics=baseline),
        stopped=study.stopped,
        notes=notes(request, dataset.notes, study, held, tuned, baseline),
        version=version(),
    )


def notes(
    request: Request, dataset_notes: Any, study: Any, held: int, tuned: Any, baseline: Any
) -> list[str]:
    """Sentences on what a reader of the result should know."""
    done = study.finished
    found = list(dataset_notes)
    if request.total is not None and held == done:
        found.append(f"the study already held {held} trials, so none was added")
    elif held:
        found.append(f"continued after {held} trials of an earlier run")
    if study.stopped is not None:
        trials = "trial" if done == 1 else "trials"
        count = f"{done} {trials}" if request.total is None else f"{done} of {request.total} trials"
        found.append(f"stopped after {count}: {study.stopped}")
    for origin in study.earlier:
        unfit = f", {origin.left_out} do not fit the space" if origin.left_out else ""
        found.append(f"{origin.trials} trials of the earlier study {origin.name} told where to look{unfit}")
    failed = sum(trial.state == "failed" for trial in study.trials)
    diverged = sum(trial.state == "complete" and not math.isfinite(trial.value) for trial in study.trials)
    found += [f"{diverged} of {done} trials diverged"] if diverged else []
    found += [f"{failed} of {done} trials failed"] if failed else []
    if study.best.value >= baseline["valid"]["loss"]:
        found.append("no trial was better than the defaults")
    elif tuned["test"]["loss"] > baseline["test"]["loss"]:
        found.append(
            "the tuned model has a higher test loss than the defaults, though a lower validation loss"
        )
    return found
