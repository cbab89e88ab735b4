"""NumPy's products of vectors and matrices, with NumPy's signatures: kron, cross, outer, vecdot, matvec, vecmat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, flag
from hypergrad.ad.primitives import contraction
from hypergrad.ad.trace import source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS", "UFUNCS"]


def _kron(a: Any, b: Any) -> Any:
    a, b = array_of(a), array_of(b)
    ndim = max(a.ndim, b.ndim)
    left, right = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    pairs = np.reshape(a, tuple(n for size in left for n in (size, 1))) * np.reshape(
        b, tuple(n for size in right for n in (1, size))
    )
    return np.reshape(pairs, tuple(m * n for m, n in zip(left, right, strict=True)))


def _cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(array_of(a), axisa, -1), np.moveaxis(array_of(b), axisb, -1)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ShapeError(f"np.cross takes vectors of 2 or 3, got {a.shape} and {b.shape}, at {source_line()}")
    if a.shape[-1] == b.shape[-1] == 2:
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    (a0, a1, a2), (b0, b1, b2) = (
        (x[..., 0], x[..., 1], x[..., 2] if x.shape[-1] == 3 else np.zeros(x.shape[:-1], x.dtype))
        for x in (a, b)
    )
    parts = (a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0)
    return np.moveaxis(np.stack(np.broadcast_arrays(*parts), axis=-1), -1, axisc)


def _cross_of_three(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    a, b = array_of(x1), array_of(x2)
    for x in (a, b):
        if x.shape[axis_list(axis, x.ndim, "np.linalg.cross")[0]] != 3:
            raise ShapeError(
                f"np.linalg.cross takes vectors of 3, got {a.shape} and {b.shape}, at {source_line()}"
            )
    return _cross(a, b, axis=axis)


def _operands(name: str, x1: Any, x2: Any, *core: int) -> tuple[Any, Any]:
    """Two arrays, with at least `core` axes each."""
    a, b = array_of(x1), array_of(x2)
    if a.ndim < core[0] or b.ndim < core[1]:
        raise ShapeError(f"{name}: shapes {a.shape} and {b.shape} have too few axes, at {source_line()}")
    return a, b


def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    a, b = _operands("vecdot", x1, x2, 1, 1)
    if axis != -1:
        a, b = np.moveaxis(a, axis, -1), np.moveaxis(b, axis, -1)
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"vecdot: vectors of {a.shape[-1]} and {b.shape[-1]}, at {source_line()}")
    return np.sum(np.conjugate(a) * b, axis=-1)


def _matvec(x1: Any, x2: Any, /) -> Any:
    a, b = _operands("matvec", x1, x2, 2, 1)
    return np.matmul(a, b[..., None])[..., 0]


def _vecmat(x1: Any, x2: Any, /) -> Any:
    a, b = _operands("vecmat", x1, x2, 1, 2)
    return np.matmul(np.conjugate(a)[..., None, :], b)[..., 0, :]


def _along(ufunc: Any, rule: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A ufunc of vectors or matrices that are not on the last axes: ``axes=``, ``axis=``, ``keepdims=``."""
    name, kept = ufunc.__name__, flag(options.pop("keepdims", False))
    counts = [len(part.split(",")) if part.strip("()") else 0 for part in _cores(ufunc.signature)]
    axes, axis = options.pop("axes", None), options.pop("axis", None)
    if (axis is not None or kept) and counts != [1, 1, 0]:
        raise ShapeError(f"{name} takes no axis= or keepdims=, at {source_line()}; use axes=")
    if axes is None:
        axes = [() if n == 0 else (axis,) if axis is not None else tuple(range(-n, 0)) for n in counts]
    axes = [(item,) if isinstance(item, int) else tuple(item) for item in axes]
    axes += [()] if len(axes) == 2 and counts[2] == 0 else []
    if [len(item) for item in axes] != counts:
        raise ShapeError(f"{name}: axes={axes} do not name the axes of each operand, at {source_line()}")
    moved = [
        np.moveaxis(array_of(x), item, tuple(range(-n, 0)))
        for x, item, n in zip(inputs, axes, counts, strict=False)
    ]
    found = rule(*moved)
    if kept:
        return np.expand_dims(found, axes[0][0])
    return np.moveaxis(found, tuple(range(-counts[2], 0)), axes[2]) if counts[2] else found


def _cores(signature: str) -> list[str]:
    """``(n),(n)->()``: the parts in brackets."""
    return signature.replace("->", ",").replace("),(", ")|(").split("|")


def _outer(x1: Any, x2: Any, /) -> Any:
    a, b = array_of(x1), array_of(x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ShapeError(
            f"np.linalg.outer takes two vectors, got {a.shape} and {b.shape}, at {source_line()}"
        )
    return contraction.outer(a, b)


FUNCTIONS: dict[Any, Callable[..., Any]] = {"along": _along, np.kron: _kron, np.cross: _cross}
_ALIASES: dict[str, Callable[..., Any]] = {
    "outer": _outer,
    "cross": _cross_of_three,
    "vecdot": _vecdot,
}
FUNCTIONS |= {getattr(np.linalg, name): rule for name, rule in _ALIASES.items() if hasattr(np.linalg, name)}
UFUNCS: dict[Any, Callable[..., Any]] = {
    getattr(np, name): rule
    for name, rule in {"vecdot": _vecdot, "matvec": _matvec, "vecmat": _vecmat}.items()
    if hasattr(np, name)
}
