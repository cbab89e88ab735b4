"""The short road to a study."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hypergrad.samplers.base import Sampler
from hypergrad.space import Space
from hypergrad.study.stopping import StopRule
from hypergrad.study.study import Study
from hypergrad.study.trial import Trial

__all__ = ["tune"]


def tune(
    objective: Any,
    space: Space,
    trials: int = 50,
    method: Any = None,
    seed: int = 0,
    sampler: Sampler | None = None,
    store: str | Path | None = None,
    name: str = "tune",
    seconds: float | None = None,
    callback: Callable[[Trial, Study], Any] | None = None,
    stop: StopRule | Iterable[StopRule] = (),
) -> Study:
    """A new or continued `Study`, optimized until it holds `trials` finished trials.

    Args:
        objective: a problem, or hparams -> problem | number | (number, gradient tree).
        space: what is searched.
        trials: finished trials in the end.
        method: of the hypergradient; None: Auto().
        seed: of the sampler and of every inner training.
        sampler: None: ``samplers.Gradient()``.
        store: path of a SQLite file; None: in memory.
        name: of the study; a study of this name in the store is continued.
        seconds: wall time, looked at between trials; None: no limit.
        callback: called with (trial, study) after each finished trial.
        stop: rules that end it earlier, as in `Study.optimize`; `Study.stopped` says which one did.

    Raises:
        StudyError, StoreError: as `Study` and `Study.optimize`.
    """
    study = Study(name, space, sampler=sampler, store=store, seed=seed)
    study.optimize(objective, trials=trials, method=method, seconds=seconds, callback=callback, stop=stop)
    return study
