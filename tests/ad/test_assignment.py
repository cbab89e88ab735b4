"""Assignment and in-place operators on traced arrays: NumPy's views, aliases, casts and refusals."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.forward import evaluate
from hypergrad.ad.trace import Tracer, trace, type_of
from hypergrad.errors import HypergradError, ShapeError, TracingError, UnsupportedError

X = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -0.75]])
V = np.array([0.3, -0.7, 1.9, -2.4])


def cumulative(x):
    out = np.zeros_like(x)
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i] ** 2
        out[i] = total
    return out


def euler(x):
    """A state that is stepped in place, recorded row by row."""
    path = hg.zeros((5, 2))
    state = hg.array([x[0], 0.0])
    for t in range(5):
        path[t] = state
        state[0] += 0.1 * state[1]
        state[1] -= 0.1 * np.sin(state[0]) * x[1]
    return path


def gauss(a):
    """Elimination in place, as in a textbook."""
    u = a @ a.T + 3 * np.eye(3)
    for k in range(3):
        for i in range(k + 1, 3):
            u[i] -= u[i, k] / u[k, k] * u[k]
    return np.prod(np.diagonal(u))


def gram_schmidt(a):
    q = a.copy()
    for j in range(q.shape[1]):
        column = q[:, j]
        for k in range(j):
            column -= (q[:, k] @ column) * q[:, k]
        column /= np.linalg.norm(column)
    return q


def swap(x):
    y = x * 1.0
    y[0], y[1] = y[1].copy(), y[0].copy()
    y[[0, 1]] = y[[1, 0]]
    y[:, [0, 2]] = y[:, [2, 0]]
    return y


def rows(x):
    y = x + 0.0
    for i, row in enumerate(y):
        row *= i + 2
    for row in y.T:
        row[0] = row[1]
    return y


def relu(x):
    y = x * 1.0
    y[y < 0] = 0.0
    return y


def clip_root(x):
    y = x.copy()
    y[y > 0] = np.sqrt(y[y > 0]) * 2 + 1
    y[x < 0] **= 2
    y[(x < 0), ...] -= x[0, 0]
    return y


def masked_rows(x):
    y = x @ np.ones((3, 3))
    y[np.sum(x, axis=1) > 2] = x[0]
    y[:, y[0] > 1] *= 2.0
    y[0, y[0] > 0] = x[1, 1]
    return y


def finite_differences(x):
    y = np.empty_like(x)
    y[1:-1] = x[2:] - x[:-2]
    y[0], y[-1] = x[1] - x[0], x[-1] - x[-2]
    y[1:-1] /= 2.0
    return y


def convolution(x):
    kernel = x[:2]
    y = hg.zeros(x.shape[0] + 1)
    for i in range(2):
        y[i : i + x.shape[0]] += kernel[i] * x
    return y


def one_hot(x):
    y = hg.zeros((4, 3), np.float64)
    y[np.arange(4), [0, 2, 1, 2]] = x
    return y @ np.ones(3)


def histogram(x):
    y = hg.zeros(3)
    np.add.at(y, [0, 2, 0, 2], x * x)
    y[[0, 0, 1]] += x[:3]
    return y


def momentum(x):
    m, w = np.zeros_like(x), x.copy()
    for _ in range(3):
        g = 2 * w
        m *= 0.9
        m += g
        w -= 0.1 * m
    return w


def out_arguments(x):
    buffer = np.empty_like(x)
    np.multiply(x, x, out=buffer)
    np.add(buffer, 1.0, buffer)
    np.exp(x[:2], out=buffer[:2])
    np.log(buffer, out=buffer, where=buffer > 1)
    return buffer


FUNCTIONS = {
    "cumulative": (cumulative, V), "euler": (euler, V[[0, 2]]), "gauss": (gauss, np.vstack([X, X[0] ** 2])),
    "gram_schmidt": (gram_schmidt, X.T), "swap": (swap, X), "rows": (rows, X), "relu": (relu, X),
    "clip_root": (clip_root, X), "masked_rows": (masked_rows, X), "finite_differences": (finite_differences, V),
    "convolution": (convolution, V), "one_hot": (one_hot, V), "histogram": (histogram, V),
    "momentum": (momentum, V), "out_arguments": (out_arguments, np.abs(V)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_programs_of_the_field(name):
    """Traced and compiled = plain NumPy; derivatives to second order in both modes; float32 stays float32."""
    f, x = FUNCTIONS[name]
    before = x.copy()
    for argument in (x, x.astype(np.float32)):
        expected = f(argument)
        found = evaluate(trace(lambda a: [f(a)], [type_of(argument)]), [argument])[0]
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_allclose(
            hg.compile(f)(argument), expected, rtol=1e-5 if argument is not x else 1e-13
        )
    hg.check_grads(f, (x,), rtol=1e-5)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", ["cumulative", "euler", "clip_root", "histogram", "momentum"])
def test_nested(name):
    """Derivatives of derivatives, inside compile, and vmapped by hand."""
    f, x = FUNCTIONS[name]
    h = hg.hessian(lambda a: np.sum(np.sin(f(a))))(x)
    g = hg.grad(lambda a: np.sum(np.sin(f(a))))
    step = 1e-6
    for i, index in enumerate(np.ndindex(x.shape)):
        d = np.zeros_like(x)
        d[index] = step
        numeric = (g(x + d) - g(x - d)) / (2 * step)
        np.testing.assert_allclose(h.reshape(x.size, x.size)[i], numeric.ravel(), atol=2e-7)
    np.testing.assert_allclose(hg.compile(g)(x), g(x), rtol=1e-12)


# Values that only views can give ---------------------------------------------------------------------------
def test_views():
    def f(x):
        y = x * 1.0
        alias, row, column, flat = y, y[0], y.T[1], y.reshape(-1)
        row += 1.0  # y changes
        column[:] = 5.0
        flat[5] = x[0, 0]
        alias[1, 0] = 7.0
        y[1:][0][1:2] *= 2.0
        np.split(y, 3, axis=1)[0][0, 0] = -1.0
        y.squeeze()[..., 2][0] = 9.0
        np.expand_dims(y, 0)[0, 1, 2] += 4.0
        np.swapaxes(y, 0, 1)[0] *= 3.0
        number = y[0, 0]
        number += 100.0  # a number: y does not change
        zero_d = y[0, 2, ...]
        zero_d += 0.5  # a view without axes: y changes
        return [y, alias, row, column, flat, number, zero_d]

    for want, got in zip(f(X), hg.compile(f)(X), strict=True):
        np.testing.assert_array_equal(got, want)


def test_copies():
    """What NumPy copies does not follow: ravel of a transposed array, integer arrays, arithmetic, ravel of a flip."""

    def f(x):
        y = x * 1.0
        others = [y.T.ravel(), y.T.reshape(-1), y[[0, 1]], y + 0, y.copy(), y.flatten(), np.copy(y), copy.copy(y),
                  copy.deepcopy(y), y.astype(float), y[0][::-1].ravel(), (y.T + 1).ravel(), +y, np.where(True, y, y),
                  np.round(y, 3), np.concatenate([y]), np.tile(y, 1), np.roll(y, 0), y.sum(axis=()),
                  np.array_split(y.copy(), 1)[0]]  # fmt: skip
        y[...] = 0.0
        others[0][0] = 8.0
        return [y, *others]

    for want, got in zip(f(X), hg.compile(f)(X), strict=True):
        np.testing.assert_array_equal(got, want)


def test_read_only_views_follow_and_refuse():
    def f(x):
        y = x * 1.0
        wide, diagonal = np.broadcast_to(y, (2, 2, 3)), np.diagonal(y)
        y[0] = 4.0
        return wide + diagonal[0]

    np.testing.assert_array_equal(hg.compile(f)(X), f(X))
    for view in (
        lambda y: np.broadcast_to(y, (2, 2, 3)),
        np.diagonal,
        hg.stop_gradient,
        lambda y: y.diagonal()[:1],
    ):
        with pytest.raises(UnsupportedError, match=r"read-only view.*x\.copy\(\)"):
            hg.compile(lambda x, view=view: view(x * 1.0).__setitem__(0, 1.0))(X)


def test_arguments_are_not_changed():
    """``x += 1`` of an argument is a fresh value; ``x[0] = 1`` and writes to its views are refused."""

    def f(x):
        y = x
        x += 1.0
        x[0] = 2.0  # x is an array of this function now
        return x, y

    x = X.copy()
    changed, kept = hg.compile(f)(x)
    np.testing.assert_array_equal(kept, X)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(changed, [[2.0, 2.0, 2.0], X[1] + 1])
    for write in (
        lambda x: x.__setitem__(0, 1.0), lambda x: x[0].__iadd__(1.0), lambda x: x.T.fill(0.0),
        lambda x: np.add(x, 1.0, out=x), lambda x: x.reshape(-1).sort(), lambda x: np.put(x, [0], 1.0),
        lambda x: x.__setitem__(x > 0, 1.0), lambda x: np.copyto(x, 0.0), lambda x: x.flat.__setitem__(0, 1.0),
        lambda x: np.add.at(x, 0, 1.0), lambda x: x.real.__setitem__(0, 1.0), lambda x: hg.asarray(X).fill(x[0, 0]),
    ):  # fmt: skip
        with pytest.raises(
            HypergradError, match=r"caller's array.*test_assignment.*copy\(\)|no derivative rule"
        ):
            hg.grad(lambda x, write=write: write(x) or np.sum(x))(X)


def test_numbers_are_immutable():
    def f(x):
        s = np.sum(x)
        t = s
        s += 1.0
        return s - t

    assert hg.compile(f)(X) == 1.0
    with pytest.raises(UnsupportedError, match="number cannot be assigned"):
        hg.compile(lambda x: np.sum(x).__setitem__((), 1.0))(X)

    def g(x):
        z = np.zeros_like(x[0, 0])
        same = z
        z += x[0, 0]
        z[...] = z * 2
        return same

    assert hg.compile(g)(X) == 1.0


def test_casts():
    def f(x):
        n = np.zeros_like(x, dtype=int)
        n[0] = x[0]  # truncated, as in NumPy
        n += 2
        s = hg.zeros(3, np.float32)
        s += X[0]
        s[1] = np.float64(1) / 3
        b = x > 0
        b |= x < -1
        b[0] = 1.0
        w = x.astype(np.float32)
        w **= 2
        w //= np.float64(0.7)
        w %= 3
        m = x.T @ x
        m @= m
        return [n, s, b, w, m]

    for want, got in zip(f(X), hg.compile(f)(X), strict=True):
        assert want.dtype == got.dtype
        np.testing.assert_allclose(got, want, rtol=1e-6)
    for wrong in (
        lambda x: np.zeros_like(x, int).__iadd__(1.5), lambda x: (x > 0).__iadd__(x),
        lambda x: np.ones_like(x, int).__itruediv__(2),
        lambda x: np.add(x, 1, out=np.zeros_like(x, int)), lambda x: np.copyto(np.zeros_like(x, int), x),
    ):  # fmt: skip
        with pytest.raises(UnsupportedError, match="cast"):
            hg.compile(lambda x, wrong=wrong: wrong(x) or x)(X)
        with pytest.raises(TypeError):
            wrong(X.copy())
    assert hg.compile(lambda x: np.add(x, 1, out=np.zeros_like(x, int), casting="unsafe"))(X).dtype == int


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: (x * 1).__setitem__(0, np.ones(2)), lambda x: (x * 1).__iadd__(np.ones((2, 2, 3))),
        lambda x: (x * 1).__setitem__([0, 1], np.ones((3, 3))), lambda x: (x * 1).__setitem__(5, 0.0),
        lambda x: (x * 1).__setitem__(x > 0, np.ones(4)), lambda x: (x * 1).__setitem__(x[0] > 0, 1.0),
        lambda x: np.add(x, 1, out=np.zeros_like(x[0])),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit(wrong):
    with pytest.raises(ShapeError, match=r"test_assignment\.py"):
        hg.compile(lambda x: wrong(x) or x)(X)


# Traced masks -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "read",
    [
        lambda x: np.sum(x[x > 0]), lambda x: x[x > 0], lambda x: len(x[x > 0]), lambda x: x[x > 0][0],
        lambda x: x + x[x > 0], lambda x: x[x > 0] + x[x > 1], lambda x: np.mean(x[x > 0]), lambda x: x[x > 0].sum(),
        lambda x: list(x[x > 0]), lambda x: np.exp(x[x > 0]) @ np.ones(4), lambda x: x[x > 0, [0]],
        lambda x: f"{x[x > 0]}", lambda x: (x * 1).__setitem__(x > 0, x[x < 0]), lambda x: np.stack([x[x > 0]]),
    ],
)  # fmt: skip
def test_selected_entries_cannot_be_read(read):
    with pytest.raises(TracingError, match=r"mask.*test_assignment\.py.*np\.where"):
        hg.compile(read)(X)


def test_a_mask_that_changes_later():
    def f(x):
        y, mask = x.copy(), x > 0
        selected = y[mask]
        mask[...] = False
        selected *= 2.0
        y[x > 0] = selected
        y[mask] = 7.0
        return y

    np.testing.assert_array_equal(hg.compile(f)(X), f(X))


def test_a_mask_guards_the_slope():
    def f(x):
        y = x.copy()
        y[y > 0] = np.log(y[y > 0])
        y[x <= 0] /= x[x <= 0]
        return np.sum(y)

    with np.errstate(all="raise"):
        x = np.array([0.0, 2.0, 4.0])
        np.testing.assert_allclose(hg.grad(lambda x: np.sum(_logs(x)))(x), [1.0, 0.5, 0.25])
    assert np.isfinite(hg.grad(f)(np.array([-1.0, 2.0]))).all()


def _logs(x):
    y = x * 1.0
    y[x > 0] = np.log(x[x > 0])
    return y


# Traces inside traces, compile, threads -------------------------------------------------------------------------
def test_an_inner_function_may_not_write_outside():
    def f(x):
        y = x * 1.0

        def inner(z):
            y[0] = z[0]
            return np.sum(y)

        return np.sum(hg.grad(inner)(x))

    with pytest.raises(UnsupportedError, match="made in an enclosing function"):
        hg.grad(f)(X)


def test_an_inner_function_writes_to_its_own():
    def f(x):
        outer = np.zeros_like(x)
        outer[0] = x[0]

        def inner(z):
            own = hg.array(outer * 2.0)
            row = own[1]
            own[0] *= z[0]
            row += z[1]
            kept = hg.array(outer)
            kept[1] = z[0] * z[1]
            new = hg.zeros(3)
            new += x[0] * z[1]
            return np.sum(own * own) + np.sum(kept**3) + np.sum(new)

        g = hg.grad(inner)(x)
        outer[1] = 5.0  # after the fact
        return np.sum(g**2) + np.sum(outer)

    hg.check_grads(f, (X,))
    assert hg.compile(f)(X) == pytest.approx(f(X), rel=1e-13)


def test_an_array_computed_inside_from_enclosing_values_is_its_own():
    def f(x):
        def inner(z):
            own = x * 2.0  # a value of the enclosing trace, but made here
            row, same = own[1], own
            own[0] *= z[0]
            row += z[1]
            copied = x.T.copy()
            copied[0] = 0.0
            copied[1] *= z[0, 1]
            return np.sum(same * own) + np.sum(copied)

        return np.sum(hg.grad(inner)(x) ** 2)

    found = hg.compile(f)(X)
    y = 2 * (2 * X[0]) ** 2 * X[0]
    y[1] += X[:, 1].sum()
    assert found == pytest.approx(np.sum(y**2) + np.sum((2 * (2 * X[1] + X[1])) ** 2), rel=1e-13)


def test_a_pullback_does_not_see_later_writes():
    def f(x):
        y = x * 3.0
        value, pull = hg.vjp(lambda z: z * z * y, x)
        y[...] = 0.0
        return pull(np.ones_like(x))[0] + value

    np.testing.assert_allclose(hg.compile(f)(X), 2 * X * 3 * X + X**2 * 3 * X)


def test_results_of_transformations_are_fresh():
    def f(x):
        y = x * 1.0
        same = hg.compile(lambda z: z)(y)
        same[0] = 0.0
        value, g = hg.value_and_grad(lambda z: np.sum(z * z))(y)
        g += value
        return y, same, g

    y, same, g = hg.compile(f)(X)
    np.testing.assert_array_equal(y, X)
    np.testing.assert_array_equal(same[0], np.zeros(3))
    np.testing.assert_allclose(g, 2 * X + np.sum(X * X))


def test_outlived():
    kept = []
    hg.grad(lambda x: kept.append(x * 2.0) or np.sum(x))(X)
    for use in (lambda: kept[0].__setitem__(0, 1.0), lambda: kept[0].__iadd__(1.0), lambda: kept[0].copy()):
        with pytest.raises(TracingError, match="outlived"):
            use()


def test_threads():
    def work(n):
        x = V + n
        return hg.grad(lambda x: np.sum(cumulative(x) * histogram(x)[0]))(x)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, [0, 1] * 8))
    for n, g in zip([0, 1] * 8, found, strict=True):
        np.testing.assert_array_equal(g, work(n))


def test_a_bilevel_problem():
    """In-place code in init, inner and outer losses gives the hypergradient of its pure form."""
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((12, 3)), "y": rng.standard_normal(12)}

    def init(hparams, rng):
        w = np.zeros(3)
        w += 0.1
        return {"w": w}

    def pure(params, hparams, batch):
        r = batch["x"] @ params["w"] - batch["y"]
        return np.mean(np.where(r > 0, r, 0.5 * r) ** 2) + hparams["l2"] * np.sum(params["w"] ** 2)

    def in_place(params, hparams, batch):
        r = batch["x"] @ params["w"]
        r -= batch["y"]
        r[r < 0] *= 0.5
        loss = hg.zeros(())
        np.square(r, out=r)
        loss += np.mean(r)
        w = params["w"].copy()
        w **= 2
        loss += hparams["l2"] * np.sum(w)
        return loss

    found = []
    for loss in (pure, in_place):
        problem = hg.BilevelProblem(
            init=init, inner_loss=loss, outer_loss=loss, train=data, valid=data, steps=6, batch_size=None,
            optimizer=hg.optim.Momentum(lr="lr", momentum="momentum"),
        )  # fmt: skip
        found.append(hg.hypergradient(problem, {"lr": 0.1, "momentum": 0.5, "l2": 0.01}, method=hg.Reverse()))
    assert found[0].value == pytest.approx(found[1].value, rel=1e-13)
    for key in ("lr", "momentum", "l2"):
        assert found[0].hypergradient[key] == pytest.approx(found[1].hypergradient[key], rel=1e-11)


# Made inside ----------------------------------------------------------------------------------------------------
def test_creation_outside_a_trace():
    """Plain ndarrays, as NumPy's functions return them."""
    for found, expected in [
        (hg.zeros(3), np.zeros(3)), (hg.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)),
        (hg.ones((2,), int), np.ones(2, int)), (hg.full(2, 7), np.full(2, 7)),
        (hg.full((2, 2), [1.0, 2.0]), np.full((2, 2), [1.0, 2.0])),
        (hg.array([[1, 2], [3, 4.5]]), np.array([[1, 2], [3, 4.5]])), (hg.asarray(3), np.asarray(3)),
        (hg.array([]), np.array([])),
        (hg.array([True, False]), np.array([True, False])), (hg.array(X, np.float32), X.astype(np.float32)),
    ]:  # fmt: skip
        assert type(found) is np.ndarray
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert hg.asarray(X) is X
    assert hg.empty((2, 3)).shape == (2, 3)


