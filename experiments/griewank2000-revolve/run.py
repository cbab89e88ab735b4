"""Griewank & Walther (2000), Algorithm 799: Revolve, eq. (4): forward steps and live states of checkpoint schedules.

Notation as in schedule.py: l steps are reversed, s states kept; t(l, s) is the least number of forward steps.
"""

import numpy as np
from kit import networks, reference
from kit.data import digits
from schedule import formula, lengths, play, unlike_formula

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table


@stage
def schedules(slots, longest, dense_below, every):
    """Every schedule with s states, played."""
    tried = lengths(slots, longest, dense_below, every)
    runs, alive = zip(*(play(n, slots) for n in tried), strict=True)
    return {
        "steps": tried,
        "runs": list(runs),
        "formula": [formula(n, slots) for n in tried],
        "alive": max(alive),
    }


@stage
def optima(longest):
    """Pairs (l <= longest, s <= 20) whose optimum by dynamic programming is not that of the formula."""
    return unlike_formula(longest, 20)


def problem(seed, length):
    """A tanh network on digits, rates of its own at each step: (task, start, batches, hyperparameters)."""
    train, valid = digits(seed, 300, 300)
    start = networks.dense((64, 8, 10), np.random.default_rng([seed, 2]))
    batches = np.random.default_rng([seed, 1]).integers(0, 300, (length, 20))

    def penalty(params, hparams):
        squares = sum(np.sum(layer["w"] ** 2) for layer in params.values())
        return 0.5 * hparams["l2"] * squares

    optimizer = hg.optim.Momentum(lr=hg.optim.PerStep("lr"), momentum=hg.optim.PerStep("momentum"))
    task = networks.problem(start, train, valid, optimizer, length, penalty, batches=batches)
    t = np.arange(length)
    hparams = {"lr": 0.05 + 0.02 * np.sin(t), "momentum": 0.7 + 0.1 * np.cos(t), "l2": 1e-3}
    return task, start, batches, hparams


@stage
def training(seed, length, kept, most_runs):
    """Hypergradients of one training, with every state kept, with s of them, and by hand."""
    task, start, batches, hparams = problem(seed, length)
    whole = hg.hypergradient(task, hparams, hg.Reverse(), seed=seed, curve=0)
    leaves = hg.tree.leaves(whole.hypergradient)
    scale = max(float(np.abs(leaf).max()) for leaf in leaves)
    runs, difference = [], 0.0
    for slots in (s for s in kept if formula(length, s) <= most_runs):
        found = hg.hypergradient(task, hparams, hg.Reverse(checkpoints=slots), seed=seed, curve=0)
        pairs = zip(leaves, hg.tree.leaves(found.hypergradient), strict=True)
        difference = max(difference, *(float(np.abs(a - b).max()) / scale for a, b in pairs))
        stats = {key: found.stats[key] for key in ("forward_steps", "linearised_steps", "states", "bytes")}
        runs.append({"l": length, "s": slots, "formula": formula(length, slots), **stats})

    def by_hand(h):
        """The validation loss of the training written in NumPy."""
        return reference.trained_loss(
            start,
            task.train,
            task.valid,
            batches,
            h["lr"],
            h["momentum"],
            lambda layer, leaf: h["l2"] if leaf == "w" else 0.0,
        )

    apart = reference.agreement(whole.hypergradient, whole.value, by_hand, hparams, seed)
    return {"runs": runs, "whole": whole.stats["bytes"], "difference": difference, **apart}


@quantities
def counted(schedules, optima):
    """What needs no seed."""
    pairs = [pair for f in schedules.values() for pair in zip(f["runs"], f["formula"], strict=True)]
    example = dict(zip(schedules[10]["steps"], schedules[10]["runs"], strict=True))
    return {
        "schedules_off": sum(a != b for a, b in pairs),
        "optima_off": optima,
        "states_over": max(found["alive"] - (slots + 1) for slots, found in schedules.items()),
        "runs_per_step": example[286] / 286,
        "schedules_played": len(pairs),
    }


@quantities
def trained(seed, training):
    """For each seed."""
    runs = [run for found in training.values() for run in found["runs"]]
    last = training[max(training)]
    ten = next(run for run in last["runs"] if run["s"] == 10)
    off = sum(run["forward_steps"] != run["formula"] or run["linearised_steps"] != run["l"] for run in runs)
    return {
        "trainings_off": off + sum(run["states"] > run["s"] for run in runs),
        "derivative_difference": max(found["difference"] for found in training.values()),
        "slope_error": max(found["slope_error"] for found in training.values()),
        "value_error": max(found["value_error"] for found in training.values()),
        "memory_share": ten["bytes"] / last["whole"],
    }


@table
def trainings(training):
    """Counts of the trainings of the first seed."""
    return [run for found in next(iter(training.values())).values() for run in found["runs"]]


@figure
def repetitions(canvas, training):
    """Forward steps per step against states kept: the formula, and what trainings ran."""
    axes = canvas.add_subplot()
    for length, found in next(iter(training.values())).items():
        if length == 287:  # no different from 286 to the eye
            continue
        slots = [run["s"] for run in found["runs"]]
        every = np.arange(min(slots), 21)
        (line,) = axes.plot(every, [formula(length, int(s)) / length for s in every], label=f"l = {length:,}")
        measured = [run["forward_steps"] / length for run in found["runs"]]
        axes.plot(slots, measured, "o", color=line.get_color())
    axes.plot([], [], "o", color="grey", label="counted in trainings")
    axes.set(xlabel="states kept, s", ylabel="forward steps per step", yscale="log", xticks=range(0, 21, 2))
    axes.set_yticks([1, 2, 3, 5, 10, 20, 50, 100], ["1", "2", "3", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.legend()
