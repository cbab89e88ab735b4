"""The training whose learning rate is learned: softmax regression, or with hidden layers, on MNIST."""

from itertools import pairwise

import numpy as np
from kit import data, networks

import hypergrad as hg


def optimizer(rule):
    """Of the inner problem; its learning rate is a hyperparameter."""
    return {
        "sgd": hg.optim.SGD("lr"),
        "momentum": hg.optim.Momentum("lr", momentum=0.9),
        "nesterov": hg.optim.Nesterov("lr", momentum=0.9),
        "adam": hg.optim.Adam("lr"),
    }[rule]


def start(*sizes):
    """First weights and biases, uniform in +-1/sqrt(inputs)."""

    def layer(p, q, rng):
        return {"w": rng.uniform(-1, 1, (p, q)) / p**0.5, "b": rng.uniform(-1, 1, q) / p**0.5}

    return lambda hparams, rng: {
        f"layer{n}": layer(p, q, rng) for n, (p, q) in enumerate(pairwise(sizes), start=1)
    }


def task(seed, rule, rows, batch, epochs, l2, hidden=()):
    """The problem, the training set and the rows of each step; pixels as the paper scales them."""
    train, valid = ({**part, "x": (part["x"] - 0.1307) / 0.3081} for part in data.mnist(seed, *rows))
    batches = data.epochs(seed, rows[0], batch, epochs * (rows[0] // batch))

    def penalty(
        params, hparams
    ):  # here rather than in the optimiser, so that the hypergradient sees it as theirs
        return 0.5 * l2 * sum(np.sum(leaf**2) for layer in params.values() for leaf in layer.values())

    first = start(784, *hidden, 10)
    problem = networks.problem(first, train, valid, optimizer(rule), len(batches), penalty, batches=batches)
    return problem, train, batches
