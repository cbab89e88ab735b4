"""Activations, losses and initialisers: values of SciPy and scikit-learn, extreme inputs, derivatives, sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.special
import scipy.stats
from sklearn import metrics

import hypergrad as hg
from hypergrad import nn
from hypergrad.errors import ShapeError

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((6, 4)) * 3
Y = RNG.integers(0, 4, 6)
X = np.array([-30.0, -2.0, -0.5, 0.25, 1.0, 40.0])
HUGE = np.array([[1e300, 0.0, -1e300], [-1e4, 1e4, 0.0], [700.0, 710.0, 720.0]])

ACTIVATIONS = {
    "relu": (nn.relu, lambda x: np.maximum(x, 0)),
    "leaky_relu": (nn.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
    "elu": (nn.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "sigmoid": (nn.sigmoid, scipy.special.expit),
    "tanh": (nn.tanh, np.tanh),
    "softplus": (nn.softplus, lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))),
    "silu": (nn.silu, lambda x: x * scipy.special.expit(x)),
    "gelu": (nn.gelu, lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    ours, theirs = ACTIVATIONS[name]
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(hg.compile(ours)(X), theirs(X), rtol=1e-13, atol=1e-300)
    hg.check_grads(ours, (X[1:5],))
    assert ours(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(ours([1, 2]), theirs(np.array([1.0, 2.0])), rtol=1e-13)
    np.testing.assert_allclose(ours(1), theirs(1.0), rtol=1e-13)
    far = np.array([-1e300, 1e300])
    assert np.isfinite(ours(far)).all()
    assert np.isfinite(hg.grad(lambda x: np.sum(ours(x)))(far)).all()
    near = np.array([-1e30, 1e30], np.float32)
    assert np.isfinite(hg.grad(lambda x: np.sum(ours(x)))(near)).all()


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp(axis, keepdims):
    expected = scipy.special.logsumexp(Z, axis=axis, keepdims=keepdims)
    for f in (nn.logsumexp, hg.compile(nn.logsumexp)):
        found = f(Z, axis=axis, keepdims=keepdims)
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    hg.check_grads(lambda z: nn.logsumexp(z, axis=axis, keepdims=keepdims), (Z,))


def test_logsumexp_at_infinity():
    inf = np.inf
    z = np.array([[-inf, -inf], [0.0, -inf], [inf, 0.0], [1e308, 1e308], [np.nan, 0.0]])
    expected = scipy.special.logsumexp(z, axis=1)
    np.testing.assert_allclose(nn.logsumexp(z, axis=1), expected)
    np.testing.assert_allclose(hg.grad(lambda z: np.sum(nn.logsumexp(z, axis=1)))(z[:2]), [[0, 0], [1, 0]])
    assert nn.logsumexp(2.0, axis=None) == 2.0


def test_softmax():
    for z in (Z, Z.astype(np.float32), Z[0], HUGE):
        for axis in (-1, 0):
            np.testing.assert_allclose(
                nn.softmax(z, axis), scipy.special.softmax(z, axis), rtol=1e-6 if z.dtype == "f4" else 1e-13
            )
            expected = scipy.special.log_softmax(z, axis)
            np.testing.assert_allclose(
                nn.log_softmax(z, axis), expected, rtol=1e-5 if z.dtype == "f4" else 1e-13
            )
    masked = np.array([0.0, -np.inf, 1.0])
    np.testing.assert_allclose(nn.softmax(masked), scipy.special.softmax(masked))
    np.testing.assert_allclose(nn.log_softmax(masked), scipy.special.log_softmax(masked))
    hg.check_grads(nn.softmax, (Z,))
    hg.check_grads(nn.log_softmax, (Z,))
    gradient = hg.grad(lambda z: np.sum(nn.softmax(z) * np.array([1.0, 2.0, 3.0])))(masked)
    assert np.isfinite(gradient).all()
    assert gradient[1] == 0.0


def test_softmax_cross_entropy_values():
    one_hot = np.eye(4)[Y]
    expected = -scipy.special.log_softmax(Z, axis=1)[np.arange(6), Y]
    for labels in (Y, one_hot, one_hot.astype(int), one_hot.astype(bool), Y.astype(np.uint8), list(Y)):
        np.testing.assert_allclose(nn.softmax_cross_entropy(Z, labels), expected, rtol=1e-13)
    mean = metrics.log_loss(Y, scipy.special.softmax(Z, axis=1), labels=range(4))
    assert nn.softmax_cross_entropy(Z, Y).mean() == pytest.approx(mean, rel=1e-12)
    weights = RNG.uniform(size=(6, 4))
    np.testing.assert_allclose(
        nn.softmax_cross_entropy(Z, weights),
        -np.sum(weights * scipy.special.log_softmax(Z, axis=1), axis=1),
        rtol=1e-13,
    )
    stacked = nn.softmax_cross_entropy(Z.reshape(2, 3, 4), Y.reshape(2, 3))
    np.testing.assert_allclose(stacked, expected.reshape(2, 3), rtol=1e-13)
    assert nn.softmax_cross_entropy(Z[0], 2) == pytest.approx(-scipy.special.log_softmax(Z[0])[2])
    assert nn.softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)


def test_softmax_cross_entropy_derivatives():
    gradient = hg.grad(lambda z, y: nn.softmax_cross_entropy(z, y).mean())
    expected = (scipy.special.softmax(Z, axis=1) - np.eye(4)[Y]) / 6
    for labels in (Y, np.eye(4)[Y]):
        np.testing.assert_allclose(gradient(Z, labels), expected, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(hg.compile(gradient)(Z, labels), expected, rtol=1e-12, atol=1e-16)
    hg.check_grads(lambda z: nn.softmax_cross_entropy(z, Y), (Z,))
    hg.check_grads(
        nn.softmax_cross_entropy, (Z, np.eye(4)[Y])
    )  # labels may be learned, also where they are 0


def test_softmax_cross_entropy_in_single_precision():
    value, gradient = hg.value_and_grad(lambda z, y: nn.softmax_cross_entropy(z, y).mean())(
        Z.astype(np.float32), Y
    )
    assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
    assert nn.softmax_cross_entropy(Z.astype(np.float32), np.eye(4, dtype=int)[Y]).dtype == np.float32


def test_softmax_cross_entropy_at_extremes():
    """Finite for huge logits; a class of logit -inf is excluded, and its label costs infinity."""
    loss = lambda z, y: np.sum(nn.softmax_cross_entropy(z, y))
    y = np.array([0, 1, 2])
    for labels in (y, np.eye(3)[y]):
        assert np.isfinite(loss(HUGE, labels))
        assert np.isfinite(hg.grad(loss)(HUGE, labels)).all()
        masked = np.array([[0.0, -np.inf, 1.0], [2.0, 1.0, -np.inf], [0.0, 0.0, 0.0]])
        expected = -scipy.special.log_softmax(masked, axis=1)[np.arange(3), y]
        np.testing.assert_allclose(nn.softmax_cross_entropy(masked, labels), expected, rtol=1e-14)
        gradient = hg.grad(loss)(masked, labels)
        np.testing.assert_allclose(gradient, scipy.special.softmax(masked, axis=1) - np.eye(3)[y], atol=1e-15)
        impossible = np.array([[-np.inf, 0.0, 1.0]])
        assert nn.softmax_cross_entropy(impossible, labels[:1])[0] == np.inf
    assert np.isnan(nn.softmax_cross_entropy(np.array([[0.0, np.nan]]), np.array([0]))[0])


def test_binary_losses():
    z, y = Z[:, 0], np.array([0, 1, 1, 0, 1, 0])
    p = scipy.special.expit(z)
    expected = [metrics.log_loss([a], [b], labels=[0, 1]) for a, b in zip(y, p, strict=True)]
    for labels in (y, y.astype(float), y.astype(bool), list(y)):
        np.testing.assert_allclose(nn.sigmoid_binary_cross_entropy(z, labels), expected, rtol=1e-10)
        np.testing.assert_allclose(nn.binary_cross_entropy(p, labels), expected, rtol=1e-10)
    np.testing.assert_allclose(nn.sigmoid_binary_cross_entropy(z, 1), -np.log(p), rtol=1e-10)
    np.testing.assert_allclose(nn.binary_cross_entropy(p, 0.0), -np.log1p(-p), rtol=1e-10)
    gradient = hg.grad(lambda z: nn.sigmoid_binary_cross_entropy(z, y).mean())(z)
    np.testing.assert_allclose(gradient, (p - y) / 6, rtol=1e-12)
    hg.check_grads(nn.sigmoid_binary_cross_entropy, (z, 0.3 + 0.5 * y))
    hg.check_grads(nn.binary_cross_entropy, (0.3 + 0.4 * p, 0.3 + 0.5 * y))
    far = np.array([1e300, -1e300, 800.0, -800.0])
    np.testing.assert_allclose(nn.sigmoid_binary_cross_entropy(far, [1, 0, 1, 0]), 0.0, atol=1e-300)
    assert np.isfinite(hg.grad(lambda z: np.sum(nn.sigmoid_binary_cross_entropy(z, [0, 1, 1, 0])))(far)).all()
    assert nn.binary_cross_entropy(np.array([0.0, 1.0]), np.array([0, 1])).tolist() == [0.0, 0.0]
    gradient = hg.grad(lambda p: np.sum(nn.binary_cross_entropy(p, np.array([0, 1]))))(np.array([0.0, 1.0]))
    assert gradient.tolist() == [1.0, -1.0]
    narrow = z.astype(np.float32)
    for labels in (y, y.astype(bool), 1, 1.0, True):
        assert nn.sigmoid_binary_cross_entropy(narrow, labels).dtype == np.float32
        assert nn.binary_cross_entropy(nn.sigmoid(narrow), labels).dtype == np.float32
        compiled = hg.compile(nn.sigmoid_binary_cross_entropy)
        assert compiled(narrow, labels).dtype == np.float32


def test_squared_error():
    p, t = Z, Z[::-1] * 0.5
    np.testing.assert_allclose(nn.squared_error(p, t), np.sum((p - t) ** 2, axis=1))
    assert nn.squared_error(p, t).mean() / 4 == pytest.approx(metrics.mean_squared_error(t, p))
    np.testing.assert_allclose(nn.squared_error(p[:, 0], t[:, 0]), (p[:, 0] - t[:, 0]) ** 2)
    np.testing.assert_allclose(nn.squared_error(p, 0), np.sum(p**2, axis=1))
    assert nn.squared_error(Z.reshape(2, 3, 4), np.zeros((2, 3, 4))).shape == (2,)
    assert nn.squared_error(p.astype(np.float32), np.ones((6, 4), int)).dtype == np.float32
    hg.check_grads(nn.squared_error, (p, t))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.softmax_cross_entropy(Z, np.array([0, 1, 2, 3, 4, 0])), "labels run from 0 to 4, but"),
        (lambda: nn.softmax_cross_entropy(Z, np.array([0, 1, 2, 3, -1, 0])), "labels run from -1 to 3"),
        (lambda: nn.softmax_cross_entropy(Z, Y[:, None]), r"\(6, 1\) do not fit logits of shape \(6, 4\)"),
        (lambda: nn.softmax_cross_entropy(Z, Y[:5]), r"labels of shape \(5,\) do not fit"),
        (lambda: nn.softmax_cross_entropy(Z, Y.astype(float)), r"must be integers, got float64.*astype\(int\)"),
        (lambda: nn.softmax_cross_entropy(Z, Y.astype(str)), "must be integers, got <U"),
        (lambda: nn.softmax_cross_entropy(2.0, 0), r"do not fit logits of shape \(\)"),
        (lambda: nn.sigmoid_binary_cross_entropy(Z[:, :1], Y * 0), r"labels of shape \(6,\) do not fit .* \(6, 1\)"),
        (lambda: nn.sigmoid_binary_cross_entropy(Z[:, 0], Y * 2 - 1), r"labels must lie in \[0, 1\]"),
        (lambda: nn.binary_cross_entropy(nn.sigmoid(Z[:, 0]), np.full(6, np.nan)), r"labels must lie in \[0, 1\]"),
        (lambda: nn.squared_error(Z[:, :1], Z[:, 0]), r"\(6,\) do not fit predictions of shape \(6, 1\)"),
    ],
)  # fmt: skip
def test_label_errors(call, message):
    """The classic mistakes raise one sentence with the user's line, on plain and on traced predictions."""
    with pytest.raises(ShapeError, match=message) as caught:
        call()
    assert "test_nn.py:" in str(caught.value)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0, 1, np.array([0.0, 0.3, 0.9])])
