"""Ten training images learned by hypergradients (Maclaurin, Duvenaud & Adams 2015, Figure 7)."""

import numpy as np
from kit import data, images, networks, outer, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage

CLASSES = np.arange(10)
PAPER = {"validation": 0.43, "test": 0.505}


def start_params(seed):
    """Small random weights, of standard deviation e^-4 as in the paper's code."""
    return networks.dense((784, 10), np.random.default_rng([seed, 2]), np.exp(-4.0))


def made(seed, sizes, steps, lr, momentum):
    """Softmax regression on the images hparams["x"], one for each class; judged on digits."""
    valid, test = data.mnist(seed, *sizes, centred=True)

    def inner_loss(params, hparams, batch):
        penalty = np.exp(hparams["log_l2"]) * sum(np.sum(leaf**2) for leaf in params["layer1"].values())
        return networks.cross_entropy(params, {"x": hparams["x"], "y": CLASSES}) + penalty

    return hg.BilevelProblem(
        init=lambda hparams, rng: start_params(seed),
        inner_loss=inner_loss,
        outer_loss=lambda params, hparams, rows: networks.cross_entropy(params, rows),
        train=None,
        valid=valid,
        test=test,
        metrics={
            "loss": lambda params, hparams, rows: networks.cross_entropy(params, rows),
            "error": lambda params, hparams, rows: networks.error_rate(params, rows),
        },
        optimizer=hg.optim.Momentum(lr=lr, momentum=momentum),
        steps=steps,
    )


@stage
def learned(seed, sizes, steps, lr, momentum, log_l2, noise, outer_lr, outer_steps):
    """Losses along gradient descent on the pixels and the penalty, and where it ends."""
    problem = made(seed, sizes, steps, lr, momentum)
    pixels = noise * np.random.default_rng([seed, 3]).standard_normal((10, 784))
    test, error = [], []

    def value_and_gradient(hparams, step):
        result = hg.hypergradient(problem, hparams, seed=seed, curve=0)
        test.append(result.metrics["test"]["loss"])
        error.append(result.metrics["test"]["error"])
        return result.value, result.hypergradient

    start = {"x": pixels, "log_l2": log_l2}
    hparams, valid = outer.gradient_descent(value_and_gradient, start, outer_steps, outer_lr)
    return {"valid": valid, "test": test, "error": error, "hparams": hparams}


@stage
def means(seed, sizes, steps, lr, momentum, log_l2):
    """Losses with the mean validation image of each class in place of learned ones."""
    problem = made(seed, sizes, steps, lr, momentum)
    pixels = np.stack([problem.valid["x"][problem.valid["y"] == k].mean(axis=0) for k in CLASSES])
    run = hg.train(problem, {"x": pixels, "log_l2": log_l2}, seed=seed, curve=0)
    return {"valid": run.value, **run.metrics["test"]}


@stage
def checked(seed, sizes, steps, lr, momentum, learned):
    """Value and hypergradient at the learned images against training written by hand."""
    problem, hparams = made(seed, sizes, steps, lr, momentum), learned["hparams"]
    result = hg.hypergradient(problem, hparams, seed=seed, curve=0)

    def by_hand(point):
        return reference.trained_loss(
            start_params(seed),
            {"x": point["x"], "y": CLASSES},
            problem.valid,
            np.tile(CLASSES, (steps, 1)),
            lr,
            momentum,
            lambda layer, leaf: 2.0 * np.exp(point["log_l2"]),
        )

    return reference.agreement(result.hypergradient, result.value, by_hand, hparams, seed)


@quantities
def summary(seed, learned, means, checked):
    """For each seed."""
    return {
        "valid": learned["valid"][-1],
        "test": learned["test"][-1],
        "error": learned["error"][-1],
        "start": learned["valid"][0],
        "means_test": means["loss"],
        "means_error": means["error"],
        "l2": float(np.exp(learned["hparams"]["log_l2"])),
        **checked,
    }


@figure
def pixels(canvas, learned):
    """The learned images of the first seed."""
    found = next(iter(learned.values()))["hparams"]["x"]
    images.gallery(canvas, found, "learned pixel", [f"class {k}" for k in CLASSES], "RdBu_r", middle=True)


@figure
def curves(canvas, learned):
    """Validation and test loss of each seed, and where the paper ends."""
    axes = canvas.add_subplot()
    for name, key, colour in (("validation", "valid", "C0"), ("test", "test", "C1")):
        for number, found in enumerate(learned.values()):
            axes.plot(found[key], color=colour, label=name if number == 0 else None)
        axes.axhline(PAPER[name], color=colour, linestyle="--", label=f"{name}, Maclaurin et al. at the end")
    axes.set(xlabel="step on the images", ylabel="cross-entropy (nats)", yscale="log")
    axes.set_yticks([0.4, 0.5, 0.7, 1.0, 1.5, 2.3], ["0.4", "0.5", "0.7", "1", "1.5", "2.3"], minor=False)
    axes.minorticks_off()
    axes.legend(fontsize=8)
