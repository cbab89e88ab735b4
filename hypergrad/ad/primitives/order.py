"""Order: sorting permutations and places in a sorted array. Integers, so their derivative is zero.

Sorted values are the values gathered by the permutation, so that their derivative follows the entries; where
entries tie, the derivative goes to the one that NumPy's stable sort puts in that place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType, Primitive

__all__ = ["argpartition_p", "argsort_p", "lexsort_p", "searchsorted_p"]

_INDEX = np.dtype(np.intp)

argsort_p = Primitive(
    "argsort",
    infer=lambda x, axis: ArrayType(x.shape, _INDEX),
    call=lambda x, axis: np.argsort(x, axis=axis, kind="stable"),
)
argpartition_p = Primitive(
    "argpartition",
    infer=lambda x, kth, axis: ArrayType(x.shape, _INDEX),
    call=lambda x, kth, axis: np.argpartition(x, kth, axis=axis),
)
lexsort_p = Primitive(
    "lexsort",
    infer=lambda keys, axis: ArrayType(keys.shape[1:], _INDEX),
    call=lambda keys, axis: np.lexsort(keys, axis=axis),
)


def _search(sorted: Any, values: Any, side: Any) -> Any:
    return np.asarray(np.searchsorted(sorted, values, side=side))


searchsorted_p = Primitive(
    "searchsorted",
    infer=lambda sorted, values, side: ArrayType(values.shape, _INDEX),
    call=_search,
)
