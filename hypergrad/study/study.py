"""Studies: a space, a sampler and the trials so far, asked and told one by one or run as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from hypergrad.errors import ExhaustedError, SpaceError, StoreError, StudyError
from hypergrad.samplers.admission import Admission
from hypergrad.samplers.asking import proposal as proposal_of
from hypergrad.samplers.asking import wants_gradient
from hypergrad.samplers.base import Proposal, Sampler
from hypergrad.space import Space
from hypergrad.study import checks
from hypergrad.study import trial as trials_
from hypergrad.study.codec import decode, encode
from hypergrad.study.earlier import snapshot
from hypergrad.study.ledger import Ledger
from hypergrad.study.runner import evaluate, limits
from hypergrad.study.stopping import StopRule, reason_to_stop, rules
from hypergrad.study.store import Store, StudyRow, TrialRow
from hypergrad.study.told import Outcome, completed
from hypergrad.study.trial import Trial

__all__ = ["Study"]


class Study(Ledger):
    """A search for the hparams of the smallest value, kept in a store as it goes.

    A study that the store already holds is continued: with one worker the trials are the same, bit for bit,
    as if it had never been interrupted. A trial that was running when its process died is run again under its
    number, unless it was handed out by ``ask(detached=True)``: that one runs until somebody tells it. One process at
    a time runs a study; others may read it meanwhile.

    Args:
        name: for people.
        space: what is searched.
        sampler: proposes the trials; None: ``samplers.Hybrid()``.
        store: path of a SQLite file, made when it does not exist; None: in memory, gone with the object.
        seed: of the sampler and of every inner training (common random numbers).
        key: identifies the study in the store; None: the name.
        info: a tree remembered with the study when it is made, read back as `info`.
        constraints: names of black-box constraints that trials report, feasible where <= 0, or
            ``{"latency": 0.3}``: feasible where <= 0.3. Trials tell them as `constraints` or as `metrics`.
        earlier: studies, paths of files with one study, or pairs (path, key or name): their trials are copied when this
            study is made, as far as they fit its space, to tell samplers where to look, and their best ones are tried
            first. Never trials of this study. None: none, or for a stored study those it was made with.

    Attributes:
        name, key, seed, space, sampler, info, constraints: as given; sampler None: one that hypergrad cannot rebuild.
        store: path of the file; None: in memory.
        created: UTC, ISO 8601.
        earlier: an `Origin` for each earlier study: how many of its trials fitted, and what did not.
        wait: seconds that a call waits while another process changes the study, before it raises; 0.0, may be set.
        stopped: why the last `optimize` of this object ended before its trials were spent, as a sentence; None: it did
            not.

    Raises:
        StudyError: the store holds a study of this key with another space, sampler, seed, constraints or earlier
            studies; or an earlier study that has nothing in common with the space.
        StoreError: the store cannot be used.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        sampler: Sampler | None = None,
        store: str | Path | None = None,
        seed: int = 0,
        key: str | None = None,
        info: Mapping[str, Any] | None = None,
        constraints: Mapping[str, float] | Iterable[str] = (),
        earlier: Sequence[Any] | None = None,
    ) -> None:
        checks.check_arguments(name, space, sampler, key)
        seed = checks.seed(seed)
        if sampler is None:
            from hypergrad.samplers import Hybrid

            sampler = Hybrid()
        bounds = checks.bounds(constraints, name)
        prior = snapshot(() if earlier is None else earlier, space, bounds, f"study {name!r}")
        origins = None if earlier is None else prior.origins
        given = checks.Settings(
            space.to_json(), checks.described(sampler), seed, dict(info or {}), bounds, origins
        )
        info_text = encode(given.info, "info")
        opened = Store(store)
        try:
            row = opened.add_study(
                key=name if key is None else key,
                name=name,
                created=trials_.utc_now(),
                space=encode(given.space),
                sampler=encode(given.sampler),
                seed=seed,
                info=info_text,
                constraints=encode(given.constraints),
                origins=encode(prior.origins),
                earlier=prior.rows,
                queue=prior.best,
            )
            differs = checks.difference(checks.settings(row, opened.name), given)
            if differs is not None:
                raise StudyError(
                    f"the study {row.key!r} in {opened.name} has {differs}; give this one another name, "
                    "or ask for the study as it is"
                )
        except BaseException:
            opened.close()
            raise
        self._set_up(opened, row, space, sampler)

    @classmethod
    def _stored(cls, store: Store, row: StudyRow, space: Space, sampler: Sampler | None) -> Study:
        """The study of a row of `store`; without a sampler it can be read and told, not asked."""
        study = cls.__new__(cls)
        study._set_up(store, row, space, sampler)
        return study

    # --- ask and tell

    def enqueue(self, hparams: Mapping[str, Any]) -> None:
        """Try `hparams` before the sampler's next point; one that waits or was tried is not added again.

        Raises:
            SpaceError: not a point of the space, or one that a constraint of the space refuses.
            StudyError: another process runs the study.
        """
        canonical, unit = checks.canonical_hparams(self.space, hparams)
        violated = self.space.violated(self.space.from_unit(unit))
        if violated is not None:
            raise SpaceError(f"{hparams!r} violates the constraint {violated!r} of {self._where}")
        text = encode(canonical, sort=True)
        with self._claimed():
            if not self._store.has_point(self._id, text):
                self._history.revision = self._store.add_point(self._id, self._history.revision, text)

    def ask(self, detached: bool = False, again: int | None = None) -> Trial:
        """The next trial, stored as running: one whose process died, or an enqueued point, or the sampler's.

        Args:
            detached: the trial is run elsewhere: it stays running when this process ends, nobody is given it again
                unless by number, and any process may tell it. Until then other processes may ask for the next one.
            again: number of a running trial that is to be given again, since whoever ran it is gone.

        Raises:
            StudyError: another process runs the study, or the trial of number `again` is not running.
            ExhaustedError: a StudyError; every configuration of a finite space has been tried.
            SpaceError: the constraints leave the sampler no point to propose.
            StoreError: the store cannot be written.
        """
        with self._claimed():
            lost = self._orphan() if again is None else self._told(again)
            asked = self._new_trial(detached) if lost is None else self._given_again(lost, detached)
            if detached:
                self._handed.pop(asked.number, None)
            else:
                self._handed[asked.number] = asked.started
            return asked

    def _orphan(self) -> Trial | None:
        """The first running trial whose process died."""
        for number in sorted(self._history.running - self._handed.keys()):
            trial = self._read(number)
            if not trial.detached:
                return trial
        return None

    def _given_again(self, trial: Trial, detached: bool) -> Trial:
        started = trials_.utc_now()
        if trial.detached or detached:
            (row,) = self._store.trials(self._id, trial.number, trial.number)
            row = row._replace(started=started, stats=trials_.running_stats(detached))
            self._history.revision = self._store.end_trial(self._id, self._history.revision, row)
            return trials_.trial(row, self._where)
        return replace(trial, started=started)

    def _new_trial(self, detached: bool) -> Trial:
        if self.sampler is None:
            raise StudyError(
                f"{self._where} was made with a sampler of your own; open it with Study(..., sampler=)"
            )
        number = len(self._history.records)
        records, queue = self._history.records, self._store.queue(self._id)
        if not queue and Admission(self.space, records).exhausted:
            raise ExhaustedError(
                f"{self._where} has tried all {len(records)} configurations of its space, so there is nothing "
                "left to ask for; widen the space in a study of another name"
            )
        case = (self.sampler, self.space, self._history.told)
        if queue:
            position, text = queue[0]
            hparams = decode(text)
            wants = wants_gradient(*case, seed=self.seed, number=number)
            proposal = Proposal(self.space.to_unit(hparams), wants, {"enqueued": True})
        else:
            position = None
            proposal = proposal_of(*case, seed=self.seed, number=number)
            proposal = replace(proposal, unit=self.space.snap(proposal.unit))
            hparams = self.space.from_unit(proposal.unit)
            violated = self.space.violated(hparams)
            if violated is not None:  # a sampler of the user's own
                raise StudyError(
                    f"the sampler {type(self.sampler).__name__} proposed hparams that violate the constraint "
                    f"{violated!r} of {self._where}; let it ask hypergrad.samplers.Admission first"
                )
        row = trials_.running_row(number, hparams, proposal, self.seed, detached)
        self._history.revision = self._store.add_trial(self._id, self._history.revision, row, position)
        self._history.add(trials_.record(row.history, self._where))
        return trials_.trial(row, self._where)

    def tell(
        self,
        trial: Trial | int,
        value: Any,
        gradient: Mapping[str, Any] | None = None,
        *,
        noise: float | None = None,
        gradient_noise: Mapping[str, Any] | None = None,
        constraints: Mapping[str, Any] | None = None,
        constraint_gradients: Mapping[str, Any] | None = None,
        curve: Any = (),
        metrics: Mapping[str, Any] | None = None,
        stats: Mapping[str, Any] | None = None,
        cost: float = 0.0,
        seconds: float | None = None,
    ) -> Trial:
        """Store the outcome of a running trial; returns the trial as stored.

        Args:
            trial: what `ask` returned, or its number.
            value: outer loss; nan and inf say that training diverged: complete, but never the best.
            gradient: tree like the trial's hparams, natural units; missing and None leaves are unknown.
            noise, gradient_noise: standard errors of value and gradient.
            constraints, constraint_gradients: of the study's black-box constraints, by name.
            curve, metrics, stats, cost, seconds: as in `Outcome`; seconds None: the time since the trial was asked for.

        Raises:
            StudyError: an unknown or finished trial, a value that is no number, a gradient that does not fit.
            StoreError: the store cannot be written; the trial is still running.
        """
        outcome = Outcome(
            value, gradient, noise, gradient_noise, constraints or {}, constraint_gradients or {}, metrics or {},
            cost, curve, stats or {}, seconds,
        )  # fmt: skip
        with self._claimed():
            running = self._told(trial)
            spent = _since(running.started)
            return self._end(completed(running, outcome, self.space, self.constraints, spent))

    def fail(self, trial: Trial | int, error: str) -> Trial:
        """Store that a running trial has no value, and why; returns the trial as stored."""
        with self._claimed():
            running = self._told(trial)
            return self._end(
                replace(running, state="failed", error=str(error), seconds=_since(running.started))
            )

    def _told(self, trial: Trial | int) -> Trial:
        number = trial.number if isinstance(trial, Trial) else checks.index(trial, "the number of a trial")
        if not 0 <= number < len(self._history.records):
            held = (
                f"its {len(self._history.records)} trials are numbered from 0"
                if self._history.records
                else "it has none yet"
            )
            raise StudyError(f"{self._where} has no trial {number}; {held}")
        state = self._history.records[number].state
        if state != "running":
            raise StudyError(f"trial {number} of {self._where} is already {state}; ask for a new one")
        stored = self._read(number)
        return replace(stored, started=self._handed.get(number, stored.started))

    def _end(self, trial: Trial) -> Trial:
        row: TrialRow = trials_.ended_row(trial)
        self._history.revision = self._store.end_trial(self._id, self._history.revision, row)
        self._history.add(trials_.record(row.history, self._where))
        self._handed.pop(trial.number, None)
        ended = self._history.ended[trial.number] = trials_.trial(row, self._where)
        return ended

    # --- the serial runner

    def optimize(
        self,
        objective: Any,
        trials: int = 50,
        method: Any = None,
        seconds: float | None = None,
        callback: Callable[[Trial, Study], Any] | None = None,
        on_error: str = "raise",
        stop: StopRule | Iterable[StopRule] = (),
        noise: bool = False,
    ) -> None:
        """Run trials until the study holds `trials` finished ones, those of earlier calls included.

        In a finite space it ends early when every configuration has been tried; `exhausted` is then True. Whenever it
        ends early, `stopped` says why.

        Args:
            objective: hparams -> number | (number, gradient tree) | `Outcome` | problem; or a problem.
            trials: finished trials in the end, >= 0.
            method: of the hypergradient of a problem; None: Auto().
            seconds: wall time of this call, looked at between trials; None: no limit.
            callback: called with (trial, study) after each finished trial.
            on_error: ``"raise"``: an exception of the objective marks the trial failed and ends the run;
                ``"continue"``: it marks the trial failed. Ctrl-C leaves the trial to be run again.
            stop: rules, such as ``hg.Target(0.1)`` or ``[hg.Patience(20), hg.ExpectedImprovementBelow(1e-3)]``; the
                first that finds a reason in the finished trials, those of earlier calls included, ends the run.
            noise: whether a problem's standard errors over folds and seeds are told as the noise of its trials. They
                say how well the mean over folds is known, not how well two trials can be compared: folds and seeds
                are the same in every trial, so most of their spread is common to all of them.

        Raises:
            StudyError: another process runs the study, or the objective returned something that fits nowhere.
            StoreError: the store cannot be written.
        """
        budget, allowed = limits(objective, trials, seconds, on_error)
        limit = monotonic() + allowed
        wanted = rules(stop)
        self.stopped = None
        ended = self._at_an_end(budget, wanted)
        if ended:
            return
        with self._running_here():
            while not ended:
                if monotonic() >= limit:
                    self.stopped = f"{seconds:g} s were spent"
                    return
                try:
                    asked = self.ask()
                except ExhaustedError:
                    self.stopped = "every configuration of the space has been tried"
                    return
                trial = self._one(asked, objective, method, on_error, noise)
                if callback is not None:
                    callback(trial, self)
                ended = self._at_an_end(budget, wanted)

    def _at_an_end(self, budget: int, wanted: tuple[StopRule, ...]) -> bool:
        """Whether the trials are spent or a rule, which `stopped` then quotes, says that they need not be."""
        if wanted:
            self.stopped = reason_to_stop(wanted, self.space, self._records())
        return self.stopped is not None or self.finished >= budget

    def _one(self, asked: Trial, objective: Any, method: Any, on_error: str, noise: bool) -> Trial:
        try:
            outcome = evaluate(objective, asked, method, noise)
            return self.tell(asked, **vars(outcome))
        except StoreError:
            raise
        except Exception as error:
            failed = self.fail(asked, f"{type(error).__name__}: {error}")
            if on_error == "raise":
                raise
            return failed
        finally:
            with self._guard:  # interrupted: to be asked for again under the same number
                self._handed.pop(asked.number, None)


def _since(started: str) -> float:
    return max((datetime.now(UTC) - datetime.fromisoformat(started)).total_seconds(), 0.0)
