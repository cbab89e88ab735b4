"""Overfitting 50 validation images with a weight decay for each weight (Lorraine et al. 2020)."""

import numpy as np
from kit import data, networks, outer, reference

import hypergrad as hg
from hypergrad import tree
from hypergrad.experiments import figure, quantities, stage

LEAST = 1e-6  # smallest weight decay


def problem(begin, train, valid, steps, lr, momentum):
    """Training of a network with exp(h) as the penalty of each of its parameters."""

    def penalty(params, hparams):
        squares = tree.map(lambda h, p: np.sum(np.exp(h) * p**2), hparams, params)
        return 0.5 * sum(tree.leaves(squares))

    return networks.problem(begin, train, valid, hg.optim.Momentum(lr=lr, momentum=momentum), steps, penalty)


@stage
def learned(seed, hidden, rows, l2, l2_most, steps, lr, momentum, iterations, outer_lr):
    """Losses and errors after each step of Adam on the logarithms of the weight decays."""
    train, valid, test = (data.halved(part) for part in data.mnist(seed, *rows))
    sizes = (train["x"].shape[1], *([hidden] if hidden else []), 10)
    begin = networks.dense(sizes, np.random.default_rng([seed, 2]))
    task, trace = problem(begin, train, valid, steps, lr, momentum), []

    def differentiated(point, step):
        result = hg.hypergradient(task, point, seed=seed)
        errors = [100.0 * networks.error_rate(result.params, part) for part in (train, valid, test)]
        trace.append([result.value, *errors])
        return result.value, result.hypergradient

    def project(point):
        return tree.map(lambda h: np.clip(h, np.log(LEAST), np.log(l2_most)), point)

    h = tree.map(lambda p: np.full(p.shape, np.log(l2)), begin)
    h, _ = outer.adam(differentiated, h, iterations, outer_lr, project=project)
    checked = agreement(seed, task, h, begin, train, valid, steps, lr, momentum)
    return {"trace": np.array(trace), "count": float(sum(leaf.size for leaf in tree.leaves(h))), **checked}


def agreement(seed, task, h, begin, train, valid, steps, lr, momentum):
    """The hypergradient against training by hand, by the weight decays themselves: dE/dλ = dE/dh / λ."""
    batches = np.broadcast_to(np.arange(len(train["y"])), (steps, len(train["y"])))

    def by_hand(decays):
        strength = lambda name, leaf: decays[name][leaf]
        return reference.trained_loss(begin, train, valid, batches, lr, momentum, strength)

    result, decays = hg.hypergradient(task, h, seed=seed), tree.map(np.exp, h)
    natural = tree.map(lambda g, decay: g / decay, result.hypergradient, decays)
    return reference.agreement(natural, result.value, by_hand, decays, seed)


@quantities
def summary(seed, learned):
    """Of the network; the linear model's have their own names."""
    linear, network = (learned[hidden] for hidden in sorted(learned))
    (loss, train, valid, test), (loss_after, train_after, valid_after, test_after) = network["trace"][[0, -1]]
    return {
        "value_error": max(found["value_error"] for found in learned.values()),
        "slope_error": max(found["slope_error"] for found in learned.values()),
        "valid_error_before": valid,
        "valid_error_after": valid_after,
        "test_error_before": test,
        "test_error_after": test_after,
        "test_over_valid_error": test_after - valid_after,
        "followed": (test - test_after) / (valid - valid_after),
        "loss_ratio": loss_after / loss,
        "train_error_before": train,
        "train_error_after": train_after,
        "hyperparameters": network["count"],
        "linear_valid_error_after": linear["trace"][-1, 2],
        "linear_test_error_after": linear["trace"][-1, 3],
    }


@figure
def errors(canvas, learned):
    """Errors on the way: each seed thin, their mean thick."""
    panels = canvas.subplots(1, len(next(iter(learned.values()))), sharey=True)
    hiddens = list(next(iter(learned.values())))
    for axes, hidden in zip(panels, hiddens, strict=True):
        traces = np.array([found[hidden]["trace"] for found in learned.values()])
        for column, name in ((1, "50 training images"), (2, "50 validation images"), (3, "test images")):
            axes.plot(traces[:, :, column].T, color=f"C{column}", alpha=0.3, linewidth=0.8)
            axes.plot(traces[:, :, column].mean(axis=0), color=f"C{column}", linewidth=2, label=name)
        axes.set(xlabel="step on the weight decays", title=f"{hidden} hidden units" if hidden else "linear")
    panels[0].set(ylabel="error, %", ylim=(-1, 52))
    panels[0].legend(loc="upper right")
