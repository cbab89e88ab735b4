"""Networks of several tasks that share through matrices A: w_i = sum_j A_ij z_j in each layer."""

from itertools import pairwise

import numpy as np
from kit import networks, reference
from tasks import TASKS

import hypergrad as hg
from hypergrad import tree

ONE = np.eye(TASKS)


def start_params(seed, sizes, scale):
    """Parameters z of all tasks: normal weights and biases."""
    rng = np.random.default_rng([seed, 2])
    return {
        f"layer{i}": {
            k: scale * rng.standard_normal((TASKS, *shape)) for k, shape in (("w", (p, q)), ("b", (1, q)))
        }
        for i, (p, q) in enumerate(pairwise(sizes), start=1)
    }


def mixed(sharing, z):
    """The weights of each task, w_i = sum_j A_ij z_j, with a matrix A for each layer: their covariance is A A^T."""
    return {name: {k: np.tensordot(sharing[name], leaf, 1) for k, leaf in z[name].items()} for name in z}


def shared(*amounts):
    """A = (1 - c) I + c / tasks for each layer: c = 0 separate, c = 1 the same weights for all."""
    return {f"layer{i}": (1.0 - c) * ONE + c / TASKS for i, c in enumerate(amounts, start=1)}


def equalised(slope):
    """The part of a matrix that is the same for all tasks and for all pairs of them."""
    inside = np.trace(slope) / TASKS
    return inside * ONE + (slope.sum() / TASKS - inside) / (TASKS - 1.0) * (1.0 - ONE)


def correlations(matrix):
    """Of the tasks' weights, from A A^T."""
    covariance = matrix @ matrix.T
    sizes = np.sqrt(np.diag(covariance))
    return covariance / np.outer(sizes, sizes)


def made(seed, train, valid, sizes, steps, lr, momentum, scale, log_l2):
    """All tasks trained together on the sum of their losses and a penalty on z."""

    def loss(z, sharing, rows):
        return networks.cross_entropy(mixed(sharing, z), rows)

    def inner_loss(z, sharing, rows):
        squares = sum(np.sum(leaf**2) for layer in z.values() for leaf in layer.values())
        return TASKS * loss(z, sharing, rows) + np.exp(log_l2) * squares

    return hg.BilevelProblem(
        init=lambda sharing, rng: start_params(seed, sizes, scale),
        inner_loss=inner_loss,
        outer_loss=loss,
        train=train,
        valid=valid,
        metrics={"loss": loss},
        optimizer=hg.optim.Momentum(lr=lr, momentum=momentum),
        steps=steps,
    )


def by_hand(sharing, seed, train, valid, sizes, steps, lr, momentum, scale, log_l2):
    """The validation loss after the same training, written by hand."""

    def of(task, w):
        return {
            name: {k: leaf[task].reshape(-1, leaf.shape[-1]) for k, leaf in w[name].items()} for name in w
        }

    z = start_params(seed, sizes, scale)
    m = tree.map(np.zeros_like, z)
    back = {name: matrix.T for name, matrix in sharing.items()}
    for _ in range(steps):
        w = mixed(sharing, z)
        each = [reference.gradient(of(i, w), train["x"][i], train["y"][i]) for i in range(TASKS)]
        slope = {
            name: {
                k: np.stack([g[name][k].reshape(leaf.shape[1:]) for g in each]) for k, leaf in w[name].items()
            }
            for name in w
        }
        slope = tree.map(lambda g, x: g + 2.0 * np.exp(log_l2) * x, mixed(back, slope), z)
        m = tree.map(lambda v, g: momentum * v + g, m, slope)
        z = tree.map(lambda x, v: x - lr * v, z, m)
    w = mixed(sharing, z)
    return np.mean([reference.loss(of(i, w), valid["x"][i], valid["y"][i]) for i in range(TASKS)])
