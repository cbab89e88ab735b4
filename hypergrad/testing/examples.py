"""Spaces of every kind, and objectives of every malice, in the unit cube."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.space import Categorical, Float, Int, Ordinal, Space

__all__ = ["GRID", "HOSTILE", "ONLY", "SPACES", "Objective", "bowl", "cube", "hostile", "nothing_left"]

Objective = Callable[[int, np.ndarray], tuple[float, "np.ndarray | None"]]
"""(number of the trial, (d,) unit point) -> (value, (d,) d value / d unit with nan where unknown, or None)."""


def inside(hparams: dict[str, Any]) -> bool:
    """x + y <= 0.8: about a third of the unit square is refused."""
    return hparams["x"] + hparams["y"] <= 0.8


def nowhere(hparams: dict[str, Any]) -> bool:
    """Refuses everything."""
    return hparams["x"] > 2.0


SPACES: dict[str, Space] = {
    "one": Space(x=Float(0.0, 1.0)),
    "shaped": Space(lr=Float(1e-4, 1.0, log=True, shape=(12,)), l2=Float(1e-8, 1.0, log=True, shape=(3, 2))),
    "mixed": Space(x=Float(-1.0, 1.0, shape=(3,)), k=Int(1, 6), deep={"c": Categorical(("a", "b", "c"))}),
    "discrete": Space(k=Int(1, 40, log=True), c=Categorical(("a", "b"))),
    "conditional": Space(
        x=Float(0.0, 1.0, default=0.2),
        y=Float(0.0, 1.0, default=0.3),
        batch=Ordinal((16, 32, 64)),
        kind=Categorical(("sgd", "momentum")),
        momentum=Float(0.5, 0.99, logit=True, active_if={"kind": "momentum"}),
        nesterov=Categorical((False, True), active_if={"kind": "momentum"}),
        epochs=10,
        constraints=[inside],
    ),
    "narrow": Space(
        x=Float(1.0, 1.0 + 1e-9),
        k=Int(7, 8),
        log=Int(1, 2, log=True),
        step=Int(0, 10, step=10),
        c=Categorical(("only",)),
        o=Ordinal((3,)),
    ),
}
GRID = Space(a=Int(1, 6, log=True), b=Ordinal((1, 2, 4)), c=Categorical(("x", "y")))  # 36 configurations
ONLY = Space(c=Categorical(("only",)), fixed=3)  # one configuration
nothing_left = Space(x=Float(0.0, 1.0), constraints=[nowhere])


def cube(dimension: int) -> Space:
    """[0, 1]^d as one array."""
    return Space(x=Float(0.0, 1.0, shape=(dimension,)))


def bowl(space: Space, seed: int = 0) -> Objective:
    """|u - c|^2 and its derivative by the continuous and active coordinates; c drawn in [0.2, 0.8]^d."""
    center = np.random.default_rng([seed, 7]).uniform(0.2, 0.8, space.dimension)

    def value(number: int, unit: np.ndarray) -> tuple[float, np.ndarray | None]:
        z = unit - center
        return float(z @ z), np.where(space.continuous & space.active(unit), 2.0 * z, np.nan)

    return value


def _values(of: Callable[[int, float], float]) -> Callable[[Objective], Objective]:
    """The values of an objective changed; where they are no longer finite, neither is the gradient."""

    def change(objective: Objective) -> Objective:
        def value(number: int, unit: np.ndarray) -> tuple[float, np.ndarray | None]:
            plain, gradient = objective(number, unit)
            found = of(number, plain)
            if gradient is None or not np.isfinite(found):
                return found, None if number % 2 else np.full(unit.shape, np.nan)
            with np.errstate(over="ignore"):
                return found, gradient * (found / plain if plain else 1.0)

        return value

    return change


def _gradients(of: Callable[[int, np.ndarray], np.ndarray | None]) -> Callable[[Objective], Objective]:
    def change(objective: Objective) -> Objective:
        def value(number: int, unit: np.ndarray) -> tuple[float, np.ndarray | None]:
            plain, gradient = objective(number, unit)
            assert gradient is not None
            return plain, of(number, gradient)

        return value

    return change


def _constant(objective: Objective) -> Objective:
    return lambda number, unit: (1.0, np.zeros(unit.shape))


HOSTILE: dict[str, Callable[[Objective], Objective]] = {
    "all values nan": _values(lambda n, v: np.nan),
    "every other value nan": _values(lambda n, v: np.nan if n % 2 else v),
    "all but one value nan": _values(lambda n, v: v if n == 3 else np.nan),
    "values inf": _values(lambda n, v: np.inf if n % 3 else v),
    "values -inf": _values(lambda n, v: -np.inf if n % 3 else v),
    "values of 1e300": _values(lambda n, v: 1e300 * (1.0 + v)),
    "values of 1e-300": _values(lambda n, v: 1e-300 * (1.0 + v)),
    "values from 1e-300 to 1e300": _values(lambda n, v: (1e300, 1e-300, -1e300, v)[n % 4]),
    "a constant value": _constant,
    "no gradient": _gradients(lambda n, g: None),
    "half of the gradients missing": _gradients(lambda n, g: g if n % 2 else None),
    "gradients known in part": _gradients(lambda n, g: np.where((np.arange(g.size) + n) % 2, g, np.nan)),
    "gradients nan": _gradients(lambda n, g: np.full(g.shape, np.nan)),
    "gradients inf": _gradients(lambda n, g: np.full(g.shape, np.inf if n % 2 else -np.inf)),
    "gradients exploded": _gradients(lambda n, g: 1e200 * g),
    "gradients zero": _gradients(lambda n, g: 0.0 * g),
    "gradients of the wrong sign": _gradients(lambda n, g: -g),
}


def hostile(name: str, space: Space) -> Objective:
    """A bowl with one thing wrong."""
    return HOSTILE[name](bowl(space))
