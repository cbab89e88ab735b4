"""NumPy's polynomials, highest power first, with NumPy's signatures, in terms of other functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, integer, reject
from hypergrad.ad.trace import Tracer, source_line
from hypergrad.errors import ShapeError, UnsupportedError

__all__ = ["FUNCTIONS"]


def _polyval(p: Any, x: Any) -> Any:
    p, x = array_of(p), array_of(x)
    y = np.zeros_like(x) if isinstance(x, Tracer) else np.zeros(x.shape, np.result_type(x, float))
    for i in range(p.shape[0]):
        y = y * x + p[i]
    return y


def _polyadd(a1: Any, a2: Any, sign: float = 1.0) -> Any:
    a, b = (np.atleast_1d(array_of(x)) for x in (a1, a2))
    n = max(a.size, b.size)
    a, b = (np.concatenate([np.zeros(n - x.size, x.dtype), x]) if x.size < n else x for x in (a, b))
    return a + b if sign > 0 else a - b


def _polyder(p: Any, m: int = 1) -> Any:
    p = array_of(p)
    for _ in range(integer(m, "polyder: m")):
        p = p[:-1] * np.arange(p.size - 1, 0, -1)
    return p


def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    p, times = array_of(p), integer(m, "polyint: m")
    constants = np.zeros(times) if k is None else np.atleast_1d(array_of(k))
    constants = constants * np.ones(times) if constants.size == 1 else constants
    for i in range(times):
        p = np.concatenate([p / np.arange(p.size, 0, -1), constants[i : i + 1]])
    return p


def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    x = array_of(x)
    count = x.size if N is None else integer(N, "vander: N")
    x = x.astype(np.promote_types(x.dtype, int))
    powers = [np.ones_like(x)]
    for _ in range(count - 1):
        powers.append(powers[-1] * x)
    powers = powers[:count]
    if not powers:
        return np.zeros((x.size, 0), x.dtype)
    return np.stack(powers if increasing else powers[::-1], axis=1)


def _poly(seq_of_zeros: Any) -> Any:
    zeros = np.atleast_1d(array_of(seq_of_zeros))
    if zeros.ndim != 1:
        raise UnsupportedError(
            f"np.poly of a matrix has no derivative rule, at {source_line()}; "
            "give the eigenvalues: np.poly(np.linalg.eigvalsh(a))"
        )
    found = np.ones(1, zeros.dtype)
    for i in range(zeros.size):
        found = np.convolve(found, np.stack((np.ones((), zeros.dtype), -zeros[i])))
    return found


def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: bool | str = False
) -> Any:
    """By least squares on columns of length 1, as NumPy's; of full rank."""
    reject("polyfit", rcond=(rcond, None), full=(full, False), cov=(cov, False))
    x, y, order = array_of(x) + 0.0, array_of(y) + 0.0, integer(deg, "polyfit: deg") + 1
    if order < 1 or x.ndim != 1 or y.ndim not in (1, 2) or x.size == 0 or x.shape[0] != y.shape[0]:
        raise ShapeError(
            f"np.polyfit: x of shape {x.shape}, y of shape {y.shape} and deg={deg} do not fit, at {source_line()}; "
            "x is a vector, y a vector or matrix with as many rows, deg not negative"
        )
    powers = np.vander(x, order)
    if w is not None:
        weights = array_of(w) + 0.0
        if weights.shape != x.shape:
            raise ShapeError(f"np.polyfit: w of shape {weights.shape} for x of {x.shape}, at {source_line()}")
        powers, y = powers * weights[:, None], y * (weights if y.ndim == 1 else weights[:, None])
    scale = np.sqrt(np.sum(powers * powers, axis=0))
    found = np.linalg.lstsq(powers / scale, y, rcond=None)[0]
    return (found.T / scale).T


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.poly: _poly,
    np.polyadd: _polyadd,
    np.polyder: _polyder,
    np.polyfit: _polyfit,
    np.polyint: _polyint,
    np.polymul: lambda a1, a2: np.convolve(a1, a2),
    np.polysub: lambda a1, a2: _polyadd(a1, a2, -1.0),
    np.polyval: _polyval,
    np.vander: _vander,
}
