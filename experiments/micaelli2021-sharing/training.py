"""Training whose learning rate is a schedule, for hypergrad and by hand."""

import numpy as np
from kit import data, networks, reference

import hypergrad as hg


def task(seed, rows, hidden, steps, lr, **batches):
    """A tanh network on MNIST, pixels averaged two by two; the problem and the test set."""
    parts = (data.halved(part) for part in data.mnist(seed, *rows))
    train, valid, test = ({**part, "x": (part["x"] - 0.13) / 0.3} for part in parts)
    start = lambda hparams, rng: networks.dense((196, hidden, 10), rng)
    optimizer = hg.optim.Momentum(lr, momentum="momentum")
    problem = networks.problem(start, train, valid, optimizer, steps, **batches)
    return problem, test


def judged(problem, test, hparams, repeats):
    """Validation loss and test errors [%]: means over first parameters and batches that were not learned on."""
    runs = [hg.train(problem, hparams, seed=500 + k) for k in range(repeats)]
    return [
        np.mean([r.value for r in runs]),
        100 * np.mean([networks.error_rate(r.params, test) for r in runs]),
    ]


def given_batches(seed, rows, size, steps):
    """Rows of each step: one order of all rows after the other, so that a batch may straddle two."""
    rng = np.random.default_rng([seed, 3])
    order = np.concatenate([rng.permutation(rows) for _ in range(-(-steps * size // rows))])
    return order[: steps * size].reshape(steps, size)


def by_hand(problem, start, batches, hparams):
    """The validation loss after training with the rates of `hg.optim.PiecewiseLinear`, written in NumPy."""
    knots = hparams["lr"]
    rates = np.interp(np.linspace(0, len(knots) - 1, len(batches)), np.arange(len(knots)), knots)
    return reference.trained_loss(start, problem.train, problem.valid, batches, rates, hparams["momentum"])
