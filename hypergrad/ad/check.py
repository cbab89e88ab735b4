"""`check_grads`: derivatives against central differences and each other, to any order.

In a random direction t with a random cotangent c, at step e:
J t against (f(x + e t) - f(x - e t)) / 2e (forward), and <c, J t> against <Jᵀ c, t> (reverse).
Order k + 1 checks order k of the derivative function itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import jvp, vjp
from hypergrad.ad.arguments import as_array, is_static, name_of
from hypergrad.errors import DerivativeError

__all__ = ["check_grads"]


def _float(leaf: Any) -> bool:
    return not is_static(leaf) and as_array(leaf, "a leaf").dtype.kind == "f"


def _random_like(x: Any, rng: np.random.Generator) -> Any:
    """Standard normal floats in the place of float leaves, None elsewhere."""

    def draw(leaf: Any) -> Any:
        if not _float(leaf):
            return None
        array = np.asarray(leaf)
        return rng.standard_normal(array.shape).astype(array.dtype)[()]

    return tree.map(draw, x)


def _moved(args: Any, tangents: Any, step: float) -> Any:
    def move(leaf: Any, t: Any) -> Any:
        return leaf if t is None else np.asarray(leaf) + np.asarray(leaf).dtype.type(step) * t

    return tree.map(move, args, tangents)


def _dot(a: Any, b: Any) -> float:
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return float(
        sum(np.vdot(np.float64(x), np.float64(y)) for x, y in pairs if x is not None and y is not None)
    )


def _norm(a: Any) -> float:
    return float(np.sqrt(_dot(a, a)))


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: str | Sequence[str] = ("forward", "reverse"),
    *,
    step: float | None = None,
    rtol: float | None = None,
    seed: int = 0,
) -> None:
    """Raise unless the derivatives of `f` at `args` are right up to the given order.

    Args:
        f: function of trees of floats (other leaves are held fixed).
        args: tuple of arguments, at a point where f is smooth.
        order: highest order of derivative to check, 1 or more.
        modes: which modes to check; "reverse" is checked against forward mode and differences.
        step: of the central difference, relative to max(1, |x|); default: the cube root of the machine epsilon.
        rtol: allowed difference relative to the larger norm plus one; default 1e-6 in float64, 2e-2 in float32.
        seed: of the random directions.

    Raises:
        DerivativeError: names the mode, the order and both numbers.
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    for mode in modes:
        if mode not in ("forward", "reverse"):
            raise DerivativeError(f'check_grads has the modes "forward" and "reverse", got {mode!r}')
    if not isinstance(args, tuple | list):
        raise DerivativeError(
            f"check_grads takes a tuple of arguments, got {type(args).__name__}; write (x,)"
        )
    if order < 1:
        raise DerivativeError(f"check_grads checks derivatives of order 1 or more, got order={order}")
    args = tuple(args)
    rng = np.random.default_rng(seed)
    dtypes = [np.asarray(leaf).dtype for leaf in tree.leaves(args) if _float(leaf)]
    if not dtypes:
        raise DerivativeError("check_grads needs at least one float argument")
    eps = max(float(np.finfo(dtype).eps) for dtype in dtypes)
    step = eps ** (1 / 3) if step is None else step
    rtol = (1e-6 if eps < 1e-10 else 2e-2) if rtol is None else rtol
    _check(f, args, order, modes, step, rtol, rng, name_of(f), 1)


def _check(
    f: Callable[..., Any], args: tuple, order: int, modes: tuple, step: float, rtol: float,
    rng: np.random.Generator, name: str, depth: int,
) -> None:  # fmt: skip
    tangents = _random_like(args, rng)
    size = max(
        (float(np.max(np.abs(leaf), initial=0.0)) for leaf in tree.leaves(args) if _float(leaf)), default=0.0
    )
    h = step * max(1.0, size)
    plus, minus = f(*_moved(args, tangents, h)), f(*_moved(args, tangents, -h))

    def slope(a: Any, b: Any) -> Any:
        return (np.asarray(a) - np.asarray(b)) / (2 * h) if _float(a) else None

    numeric = tree.map(slope, plus, minus)

    def fail(mode: str, got: float, expected: float, what: str) -> None:
        raise DerivativeError(
            f"derivative of order {depth} of {name} is wrong in {mode} mode: {what} is {got:.12g}, "
            f"expected {expected:.12g} (relative tolerance {rtol:g}, step {h:.3g})"
        )

    value, exact = jvp(f, args, tangents)
    gap = tree.map(lambda a, b: None if a is None else np.asarray(a) - np.asarray(b), exact, numeric)
    if "forward" in modes and not _norm(gap) <= rtol * (1.0 + max(_norm(numeric), _norm(exact))):
        fail("forward", _norm(exact), _norm(numeric), "the norm of J t (or its direction)")
    if "reverse" in modes:
        cotangent = _random_like(value, rng)
        _, pullback = vjp(f, *args)
        pulled = pullback(cotangent)
        left, right = _dot(cotangent, numeric), _dot(pulled, tangents)
        scale = 1.0 + max(_norm(cotangent) * _norm(numeric), abs(right))
        if not abs(left - right) <= rtol * scale:
            fail("reverse", right, left, "<t, Jᵀ c>")
    if order > 1:
        if "forward" in modes:
            ahead = lambda *xs: jvp(f, xs, tangents)[1]
            _check(ahead, args, order - 1, modes, step, rtol, rng, name, depth + 1)
        if "reverse" in modes:
            back = lambda *xs: vjp(f, *xs)[1](cotangent)
            _check(back, args, order - 1, modes, step, rtol, rng, name, depth + 1)
