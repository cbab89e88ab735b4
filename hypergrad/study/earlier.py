"""Trials of earlier studies, as they are when a new study is made: what of them fits its space, and what does not.

A trial of an earlier study fits where every hyperparameter that both spaces have has a value that is in the new space.
One that the earlier study did not have takes its default (a `Fidelity` its `high`); one that only the earlier study
varied is left out of sight. Trials that did not end, failed, or lie outside the new space are left out, and so are
those below full fidelity where the new space has no such fidelity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hypergrad import tree
from hypergrad.errors import SpaceError, StudyError, unknown_name
from hypergrad.space import Space
from hypergrad.study.checks import canonical_gradient, canonical_hparams, settings
from hypergrad.study.codec import encode
from hypergrad.study.store import HistoryRow, Store, StudyRow
from hypergrad.study.trial import Trial, ended_row, trial

__all__ = ["Origin", "Snapshot", "chosen", "snapshot"]


@dataclass(frozen=True)
class Origin:
    """An earlier study, as seen from a new one.

    Attributes:
        key, name: of the study.
        trials: how many of its trials the new study knows.
        left_out: how many ended trials do not fit the new space.
        defaulted: hyperparameters that it did not have; its trials stand at their defaults.
        ignored: hyperparameters that only it varied.
    """

    key: str
    name: str
    trials: int
    left_out: int
    defaulted: tuple[str, ...]
    ignored: tuple[str, ...]

    @staticmethod
    def of(description: Mapping[str, Any]) -> Origin:
        """From a store."""
        return Origin(**description)


@dataclass(frozen=True)
class Snapshot:
    """What a new study keeps of earlier ones.

    Attributes:
        origins: one a study, described for a store.
        rows: (which study, from 1; trial) in the unit cube of the new study.
        best: hparams of each study's best trial that fits, as text for the queue.
    """

    origins: list[dict[str, Any]]
    rows: list[tuple[int, HistoryRow]]
    best: list[str]


class Kept(Protocol):
    """A study object."""

    _store: Store
    _id: int


def snapshot(given: Any, space: Space, bounds: Mapping[str, float], what: str) -> Snapshot:
    """The trials of earlier studies that fit `space`.

    Args:
        given: studies, paths of files that hold one study, or pairs (path, key or name).
        bounds: the constraints of the new study; those that an earlier study has too keep their values.
        what: the new study, for errors.

    Raises:
        StudyError: no study where one is expected, twice the same, or one that has nothing in common with `space`.
        StoreError: a file that cannot be read.
    """
    if isinstance(given, str | Path) or not isinstance(given, Sequence):
        raise StudyError(f"earlier of {what} is {given!r}, expected a list of studies or of paths")
    found = Snapshot([], [], [])
    for each in given:
        for store, row in _opened(each, what):
            origin, rows, best = _fitting(store, row, space, bounds, len(found.origins) + 1, what)
            if any((origin.key, origin.name) == (o["key"], o["name"]) for o in found.origins):
                raise StudyError(f"earlier of {what} holds the study {row.name!r} twice; name it once")
            found.origins.append(asdict(origin))
            found.rows.extend((len(found.origins), each) for each in rows)
            found.best.extend([best] if best is not None and best not in found.best else [])
    return found


def _opened(each: Any, what: str) -> Iterator[tuple[Store, StudyRow]]:
    """The store and the row of an earlier study; a file is closed afterwards."""
    if hasattr(each, "_store") and hasattr(each, "_id"):
        yield each._store, next(row for row in each._store.studies() if row.id == each._id)
        return
    path, which = each if isinstance(each, tuple) and len(each) == 2 else (each, None)
    if not isinstance(path, str | Path):
        raise StudyError(
            f"earlier of {what} holds {each!r}, expected a study, a path, or a pair (path, name of the study)"
        )
    store = Store(path, create=False)
    try:
        yield store, chosen(store.studies(), which, store.name)
    finally:
        store.close()


def chosen(rows: list[StudyRow], which: str | None, store: str) -> StudyRow:
    """The study of this key, name or beginning of a key; None: the only one.

    Raises:
        StudyError: none, or more than one.
    """
    if not rows:
        raise StudyError(f"{store} holds no study yet")
    if which is None:
        found = rows
    else:
        found = (
            [row for row in rows if row.key == which]
            or [row for row in rows if row.name == which]
            or [row for row in rows if which and row.key.startswith(which)]
        )
    if not found:
        names = dict.fromkeys(name for row in rows for name in (row.name, row.key))
        raise StudyError(f"{store} has {unknown_name('study', str(which), names)}")
    if len(found) > 1:
        listed = ", ".join(f"{row.key} ({row.name})" for row in found)
        raise StudyError(f"{store} has {len(found)} such studies; choose one by its key: {listed}")
    return found[0]


def _fitting(
    store: Store, row: StudyRow, space: Space, bounds: Mapping[str, float], origin: int, what: str
) -> tuple[Origin, list[HistoryRow], str | None]:
    old = Space.from_json(settings(row, store.name).space)
    had = {**old.parameters, **old.constants}
    common = [name for name in space.parameters if name in had and name != space.fidelity]
    if not common:
        raise StudyError(
            f"the earlier study {row.name!r} has no hyperparameter of {what}: its own are {', '.join(had)}"
        )
    where = f"study {row.name!r} in {store.name}"
    ended = [trial(each, where) for each in store.trials(row.id)]
    ended = [each for each in ended if each.state == "complete"]
    fits = [each for each in (_moved(each, old, space, bounds) for each in ended) if each is not None]
    finite = [each for each in fits if each.finite and space.at_full(each.unit) and not _violates(each)]
    best = min(finite, key=lambda each: each.value, default=None)
    if best is not None and space.violated(space.from_unit(best.unit)) is not None:
        best = None
    described = Origin(
        key=row.key,
        name=row.name,
        trials=len(fits),
        left_out=len(ended) - len(fits),
        defaulted=tuple(name for name in space.parameters if name not in had),
        ignored=tuple(name for name in old.parameters if name not in space.parameters),
    )
    rows = [ended_row(each).history._replace(note="{}") for each in fits]
    return described, rows, None if best is None else encode(best.hparams, sort=True)


def _violates(told: Trial) -> bool:
    """Whether a constraint is known not to hold."""
    return told.margins is not None and bool((told.margins > 0.0).any())


def _moved(told: Trial, old: Space, space: Space, bounds: Mapping[str, float]) -> Trial | None:
    """The trial as one of `space`; None where it does not fit."""
    if old.fidelity is not None and old.fidelity not in space.parameters and not old.at_full(told.unit):
        return None
    values = dict(zip(tree.paths(told.hparams), tree.leaves(told.hparams), strict=True))
    given = {name: value for name, value in values.items() if name in space.parameters}
    try:
        hparams, unit = canonical_hparams(space, space.filled(given))
    except SpaceError:
        return None

    def seen(gradient: Any) -> tuple[Any, np.ndarray | None]:
        if gradient is None:
            return None, None
        leaves = zip(tree.paths(gradient), tree.leaves(gradient), strict=True)
        known = {name: leaf for name, leaf in leaves if leaf is not None and name in given}
        return canonical_gradient(space, hparams, _nested(known), f"the gradient of trial {told.number}")

    gradient, slope = seen(told.gradient)
    _, doubt = seen(told.gradient_noise)
    margins = np.array([told.constraints.get(name, np.nan) - bound for name, bound in bounds.items()])
    slopes = np.full((len(bounds), space.dimension), np.nan)
    for row, name in enumerate(bounds):
        found = seen(told.constraint_gradients.get(name))[1]
        slopes[row] = np.nan if found is None else found
    return Trial(
        number=told.number,
        hparams=hparams,
        wants_gradient=told.wants_gradient,
        unit=unit,
        state="complete",
        value=told.value,
        gradient=gradient,
        unit_gradient=slope,
        cost=told.cost,
        noise=told.noise,
        unit_gradient_noise=doubt,
        margins=margins if bounds else None,
        margin_gradients=slopes if bounds and np.isfinite(slopes).any() else None,
    )


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of leaves by path."""
    found: dict[str, Any] = {}
    for name, leaf in values.items():
        *path, key = name.split("/")
        node = found
        for part in path:
            node = node.setdefault(part, {})
        node[key] = leaf
    return found
