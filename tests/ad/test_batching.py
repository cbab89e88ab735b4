"""vmap equals the loop over examples, for every primitive, under derivatives, and nested."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import HypergradError

X = np.sin(np.arange(12.0)).reshape(4, 3)
W = np.cos(np.arange(6.0)).reshape(3, 2)


def rows():
    for path in sorted(Path(__file__).with_name("rows").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"vmap_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, examples in module.ROWS.items():
            for number, example in enumerate(examples):
                if any(np.asarray(a).dtype.kind == "f" for a in example.args):
                    yield pytest.param(example, id=f"{name}-{number}")


@pytest.mark.parametrize("example", list(rows()))
def test_every_primitive_equals_the_loop(example):
    args = [np.asarray(a) for a in example.args]
    scales = (1.0, 0.97, 1.02)
    stacks = [np.stack([a * s for s in scales]) if a.dtype.kind == "f" else np.stack([a] * 3) for a in args]
    with np.errstate(all="ignore"):
        expected = np.stack([np.asarray(example.f(*(s[i] for s in stacks))) for i in range(3)])
        found = hg.vmap(example.f)(*stacks)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        if len(args) > 1:
            some = hg.vmap(example.f, in_axes=(0, *(None,) * (len(args) - 1)))(stacks[0], *args[1:])
            alone = np.stack([np.asarray(example.f(x, *args[1:])) for x in stacks[0]])
            np.testing.assert_allclose(some, alone, rtol=1e-9, atol=1e-12)


def loss(x, w):
    return np.sum(np.tanh(x @ w) ** 2)


def test_per_example_gradients_and_gradients_of_batches():
    each = hg.vmap(hg.grad(loss, 1), in_axes=(0, None))(X, W)
    np.testing.assert_allclose(each, np.stack([hg.grad(loss, 1)(x, W) for x in X]), rtol=1e-13)
    total = hg.grad(lambda w: np.sum(hg.vmap(loss, in_axes=(0, None))(X, w)))(W)
    np.testing.assert_allclose(total, each.sum(0), rtol=1e-13)
    compiled = hg.compile(hg.vmap(hg.grad(loss, 1), in_axes=(0, None)))
    np.testing.assert_allclose(compiled(X, W), each, rtol=1e-13)
    hg.check_grads(lambda x, w: hg.vmap(loss, in_axes=(0, None))(x, w), (X, W), order=2)


def test_axes_trees_and_nesting():
    pair = hg.vmap(lambda d, s: (d["a"] * s, d["b"].sum()), in_axes=({"a": 1, "b": -1}, None), out_axes=-1)
    first, second = pair({"a": X, "b": X.T[:, :3].T}, 2.0)
    np.testing.assert_array_equal(first, 2 * X)
    np.testing.assert_allclose(second, X.T[:, :3].T.sum(0))
    table = hg.vmap(hg.vmap(lambda x, y: np.sin(x) * y, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_allclose(table(X[0], X[1]), np.outer(np.sin(X[0]), X[1]), rtol=1e-15)
    assert hg.vmap(lambda x: x * 2)(X.astype(np.float32)).dtype == np.float32
    branch = hg.vmap(lambda x: hg.cond(x.sum() > 0, np.sin, np.cos, x))
    np.testing.assert_allclose(branch(X), np.stack([np.sin(x) if x.sum() > 0 else np.cos(x) for x in X]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hg.vmap(np.dot)(X, X[:2]), "one common length"),
        (lambda: hg.vmap(np.sin, in_axes=None)(X), "no argument has one"),
        (lambda: hg.vmap(np.sin, in_axes=5)(X), "has no axis 5"),
        (lambda: hg.vmap(np.sin, in_axes=(0, 1))(X), "2 entries for 1 arguments"),
    ],
)
def test_refusals_say_why(call, words):
    with pytest.raises(HypergradError, match=words):
        call()


def test_a_loop_over_examples_is_one_loop(program_of):
    """The batch goes inside a scan, whichever of its operands differ between the examples, and inside a cond."""
    w, xs = np.array([0.5, -0.3, 0.8]), np.sin(np.arange(12.0)).reshape(3, 4)

    def run(w, xs):
        return hg.scan(lambda c, t: ((c[0] * w + t, c[1] + 1.0), c[0] * t), (0.3, 0.0), xs, reverse=True)

    for axes in ((0, 0), (0, None), (None, 0)):
        pick = [lambda v, i, a=a: v if a is None else v[i] for a in axes]
        args = [v if a == 0 else v[0] for v, a in zip((w, xs), axes, strict=True)]
        (c, n), ys = hg.vmap(run, axes)(*args)
        for i in range(3):
            (c1, n1), ys1 = run(pick[0](args[0], i), pick[1](args[1], i))
            np.testing.assert_allclose([c[i], n[i]], [c1, n1], rtol=1e-14)
            np.testing.assert_allclose(ys[i], ys1, rtol=1e-14)
        hg.check_grads(lambda *a, axes=axes: np.sin(hg.vmap(run, axes)(*a)[1]), tuple(args))
    choose = lambda w, p: hg.cond(p > 0, lambda w: w**2, np.sin, w)
    for p, expected in ((1.0, w**2), (-1.0, np.sin(w))):
        np.testing.assert_array_equal(hg.compile(hg.vmap(choose, (0, None)))(w, p), expected)
    program = program_of(lambda w: hg.vmap(lambda v: run(v, xs[0])[0][0])(w), (w,))
    assert sum(eq.primitive.name == "scan" for eq in program.equations) == 1


def test_numbers_that_a_function_returns_are_stacked():
    found = hg.vmap(lambda x: (x, 1, True, None))(np.ones(3))
    assert [np.shape(v) for v in found[:3]] == [(3,), (3,), (3,)]
    assert found[3] is None
    np.testing.assert_array_equal(hg.scan(lambda c, x: (c, 1), 0.0, np.ones(3))[1], [1, 1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"in_axes": "a"}, "in_axes has 1 entries|in_axes must be"), ({"in_axes": ("a",)}, "must be an int or None"),
     ({"out_axes": 3}, "no axis out_axes=3"), ({"out_axes": "x"}, "out_axes must be an int")],
)  # fmt: skip
def test_axes_that_are_none_are_refused(options, message):
    with pytest.raises(HypergradError, match=message):
        hg.vmap(np.sin, **options)(np.ones(3))
