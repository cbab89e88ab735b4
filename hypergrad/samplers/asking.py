"""How a study asks a sampler: it is told what it can use, and proposes a point of the study's space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hypergrad.samplers.base import Proposal, Record, Sampler
from hypergrad.space import Space

__all__ = ["at_target", "proposal", "wants_gradient"]


def at_target(space: Space, history: Sequence[Record]) -> list[Record]:
    """The trials at full fidelity, as trials of `space.target`; all of them in a space without a `Fidelity`."""
    if space.fidelity is None:
        return list(history)
    column = space.columns[space.fidelity].start
    return [_without(record, column) for record in history if space.at_full(record.unit)]


def _without(record: Record, column: int) -> Record:
    arrays: dict[str, Any] = {}
    for name in ("unit", "gradient", "gradient_noise", "constraint_gradients"):
        array = getattr(record, name)
        arrays[name] = None if array is None else np.delete(array, column, axis=-1)
    return replace(record, **arrays)


def proposal(
    sampler: Sampler, space: Space, history: Sequence[Record], *, seed: int, number: int
) -> Proposal:
    """What `sampler` proposes.

    A sampler that does not use earlier studies is told of this one alone; one that does not use fidelities searches
    `space.target` on the trials at full fidelity, and its proposal is one at full fidelity.

    Args and Raises: as `Sampler.ask`.
    """
    searched, told = _seen(sampler, space, history)
    found = sampler.ask(searched, told, seed=seed, number=number)
    if space.fidelity is None or sampler.uses_fidelity:
        return found
    column = space.columns[space.fidelity].start
    return replace(found, unit=np.insert(np.asarray(found.unit, np.float64), column, 1.0))


def wants_gradient(
    sampler: Sampler, space: Space, history: Sequence[Record], *, seed: int, number: int
) -> bool:
    """Whether `sampler` wants the gradient of an enqueued point.

    Args and Raises: as `Sampler.ask`.
    """
    searched, told = _seen(sampler, space, history)
    return sampler.wants_gradient(searched, told, seed=seed, number=number)


def _seen(sampler: Sampler, space: Space, history: Sequence[Record]) -> tuple[Space, Sequence[Record]]:
    """The space and the trials that a sampler is shown."""
    if not sampler.uses_earlier:
        history = [record for record in history if record.study == 0]
    if space.fidelity is None or sampler.uses_fidelity:
        return space, history
    return space.target, at_target(space, history)
