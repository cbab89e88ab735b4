"""The trials of a study as they are known in memory, so that no trial costs a walk through the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from hypergrad.errors import StoreError
from hypergrad.samplers.base import Record
from hypergrad.study.store import HistoryRow
from hypergrad.study.trial import Trial, record

__all__ = ["History"]


@dataclass
class History:
    """Grows with each trial; built anew when the store has moved on.

    Attributes:
        revision: of the study in the store; -1: unknown.
        records: by number, as samplers see them.
        running: numbers of the running trials.
        finished: number of the others.
        best: number of the complete trial of the smallest finite value, the earliest of equals; -1: none.
        ended: finished trials that were read, by number.
    """

    revision: int = -1
    records: list[Record] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    finished: int = 0
    best: int = -1
    ended: dict[int, Trial] = field(default_factory=dict)

    @classmethod
    def read(cls, rows: Iterable[HistoryRow], revision: int, where: str) -> History:
        """The history of stored trials.

        Raises:
            StoreError: a trial is damaged or missing.
        """
        history = cls()
        for number, row in enumerate(rows):
            if row.number != number:
                raise StoreError(f"{where} has lost its trial {number}; use a copy of the file")
            history.add(record(row, where))
        history.revision = revision
        return history

    def add(self, record: Record) -> None:
        """Append a record, or replace the running one of its number."""
        if record.number == len(self.records):
            self.records.append(record)
        else:
            self.records[record.number] = record
        if record.state == "running":
            self.running.add(record.number)
            return
        self.running.discard(record.number)
        self.finished += 1
        if record.state == "complete" and np.isfinite(record.value):
            best = self.records[self.best].value if self.best >= 0 else np.inf
            if record.value < best or (record.value == best and record.number < self.best):
                self.best = record.number
