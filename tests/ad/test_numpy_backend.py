"""The NumPy backend: places of values, views, in-place results, repeated and concurrent calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.elementwise import add_p
from hypergrad.ad.primitives.indexing import index_p
from hypergrad.ad.primitives.linear import permute_p, reshape_p
from hypergrad.ad.primitives.shape import split_p
from hypergrad.ad.program import ArrayType, Const, Equation, Program, Var
from hypergrad.ad.trace import trace, type_of

A = np.linspace(-1.0, 2.0, 6).reshape(2, 3)
B = np.cos(np.arange(6.0)).reshape(2, 3)
V = np.array([0.5, -1.0, 2.0, 0.25])
CONSTANT = np.arange(6.0).reshape(2, 3)


def program_of(f, *args) -> Program:
    return trace(lambda *xs: list(f(*xs)), [type_of(a) for a in args], "f")


def chain(a, b):
    """Values that may overwrite their operands, and must not where something else still reads them."""
    c = a + b
    d = c * 2.0
    e = d - c
    f = e * e + d
    return f, c, e * c


def views_outlive(a, b):
    """A view read after the equation that could have reused its storage."""
    c = a * b
    first, rest = np.split(c.ravel(), [2])
    d = c + 1.0
    e = d * d
    return e, rest[::-1] * 2.0, first + np.sum(d), c[1, ::2]


def view_and_base(a, b):
    """One operation reads a value and a view of it."""
    c = np.sin(a)
    return c + c[::-1], c[:, ::-1] * c, c.reshape(3, 2) @ c, c * c[0], np.subtract(c, c[::-1])


def parts(a, b):
    """Pieces computed into the vector that joins them, and read elsewhere too."""
    c, d = np.sin(a), np.cos(b)
    whole = np.concatenate([c.ravel(), d.ravel(), c.ravel(), [1.5], (c * d).ravel()])
    again = np.concatenate([d.ravel(), whole])
    return whole, c + 1.0, again * 2.0, d.T


def parts_of_parts(a, b):
    c = np.exp(a).reshape(-1)
    inner = np.concatenate([c, 2.0 * c])
    outer = np.concatenate([inner * 3.0, c, inner])
    return outer, np.concatenate([outer[:3], inner[-2:]])


def part_is_an_output(a, b):
    c = (a * 2.0).ravel()
    return c, np.concatenate([c, c * 2.0]), c


def mixed_dtypes(a, b):
    c = a.astype(np.float32)
    return np.concatenate([c.ravel(), b.ravel()]), (a > 0) * c, (a > b).sum(axis=0), c.T.reshape(2, 3) + 1


def trivial(a, b):
    """Inputs, constants, views and duplicates as outputs."""
    c = a - b
    return (
        a,
        a,
        CONSTANT,
        CONSTANT.T,
        a.T,
        a[0],
        c,
        c,
        c.T,
        c[1],
        np.broadcast_to(b[0], (2, 3)),
        np.float64(3.0),
    )


def transposed(a, b):
    """Reshapes of what is not contiguous are copies."""
    c = a.T.reshape(2, 3)
    d = (a @ b.T).T.reshape(4)
    e = a[:, ::-1].reshape(6)
    f = np.split(a, [1], axis=1)[1].reshape(4)
    g = np.transpose(a[None] * b, (2, 0, 1)).reshape(3, 2)
    return c * 2.0, d, e, f + d, g, g.ravel()[::-1]


def numbers(a, b):
    """Values without axes."""
    s, t = np.sum(a), np.max(b)
    u = s * t + 1.0
    return (
        u,
        np.stack([s, t, u]),
        np.broadcast_to(u, (2,)),
        u.reshape(1, 1),
        np.concatenate([u[None], a[0]]),
        s,
    )


def scattered(a, b):
    gradient = hg.grad(
        lambda x: np.sum(x[0, ::2] * b[1, :2]) + np.sum(x[[0, 1, 0], [2, 2, 2]] ** 2) + np.sum(x[:, 1])
    )
    return gradient(a), gradient(a * 2.0), np.roll(a, 1), np.cumsum(a, axis=1) * b


def fresh(a, b):
    """Calls that make their own result, in between."""
    c = np.where(a > 0, a, b)
    d = c[[1, 0, 1]]
    e = np.linalg.solve(c @ c.T + np.eye(2), c)
    return (
        d * 2.0,
        np.concatenate([c.ravel(), d.ravel()]),
        e,
        e.T.reshape(6),
        np.argmax(c, axis=1),
        np.where(c > 1, 1, 0),
    )


def nothing(a, b):
    empty = a[:0] * 2.0
    return empty, np.concatenate([empty.ravel(), b.ravel()]), np.sum(empty), np.concatenate([empty, empty])


def long_lived(a, b):
    """Many values alive together, then freed, then alive again."""
    kept = [np.sin(a * k) for k in range(1, 6)]
    total = kept[0]
    for value in kept[1:]:
        total = total * 0.5 + value
    return total, kept[2], sum(kept[::-1])


FUNCTIONS = {f.__name__: f for f in (
    chain, views_outlive, view_and_base, parts, parts_of_parts, part_is_an_output, mixed_dtypes, trivial, transposed,
    numbers, scattered, fresh, nothing, long_lived,
)}  # fmt: skip


def agree(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, map(np.asarray, expected), strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (b.shape, b.dtype)
        rtol = 1e-6 if b.dtype == np.float32 else 1e-13
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_after_calls(name, optimised):
    """Other numbers each time: no stale buffer; inputs of any layout; earlier results untouched."""
    f = FUNCTIONS[name]
    program = program_of(f, A, B)
    executable = Executable(optimize(program) if optimised else program)
    kept = []
    for k in range(4):
        a, b = A + 0.3 * k, np.asfortranarray(B * (k - 1.5)) if k % 2 else B * (k - 1.5)
        before = a.copy(), b.copy()
        found = executable(a, b)
        kept.append((found, [np.array(e) for e in f(a, b)]))
        for results, expected in kept:
            agree(results, expected)
        np.testing.assert_array_equal(a, before[0])
        np.testing.assert_array_equal(b, before[1])
        assert all(r.flags.c_contiguous and r.base is None for r in found)


@pytest.mark.parametrize("optimised", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_closed(name, optimised):
    """Bound once to fixed arrays; two bindings may share buffers when they never run at once."""
    f = FUNCTIONS[name]
    program = program_of(f, A, B)
    executable = Executable(optimize(program) if optimised else program, closed=True)
    scratch = executable.scratch()
    assert sum(s.nbytes for s in scratch) == executable.buffer_bytes
    bound = []
    for shared in (scratch, scratch, None):
        inputs = [np.empty((2, 3)), np.empty((2, 3))]
        outputs = [np.full(atom.type.shape, 7, atom.type.dtype) for atom in program.outputs]
        bound.append((inputs, outputs, executable.bind(inputs, outputs, shared)))
    for k in range(3):
        for n, (inputs, outputs, run) in enumerate(bound):
            inputs[0][...], inputs[1][...] = A + k, B * (n - 0.5)
            run()
            agree(outputs, f(*inputs))
    for inputs, outputs, _ in bound:  # one run does not write into the outputs of another
        agree(outputs, f(*inputs))


def test_into_given_arrays():
    executable = Executable(program_of(chain, A, B))
    outputs = [np.empty((2, 3)) for _ in range(3)]
    executable.into([A, B], outputs)
    agree(outputs, chain(A, B))


def test_leases():
    """Two leases have buffers of their own; a released one is used again."""
    executable = Executable(program_of(chain, A, B))
    first, second = executable.lease(), executable.lease()
    assert first is not second
    outputs = [[np.empty((2, 3)) for _ in range(3)] for _ in range(2)]
    first(A, B, *outputs[0])
    second(B, A, *outputs[1])
    agree(outputs[0], chain(A, B))
    agree(outputs[1], chain(B, A))
    executable.release(first)
    assert executable.lease() is first


def test_threads():
    executable = Executable(optimize(program_of(parts, A, B)))

    def work(k):
        for _ in range(50):
            agree(executable(A + k, B - k), parts(A + k, B - k))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_views_of_constants():
    """Views of a constant, and views of those, are neither overwritten nor freed."""
    constant = np.arange(6.0).reshape(2, 3)
    x = Var(ArrayType((3, 2), np.dtype(float)))
    turned, flat, row, total = (Var(ArrayType(n, x.type.dtype)) for n in ((3, 2), (6,), (2,), (3, 2)))
    first, rest = Var(ArrayType((1, 2), x.type.dtype)), Var(ArrayType((2, 2), x.type.dtype))
    program = Program(
        (x,),
        (
            Equation(permute_p, (Const(constant, type_of(constant)),), (turned,), {"axes": (1, 0)}),
            Equation(reshape_p, (turned,), (flat,), {"shape": (6,)}),
            Equation(index_p, (turned,), (row,), {"spec": (1, (0, 2, 1))}),
            Equation(split_p, (turned,), (first, rest), {"sizes": (1, 2), "axis": 0}),
            Equation(add_p, (x, turned), (total,)),
        ),
        (turned, flat, row, rest, total, turned),
    )
    for executable in (Executable(program), Executable(optimize(program))):
        for k in range(2):
            given = np.full((3, 2), float(k))
            t = constant.T
            agree(executable(given), [t, t.ravel(), t[1], t[1:], given + t, t])
    np.testing.assert_array_equal(constant, np.arange(6.0).reshape(2, 3))


def test_in_place_reuse_is_bounded():
    """A long elementwise chain needs no buffer for each value."""

    def f(x):
        for _ in range(50):
            x = np.sin(x) * 1.5 + 0.1
        return (x,)

    executable = Executable(program_of(f, V))
    assert executable.buffer_bytes <= 2 * V.nbytes
    agree(executable(V), f(V))


def test_joined_parts_are_not_copied():
    """Values that are only joined are computed in place: no copy and no buffer."""
    executable = Executable(
        program_of(lambda a, b: (np.concatenate([np.sin(a).ravel(), np.exp(b).ravel()]),), A, B)
    )
    assert "copyto" not in executable.source
    assert executable.buffer_bytes == 0
    agree(executable(A, B), [np.concatenate([np.sin(A).ravel(), np.exp(B).ravel()])])


def test_source_is_readable_python():
    executable = Executable(program_of(chain, A, B))
    compile(executable.source, "source", "exec")
    assert executable.source.startswith("def run(i0, i1, o0, o1, o2):")
    assert Executable(program_of(lambda a: (), A)).source == "def run(i0):\n    pass\n"


def test_no_inputs_and_no_outputs():
    assert Executable(program_of(lambda a: (), A))(A) == []
    agree(Executable(program_of(lambda: (CONSTANT, np.float64(2.0))))(), [CONSTANT, 2.0])


def test_training_step_in_float32():
    """A step of a network on one vector: same as NumPy's, for many steps."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 3)).astype(np.float32), rng.integers(0, 4, 8)
    lr = np.float32(0.1)

    def loss(w, x, y):
        w1, b1, w2 = w[:15].reshape(3, 5), w[15:20], w[20:40].reshape(5, 4)
        return np.mean(hg.nn.softmax_cross_entropy(hg.nn.relu(x @ w1 + b1) @ w2, y))

    def step(w, x, y):
        return w - lr * hg.grad(loss)(w, x, y)

    w = start = rng.standard_normal(40).astype(np.float32)
    compiled = hg.compile(step)
    for _ in range(20):
        w = compiled(w, x, y)
        assert w.dtype == np.float32
    plain = start
    for _ in range(20):
        plain = step(plain, x, y)
    np.testing.assert_allclose(w, plain, rtol=1e-4, atol=1e-5)
    assert loss(w, x, y) < loss(start, x, y)
