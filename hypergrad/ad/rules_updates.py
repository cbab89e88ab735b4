"""Rewriting rules of assignment: what is read back from an array that was written to, and writes that are undone.

Notation: update(x, v, i) is x with x[i] = v, for basic indices i. update(x, v, i)[j] is v where j = i, and x[j] where
i and j have no entry in common, so that a loop that fills an array row by row never reads the whole of it.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from hypergrad.ad.primitives.indexing import index_p, update_p
from hypergrad.ad.program import Atom

__all__ = ["apart", "index_of_update", "update_of_update"]

_DEPTH = 1000  # writes to look through


def apart(shape: tuple[int, ...], one: Any, other: Any) -> bool:
    """Whether two basic indices of an array of the given shape are known to have no entry in common."""
    pairs = zip_longest(*([item for item in spec if item is not None] for spec in (one, other)))
    return any(
        a is not None and b is not None and _disjoint(_range(a, n), _range(b, n))
        for (a, b), n in zip(pairs, shape, strict=False)
    )


def _range(item: Any, length: int) -> range:
    return range(*slice(*item).indices(length)) if isinstance(item, tuple) else range(item, item + 1)


def _disjoint(a: range, b: range) -> bool:
    if not a or not b:
        return True
    if min(a[0], a[-1]) > max(b[0], b[-1]) or min(b[0], b[-1]) > max(a[0], a[-1]):
        return True
    return (len(a) == 1 and a[0] not in b) or (len(b) == 1 and b[0] not in a)


def index_of_update(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    """update(x, v, i)[i] = v; update(x, v, i)[j] = x[j] for j apart from i."""
    x, spec = inputs[0], params["spec"]
    for _ in range(_DEPTH):
        made = context.maker(x, "update")
        if made is None or len(made.inputs) > 2:
            break
        base, value = made.inputs
        if made.params["spec"] == spec and value.type.shape == index_p.infer(x.type, spec).shape:
            return value
        if not apart(x.type.shape, made.params["spec"], spec):
            break
        x = base
    return None if x is inputs[0] else context.one(index_p, x, spec=spec, where=where)


def update_of_update(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    """update(update(x, v, i), w, i) = update(x, w, i)."""
    made = context.maker(inputs[0], "update")
    if made is None or len(inputs) > 2 or len(made.inputs) > 2 or made.params["spec"] != params["spec"]:
        return None
    return context.one(update_p, made.inputs[0], inputs[1], **params, where=where)
