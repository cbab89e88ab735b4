"""Plain arrays that a traced function captures: each use keeps the numbers of that moment, as NumPy's would.

``mask[:] = 0; mask[i] = 1; total += mask * x`` in a loop changes one ndarray between its uses. Small arrays are
copied when they are captured; large ones are not, but their change is noticed by a fingerprint, and refused.
"""

from __future__ import annotations

import numpy as np

from hypergrad.ad.tracer import source_line
from hypergrad.errors import TracingError

__all__ = ["Constants"]

_COPIED = 1 << 20  # bytes up to which an array is copied
_FEW = 64  # entries up to which it is not worth finding out whether a copy exists
_PRIME = 1021  # entries of a fingerprint


class Constants:
    """The plain arrays that the functions under way have captured."""

    def __init__(self) -> None:
        self._copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._large: dict[int, tuple[np.ndarray, bytes, str]] = {}

    def keep(self, array: np.ndarray) -> np.ndarray:
        """The numbers of `array` now."""
        if array.nbytes > _COPIED:
            self._watch(array)
            return array
        if array.dtype.hasobject or not (array.flags.writeable or array.base is not None):
            return array
        if array.size <= _FEW:
            return array.copy(order="K")
        known = self._copies.get(id(array))
        if known is not None and _same(known[1], array):
            return known[1]
        copy = array.copy(order="K")
        self._copies[id(array)] = (array, copy)
        self._copies[id(copy)] = (copy, copy)
        return copy

    def _watch(self, array: np.ndarray) -> None:
        known = self._large.get(id(array))
        if known is None:
            self._large[id(array)] = (array, _fingerprint(array), source_line())
        else:
            _check(*known)

    def check(self) -> None:
        """Raise TracingError if a large array has changed since it was captured."""
        for known in self._large.values():
            _check(*known)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all()))


def _check(array: np.ndarray, before: bytes, where: str) -> None:
    if _fingerprint(array) != before:
        raise TracingError(
            f"a plain array of shape {array.shape} was changed in place while the function was traced, after its use "
            f"at {where}, which would change that use too; use array.copy() there, or make the array with hg.array"
        )


def _fingerprint(array: np.ndarray) -> bytes:
    """The exclusive or of the array's words, apart by their place modulo a prime."""
    array = array[
        tuple(slice(None) if n else slice(0, 1) for n in array.strides)
    ]  # what broadcasting repeats: once
    order = np.argsort([-abs(n) for n in array.strides], kind="stable")
    dense = array.transpose(order)
    if not dense.flags.c_contiguous:
        dense = dense[tuple(slice(None, None, -1 if n < 0 else 1) for n in dense.strides)]
    words = np.ascontiguousarray(dense).reshape(-1).view(np.uint8)
    words = words[: words.size // 8 * 8].view(np.uint64)
    whole = words.size // _PRIME * _PRIME
    parts = np.bitwise_xor.reduce(words[:whole].reshape(-1, _PRIME), axis=0)
    return parts.tobytes() + words[whole:].tobytes()
