"""`hg.compile`: traced once a signature, shared by threads, and nothing that it returns is touched again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hypergrad as hg

X = np.array([0.3, 1.2, 0.8])


def counted(f):
    """A compiled function, and the list to which every trace of `f` adds an entry."""
    traces = []

    def wrapped(*args, **kwargs):
        traces.append(args)
        return f(*args, **kwargs)

    return hg.compile(wrapped), traces


def test_the_same_signature_is_traced_once():
    f, traces = counted(lambda p, n: np.sum(p["x"] ** n) * p["scale"])
    for value in (1.0, 2.0, 3.0):
        assert f({"x": value * X, "scale": value}, 2) == pytest.approx(value**3 * np.sum(X**2))
    assert len(traces) == 1
    f({"x": X, "scale": 1.0, "unused": X}, 2)
    assert len(traces) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"x": X.astype(np.float32)}, {"x": X[:2]}, {"x": X[None]}, {"x": np.arange(3)}, {"n": 3},
        {"kind": "b"}, {"kind": None}, {"flag": False},
    ],
)  # fmt: skip
def test_another_signature_is_traced_again(other):
    f, traces = counted(lambda x, n, kind, flag: np.sum(x * 1.0) ** n)
    base = {"x": X, "n": 2, "kind": "a", "flag": True}
    for _ in range(2):
        f(**base)
        f(**base | other)
    assert len(traces) == 2


def test_true_and_one_are_different_static_values():
    f, traces = counted(lambda x, flag: x * 2.0 if flag is True else x * 3.0)
    assert f(1.0, 1) == 3.0
    assert f(1.0, True) == 2.0
    assert len(traces) == 2


@pytest.mark.parametrize("value", [0.0, -1.5, np.inf, -np.inf, np.nan])
def test_algebraic_rules_keep_infinities_and_nan(value):
    f = lambda x: (x + 0.0, x * 1.0, -x, 0.0 * x, x - x, x / x, x * x / x, (x**2) ** 0.5, x**1, x**0, x**-1)
    with np.errstate(all="ignore"):
        for a, b in zip(hg.compile(f)(value), f(np.float64(value)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-15)


def test_branches_on_static_values():
    f = hg.compile(lambda x, kind: np.sin(x) if kind == "sin" else np.cos(x))
    assert f(0.5, "sin") == np.sin(0.5)
    assert f(0.5, "cos") == np.cos(0.5)


def test_any_tree_and_static_results():
    f = hg.compile(lambda x: {"y": [x + 1.0, (x, None)], "name": "f", "count": 3})
    found = f(X)
    np.testing.assert_array_equal(found["y"][0], X + 1.0)
    np.testing.assert_array_equal(found["y"][1][0], X)
    assert found["y"][1][1] is None
    assert found["name"] == "f"
    assert found["count"] == 3


def test_results_are_never_overwritten():
    f = hg.compile(lambda x: (np.tanh(x) * 2.0, np.exp(x).sum(axis=0), x @ x.T))
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((4, 3)) for _ in range(5)]
    kept = [f(x) for x in inputs]
    for x, (a, b, c) in zip(inputs, kept, strict=True):
        np.testing.assert_allclose(a, np.tanh(x) * 2.0, rtol=1e-15)
        np.testing.assert_allclose(b, np.exp(x).sum(axis=0), rtol=1e-14)
        np.testing.assert_allclose(c, x @ x.T, rtol=1e-14, atol=1e-15)


FUNCTIONS = {
    "identity": lambda x: x,
    "twice": lambda x: (x, x),
    "view": lambda x: x.T,
    "reshaped": lambda x: (np.reshape(x, (-1,)), x[0], x[::-1], x + 1.0),
    "constant": lambda x: (np.arange(3.0), x * 0.0),
    "broadcast": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "views of one result": lambda x: (lambda y: (y, y.T, y[0]))(np.exp(x)),
    "nothing to do": lambda x: x * 1.0,
}


@pytest.mark.parametrize("transform", ["compile", "jvp", "vjp", "grad"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_may_be_written_to(name, transform):
    """Overwriting every result changes neither the arguments, nor other results, nor the next call."""
    f = FUNCTIONS[name]
    total = lambda x: sum(np.sum(leaf) for leaf in hg.tree.leaves(f(x)))
    compiled = hg.compile(f)
    call = {
        "compile": lambda x: compiled(x),
        "jvp": lambda x: hg.jvp(f, (x,), (np.ones_like(x),)),
        "vjp": lambda x: (lambda value, pull: [value, pull(value), pull(value)])(*hg.vjp(f, x)),
        "grad": lambda x: hg.value_and_grad(total)(x),
    }[transform]
    x = np.arange(9.0).reshape(3, 3)
    original = x.copy()
    expected = [np.array(leaf) for leaf in hg.tree.leaves(call(original.copy()))]
    for _ in range(2):
        leaves = [leaf for leaf in hg.tree.leaves(call(x)) if isinstance(leaf, np.ndarray) and leaf.ndim]
        checks = [e for e in expected if e.ndim]
        for leaf, value in zip(leaves, checks, strict=True):
            np.testing.assert_array_equal(leaf, value)
            leaf[...] = -7.0
        np.testing.assert_array_equal(x, original)


LAYOUTS = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "offset": lambda x: np.pad(x, 1)[1:-1, 1:-1],
    "big-endian": lambda x: x.astype(">f8"),
    "a list of rows": lambda x: np.array(x.tolist()),
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_of_an_argument_does_not_matter(layout):
    x = np.random.default_rng(0).standard_normal((4, 4))
    f = hg.compile(hg.value_and_grad(lambda x: np.sum(np.tanh(x @ x.T + x) * np.cumsum(x, axis=0))))
    for call in (f, hg.value_and_grad(lambda x: np.sum(np.tanh(x @ x.T + x) * np.cumsum(x, axis=0)))):
        expected, gradient = call(x)
        value, found = call(LAYOUTS[layout](x))
        assert value == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(found, gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("base", [np.zeros(1), np.zeros((1, 4))])
def test_broadcast_views_as_arguments(base):
    x = np.broadcast_to(base + 0.5, (4, 4)) if base.ndim == 2 else np.broadcast_to(base, (4,))
    gradient = hg.compile(hg.grad(lambda x: np.sum(np.sin(x) * np.arange(4.0))))(x)
    np.testing.assert_allclose(gradient, np.cos(x) * np.arange(4.0))


def test_threads_share_a_compiled_function():
    """Many threads in one function, each with its own data, all get what one thread gets."""
    f = hg.compile(hg.value_and_grad(lambda x: np.sum(np.tanh(x @ x.T) * np.exp(-(x**2)).sum())))
    inputs = [np.random.default_rng(i).standard_normal((40, 30)) for i in range(24)]
    expected = [
        hg.compile(hg.value_and_grad(lambda x: np.sum(np.tanh(x @ x.T) * np.exp(-(x**2)).sum())))(x)
        for x in inputs
    ]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(f, inputs))
            for (value, gradient), (a, b) in zip(found, expected, strict=True):
                assert value == a
                np.testing.assert_array_equal(gradient, b)


def test_threads_trace_at_once():
    """Traces of different threads do not see each other, nor do nested derivatives."""

    def work(seed):
        x = np.random.default_rng(seed).standard_normal(5)
        hessian = hg.hessian(lambda x: np.sum(np.sin(x) * x[0]))(x)
        return np.allclose(hessian, hessian.T) and np.allclose(hg.grad(lambda x: np.sum(x**3))(x), 3 * x**2)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))


def test_a_compiled_function_that_calls_itself_inside():
    f = hg.compile(lambda x: np.sum(np.sin(x)))
    g = hg.compile(lambda x: f(x) + f(2.0 * x) * f(x))
    assert g(X) == pytest.approx(np.sin(X).sum() * (1 + np.sin(2 * X).sum()), rel=1e-14)
    np.testing.assert_allclose(
        hg.grad(g)(X),
        np.cos(X) * (1 + np.sin(2 * X).sum()) + 2 * np.cos(2 * X) * np.sin(X).sum(),
        rtol=1e-13,
    )


def test_the_value_equals_plain_numpy_in_float32():
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    f = lambda x: np.mean(np.exp(x * 0.5 + 1) / 3.0, axis=0) ** 2
    found = hg.compile(f)(x)
    assert found.dtype == f(x).dtype == np.float32
    np.testing.assert_allclose(found, f(x), rtol=1e-6)
