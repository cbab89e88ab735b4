"""Activations and losses of `hg.nn`: value, jvp, vjp and second order equal jax.nn's, in the tails too."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

RNG = np.random.default_rng(2)
Z = RNG.uniform(-3.0, 3.0, (4, 3))
TAILS = np.array([-800.0, -40.0, -1.0, 0.5, 40.0, 800.0])
LABELS = np.array([2, 0, 1, 2])
ONE_HOT = np.eye(3)[LABELS]
SOFT = RNG.dirichlet(np.ones(3), 4)
P = RNG.uniform(0.05, 0.95, (4, 3))
Y = (RNG.random((4, 3)) < 0.5).astype(float)


def cross_entropy(jax, weights):
    return lambda z: -(weights * jax.nn.log_softmax(z)).sum(axis=-1)


def bernoulli(jax, y):
    """-y log sigmoid(z) - (1 - y) log sigmoid(-z)."""
    return lambda z: -y * jax.nn.log_sigmoid(z) - (1 - y) * jax.nn.log_sigmoid(-z)


ROWS = {
    "relu": (hg.nn.relu, lambda jax: jax.nn.relu, Z),
    "leaky_relu": (hg.nn.leaky_relu, lambda jax: jax.nn.leaky_relu, Z),
    "elu": (hg.nn.elu, lambda jax: jax.nn.elu, Z),
    "gelu": (hg.nn.gelu, lambda jax: jax.nn.gelu, Z),
    "silu": (hg.nn.silu, lambda jax: jax.nn.silu, Z),
    "sigmoid": (hg.nn.sigmoid, lambda jax: jax.nn.sigmoid, Z),
    "sigmoid, tails": (hg.nn.sigmoid, lambda jax: jax.nn.sigmoid, TAILS),
    "tanh": (hg.nn.tanh, lambda jax: jax.numpy.tanh, Z),
    "tanh, tails": (hg.nn.tanh, lambda jax: jax.numpy.tanh, TAILS),
    "softplus": (hg.nn.softplus, lambda jax: jax.nn.softplus, Z),
    "softplus, tails": (hg.nn.softplus, lambda jax: jax.nn.softplus, TAILS),
    "softmax": (hg.nn.softmax, lambda jax: jax.nn.softmax, Z),
    "softmax, axis 0": (
        lambda z: hg.nn.softmax(z, axis=0),
        lambda jax: lambda z: jax.nn.softmax(z, axis=0),
        Z,
    ),
    "softmax, tails": (hg.nn.softmax, lambda jax: jax.nn.softmax, TAILS),
    "log_softmax": (hg.nn.log_softmax, lambda jax: jax.nn.log_softmax, Z),
    "log_softmax, axis 0": (
        lambda z: hg.nn.log_softmax(z, axis=0),
        lambda jax: lambda z: jax.nn.log_softmax(z, axis=0),
        Z,
    ),
    "log_softmax, tails": (hg.nn.log_softmax, lambda jax: jax.nn.log_softmax, TAILS),
    "logsumexp": (hg.nn.logsumexp, lambda jax: lambda z: jax.nn.logsumexp(z, axis=-1), Z),
    "logsumexp, all": (
        lambda z: hg.nn.logsumexp(z, axis=None),
        lambda jax: jax.nn.logsumexp,
        Z,
    ),
    "logsumexp, keepdims": (
        lambda z: hg.nn.logsumexp(z, axis=0, keepdims=True),
        lambda jax: lambda z: jax.nn.logsumexp(z, axis=0, keepdims=True),
        Z,
    ),
    "logsumexp, tails": (hg.nn.logsumexp, lambda jax: jax.nn.logsumexp, TAILS),
    "softmax_cross_entropy, integers": (
        lambda z: hg.nn.softmax_cross_entropy(z, LABELS),
        lambda jax: cross_entropy(jax, ONE_HOT),
        Z,
    ),
    "softmax_cross_entropy, one-hot": (
        lambda z: hg.nn.softmax_cross_entropy(z, ONE_HOT),
        lambda jax: cross_entropy(jax, ONE_HOT),
        Z,
    ),
    "softmax_cross_entropy, soft labels": (
        lambda z: hg.nn.softmax_cross_entropy(z, SOFT),
        lambda jax: cross_entropy(jax, SOFT),
        Z,
    ),
    "softmax_cross_entropy, tails": (
        lambda z: hg.nn.softmax_cross_entropy(z, np.array(1)),
        lambda jax: cross_entropy(jax, np.eye(6)[1]),
        TAILS,
    ),
    "softmax_cross_entropy, cube": (
        lambda z: hg.nn.softmax_cross_entropy(z, np.stack([LABELS, LABELS[::-1]])),
        lambda jax: cross_entropy(jax, np.eye(3)[np.stack([LABELS, LABELS[::-1]])]),
        np.stack([Z, Z[::-1] ** 2]),
    ),
    "sigmoid_binary_cross_entropy": (
        lambda z: hg.nn.sigmoid_binary_cross_entropy(z, Y),
        lambda jax: bernoulli(jax, Y),
        Z,
    ),
    "sigmoid_binary_cross_entropy, tails": (
        lambda z: hg.nn.sigmoid_binary_cross_entropy(z, np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])),
        lambda jax: bernoulli(jax, np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])),
        TAILS,
    ),
    "binary_cross_entropy": (
        lambda p: hg.nn.binary_cross_entropy(p, Y),
        lambda jax: lambda p: -Y * jax.numpy.log(p) - (1 - Y) * jax.numpy.log1p(-p),
        P,
    ),
    "binary_cross_entropy, soft labels": (
        lambda p: hg.nn.binary_cross_entropy(p, SOFT),
        lambda jax: lambda p: -SOFT * jax.numpy.log(p) - (1 - SOFT) * jax.numpy.log1p(-p),
        P,
    ),
    "squared_error": (
        lambda z: hg.nn.squared_error(z, Y),
        lambda jax: lambda z: ((z - Y) ** 2).sum(axis=1),
        Z,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_equals_jax_nn(name, jax, against_jax, single_precision):
    mine, theirs, z = ROWS[name]
    against_jax((mine, theirs(jax)), z)
    single_precision((mine, None), z)


@pytest.mark.parametrize("soft", [SOFT, ONE_HOT])
def test_soft_labels_have_a_derivative(soft, jax, against_jax):
    """Learned labels: the loss is linear in them."""
    theirs = lambda z, y: -(y * jax.nn.log_softmax(z)).sum(axis=-1)
    against_jax((hg.nn.softmax_cross_entropy, theirs), Z, soft)


def test_binary_labels_have_a_derivative(jax, against_jax):
    theirs = lambda p, y: -y * jax.numpy.log(p) - (1 - y) * jax.numpy.log1p(-p)
    against_jax((hg.nn.binary_cross_entropy, theirs), P, SOFT)


def test_relu_is_flat_at_zero():
    assert hg.grad(hg.nn.relu)(0.0) == 0.0


def test_certain_and_right_costs_nothing():
    """p = y exactly: loss zero, and a finite derivative."""
    p = np.array([0.0, 1.0])
    value, gradient = hg.value_and_grad(lambda p: hg.nn.binary_cross_entropy(p, np.array([0.0, 1.0])).sum())(
        p
    )
    assert value == 0.0
    assert np.isfinite(gradient).all()


def test_masked_logits_have_no_weight(close):
    """A logit of -inf is a class ruled out: the others are as if it were absent."""
    z = np.array([[0.3, -np.inf, -0.2], [1.0, 2.0, -np.inf]])
    labels = np.array([0, 1])
    value, gradient = hg.value_and_grad(lambda z: hg.nn.logsumexp(z).sum())(z)
    kept = np.isfinite(z)
    close(
        value, sum(np.log(np.exp(row[k]).sum()) for row, k in zip(z, kept, strict=True)), 1e-14, "logsumexp"
    )
    close(gradient, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), 1e-14, "softmax")
    loss = hg.nn.softmax_cross_entropy(np.where(kept, z, -1e30), labels).mean()
    assert np.isfinite(loss)
