"""Towers of optimisers (Chandra et al. 2022): a tanh network on MNIST, SGD on SGD on SGD, all from one step size."""

from itertools import pairwise

import numpy as np
from kit import data, networks
from kit.climbing import agreement

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

PUBLISHED = (8.99, 4.81)  # % of test errors of SGD and SGD on SGD, from .01
OPTIMIZERS = {"sgd": hg.optim.SGD("lr"), "momentum": hg.optim.Momentum("lr", momentum=0.9)}


def task(seed, rows, batch, epochs, hidden, rule="sgd"):
    """The problem, the training set and the rows of each step."""
    train, test = data.mnist(seed, *rows)
    batches = data.epochs(seed, rows[0], batch, epochs * (rows[0] // batch))
    start = lambda hparams, rng: networks.dense((784, hidden, 10), rng)
    problem = networks.problem(start, train, test, OPTIMIZERS[rule], len(batches), batches=batches)
    return problem, train, batches


def trained(problem, rate, level, seed):
    """Loss, parameters and learning rates of each step with a tower of so many levels, all of them from one rate."""
    if not level:
        plain = hg.train(problem, {"lr": rate}, seed=seed)
        return plain.value, plain.params, np.full(problem.steps, rate)
    tower = hg.online.Tower(optimizers=(hg.optim.SGD(rate),) * level)
    run = hg.online.adapt(problem, {"lr": rate}, tower, seed=seed)
    return run.value, run.params, run.trace["lr"]


@stage
def towers(seed, level, rows, batch, epochs, hidden, exponents):
    """Test loss and error, and the learning rates, from each step size; a run that diverges is at chance."""
    problem, _, _ = task(seed, rows, batch, epochs, hidden)
    losses, errors, traces = [], [], []
    for exponent in exponents:
        value, params, trace = trained(problem, 10.0**exponent, level, seed)
        losses.append(min(value, np.log(10)) if np.isfinite(value) else np.log(10))
        errors.append(networks.error_rate(params, problem.valid) if np.isfinite(value) else 0.9)
        traces.append(trace)
    return {"losses": np.array(losses), "errors": 100.0 * np.array(errors), "traces": np.stack(traces)}


@stage
def by_hand(seed, rows, batch, hidden):
    """Largest relative distance of learning rates and losses of one epoch from those by hand in NumPy."""
    found = []
    for rule, level in (("sgd", 1), ("sgd", 2), ("sgd", 3), ("momentum", 2)):
        problem, train, batches = task(seed, rows, batch, 1, hidden, rule)
        start = hg.train(problem, {"lr": 0.0}, seed=seed).params
        tower = hg.online.Tower(optimizers=(hg.optim.SGD(0.01),) * level)
        run = hg.online.adapt(problem, {"lr": 0.01}, tower, seed=seed)
        found.append(agreement(run, start, train, batches, (0.01,) * (level + 1), rule))
    return {key: max(each[key] for each in found) for key in found[0]}


@quantities
def summary(seed, towers, by_hand, exponents):
    """For each seed; `excess`: mean less least test error over the step sizes up to .1, percentage points."""
    small = np.array(exponents) < 0
    errors = {level: of["errors"] for level, of in towers.items()}
    excess = {level: float(of[small].mean() - of[small].min()) for level, of in errors.items()}
    tallest, at = max(errors), exponents.index(-2)
    found = {f"excess_{level}": value for level, value in excess.items()}
    found["falls_each_level"] = all(b < a + 0.1 for a, b in pairwise(excess.values()))
    found["second_over_plain"] = excess[2] / excess[0]
    found["tallest_over_plain"] = excess[tallest] / excess[0]
    found["second_spread"] = float(np.std(errors[2]) / np.std(errors[0]))
    found["tallest_spread"] = float(np.std(errors[tallest]) / np.std(errors[0]))
    found["sgd"], found["sgd_sgd"] = float(errors[0][at]), float(errors[1][at])
    found["sgd_gain"] = found["sgd_sgd"] / found["sgd"]
    for name, level in (("plain", 0), ("tallest", tallest)):
        found[f"good_{name}"] = int(np.sum(errors[level] <= 15.0))
    return found | {"by_hand_lr": by_hand["lr"], "by_hand_loss": by_hand["loss"]}


@table
def errors(towers, exponents):
    """Test errors, %, mean of the seeds: rows are levels, columns the step size that all levels start at."""
    levels = sorted(next(iter(towers.values())))
    means = {level: np.mean([of[level]["errors"] for of in towers.values()], axis=0) for level in levels}
    return [
        {
            "level": level,
            **{f"1e{e}": round(float(x), 1) for e, x in zip(exponents, means[level], strict=True)},
        }
        for level in levels
    ]


@figure
def sensitivity(canvas, towers, exponents):
    """Test error over the step size that all levels start at, mean of the seeds."""
    axes = canvas.add_subplot()
    for level in sorted(next(iter(towers.values()))):
        mean = np.mean([of[level]["errors"] for of in towers.values()], axis=0)
        name = "SGD" if not level else f"{level} level{'s' * (level > 1)} above it"
        axes.plot(10.0 ** np.array(exponents), mean, "o-", ms=4, color=f"C{level}", label=name)
    for level, value in enumerate(PUBLISHED):
        axes.plot(
            [0.01], [value], "*", color=f"C{level}", ms=12, label=("paper: SGD", "paper: SGD on SGD")[level]
        )
    axes.set(
        xlabel="step size that all levels start at", ylabel="test errors [%]", xscale="log", ylim=(0, 130)
    )
    axes.legend(fontsize=8, loc="upper center", ncols=3)