def test_label_smoothing(smoothing):
    logits, labels = np.random.default_rng(0).standard_normal((3, 4)), np.array([0, 3, 1])
    s = np.asarray(smoothing, float)
    soft = (1 - s[..., None]) * np.eye(4)[labels] + s[..., None] / 4
    expected = -np.sum(soft * hg.nn.log_softmax(logits), axis=-1)
    for target in (labels, np.eye(4)[labels]):
        found = hg.nn.softmax_cross_entropy(logits, target, smoothing)
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert hg.nn.softmax_cross_entropy(logits.astype(np.float32), labels, smoothing).dtype == np.float32
    hg.check_grads(lambda z, s: hg.nn.softmax_cross_entropy(z, labels, s).mean(), (logits, 0.2))


def test_label_smoothing_must_lie_in_the_unit_interval():
    with pytest.raises(ShapeError, match=r"smoothing must lie in \[0, 1\], got 1\.5"):
        hg.nn.softmax_cross_entropy(np.zeros((2, 3)), np.zeros(2, int), 1.5)


def test_relaxed_dropout():
    x, rate = np.ones((200, 50)), np.linspace(0.1, 0.6, 50)
    draw = lambda: np.random.default_rng(1)
    kept = hg.nn.relaxed_dropout(x, rate, draw(), temperature=1e-6) * (1 - rate)
    assert set(np.unique(np.round(kept, 12))) == {0.0, 1.0}
    np.testing.assert_allclose(1 - kept.mean(axis=0), rate, atol=0.12)
    # by its formula
    u = draw().random((200, 50))
    odds = rate / (1 - rate) * u / (1 - u)
    expected = x * (1 - odds**2 / (1 + odds**2)) / (1 - rate)
    np.testing.assert_allclose(hg.nn.relaxed_dropout(x, rate, draw(), 0.5), expected, rtol=1e-9, atol=1e-12)
    loss = lambda x, rate: np.sum(hg.nn.relaxed_dropout(x, rate, draw(), 0.5) ** 2)
    hg.check_grads(loss, (x[:3], rate))
    assert hg.nn.relaxed_dropout(x.astype(np.float32), 0.2, draw()).dtype == np.float32
    for wrong in (0.0, 1.0, np.array([0.5, -0.1])):
        with pytest.raises(ShapeError, match=r"relaxed_dropout: rate must lie in \(0, 1\)"):
            hg.nn.relaxed_dropout(x, wrong, draw())
    with pytest.raises(ShapeError, match="temperature must be positive, got 0"):
        hg.nn.relaxed_dropout(x, 0.5, draw(), 0)


def test_initialisers():
    for f, variance in ((nn.xavier_normal, 2 / 700), (nn.he_normal, 2 / 400)):
        w = f(np.random.default_rng(0), 400, 300)
        assert w.shape == (400, 300)
        assert w.dtype == np.float64
        assert scipy.stats.kstest(w.ravel() / np.sqrt(variance), "norm").pvalue > 0.01
        assert f(np.random.default_rng(0), 3, 2, np.float32).dtype == np.float32
        np.testing.assert_array_equal(f(np.random.default_rng(1), 3, 2), f(np.random.default_rng(1), 3, 2))


def test_every_public_name_is_tested_here():
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f"nn.{name}" in source for name in nn.__all__)
