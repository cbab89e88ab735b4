"""Large buffers that are used again: to get fresh memory from the system costs as much as a training step.

A run leases one block for everything that it keeps for its backward run and gives it back at the end; blocks
of up to `LIMIT` bytes altogether wait for the next run of the process.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from hypergrad.ad.program import ArrayType

__all__ = ["LIMIT", "leased"]

LIMIT = 1 << 28
_ALIGN = 64

_lock = threading.Lock()
_free: list[np.ndarray] = []


@contextmanager
def leased(types: Sequence[ArrayType]) -> Iterator[list[np.ndarray]]:
    """Arrays of the given types, not initialised, which must not be used (or returned) after the context."""
    sizes = [-(-type.size * type.dtype.itemsize // _ALIGN) * _ALIGN for type in types]
    block = _take(sum(sizes))
    arrays, start = [], 0
    for type, size in zip(types, sizes, strict=True):
        part = block[start : start + type.size * type.dtype.itemsize]
        arrays.append(part.view(type.dtype).reshape(type.shape))
        start += size
    try:
        yield arrays
    finally:
        _give(block)


def _take(size: int) -> np.ndarray:
    """The smallest waiting block that fits without wasting more than half of it, or a new one."""
    with _lock:
        fits = [i for i, block in enumerate(_free) if size <= block.size <= max(2 * size, 1 << 16)]
        if fits:
            return _free.pop(min(fits, key=lambda i: _free[i].size))
    return np.empty(size, np.uint8)


def _give(block: np.ndarray) -> None:
    with _lock:
        _free.append(block)
        while sum(waiting.size for waiting in _free) > LIMIT:
            _free.pop(0)  # the one that waited longest
