"""Trials as people see them, as samplers see them, and as the store keeps them."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import StoreError
from hypergrad.samplers.base import Proposal, Record
from hypergrad.study.codec import decode, encode, pack, unpack
from hypergrad.study.store import HistoryRow, TrialRow
from hypergrad.unroll.curve import curve_positions

if TYPE_CHECKING:
    import pandas

__all__ = ["Best", "Trial", "frame"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One point of a study and what came of it.

    Attributes:
        number: from 0, in the order in which the trials were asked for.
        hparams: tree of the space, natural units.
        wants_gradient: whether the sampler asked for the hypergradient too.
        unit: (d,) the point in the unit cube, read-only.
        state: ``"running"``, ``"complete"`` or ``"failed"``.
        value: outer loss; nan or inf when training diverged; nan before the trial is complete.
        gradient: tree like `hparams`, natural units, None at unknown leaves; None when nothing is known.
        unit_gradient: (d,) d value / d unit, nan where unknown, read-only; None when nothing is known.
        seed: of the inner training.
        cost: step evaluations, as counted by the hypergradient; 0 when the objective did not say.
        seconds: wall time of the trial.
        started: UTC, ISO 8601.
        curve: inner loss at the steps `curve_steps`, at most 200 of them, read-only.
        metrics: what the problem or the caller of `tell` reported.
        stats: of the training and of the hypergradient.
        versions: of hypergrad, numpy and python.
        note: of the sampler.
        error: why the trial failed.
        noise: standard error of the value, in its unit; 0 when nobody told.
        gradient_noise: tree like `gradient`, standard errors of its entries; None when nothing was told.
        constraints: the study's black-box constraints by name, natural units; nan where unknown.
        constraint_gradients: by name, a tree like `gradient`; empty when nothing is known.
        unit_gradient_noise: (d,) standard errors of `unit_gradient`, nan where not told; None when nothing was told.
        margins: (m,) by how much the constraints exceed their bounds, nan where unknown; None in a study without any.
        margin_gradients: (m, d) d margin / d unit, nan where unknown; None when nothing is known.
    """

    number: int
    hparams: dict[str, Any]
    wants_gradient: bool
    unit: np.ndarray
    state: str = "running"
    value: float = math.nan
    gradient: dict[str, Any] | None = None
    unit_gradient: np.ndarray | None = None
    seed: int = 0
    cost: float = 0.0
    seconds: float = 0.0
    started: str = ""
    curve: np.ndarray = field(default_factory=lambda: np.empty(0))
    metrics: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    noise: float = 0.0
    gradient_noise: dict[str, Any] | None = None
    constraints: dict[str, float] = field(default_factory=dict)
    constraint_gradients: dict[str, Any] = field(default_factory=dict)
    unit_gradient_noise: np.ndarray | None = None
    margins: np.ndarray | None = None
    margin_gradients: np.ndarray | None = None

    @property
    def finite(self) -> bool:
        """Whether the trial is complete with a finite value."""
        return self.state == "complete" and math.isfinite(self.value)

    @property
    def detached(self) -> bool:
        """Whether it was handed out by ``ask(detached=True)`` and runs until it is told, whatever process ends."""
        return self.state == "running" and bool(self.stats.get("detached", False))

    @property
    def feasible(self) -> bool:
        """Whether every black-box constraint of the study is known to hold; True in a study without any."""
        return self.margins is None or bool((self.margins <= 0.0).all())

    @property
    def curve_steps(self) -> np.ndarray:
        """The training steps, from 0, at which `curve` was taken."""
        return curve_positions(int(self.stats.get("curve_length", self.curve.size)))


@dataclass(frozen=True, eq=False)
class Best:
    """The best trial; see `Study.best`.

    Attributes:
        value: outer loss.
        hparams: natural units.
        number: of the trial.
        trial: all of it.
    """

    value: float
    hparams: dict[str, Any]
    number: int
    trial: Trial


