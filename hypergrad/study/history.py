"""The trials of a study as they are known in memory, so that no trial costs a walk through the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hypergrad.errors import StoreError, StudyError
from hypergrad.samplers.base import Record
from hypergrad.space import Space
from hypergrad.study.store import HistoryRow
from hypergrad.study.trial import Trial, record

__all__ = ["History"]


@dataclass
class History:
    """Grows with each trial; built anew when the store has moved on.

    Attributes:
        space: of the study.
        earlier: trials of earlier studies.
        revision: of the study in the store; -1: unknown.
        records: by number, as samplers see them.
        running: numbers of the running trials.
        finished: number of the others.
        best: number of the complete, feasible trial at full fidelity of the smallest finite value, the earliest of
            equals; -1: none.
        finite: number of complete trials of finite value.
        ended: finished trials that were read, by number.
    """

    space: Space
    earlier: tuple[Record, ...] = ()
    revision: int = -1
    records: list[Record] = field(default_factory=list)
    running: set[int] = field(default_factory=set)
    finished: int = 0
    best: int = -1
    finite: int = 0
    ended: dict[int, Trial] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        rows: Iterable[HistoryRow],
        revision: int,
        where: str,
        space: Space,
        earlier: Sequence[Record] = (),
    ) -> History:
        """The history of stored trials.

        Raises:
            StoreError: a trial is damaged or missing.
        """
        history = cls(space, tuple(earlier))
        for number, row in enumerate(rows):
            if row.number != number:
                raise StoreError(f"{where} has lost its trial {number}; use a copy of the file")
            history.add(record(row, where))
        history.revision = revision
        return history

    @property
    def told(self) -> tuple[Record, ...]:
        """What samplers are told: the trials of earlier studies, then the study's own."""
        return (*self.earlier, *self.records)

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
        if record.state != "complete" or not np.isfinite(record.value):
            return
        self.finite += 1
        if not record.feasible or not self.space.at_full(record.unit):
            return
        best = self.records[self.best].value if self.best >= 0 else np.inf
        if record.value < best or (record.value == best and record.number < self.best):
            self.best = record.number

    def no_best(self, where: str) -> StudyError:
        """Why no trial is the best."""
        if not self.finite:
            return StudyError(
                f"{where} has no trial with a finite value among its {self.finished} finished "
                "ones; run more trials or widen the space"
            )
        finite = [r for r in self.records if r.state == "complete" and np.isfinite(r.value)]
        if not any(record.feasible for record in finite):
            return StudyError(
                f"{where} has no feasible trial among its {self.finished} finished ones: none is known to keep "
                "every constraint; run more trials, or loosen the constraints in a study of another name"
            )
        assert self.space.fidelity is not None
        return StudyError(
            f"{where} has no {'feasible ' if len(finite) > sum(r.feasible for r in finite) else ''}trial at full "
            f"fidelity yet, {self.space.fidelity}={self.space.parameters[self.space.fidelity].default_value()}, "
            f"among its {self.finished} finished ones; run more trials"
        )
