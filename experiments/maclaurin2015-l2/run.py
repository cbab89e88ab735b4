"""An L2 penalty for each weight of softmax regression, learned (Maclaurin, Duvenaud & Adams 2015, Figure 6)."""

import numpy as np
from kit import data, images, outer, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage

PAPER = {"validation": 0.425, "test": 0.45}


def start_params(seed):
    """Small random weights, a row for each class, of standard deviation e^-4 as in the paper's code."""
    return {
        "w": np.exp(-4.0) * np.random.default_rng([seed, 2]).standard_normal((10, 784)),
        "b": np.zeros(10),
    }


def loss(params, hparams, rows):
    """Mean cross-entropy, nats."""
    logits = (params["w"] @ rows["x"].T).T + params["b"]
    return hg.nn.softmax_cross_entropy(logits, rows["y"]).mean()


def made(seed, sizes, batch, steps, lr, momentum):
    """Softmax regression with the penalty sum(exp(log_l2) w^2)."""
    train, valid, test = data.mnist(seed, *sizes)

    def inner_loss(params, hparams, rows):
        penalty = sum(np.sum(np.exp(hparams[leaf]) * params[leaf] ** 2) for leaf in ("w", "b"))
        return loss(params, hparams, rows) + penalty

    return hg.BilevelProblem(
        init=lambda hparams, rng: start_params(seed),
        inner_loss=inner_loss,
        outer_loss=loss,
        train=train,
        valid=valid,
        test=test,
        metrics={"loss": loss},
        optimizer=hg.optim.Momentum(lr=lr, momentum=momentum),
        steps=steps,
        batches=data.epochs(seed, sizes[0], batch, steps),
    )


def single(log_l2):
    """The same penalty for all."""
    return {"w": np.full((10, 784), log_l2), "b": np.full(10, log_l2)}


@stage
def learned(seed, sizes, batch, steps, lr, momentum, start, outer_lr, outer_steps):
    """Losses along gradient descent on the logarithms of the penalties, and where it ends."""
    problem = made(seed, sizes, batch, steps, lr, momentum)
    test = []

    def value_and_gradient(hparams, step):
        result = hg.hypergradient(problem, hparams, seed=seed, curve=0)
        test.append(result.metrics["test"]["loss"])
        return result.value, result.hypergradient

    log_l2, valid = outer.gradient_descent(value_and_gradient, single(start), outer_steps, outer_lr)
    return {"valid": valid, "test": test, "log_l2": log_l2}


@stage
def grid_search(seed, sizes, batch, steps, lr, momentum, grid):
    """Losses with one penalty for all weights."""
    problem = made(seed, sizes, batch, steps, lr, momentum)
    runs = [hg.train(problem, single(log_l2), seed=seed, curve=0) for log_l2 in grid]
    return {"valid": [run.value for run in runs], "test": [run.metrics["test"]["loss"] for run in runs]}


@stage
def checked(seed, sizes, batch, steps, lr, momentum, learned):
    """Value and hypergradient at the learned penalties against training written by hand."""
    problem, log_l2 = made(seed, sizes, batch, steps, lr, momentum), learned["log_l2"]
    result = hg.hypergradient(problem, log_l2, seed=seed, curve=0)
    rows, start = data.epochs(seed, sizes[0], batch, steps), start_params(seed)

    def by_hand(hparams):
        return reference.trained_loss(
            {"layer1": {"w": start["w"].T, "b": start["b"]}},
            problem.train,
            problem.valid,
            rows,
            lr,
            momentum,
            lambda layer, leaf: 2.0 * np.exp(hparams[leaf]).T,
        )

    return reference.agreement(result.hypergradient, result.value, by_hand, log_l2, seed)


@quantities
def summary(seed, learned, grid_search, checked):
    """For each seed."""
    valid, test = learned["valid"], learned["test"]
    best = int(np.argmin(grid_search["valid"]))
    penalties = np.exp(learned["log_l2"]["w"])
    return {
        "valid_drop": 1.0 - valid[-1] / valid[0],
        "test_drop": 1.0 - test[-1] / test[0],
        "valid_over_single": valid[-1] / grid_search["valid"][best],
        "test_over_single": test[-1] / grid_search["test"][best],
        "valid": valid[-1],
        "test": test[-1],
        "spread": float(np.log10(np.quantile(penalties, 0.99) / np.quantile(penalties, 0.01))),
        **checked,
    }


@figure
def penalties(canvas, learned):
    """The penalties of the first seed's weights, by class."""
    log_l2 = next(iter(learned.values()))["log_l2"]["w"] / np.log(10.0)
    names = [f"class {k}" for k in range(10)]
    images.gallery(canvas, log_l2, "log10 of the learned L2 penalty", names, "Greys")


@figure
def curves(canvas, learned, grid_search):
    """Validation and test loss of each seed, the best single penalty, and where the paper ends."""
    axes = canvas.add_subplot()
    for name, key, colour in (("validation", "valid", "C0"), ("test", "test", "C1")):
        for number, (seed, found) in enumerate(learned.items()):
            best = grid_search[seed][key][int(np.argmin(grid_search[seed]["valid"]))]
            labels = [name, f"{name}, best single penalty"] if number == 0 else [None, None]
            axes.plot(found[key], color=colour, label=labels[0])
            axes.axhline(best, color=colour, linewidth=0.8, linestyle=":", label=labels[1])
        axes.axhline(PAPER[name], color=colour, linestyle="--", label=f"{name}, Maclaurin et al. at the end")
    axes.set(xlabel="step on the penalties", ylabel="cross-entropy (nats)")
    axes.legend(fontsize=8)
