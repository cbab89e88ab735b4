"""What a study holds: its trials as they are known in memory, and the right to change them in the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hypergrad.samplers.admission import Admission
from hypergrad.samplers.base import Record, Sampler
from hypergrad.space import Space
from hypergrad.study import checks
from hypergrad.study import trial as trials_
from hypergrad.study.earlier import Origin
from hypergrad.study.history import History
from hypergrad.study.insight import Insight
from hypergrad.study.lock import RunLock
from hypergrad.study.store import Store, StudyRow
from hypergrad.study.trial import Best, Trial

if TYPE_CHECKING:
    import pandas

__all__ = ["Ledger"]


class Ledger(Insight):
    """The trials of a study: the part of `Study` that reads them, and lets one caller at a time change them."""

    def _set_up(self, store: Store, row: StudyRow, space: Space, sampler: Sampler | None) -> None:
        self.name, self.key, self.seed, self.created = row.name, row.key, row.seed, row.created
        settings = checks.settings(row, store.name)
        self.info, self.constraints = settings.info, settings.constraints
        self.space, self.sampler = space, sampler
        self.store, self._store, self._id = store.path, store, row.id
        self._where = f"study {self.name!r} in {store.name}"
        beside = None if store.path is None else store.path.with_name(f"{store.path.name}-lock-{row.id}")
        self._lock = RunLock(beside, self._where)
        self.wait = 0.0
        self._guard = threading.RLock()
        self._claims = 0  # how many calls rely on the lock
        self._handed: dict[int, str] = {}  # trials asked through this object and not yet ended: when
        self.earlier = tuple(map(Origin.of, settings.origins or ()))
        before = (trials_.record(each, self._where, k) for k, each in store.earlier(row.id))
        self._history = History(space, tuple(before))
        self.stopped: str | None = None

    def close(self) -> None:
        """Let go of the store; running trials, unless detached, are run again by whoever asks next."""
        self._lock.release()
        self._store.close()

    def __repr__(self) -> str:
        return f"<{self._where}>"

    # --- what is known; a copy of the store's trials, refreshed when the store has moved on

    def _refresh(self) -> History:
        revision = self._store.revision(self._id)
        if revision != self._history.revision:
            rows = self._store.history(self._id)
            self._history = History.read(rows, revision, self._where, self.space, self._history.earlier)
        return self._history

    def _records(self) -> tuple[Record, ...]:
        with self._guard:
            return tuple(self._refresh().records)

    def _read(self, number: int) -> Trial:
        (row,) = self._store.trials(self._id, number, number)
        return trials_.trial(row, self._where)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number, the running ones too."""
        with self._guard:
            known = self._refresh()
            missing = [record.number for record in known.records if record.number not in known.ended]
            fresh: dict[int, Trial] = {}
            if missing:
                for row in self._store.trials(self._id, missing[0], missing[-1]):
                    fresh[row.number] = trials_.trial(row, self._where)
            known.ended.update(
                (n, t) for n, t in fresh.items() if t.state != "running" and n not in known.ended
            )
            return tuple(known.ended.get(record.number) or fresh[record.number] for record in known.records)

    @property
    def finished(self) -> int:
        """How many trials have ended, complete or failed."""
        with self._guard:
            return self._refresh().finished

    @property
    def best(self) -> Best:
        """The complete trial of the smallest finite value, the earliest of equals.

        Only trials that are known to keep every constraint and, in a space with a `Fidelity`, ran at its `high`.

        Raises:
            StudyError: there is none yet.
        """
        with self._guard:
            known = self._refresh()
            if known.best < 0:
                raise known.no_best(self._where)
            found = known.ended.get(known.best) or self._read(known.best)
            known.ended[found.number] = found
            return Best(found.value, found.hparams, found.number, found)

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of a finite space has been tried, so that `ask` has nothing new.

        Failed and running trials count as tried. Points that a constraint refuses do not count.
        """
        with self._guard:
            return Admission(self.space, self._refresh().records).exhausted

    def dataframe(self) -> pandas.DataFrame:
        """One row a trial: number, state, value, cost, seconds, started, error, then ``hparams/...``,
        ``gradient/...`` and ``metrics/...`` by readable name."""
        return trials_.frame(self.trials)

    # --- the right to change the study

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """The right to change the study, and an up-to-date copy of it."""
        with self._guard:
            if not self._lock.held:
                self._handed.clear()
                self._lock.acquire(self.wait)
            self._claims += 1
            try:
                self._refresh()
                yield
            except BaseException:
                self._history.revision = -1  # a commit may or may not have happened
                raise
            finally:
                self._claims -= 1
                self._settle()

    def _settle(self) -> None:
        if self._claims == 0 and not self._handed:
            self._lock.release()

    @contextmanager
    def _running_here(self) -> Iterator[None]:
        """The lock, held over many trials."""
        with self._claimed():
            self._claims += 1
        try:
            yield
        finally:
            with self._guard:
                self._claims -= 1
                self._settle()
