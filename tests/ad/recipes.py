"""Random plain NumPy functions for property tests.

A recipe is a list of operations on a pool of arrays that starts with the inputs and two constants. It is
drawn by running it on numbers, so that every operation fits, and can then be run on traced values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Draw = Callable[[int, int], int]  # draw(low, high): an integer in low..high

CONSTANTS = (np.linspace(-0.7, 0.9, 6).reshape(2, 3), np.array(0.75), np.arange(4.0) * 0.25)

UNARY: dict[str, Callable[[Any], Any]] = {
    "sin": np.sin,
    "tanh": np.tanh,
    "neg": lambda x: -x,
    "half": lambda x: 0.5 * x,
    "square": lambda x: 0.3 * x**2,
    "identity": lambda x: x,
    "times one": lambda x: 1.0 * x + 0.0,
    "relu-like": lambda x: x * (x > 0.1234),
    "where": lambda x: np.where(x > 0.0567, x, 0.2 * x),
    "mean": np.mean,
    "sum0": lambda x: np.sum(x, axis=0) if x.ndim else x,
    "sumlast": lambda x: np.sum(x, axis=-1, keepdims=True) if x.ndim else x,
    "max": lambda x: np.max(x, axis=tuple(range(x.ndim))[::2], keepdims=True) if x.size else x,
    "cumsum": np.cumsum,
    "transpose": np.transpose,
    "swap": lambda x: np.swapaxes(x, 0, -1) if x.ndim > 1 else x,
    "ravel": np.ravel,
    "column": lambda x: np.reshape(x, (x.size, 1)),
    "pair": lambda x: np.reshape(x, (2, x.size // 2)) if x.size % 2 == 0 else x,
    "newaxis": lambda x: x[None, ..., None],
    "reverse": lambda x: x[::-1] if x.ndim else x,
    "every other": lambda x: x[..., ::2] if x.ndim else x,
    "head": lambda x: x[: max(x.shape[0] - 1, 1)] if x.ndim else x,
    "first": lambda x: x[0] if x.ndim else x,
    "gather": lambda x: x[np.array([0, -1, 0])] if x.ndim else x,
    "spread": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "tile": lambda x: np.concatenate([x, x], axis=0) if x.ndim else x,
    "join": lambda x: np.concatenate([np.ravel(x), np.ravel(np.sin(x)), np.ravel(x.T)]),
    "matmul": lambda x: x @ x.T if x.ndim == 2 else x,
    "halves": lambda x: np.add(*np.split(x, 2)) if x.ndim and x.shape[0] % 2 == 0 else x,
    "parts": lambda x: np.concatenate(np.split(x, [1], axis=-1)[::-1], axis=-1) if x.ndim else x,
    "pieces": lambda x: np.concatenate([p * 2.0 for p in np.split(x, [1, 2])]) if x.ndim == 1 else x,
    "float32": lambda x: x.astype(np.float32).astype(np.float64),
    "scatter": lambda x: np.roll(x, 1),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda x, y: x / (1.5 + y * y),
    "max": np.maximum,
    "where": lambda x, y: np.where(x > 0.31, y, x),
    "hypot": lambda x, y: np.hypot(x, 1.0 + y * y),
}
JOIN: dict[str, Callable[..., Any]] = {
    "join": lambda x, y: np.concatenate([np.ravel(x), np.ravel(y)]),
    "join3": lambda x, y: np.concatenate([np.ravel(y), np.ravel(x * y if x.shape == y.shape else x), np.ravel(y)]),
    "outer": lambda x, y: np.outer(x, y),
    "stack": lambda x, y: np.stack([x, y], axis=-1) if x.shape == y.shape else x,
}


@dataclass(frozen=True)
class Recipe:
    """Operations (name, operands) on a pool, and which of the pool are returned."""

    shapes: tuple[tuple[int, ...], ...]
    steps: tuple[tuple[str, tuple[int, ...]], ...]
    outputs: tuple[int, ...]

    def __call__(self, *inputs: Any) -> list[Any]:
        pool = [*inputs, *CONSTANTS]
        for name, places in self.steps:
            pool.append(_OPERATIONS[name](*(pool[p] for p in places)))
        return [pool[p] for p in self.outputs]

    def inputs(self, seed: int) -> list[np.ndarray]:
        """Random numbers for the inputs."""
        rng = np.random.default_rng(seed)
        return [rng.uniform(-1.0, 1.0, shape) for shape in self.shapes]


_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{f"1 {name}": f for name, f in UNARY.items()},
    **{f"2 {name}": f for name, f in BINARY.items()},
    **{f"join {name}": f for name, f in JOIN.items()},
}
SHAPES = ((), (1,), (3,), (4,), (2, 3), (3, 2), (2, 2), (1, 3), (2, 1), (2, 3, 2), (0,), (2, 0))


def draw_recipe(draw: Draw, most: int = 12) -> Recipe:
    """A random recipe."""
    shapes = tuple(SHAPES[draw(0, len(SHAPES) - 1)] for _ in range(draw(1, 3)))
    recipe = Recipe(shapes, (), ())
    pool: list[Any] = [*recipe.inputs(0), *CONSTANTS]
    names = list(_OPERATIONS)
    steps = []
    for _ in range(draw(1, most)):
        name = names[draw(0, len(names) - 1)]
        # recent values are likelier, so that chains grow
        arity = 1 if name.startswith("1") else 2
        places = tuple(
            len(pool) - 1 - min(draw(0, 3), len(pool) - 1) if draw(0, 1) else draw(0, len(pool) - 1)
            for _ in range(arity)
        )
        operands = [pool[p] for p in places]
        if name.startswith("2"):
            try:
                np.broadcast_shapes(*(x.shape for x in operands))
            except ValueError:
                continue
        if name in ("1 gather", "1 first", "1 max", "1 mean") and 0 in operands[0].shape:
            continue
        found = _OPERATIONS[name](*operands)
        if found.size > 200 or found.ndim > 5:
            continue
        pool.append(np.asarray(found))
        steps.append((name, places))
    outputs = tuple(
        len(pool) - 1 - min(draw(0, 4), len(pool) - 1) if draw(0, 2) else draw(0, len(pool) - 1)
        for _ in range(draw(1, 4))
    )
    return Recipe(shapes, tuple(steps), outputs)
