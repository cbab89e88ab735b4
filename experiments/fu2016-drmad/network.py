"""A network with a penalty for each of its units."""

import numpy as np
from kit import data, networks, reference

import hypergrad as hg


def start_params(seed, hidden):
    """A tanh network with one hidden layer."""
    return networks.dense((784, hidden, 10), np.random.default_rng([seed, 2]))


def made(seed, rate, sizes, hidden, batch, steps, momentum):
    """A tanh network with a penalty for each unit: exp(log_l2) times the sum of squares of its outgoing weights."""
    train, valid, test = data.mnist(seed, *sizes)

    def penalty(params, hparams):
        return sum(np.sum(np.exp(hparams[name]) * layer["w"] ** 2) for name, layer in params.items())

    return networks.problem(
        start_params(seed, hidden),
        train,
        valid,
        hg.optim.Momentum(lr=rate * (1.0 - momentum), momentum=momentum),
        steps,
        penalty,
        test=test,
        metrics={"loss": lambda params, hparams, rows: networks.cross_entropy(params, rows)},
        batches=data.epochs(seed, sizes[0], batch, steps),
    )


def first(hidden, start):
    """The same penalty for all units."""
    return {"layer1": np.full((784, 1), start), "layer2": np.full((hidden, 1), start)}


def by_hand(hparams, seed, rate, sizes, hidden, batch, steps, momentum):
    """The validation loss after the same training, written by hand."""
    train, valid, _ = data.mnist(seed, *sizes)
    return reference.trained_loss(
        start_params(seed, hidden),
        train,
        valid,
        data.epochs(seed, sizes[0], batch, steps),
        rate * (1.0 - momentum),
        momentum,
        lambda layer, leaf: 2.0 * np.exp(hparams[layer]) if leaf == "w" else 0.0,
    )
