"""Learned training schedules: Maclaurin, Duvenaud & Adams 2015, section 3.1, Figures 2 and 3."""

import numpy as np
from kit import schedules

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table


def judged(task, z, seed, repeats):
    """Losses and error rates after training at z, the mean over fresh seeds, and the training loss on the way."""
    runs = [hg.train(task, schedules.natural(z), seed=10_000 * (seed + 1) + r) for r in range(repeats)]
    mean = {
        f"{part}_{metric}": float(np.mean([run.metrics[part][metric] for run in runs]))
        for part in ("train", "test")
        for metric in ("loss", "error")
    }
    return mean | {"curve": np.mean([run.curve for run in runs], axis=0)}


@stage
def learned(seed, rows, steps, batch_size, iterations, outer_lr):
    """Adam on all hyperparameters, from the paper's start."""
    task = schedules.problem(seed, rows, steps, batch_size)
    z, _, values = schedules.learn(task, schedules.start(steps), iterations, outer_lr, 1000 * (seed + 1))
    return {"z": z, "values": values}


@stage
def trained(seed, rows, steps, batch_size, repeats, learned):
    """Training with the learned hyperparameters and with those at the start."""
    task = schedules.problem(seed, rows, steps, batch_size)
    return {
        "start": judged(task, schedules.start(steps), seed, repeats),
        "learned": judged(task, learned["z"], seed, repeats),
    }


@stage
def constant(seed, rows, steps, batch_size, grid, repeats):
    """Training with one rate everywhere, at the start's momentum and at 0.9."""
    task = schedules.problem(seed, rows, steps, batch_size)
    rates = np.linspace(-3.0, 3.0, grid)
    losses = {
        str(momentum): [
            judged(task, schedules.start(steps, rate, momentum), seed, repeats)["train_loss"]
            for rate in rates
        ]
        for momentum in (0.5, 0.9)
    }
    return {"log_lr": rates, "losses": losses}


@stage
def checked(seed, rows, steps, batch_size, learned):
    """The hypergradient at the start and at the learned hyperparameters against training written by hand."""
    task = schedules.problem(seed, rows, steps, batch_size)
    found = [schedules.agreement(task, z, seed) for z in (schedules.start(steps), learned["z"])]
    return {name: max(each[name] for each in found) for name in found[0]}


@quantities
def summary(seed, learned, trained, constant, checked):
    """For each seed."""
    before, after = trained["start"], trained["learned"]
    lr = {name: np.exp(row) for name, row in learned["z"]["lr"].items()}
    steps = len(lr["w1"])
    grid = np.array(list(constant["losses"].values()))
    best = float(np.nanmin(grid))
    return {
        "train_before": before["train_loss"],
        "train_after": after["train_loss"],
        "valid_before": before["test_loss"],
        "valid_after": after["test_loss"],
        "train_ratio": after["train_loss"] / before["train_loss"],
        "valid_ratio": after["test_loss"] / before["test_loss"],
        "error_after": after["test_error"],
        "constant": best,
        "constant_rate": float(np.exp(constant["log_lr"][np.nanargmin(np.nanmin(grid, axis=0))])),
        "against_constant": after["train_loss"] / best,
        "top_layer_first": float(np.mean(lr["w4"][: steps // 10]) / np.mean(lr["w1"][: steps // 10])),
        "smaller_at_the_end": float(
            np.mean([np.mean(lr[w][-steps // 20 :]) / np.mean(lr[w]) for w in ("w1", "w2", "w3", "w4")])
        ),
        **checked,
    }


@table
def losses(trained):
    """Losses and error rates, mean over the seeds."""
    rows = []
    for name in ("start", "learned"):
        mean = {
            key: np.mean([found[name][key] for found in trained.values()])
            for key in ("train_loss", "test_loss", "train_error", "test_error")
        }
        rows.append(
            {"hyperparameters": name} | {k.replace("test", "validation"): f"{v:.3f}" for k, v in mean.items()}
        )
    return rows


@table
def log_scales(learned):
    """The learned logarithms of the initial scales, mean over the seeds; -3 at the start."""
    names = schedules.GROUPS
    return [
        {name: f"{np.mean([found['z']['scale'][name] for found in learned.values()]):.2f}" for name in names}
    ]


@figure
def schedules_by_layer(canvas, learned):
    """The learned schedules of the first seed."""
    above, below = canvas.subplots(2, 1, sharex=True)
    z = next(iter(learned.values()))["z"]
    for number in schedules.LAYERS:
        above.plot(np.exp(z["lr"][f"w{number}"]), label=f"layer {number}")
        below.plot(1.0 / (1.0 + np.exp(-z["momentum"][f"w{number}"])))
    above.set(ylabel="learning rate of weights", ylim=(0.0, None))
    below.set(xlabel="step of training", ylabel="their momentum", ylim=(0.0, 1.0))
    above.legend(ncols=4, fontsize="small")


@figure
def loss_curves(canvas, learned, trained, constant):
    """The outer loss by iteration; training with the schedules of the first seed before and after."""
    left, right = canvas.subplots(1, 2)
    for seed, found in learned.items():
        left.semilogy(found["values"], label=f"seed {seed}")
    best = np.mean([min(np.nanmin(row) for row in found["losses"].values()) for found in constant.values()])
    left.axhline(best, color="0.5", linestyle=":", label="best constant rate")
    left.axhline(0.12, color="black", linestyle="--", label="paper, learned")
    left.set(xlabel="outer iteration", ylabel="training loss at the end, nats")
    left.legend(fontsize="small")
    found = next(iter(trained.values()))
    right.semilogy(found["start"]["curve"], label="start")
    right.semilogy(found["learned"]["curve"], label="learned")
    right.set(xlabel="step of training", ylabel="loss of the minibatch, nats")
    right.legend(fontsize="small")
