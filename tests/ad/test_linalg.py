# ruff: noqa: E501 - a table
"""numpy.linalg at the awkward points: singular, repeated, empty, zero; options; refusals; nesting."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import HypergradError

RNG = np.random.default_rng(4)
A = RNG.standard_normal((3, 3))
T = RNG.standard_normal((3, 3))
TALL, WIDE = RNG.standard_normal((5, 2)), RNG.standard_normal((2, 2, 4))
RANK_ONE = np.outer([1.0, 2.0, 3.0], [1.0, 0.0, 1.0])
TWO_ROWS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])


def agrees(f, *args, order=2):
    """Compiled as NumPy; derivatives as differences."""
    for a, b in zip(hg.tree.leaves(hg.compile(f)(*args)), hg.tree.leaves(f(*args)), strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    if order:
        hg.check_grads(f, args, order=order, rtol=1e-4)


@pytest.mark.parametrize(
    ("a", "order"),
    [
        (2.0 * np.eye(3), 4), (np.zeros((2, 2)), 2), (np.zeros((3, 3)), 2), (RANK_ONE, 2), (np.diag([1.0, -1.0, 0.0]), 2),
        (np.diag([1.0, 2.0, 0.0]), 3), (np.stack([2.0 * np.eye(3), np.zeros((3, 3)), RANK_ONE]), 2), (np.array([[0.0]]), 2),
        (1e-3 * np.eye(3) + RANK_ONE, 2),
    ],
)  # fmt: skip
def test_det_at_singular_matrices_and_at_repeated_singular_values(a, order):
    agrees(np.linalg.det, a, order=order)


@pytest.mark.parametrize(
    ("f", "order"),
    [
        (lambda a: (lambda u, s, v: u @ v)(*np.linalg.svd(a)), 1), (lambda a: np.linalg.norm(a, "nuc"), 2),
        (lambda a: np.linalg.slogdet(a)[1], 2), (np.linalg.inv, 2), (np.linalg.pinv, 2), (lambda a: np.linalg.cholesky(a + a.T), 2),
        (lambda a: np.sum(np.exp(np.linalg.eigvalsh(a))), 1), (lambda a: np.sum(np.linalg.svd(a, compute_uv=False) ** 3), 1),
        (lambda a: np.linalg.eigvalsh(np.kron(a, np.eye(2)))[::2].sum(), 1),
    ],
)  # fmt: skip
def test_equal_values(f, order):
    agrees(f, 2.0 * np.eye(3), order=order)


@pytest.mark.parametrize("f", [np.linalg.eigh, np.linalg.svd, np.linalg.qr], ids=["eigh", "svd", "qr"])
@pytest.mark.parametrize("a", [np.eye(3), np.diag([1.0, 1.0, 2.0])], ids=["identity", "a pair"])
def test_equal_values_never_give_nan(f, a):
    def total(a):
        return sum(np.sum(part * (2.0 + np.cos(np.arange(part.size)).reshape(part.shape))) for part in f(a))

    assert np.isfinite(hg.grad(total)(a)).all()
    assert np.isfinite(hg.hvp(total, a, T)).all()


@pytest.mark.parametrize(
    ("f", "a"),
    [
        (lambda a: (lambda u, s, v: u[:, 2:] @ u[:, 2:].T)(*np.linalg.svd(a)), TALL),
        (lambda a: (lambda u, s, v: np.swapaxes(v[..., 2:, :], -1, -2) @ v[..., 2:, :])(*np.linalg.svd(a)), WIDE),
        (lambda a: (lambda u, s, v: u[:, :2] ** 2 @ s)(*np.linalg.svd(a)), TALL),
        (lambda a: np.linalg.svd(a, hermitian=True)[1], A), (lambda a: np.linalg.svd(a, hermitian=True, compute_uv=False), A),
        (lambda a: (lambda u, s, v: u @ (s[:, None] ** 2 * v))(*np.linalg.svd(a, hermitian=True)), A),
        (lambda a: np.linalg.svd(a[::-1, ::-1].T).Vh ** 2, A),
    ],
)  # fmt: skip
def test_svd_in_full_and_of_symmetric_matrices(f, a):
    agrees(f, a)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda a: np.linalg.pinv(a, hermitian=True), (A,)), (lambda a: np.linalg.pinv(a, rtol=None), (TALL,)),
        (lambda a: np.linalg.pinv(a, 1e-8), (TALL,)), (lambda a: np.linalg.cholesky(a @ a.T + np.eye(3), upper=True), (A,)),
        (lambda a: np.linalg.matrix_rank(a, rtol=1e-3) * np.sum(a), (A,)), (lambda x: np.linalg.matrix_rank(x) * np.sum(x), (A[0],)),
        (lambda a, b: np.linalg.lstsq(a, b, rcond=None)[3], (TALL, A[0, :2].repeat(3)[:5])),
        (lambda b: np.linalg.lstsq(TWO_ROWS.astype(int), b)[0], (A[0],)),
        (lambda a: np.vecdot(a, 2.0 * a, axis=0, keepdims=True), (A,)), (lambda a: np.matvec(a, a, axes=[(0, 1), (0,), (0,)]), (A,)),
        (lambda a: np.einsum("ij->ji", a, order="K", casting="safe"), (A,)), (lambda a: np.linalg.cond(a, "fro"), (A,)),
        (lambda a: np.einsum("ij,jk,kl->il", T, a, T) + np.kron(np.eye(3), a[:1, :1]), (A,)),
        (lambda a: np.linalg.multi_dot([T, a, np.eye(3), a[0]]), (A,)), (lambda a: np.linalg.matrix_power(a, -4), (A,)),
    ],
)  # fmt: skip
def test_options_and_constants(f, args):
    agrees(f, *args)


def test_rank_of_lstsq():
    agrees(lambda a, b: np.linalg.lstsq(a, b)[2], TALL, np.ones(5), order=0)


@pytest.mark.parametrize("order", [None, 0.5, 1, 1.5, 2, 3, -0.5, -1, -2, np.inf, -np.inf, 0])
@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_vector_norms_at_zero_have_slope_zero_and_no_nan(order, shape):
    def total(x):
        return np.sum(np.linalg.norm(x, order, axis=-1))

    x = np.zeros(shape)
    assert not hg.grad(total)(x).any()
    assert np.isfinite(hg.hvp(total, x, np.ones(shape))).all()
    x[..., 0] = 2.0
    assert np.isfinite(hg.grad(total)(x)).all()
    if order is None or order > 0:
        assert hg.grad(total)(x)[..., 0] == pytest.approx(1.0)
        assert not hg.grad(total)(x)[..., 1:].any() or order == 1


@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms_at_zero_have_slope_zero(order):
    assert not hg.grad(lambda x: np.linalg.norm(x, order))(np.zeros((2, 3))).any()
    stack = np.stack([np.zeros((3, 3)), A])
    found = hg.grad(lambda x: np.sum(np.linalg.norm(x, order, axis=(-2, -1))))(stack)
    assert not found[0].any()
    np.testing.assert_allclose(found[1], hg.grad(lambda x: np.linalg.norm(x, order))(A), atol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.inv, np.linalg.det, np.linalg.cholesky, np.linalg.eigvalsh, np.linalg.pinv,
        lambda a: np.linalg.svd(a)[1], lambda a: np.linalg.qr(a)[0], lambda a: np.linalg.slogdet(a)[1],
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", [(0, 3, 3), (0, 0), (2, 0, 0)])
def test_empty(f, shape):
    x = np.zeros(shape)
    agrees(f, x, order=0)
    assert hg.grad(lambda a: np.sum(f(a)))(x).shape == shape


@pytest.mark.parametrize(
    "f",
    [
        lambda a: np.sum(np.linalg.eigh(a + a.T)[1] ** 2 * T), lambda a: np.linalg.svd(a)[1] @ T[0],
        lambda a: np.sum(np.linalg.cholesky(a @ a.T + np.eye(3)) * T), lambda a: np.sum(np.linalg.qr(a)[1] ** 3),
        lambda a: np.sum(np.linalg.inv(a) * T), lambda a: np.linalg.norm(np.linalg.pinv(a[:2]) @ T[:2], "nuc"),
    ],
)  # fmt: skip
def test_nested(f):
    hg.check_grads(f, (A,), order=3, rtol=1e-3)
    second = hg.hessian(f)(A)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(hg.jacobian(hg.grad(f), mode=mode)(A), second, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (np.linalg.eig, "use np.linalg.eigh"), (np.linalg.eigvals, "use np.linalg.eigvalsh"),
        (lambda a: np.linalg.qr(a, "raw"), "use mode='reduced'"), (lambda a: np.linalg.eigh(a, "X"), "UPLO must be"),
        (lambda a: np.linalg.inv(a[:2]), r"square matrices, got shape \(2, 3\)"), (lambda a: np.linalg.det(a[0]), "square matrices"),
        (lambda a: np.linalg.norm(a, "foo"), "no norm 'foo'"), (lambda a: np.linalg.norm(a, 3), "no norm 3"),
        (lambda a: np.linalg.norm(np.stack([a, a]), 2), "name one or two"), (lambda a: np.linalg.multi_dot([a]), "at least two"),
        (lambda a: np.linalg.pinv(a, a[0, 0]), "one plain number"), (lambda a: np.linalg.matrix_rank(a, a[0, 0]), "plain numbers"),
        (lambda a: np.linalg.outer(a, a), "two vectors"), (lambda a: np.vecdot(a, a[:, :1]), "vectors of 3 and 1"),
        (lambda a: np.vecdot(a, a[0, 0]), "too few axes"), (lambda a: np.linalg.matrix_power(a, 1.5), "must be an integer"),
        (lambda a: np.linalg.tensorinv(a, ind=0), "ind must be positive"), (lambda a: np.matvec(a, a, axis=0), "use axes="),
        (lambda a: np.einsum("ij,jk", a), "2 terms"), (lambda a: np.einsum("ij,jk->im", a, a), "not a valid expression"),
        (lambda a: np.einsum("ij,jk", a, a[:2]), "'j' of 'ij,jk' is 3 and 2 long"), (lambda a: np.einsum("i...->i", a), "lacks the axes"),
        (lambda a: np.einsum("ii->i", a[:1]), "differ"), (lambda a: np.einsum(a, [0, 99]), "label 99"),
        (lambda a: np.einsum("ij->ji", a, dtype=np.float32), "no safe cast"), (lambda a: np.einsum("i->i", a), "does not fit an array of 2 axes"),
    ],
)  # fmt: skip
def test_refusals_say_why(f, words):
    with pytest.raises(HypergradError, match=words):
        hg.compile(f)(A)


def test_linalg_error_stays_numpys():
    for f in (lambda a: np.linalg.inv(a * 0.0), lambda a: np.linalg.cholesky(-a @ a.T), lambda a: np.linalg.solve(a * 0.0, a)):  # fmt: skip
        for g in (hg.compile(f), hg.grad(lambda a, f=f: np.sum(f(a)))):
            with pytest.raises(np.linalg.LinAlgError):
                g(A)


@pytest.mark.parametrize(
    "f",
    [
        lambda y: np.einsum("ij->ji", y), lambda y: np.einsum("ij", y), lambda y: np.linalg.matrix_power(y, 1),
        lambda y: np.einsum("ij,jk", y, y), lambda y: np.einsum("ij->j", y), lambda y: np.linalg.matrix_power(y, 2),
        np.linalg.matrix_transpose, np.linalg.inv, lambda y: np.linalg.svd(y)[1],
    ],
)  # fmt: skip
def test_what_is_a_view_in_numpy_is_one_here(f):
    def written(x):
        y = x * 1.0
        f(y)[0] = 5.0
        return y

    agrees(written, A)


def test_a_diagonal_by_einsum_follows_its_array():
    def read(x):
        y = x * 1.0
        d = np.einsum("ii->i", y)
        y[1, 1] = 7.0
        return d

    agrees(read, A)

    def write(x):
        y = x * 1.0
        np.einsum("ii->i", y)[:] = 5.0
        return y

    with pytest.raises((HypergradError, ValueError), match="read-only"):
        hg.compile(write)(A)


def test_cond_of_singular_matrices_is_infinite():
    for a in (np.zeros((2, 2)), np.diag([1.0, 0.0])):
        for p in (None, 2, -2):
            with np.errstate(all="raise"):
                assert hg.compile(lambda a, p=p: np.linalg.cond(a, p))(a) == np.linalg.cond(a, p)


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.inv, np.linalg.norm, lambda z: np.linalg.solve(z, z[:, 0]), lambda z: np.linalg.matrix_power(z, -2),
        lambda z: np.vecdot(z, 2j * z), lambda z: np.einsum("ij,jk", z, z), lambda z: np.kron(z, z),
    ],
)  # fmt: skip
def test_complex_matrices_on_the_way(f):
    def g(x):
        found = f(np.fft.fft2(0.1 * x) + 3.0 * np.eye(3))
        return np.sum(np.real(found) + 2.0 * np.imag(found))

    agrees(g, A)


@pytest.mark.parametrize(
    "f", [np.linalg.det, np.linalg.eigvalsh, np.linalg.svd, np.linalg.qr, np.linalg.pinv]
)
def test_factorisations_of_complex_matrices_are_refused(f):
    with pytest.raises(HypergradError, match="complex matrices"):
        hg.compile(lambda x: f(np.fft.fft2(x)))(A)


@pytest.mark.parametrize("order", [1, 2, np.inf, "nuc", "fro"])
@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_norms_of_empty_matrices(shape, order):
    agrees(lambda a: np.linalg.norm(a, order), np.zeros(shape))
    agrees(lambda a: np.linalg.matrix_norm(a, ord=order, keepdims=True), np.zeros((2, *shape)))


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_largest_entry_of_nothing(shape):
    agrees(lambda x: np.linalg.vector_norm(x, ord=np.inf), np.zeros(shape))
    agrees(
        lambda x: np.linalg.norm(x, np.inf, axis=-1) if x.ndim > 1 else np.linalg.norm(x, np.inf),
        np.zeros(shape),
    )


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (2, 3, 4)])
def test_pinv_that_drops_values_which_are_not_zero(shape):
    a = np.random.default_rng(7).standard_normal(shape)
    agrees(lambda a: np.linalg.pinv(a, 0.4), a)
    agrees(lambda a: np.linalg.pinv(a @ np.swapaxes(a, -1, -2), 0.3, hermitian=True), a)
    if a.ndim == 2:
        agrees(lambda a: np.linalg.lstsq(a, T, rcond=0.4)[0], a)


@pytest.mark.parametrize("n", [-3, 2, 3, 4, 7])
def test_matrix_power_multiplies_in_the_order_of_numpy(n):
    found = hg.compile(lambda a: np.linalg.matrix_power(a, n))(A)
    np.testing.assert_array_equal(found, np.linalg.matrix_power(A, n))


@pytest.mark.parametrize(
    ("f", "sentence"),
    [
        (lambda a: np.linalg.solve(a, 1.0), r"solve: a right-hand side of shape \(\) does not fit .* \(3, 3\)"),
        (lambda a: np.linalg.solve(a, np.ones(2)), r"solve: a right-hand side of shape \(2,\)"),
        (lambda a: np.linalg.lstsq(a, np.ones(2)), r"lstsq takes one matrix, .* got shapes \(3, 3\) and \(2,\)"),
        (lambda a: np.linalg.lstsq(a, 1.0), "lstsq takes one matrix"),
        (lambda a: np.linalg.cond(a[:0]), r"cond of an empty matrix, shape \(0, 3\)"),
        (lambda a: np.linalg.det(a.astype(np.float16)), "det takes float32 or float64, got float16"),
        (lambda a: np.linalg.multi_dot([a, a[0], a]), r"multi_dot takes .* got \(3, 3\), \(3,\), \(3, 3\)"),
        (lambda a: np.linalg.cross(a[:, :2], a[:, :2]), "cross takes vectors of 3"),
        (lambda a: np.tensordot(a, a, 1.0), "tensordot: axes must be an integer, got 1.0"),
        (lambda a: np.fft.fftn(a, (2, 3, 4)), "fftn: axis -3 is outside"),
        (lambda a: np.fft.fftn(a, axes=-1), "fftn: axes must be a tuple, got -1"),
        (lambda a: np.fft.fftn(a, 3), "fftn: s must be a tuple, got 3"),
        (lambda a: np.fft.rfftn(a, axes=()), "rfftn of no axes"),
        (lambda a: np.fft.hfft(a[0, 0]), "irfft: axis -1 is outside"),
    ],
)  # fmt: skip
def test_one_sentence(f, sentence):
    with pytest.raises(HypergradError, match=sentence):
        hg.compile(f)(A)


@pytest.mark.parametrize("shape", [(4, 2), (2, 5, 3), (3, 1), (3, 0), (0, 4, 2)])
def test_complete_qr(shape):
    """What does not depend on the basis of the columns that complete Q: their projector."""
    n = shape[-1]

    def parts(a):
        q, r = np.linalg.qr(a, mode="complete")
        return q[..., :n], r, q[..., n:] @ np.swapaxes(q[..., n:], -1, -2), q @ r

    agrees(parts, np.random.default_rng(11).standard_normal(shape))
