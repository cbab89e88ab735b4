"""Hyperparameters that a step reads a few rows of: one weight an example, the training data themselves.

Where all that a step does with θ (n, ...) is θ[i], with i known from the batch, its cotangent is zero but for the rows
i: θ̄[i] += ḡ. The step's vjp then returns ḡ and i, and the sum over steps takes them in place, in O(B) instead of O(n).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad.ad.optimize import prune
from hypergrad.ad.primitives.indexing import to_numpy
from hypergrad.ad.program import ArrayType, Equation, Program, Var

__all__ = ["Gather", "add_rows", "gathers_last", "split_gathers"]

_LARGE = 1024  # entries of a hyperparameter from which on this is worth it


@dataclass(frozen=True)
class Gather:
    """One θ[i] of a step.

    Attributes:
        leaf: the number of θ among what the step computes from hyperparameters alone.
        spec: the index, with a place for each array in it (`hypergrad.ad.primitives.indexing`).
        types: of the cotangent ḡ, then of each array of the index.
    """

    leaf: int
    spec: tuple[Any, ...]
    types: tuple[ArrayType, ...]


def _gathers(program: Program, leaf: Var, keyed: set[Var]) -> list[Equation]:
    """The equations that read `leaf`, if they all gather from it by indices in `keyed`; else none."""
    found = [eq for eq in program.equations if leaf in eq.inputs]
    fits = leaf not in program.outputs and all(
        eq.primitive.name == "gather"
        and eq.inputs[0] is leaf
        and all(not isinstance(atom, Var) or atom in keyed for atom in eq.inputs[1:])
        for eq in found
    )
    return found if fits else []


def _keyed(program: Program, given: Sequence[Var]) -> set[Var]:
    """What is computed from `given` (and constants) alone."""
    known = set(given)
    for eq in program.equations:
        if all(atom in known for atom in eq.inputs if isinstance(atom, Var)):
            known.update(eq.outputs)
    return known


def gathers_last(before: Program, rest: Program, others: int) -> tuple[Program, Program, int]:
    """What `hoist` returned, with the values that only gathers read after the others, and the number of the others.

    Args:
        others: inputs of `rest` after the values from `before`; the first two, state and rates, depend on training.
    """
    count = len(rest.inputs) - others
    leaves = rest.inputs[:count]
    keyed = _keyed(rest, rest.inputs[count + 2 :])
    last = [var.type.size >= _LARGE and bool(_gathers(rest, var, keyed)) for var in leaves]
    order = sorted(range(count), key=lambda i: last[i])
    moved = Program(before.inputs, before.equations, tuple(before.outputs[i] for i in order), before.name)
    inputs = (*(leaves[i] for i in order), *rest.inputs[count:])
    return moved, Program(inputs, rest.equations, rest.outputs, rest.name), count - sum(last)


def split_gathers(rest: Program, first: int, count: int) -> tuple[list[Gather], Program, Program]:
    """Take the gathers from the inputs first..count-1 out of `rest`.

    Returns:
        (gathers, before, after). before: inputs of `rest` -> for each gather θ[i] and the arrays of i.
        after: (inputs of `rest`, each θ[i]) -> outputs of `rest`.
    """
    keyed = _keyed(rest, rest.inputs[count + 2 :])
    found = [(leaf, eq) for leaf in range(first, count) for eq in _gathers(rest, rest.inputs[leaf], keyed)]
    gathers = [
        Gather(leaf, eq.params["spec"], tuple(atom.type for atom in (*eq.outputs, *eq.inputs[1:])))
        for leaf, eq in found
    ]
    outputs = [atom for _, eq in found for atom in (*eq.outputs, *eq.inputs[1:])]
    before = prune(Program(rest.inputs, rest.equations, tuple(outputs), f"gathers({rest.name})"))
    taken = [eq for _, eq in found]
    left = tuple(eq for eq in rest.equations if not any(eq is other for other in taken))
    inputs = (*rest.inputs, *(eq.outputs[0] for eq in taken))
    return gathers, before, Program(inputs, left, rest.outputs, rest.name)


def add_rows(
    total: np.ndarray, spec: tuple[Any, ...], indices: Sequence[np.ndarray], rows: np.ndarray
) -> None:
    """total[i] += rows, for each index in turn also where one occurs twice."""
    if total.ndim > 1 and spec == ("array",) and indices[0].ndim == 1:
        (index,) = indices
        if len(np.unique(index % len(total))) == len(index):  # `np.add.at` is slow for arrays of rows
            total[index] += rows
            return
    np.add.at(total, to_numpy(spec, tuple(indices)), rows)
