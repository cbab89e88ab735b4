"""Why a trial of a study was tried, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypergrad.samplers.base import Explanation, Record, Sampler, best_of, plain_explanation
from hypergrad.space import Space

__all__ = ["Why", "why"]


@dataclass(frozen=True)
class Why:
    """The reason for one trial; made by `Study.why`.

    Attributes:
        number: of the trial.
        text: a sentence on the reason, and one on the outcome; what ``str`` gives.
        data: the figures behind the reason, as the sampler has them; JSON-able.
        note: what the sampler wrote down when it proposed the trial.
        best_before: number of the best trial before it; None: there was none of finite value.
        value: of the trial; nan before it has ended.
    """

    number: int
    text: str
    data: Mapping[str, Any]
    note: Mapping[str, Any]
    best_before: int | None
    value: float

    def __str__(self) -> str:
        return self.text


def why(space: Space, history: Sequence[Record], number: int, sampler: Sampler | None) -> Why:
    """The reason for trial `number` of a history.

    Args:
        history: trials 0, 1, ..., of which only those before the trial are looked at.
        sampler: that proposed it; None: unknown.
    """
    record, before = history[number], list(history[:number])
    found = _reason(space, before, record, sampler)
    best = best_of(before)
    return Why(
        number=number,
        text=f"trial {number}: {found.text}. {_outcome(record, best)}.",
        data=dict(found.data),
        note=dict(record.note),
        best_before=None if best is None else best.number,
        value=record.value,
    )


def _reason(space: Space, before: Sequence[Record], record: Record, sampler: Sampler | None) -> Explanation:
    if record.note.get("enqueued"):
        return plain_explanation(space, before, record, "it was enqueued by hand")
    if sampler is None:
        return plain_explanation(space, before, record, "a sampler of your own proposed it")
    return sampler.explain(space, before, record)


def _outcome(record: Record, best: Record | None) -> str:
    if record.state == "running":
        return "It has not ended yet"
    if record.state == "failed":
        return "It failed"
    if not math.isfinite(record.value):
        return f"It diverged, with the value {record.value}"
    reached = f"Its value is {record.value:.6g}"
    if best is None:
        return f"{reached}, the first that is finite"
    change = record.value - best.value
    if change < 0.0:
        return f"{reached}, {-change:.2g} below the best before it"
    return (
        f"{reached}, {change:.2g} above the best before it" if change else f"{reached}, as the best before it"
    )
