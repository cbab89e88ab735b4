"""Random compositions of NumPy functions: compiled = uncompiled = NumPy, derivatives = differences.

A recipe is a list of operations on a pool of arrays that starts with the inputs and three constants. It is
drawn by running it on numbers, so that every operation fits, and can then be run on traced values. Its outputs
may be inputs, constants, views, duplicates. The storage plan of the backend is what this tries to break.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hypergrad as hg
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import optimize
from hypergrad.ad.program import Program
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import trace, type_of

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
    "roll": lambda x: np.roll(x, 1),
    "largest": lambda x: x[np.argmax(x, axis=0)] if x.ndim == 1 and x.size else x,
    "count": lambda x: np.sum(x > 0.0123, axis=-1) * 1.0 if x.ndim else x,
    "clip": lambda x: np.clip(x, -0.437, None),
    "solve": lambda x: np.linalg.solve(x @ x.T + 2 * np.eye(x.shape[0]), x) if x.ndim == 2 and x.size else x,
    "softmax": lambda x: hg.nn.softmax(x) if x.size and x.ndim else x,
    "relu": lambda x: hg.nn.relu(x - 0.0321),
    "sigmoid": hg.nn.sigmoid,
    "prod": lambda x: np.prod(x, axis=-1) if x.ndim else x,
    "var": lambda x: np.var(x, axis=0, keepdims=True) if x.ndim and x.shape[0] else x,
    "diagonal": lambda x: np.diagonal(x) if x.ndim == 2 else x,
    "tril": lambda x: np.tril(x) if x.ndim == 2 else x,
    "vector of parts": lambda x: np.concatenate([np.ravel(x), np.ravel(2.0 * x), np.ravel(np.sum(x))]) ** 2,
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
    "join3": lambda x, y: np.concatenate(
        [np.ravel(y), np.ravel(x * y if x.shape == y.shape else x), np.ravel(y)]
    ),
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
        with np.errstate(all="ignore"):
            found = _OPERATIONS[name](*operands)
        if found.size > 200 or found.ndim > 5 or not np.max(np.abs(found), initial=0.0) < 100.0:
            continue
        pool.append(np.asarray(found))
        steps.append((name, places))
    outputs = tuple(
        len(pool) - 1 - min(draw(0, 4), len(pool) - 1) if draw(0, 2) else draw(0, len(pool) - 1)
        for _ in range(draw(1, 4))
    )
    return Recipe(shapes, tuple(steps), outputs)


@st.composite
def recipes(draw: Any) -> Recipe:
    return draw_recipe(lambda low, high: draw(st.integers(low, high)))


def program_of(recipe: Recipe) -> Program:
    return trace(lambda *xs: recipe(*xs), [type_of(x) for x in recipe.inputs(0)], "recipe")


def agree(found: Any, expected: Any, exactly: bool = False) -> None:
    """Equal arrays, to rounding unless exactly."""
    assert len(found) == len(expected)
    for a, b in zip(map(np.asarray, found), map(np.asarray, expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if exactly:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


QUICK = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@QUICK
@given(recipes())
def test_values(recipe):
    """Evaluated bit for bit; compiled, with and without optimisation, open and closed, call after call."""
    program = program_of(recipe)
    compiled = hg.compile(recipe)
    versions = (program, optimize(program))
    executables = [Executable(version) for version in versions]
    bound = []
    for version in versions:
        places = [np.empty(shape) for shape in recipe.shapes]
        outputs = [np.full(atom.type.shape, 7.0, atom.type.dtype) for atom in program.outputs]
        run = Executable(version, closed=True).bind(places, outputs)
        bound.append((places, outputs, run))
    kept = []
    for seed in (1, 2, 3):
        inputs = recipe.inputs(seed)
        expected = recipe(*inputs)
        agree(evaluate(program, inputs), expected, exactly=True)
        for executable in executables:
            agree(executable(*inputs), expected)
        for places, outputs, run in bound:
            for place, x in zip(places, inputs, strict=True):
                place[...] = x
            run()
            agree(outputs, expected)
        # nothing returned aliases a buffer, an input or another result
        kept.append((compiled(*inputs), [np.array(e) for e in expected]))
        agree(kept[-1][0], expected)
        for found, before in kept:
            agree(found, before)
        mine = [f for f in kept[-1][0] if isinstance(f, np.ndarray)]
        for i, f in enumerate(mine):
            assert not any(np.shares_memory(f, other) for other in (*mine[:i], *inputs, *CONSTANTS))
    assert compiled.signatures() == 1


@QUICK
@given(recipes(), st.integers(0, 2**32 - 1))
def test_derivatives(recipe, seed):
    """Jᵀ c, evaluated, compiled and by jvp; against central differences."""
    rng = np.random.default_rng(seed)
    inputs = recipe.inputs(seed)
    program = program_of(recipe)
    values = [np.asarray(v) for v in recipe(*inputs)]
    tangents = [rng.standard_normal(x.shape) for x in inputs]
    cotangents = [rng.standard_normal(v.shape) for v in values]
    both = vjp_program(program, [True] * len(inputs))
    found = evaluate(both, [*inputs, *cotangents])
    agree(found[: len(values)], values, exactly=True)
    for version in (both, optimize(both)):
        agree(Executable(version)(*inputs, *cotangents), found)
    _, pushed = hg.jvp(lambda *xs: recipe(*xs), inputs, tangents)
    pulled = sum(np.vdot(ct, t) for ct, t in zip(found[len(values) :], tangents, strict=True))
    moved = sum(np.vdot(c, t) for c, t in zip(cotangents, pushed, strict=True))
    assert pulled == pytest.approx(moved, rel=1e-9, abs=1e-11)
    if not any(name == "1 float32" for name, _ in recipe.steps):  # whose rounding differences would show
        step = 1e-6
        ahead = recipe(*(x + step * t for x, t in zip(inputs, tangents, strict=True)))
        behind = recipe(*(x - step * t for x, t in zip(inputs, tangents, strict=True)))
        slope = sum(
            np.vdot(c, (np.asarray(a) - np.asarray(b)) / (2 * step))
            for c, a, b in zip(cotangents, ahead, behind, strict=True)
        )
        assert pulled == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_threads_share_a_compiled_function(seed):
    """Calls at once from several threads give what calls one after the other give."""
    rng = np.random.default_rng(seed)
    recipe = draw_recipe(lambda low, high: int(rng.integers(low, high + 1)), most=20)
    compiled = hg.compile(recipe)
    inputs = [recipe.inputs(s) for s in range(8)]
    expected = [recipe(*xs) for xs in inputs]

    def work(number: int) -> None:
        for _ in range(20):
            agree(compiled(*inputs[number]), expected[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert compiled.signatures() == 1