def utc_now() -> str:
    """The time as ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def versions() -> dict[str, str]:
    """Versions of what a value depends on."""
    own = import_module("hypergrad").__version__  # by name: a layer does not import the package above it
    return {"hypergrad": own, "numpy": np.__version__, "python": platform.python_version()}


def running_stats(detached: bool) -> str:
    """The stats of a running trial: whether its process may end before it."""
    return encode({"detached": True} if detached else {})


def running_row(
    number: int, hparams: Mapping[str, Any], proposal: Proposal, seed: int, detached: bool = False
) -> TrialRow:
    """The row of a trial that starts now."""
    return TrialRow(
        number=number,
        state="running",
        unit=pack(proposal.unit),
        unit_gradient=None,
        value=None,
        cost=0.0,
        note=encode(dict(proposal.note), "the sampler's note"),
        wants_gradient=int(proposal.wants_gradient),
        seed=seed,
        started=utc_now(),
        seconds=0.0,
        error=None,
        versions=encode(versions()),
        hparams=encode(dict(hparams), "hparams", sort=True),
        gradient=None,
        metrics="{}",
        stats=running_stats(detached),
        curve=b"",
    )


def ended_row(trial: Trial) -> TrialRow:
    """The row of a trial that has ended."""
    curve, stats = np.asarray(trial.curve, np.float64).reshape(-1), dict(trial.stats)
    if curve.size:
        stats["curve_length"] = curve.size
    return TrialRow(
        number=trial.number,
        state=trial.state,
        unit=pack(trial.unit),
        unit_gradient=_packed(trial.unit_gradient),
        value=None if trial.state == "failed" else encode(trial.value),
        cost=trial.cost,
        note=encode(trial.note),
        wants_gradient=int(trial.wants_gradient),
        seed=trial.seed,
        started=trial.started,
        seconds=trial.seconds,
        error=trial.error,
        versions=encode(versions()),
        hparams=encode(trial.hparams, sort=True),
        gradient=None if trial.gradient is None else encode(trial.gradient),
        metrics=encode(trial.metrics, "metrics"),
        stats=encode(stats, "stats"),
        curve=pack(curve[curve_positions(curve.size)]),
        noise=encode(trial.noise) if trial.noise else None,
        unit_gradient_noise=_packed(trial.unit_gradient_noise),
        margins=_packed(trial.margins),
        margin_gradients=_packed(trial.margin_gradients),
        gradient_noise=None if trial.gradient_noise is None else encode(trial.gradient_noise),
        constraints=encode(trial.constraints) if trial.constraints else None,
        constraint_gradients=encode(trial.constraint_gradients) if trial.constraint_gradients else None,
    )


def _packed(array: np.ndarray | None) -> bytes | None:
    return None if array is None else pack(array)


def record(row: HistoryRow, where: str, study: int = 0) -> Record:
    """A row as samplers see it; `study` > 0: of an earlier study.

    Raises:
        StoreError: the row is damaged.
    """
    try:
        unit = unpack(row.unit)
        slopes = None if row.margin_gradients is None else unpack(row.margin_gradients)
        return Record(
            number=row.number,
            unit=unit,
            state=row.state,
            value=math.nan if row.value is None else float(decode(row.value)),
            gradient=None if row.unit_gradient is None else unpack(row.unit_gradient),
            note=decode(row.note),
            cost=row.cost,
            noise=0.0 if row.noise is None else float(decode(row.noise)),
            gradient_noise=None if row.unit_gradient_noise is None else unpack(row.unit_gradient_noise),
            constraints=None if row.margins is None else unpack(row.margins),
            constraint_gradients=None if slopes is None else slopes.reshape(-1, unit.size),
            study=study,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"trial {row.number} of {where} is damaged: {error}; use a copy of the file"
        ) from error


def trial(row: TrialRow, where: str) -> Trial:
    """A row as people see it.

    Raises:
        StoreError: the row is damaged.
    """
    short = record(row.history, where)
    try:
        return Trial(
            number=row.number,
            hparams=decode(row.hparams),
            wants_gradient=bool(row.wants_gradient),
            unit=short.unit,
            state=row.state,
            value=short.value,
            gradient=None if row.gradient is None else decode(row.gradient),
            unit_gradient=short.gradient,
            seed=row.seed,
            cost=row.cost,
            seconds=row.seconds,
            started=row.started,
            curve=unpack(row.curve),
            metrics=decode(row.metrics),
            stats=decode(row.stats),
            versions=decode(row.versions),
            note=dict(short.note),
            error=row.error,
            noise=short.noise,
            gradient_noise=None if row.gradient_noise is None else decode(row.gradient_noise),
            constraints={} if row.constraints is None else decode(row.constraints),
            constraint_gradients=(
                {} if row.constraint_gradients is None else decode(row.constraint_gradients)
            ),
            unit_gradient_noise=short.gradient_noise,
            margins=short.constraints,
            margin_gradients=short.constraint_gradients,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"trial {row.number} of {where} is damaged: {error}; use a copy of the file"
        ) from error


@cache
def _indices(shape: tuple[int, ...]) -> tuple[str, ...]:
    """``[0,0]``, ``[0,1]``, ...; one empty string for a scalar."""
    return tuple(f"[{','.join(map(str, index))}]" if index else "" for index in np.ndindex(*shape))


def _columns(node: Any, prefix: str) -> dict[str, Any]:
    """Scalars of a tree by readable name: ``lr``, ``l2[3,0]``, ``opt/lr``."""
    found: dict[str, Any] = {}
    for path, leaf in zip(tree.paths(node), tree.leaves(node), strict=True):
        entries = leaf.reshape(-1).tolist() if isinstance(leaf, np.ndarray) else [leaf]
        for index, entry in zip(_indices(np.shape(leaf)), entries, strict=True):
            found[f"{prefix}{path}{index}"] = entry
    return found


def frame(trials: Iterable[Trial]) -> pandas.DataFrame:
    """One row a trial: number, state, value, times, ``hparams/...``, ``gradient/...``,
    ``constraints/...`` and ``metrics/...``."""
    import pandas

    rows = []
    for each in trials:
        row: dict[str, Any] = {
            "number": each.number,
            "state": each.state,
            "value": each.value,
            "cost": each.cost,
            "seconds": each.seconds,
            "started": each.started,
            "error": each.error,
        }
        row |= _columns(each.hparams, "hparams/")
        row |= _columns(each.gradient, "gradient/") if each.gradient is not None else {}
        row |= _columns(each.constraints, "constraints/") if each.constraints else {}
        row |= _columns(each.metrics, "metrics/") if each.metrics else {}
        rows.append(row)
    return pandas.DataFrame(rows, columns=None if rows else ["number", "state", "value"])
