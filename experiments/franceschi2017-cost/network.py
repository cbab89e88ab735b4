"""A network trained by momentum with penalties on its first weights, for hypergrad and by hand."""

import numpy as np
from kit import data, networks, reference

import hypergrad as hg

SIZES = (64, 12, 10)


def groups(count):
    """The penalty that each weight of the first layer has: they take turns."""
    return np.arange(SIZES[0] * SIZES[1]).reshape(SIZES[:2]) % count


def begin(seed):
    """The parameters before training."""
    return networks.dense(SIZES, np.random.default_rng([seed, 2]))


def point(seed, count):
    """The logarithms of the penalties."""
    return {"log_l2": np.random.default_rng([seed, 3]).uniform(-5.0, -2.0, count)}


def problem(seed, rows, count, steps, lr, momentum):
    """A tanh network on the digits by momentum, with the logarithms of `count` penalties on its first weights."""
    train, valid = data.digits(seed, *rows)
    turns = groups(count)

    def penalty(params, hparams):
        return 0.5 * np.sum(np.exp(hparams["log_l2"])[turns] * params["layer1"]["w"] ** 2)

    return networks.problem(begin(seed), train, valid, hg.optim.Momentum(lr, momentum), steps, penalty)


def by_hand(hparams, seed, rows, count, steps, lr, momentum):
    """The validation loss after the same training, written by hand."""
    l2 = np.exp(hparams["log_l2"])[groups(count)]
    return reference.trained_loss(
        begin(seed),
        *data.digits(seed, *rows),
        np.broadcast_to(np.arange(rows[0]), (steps, rows[0])),
        lr,
        momentum,
        lambda name, leaf: l2 if (name, leaf) == ("layer1", "w") else 0.0,
    )
