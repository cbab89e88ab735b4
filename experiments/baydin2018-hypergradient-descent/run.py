"""Hypergradient descent (Baydin et al. 2018): softmax regression on MNIST, SGD, Nesterov's momentum and Adam."""

import numpy as np
from kit.climbing import agreement
from training import task

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

BETA = {"sgd": 1e-3, "nesterov": 1e-3, "momentum": 1e-3, "adam": 1e-7}  # the paper's
PUBLISHED = {"sgd": (0.3737, 0.2878), "nesterov": (0.2846, 0.2719), "adam": (0.2719, 0.2723)}
NAMES = {"sgd": "SGD", "nesterov": "SGD, Nesterov", "adam": "Adam", "momentum": "SGD, momentum"}


@stage
def fixed(seed, rule, rows, batch, epochs, l2, grid, theirs):
    """The validation loss after training at each fixed learning rate, and at the one that the paper starts at."""
    problem, _, _ = task(seed, rule, rows, batch, epochs, l2)
    rates = np.logspace(-4, 0, grid)
    losses = [hg.train(problem, {"lr": float(rate)}, seed=seed).value for rate in rates]
    return {
        "rates": rates,
        "losses": np.array(losses),
        "theirs": hg.train(problem, {"lr": theirs}, seed=seed).value,
    }


@stage
def learned(seed, rule, rows, batch, epochs, l2, starts):
    """The validation loss and the learning rate of each step, from each start."""
    problem, _, _ = task(seed, rule, rows, batch, epochs, l2)
    method = hg.online.HypergradientDescent(rate=BETA[rule])
    runs = [hg.online.adapt(problem, {"lr": lr}, method, seed=seed) for lr in starts]
    return {"losses": np.array([r.value for r in runs]), "traces": np.stack([r.trace["lr"] for r in runs])}


@stage
def by_hand(seed, rule, rows, batch, epochs, l2, theirs):
    """Largest relative distance of learning rates and losses from those by hand in NumPy; also with a hidden layer."""
    found = []
    for hidden, length in (((), epochs), ((20,), 1)):
        problem, train, batches = task(seed, rule, rows, batch, length, l2, hidden)
        ours = hg.online.adapt(problem, {"lr": theirs}, hg.online.HypergradientDescent(BETA[rule]), seed=seed)
        first = hg.train(problem, {"lr": 0.0}, seed=seed).params
        found.append(agreement(ours, first, train, batches, (theirs, BETA[rule]), rule, l2=l2))
    return {key: max(each[key] for each in found) for key in found[0]}


@quantities
def summary(seed, fixed, learned, by_hand, starts, theirs):
    """For each seed."""
    at = starts.index(theirs)
    found = {}
    for rule in ("sgd", "nesterov", "adam"):
        found[f"{rule}_plain"] = fixed[rule]["theirs"]
        found[f"{rule}_hd"] = float(learned[rule]["losses"][at])
        found[f"{rule}_gain"] = found[f"{rule}_hd"] / found[f"{rule}_plain"]
        best = fixed[rule]["losses"].min()
        found[f"{rule}_over_grid"] = float(learned[rule]["losses"].max() / best)
    traces = learned["sgd"]["traces"]
    peak = traces.max(axis=1)
    found["rises"] = float(np.min(peak / traces[:, 0].clip(1e-12)))
    found["falls"] = float(np.max(traces[:, -1] / peak))
    found["peak_at"] = float(np.mean(traces.argmax(axis=1)) / traces.shape[1])
    found["by_hand_lr"] = max(of["lr"] for of in by_hand.values())
    found["by_hand_loss"] = max(of["loss"] for of in by_hand.values())
    return found


@table
def losses(fixed, learned, starts, theirs):
    """Validation losses, mean of the seeds, theirs beside ours."""
    rows, at = [], starts.index(theirs)
    for rule, name in NAMES.items():
        plain, hd = PUBLISHED.get(rule, ("", ""))
        of = [(fixed[seed][rule], learned[seed][rule]["losses"]) for seed in fixed]
        row = {"optimiser": name, "plain, theirs": plain, "HD, theirs": hd}
        row["plain"] = round(float(np.mean([a["theirs"] for a, _ in of])), 4)
        row["HD"] = round(float(np.mean([b[at] for _, b in of])), 4)
        row["best of grid"] = round(float(np.mean([a["losses"].min() for a, _ in of])), 4)
        for number, lr in enumerate(starts):
            row[f"HD from {lr:g}"] = round(float(np.mean([b[number] for _, b in of])), 4)
        rows.append(row)
    return rows


@figure
def rates(canvas, fixed, learned, starts):
    """The learning rate of SGD on the way from each start (first seed), beside the best fixed one."""
    axes, seed = canvas.add_subplot(), min(learned)
    for lr, trace in zip(starts, learned[seed]["sgd"]["traces"], strict=True):
        axes.plot(np.arange(1, len(trace) + 1), trace, label=f"from {lr:g}", alpha=0.8)
    rate = fixed[seed]["sgd"]["rates"][fixed[seed]["sgd"]["losses"].argmin()]
    axes.axhline(rate, color="0.4", ls="--", label="best fixed rate of a grid")
    axes.set(xlabel="training step", ylabel="learning rate")
    axes.set_title("SGD with hypergradient descent, β = 0.001")
    axes.set_xscale("log")
    axes.legend()


@figure
def sensitivity(canvas, fixed, learned, starts):
    """Validation loss over the learning rate that is fixed or started from (mean of the seeds)."""
    axes = canvas.add_subplot()
    for number, rule in enumerate(("sgd", "nesterov", "adam")):
        grid = np.mean([fixed[seed][rule]["losses"] for seed in fixed], axis=0)
        axes.plot(fixed[min(fixed)][rule]["rates"], grid, f"C{number}-", label=f"{NAMES[rule]}, fixed")
        found = np.mean([learned[seed][rule]["losses"] for seed in learned], axis=0)
        label = f"{NAMES[rule]}, started there and learned"
        axes.plot(starts[1:], found[1:], f"C{number}o--", label=label)
        axes.axhline(PUBLISHED[rule][1], color=f"C{number}", ls=":", label=f"{NAMES[rule]}, learned: paper")
    axes.set(xlabel="learning rate", ylabel="validation loss [nats]", xscale="log", ylim=(0.2, 2.0))
    axes.legend(fontsize=7, ncols=3, loc="upper center")