def test_creation_inside_a_trace():
    kinds = []

    def f(x):
        made = [
            hg.zeros(3), hg.ones((2, 3)), hg.full((2, 3), x[0]), hg.full(2, x[0, 0], np.float32),
            hg.array([[x[0, 0], 1], [2, x[1, 1]]]),
            hg.array([x[0], [1.0, 2.0, 3.0]]), hg.array(x), hg.asarray(X), hg.asarray([x[0, 0], 2.0]),
            np.full_like(x, x[0, 1]),
            hg.array([x[0, 0], 1], np.float32), hg.array((x, x)), hg.array([np.float32(1), 2]),
            hg.array([x > 0, x < 1]),
        ]  # fmt: skip
        kinds.append({type(value) for value in made})
        return made

    plain = lambda x: [
        np.zeros(3), np.ones((2, 3)), np.full((2, 3), x[0]), np.full(2, x[0, 0], np.float32),
        np.array([[x[0, 0], 1], [2, x[1, 1]]]),
        np.array([x[0], [1.0, 2.0, 3.0]]), np.array(x), np.asarray(X), np.asarray([x[0, 0], 2.0]),
        np.full_like(x, x[0, 1]),
        np.array([x[0, 0], 1], np.float32), np.array((x, x)), np.array([np.float32(1), 2]), np.array([x > 0, x < 1]),
    ]  # fmt: skip
    for want, got in zip(plain(X), hg.compile(f)(X), strict=True):
        assert want.dtype == got.dtype
        np.testing.assert_array_equal(got, want)
    assert kinds == [{Tracer}]
    for wrong, error in [
        (lambda x: hg.array([x[0], x[0, 0]]), ShapeError), (lambda x: hg.array([[x[0, 0]], [1, 2]]), ShapeError),
        (lambda x: hg.zeros(-1), ShapeError), (lambda x: hg.zeros(3, object), UnsupportedError),
        (lambda x: hg.array(["a", x[0, 0]]), TypeError), (lambda x: hg.zeros(x[0, 0].astype(int)), TracingError),
    ]:  # fmt: skip
        with pytest.raises(error):
            hg.compile(wrong)(X)


