"""What a store holds, read without the objectives that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from hypergrad.samplers import SAMPLERS, Sampler
from hypergrad.space import Space
from hypergrad.study.checks import described, settings
from hypergrad.study.earlier import chosen
from hypergrad.study.history import History
from hypergrad.study.store import Store, StudyRow
from hypergrad.study.study import Study

__all__ = ["Summary", "load_study", "studies"]


@dataclass(frozen=True)
class Summary:
    """A line about one study.

    Attributes:
        key: identifies the study in its store.
        name: for people.
        created: UTC, ISO 8601.
        sampler: name of its class.
        seed: of the study.
        dimension: number of unit coordinates.
        info: what the maker of the study remembered with it.
        complete: number of complete trials.
        failed: number of failed trials.
        running: number of trials that run, or whose process died.
        best: value of `Study.best`; None when there is none.
    """

    key: str
    name: str
    created: str
    sampler: str
    seed: int
    dimension: int
    info: dict[str, Any]
    complete: int
    failed: int
    running: int
    best: float | None


def studies(store: str | Path) -> list[Summary]:
    """A summary of each study in a store, oldest first.

    Raises:
        StoreError: there is no such file, or it cannot be read.
    """
    opened = Store(store, create=False)
    try:
        return [_summary(opened, row) for row in opened.studies()]
    finally:
        opened.close()


def _summary(store: Store, row: StudyRow) -> Summary:
    where = f"study {row.name!r} in {store.name}"
    found = settings(row, store.name)
    space = Space.from_json(found.space)
    history = History.read(store.history(row.id), row.revision, where, space)
    states = [each.state for each in history.records]
    return Summary(
        key=row.key,
        name=row.name,
        created=row.created,
        sampler=found.sampler["name"],
        seed=row.seed,
        dimension=space.dimension,
        info=found.info,
        complete=states.count("complete"),
        failed=states.count("failed"),
        running=states.count("running"),
        best=history.records[history.best].value if history.best >= 0 else None,
    )


def load_study(store: str | Path, which: str | None = None) -> Study:
    """A stored study, to be shown, told or, when its sampler is one of hypergrad's, continued.

    Args:
        store: path of the file.
        which: the key, the beginning of a key, or the name; None: the only study of the store.

    Raises:
        StudyError: no study, or more than one, answers to `which`.
        StoreError: there is no such file, or it cannot be read.
    """
    opened = Store(store, create=False)
    try:
        row = chosen(opened.studies(), which, opened.name)
        found = settings(row, opened.name)
        return Study._stored(opened, row, Space.from_json(found.space), _sampler(found.sampler))
    except BaseException:
        opened.close()
        raise


def _sampler(description: Mapping[str, Any]) -> Sampler | None:
    """The sampler described, when it is one of hypergrad's with plain settings."""
    for kind in SAMPLERS.values():
        if kind.__name__ != description["name"] or not is_dataclass(kind):
            continue
        if {field.name for field in fields(kind)} == set(description["fields"]):
            sampler = kind(**description["fields"])
            return sampler if described(sampler) == description else None
    return None