def test_known_numbers_stay_numbers():
    """Arrays of constants answer like constants until something traced is written to them."""

    def f(x):
        n = np.zeros_like(x, dtype=int)
        n[0, 1] = 1
        if n.sum() == 1 and float(np.ones_like(x)[0, 0]) == 1.0:
            x = x[n[0]][:, [0]] + range(5)[n[0, 1]]
        mask = np.zeros_like(x, bool)
        mask[0] = True
        return x[mask], np.asarray(n), [1, 2, 3][n[0, 1]] * x

    picked, n, scaled = hg.compile(f)(X)
    np.testing.assert_array_equal(n, [[0, 1, 0], [0, 0, 0]])
    assert picked.shape == (1,)
    assert scaled.shape == (3, 1)
    with pytest.raises(ValueError, match="read-only"):
        hg.compile(lambda x: np.asarray(np.zeros_like(x)).__setitem__(0, 1.0) or x)(X)
    with pytest.raises(TracingError, match="as a condition"):
        hg.compile(lambda x: x if (np.zeros_like(x) + x)[0, 0] else -x)(X)


def test_reading_costs_no_equations():
    """Without a write, views and copies leave no trace in the Program."""

    def f(x):
        y = x * 2.0
        y.copy(), np.zeros_like(y), hg.zeros(3)
        return [np.sum(y.T @ y)]

    names = [eq.primitive.name for eq in trace(f, [type_of(X)]).equations]
    assert names == ["multiply", "permute", "matmul", "reduce_sum"]
