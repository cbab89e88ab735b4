"""Bertrand et al. (2020, 2021): the weighted lasso, whose penalties, one a feature, are learned on validation rows.

Notation as in weighted.py: weights w, penalties a_j.
"""

import itertools

import numpy as np
from kit import sparse
from kit.outer import adam
from weighted import by_all_weights, closed_form, error, exact, problem, sample

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage


def apart(a, b):
    """The largest difference of two hypergradients, over the largest entry."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


@stage
def learned(seed, features, train, valid, test, informative, snr, correlation, outer, lr, steps):
    """The lasso with the best penalty of 100, then Adam from there on the logarithms of all penalties."""
    parts, truth = sample(seed, features, (train, valid, test), informative, snr, correlation)
    top = np.max(np.abs(parts[0]["x"].T @ parts[0]["y"])) / train
    penalties = top * np.geomspace(0.99, 1e-2, 100)
    grid = [sparse.weights(parts[0]["x"], parts[0]["y"], a) for a in penalties]
    choice = int(np.argmin([error(w, parts[1]) for w in grid]))
    start = np.full(features, np.log(penalties[choice]))
    task, errors = problem(*parts[:2], steps), []

    def value_and_gradient(u, step):
        result = hg.hypergradient(task, {"a": np.exp(u)}, hg.Implicit(), curve=0)
        if step in (0, outer):
            errors.append(apart(result.hypergradient["a"], closed_form(*parts[:2], np.exp(u))))
        return result.value, result.hypergradient["a"] * np.exp(u)

    point, values = adam(value_and_gradient, start, outer, lr)
    found = {"errors": errors, "values": values, "penalties": np.exp(point), "start": np.exp(start[0])}
    for name, w in (("lasso", grid[choice]), ("weighted", exact(parts[0], np.exp(point)))):
        found[name] = {
            "valid": error(w, parts[1]),
            "test": error(w, parts[2]),
            "estimation": float(np.linalg.norm(w - truth)),
            "support": int(np.count_nonzero(w)),
            "w": w,
        }
    return found | {"truth": truth}


@stage
def modes(seed, small, small_steps, informative, snr, correlation):
    """The hypergradient of a small problem by four modes: largest distance of two, and to the closed form."""
    features, count = small
    (train, valid), _ = sample(seed, features, (count, count), informative, snr, correlation)
    task = problem(train, valid, small_steps)
    top = np.max(np.abs(train["x"].T @ train["y"])) / count
    penalties = top * np.random.default_rng([seed, 6]).uniform(0.05, 0.3, features)
    methods = {"forward": hg.Forward(), "reverse": hg.Reverse(), "restricted": hg.Implicit()}
    results = {name: hg.hypergradient(task, {"a": penalties}, m, curve=0) for name, m in methods.items()}
    found = {name: result.hypergradient["a"] for name, result in results.items()}
    found["implicit"] = by_all_weights(train, valid, penalties, results["restricted"].params["w"])
    truth = closed_form(train, valid, penalties)
    pairs = itertools.combinations(found.values(), 2)
    return {
        "apart": max(apart(a, b) for a, b in pairs),
        "error": max(apart(g, truth) for g in found.values()),
    }


@quantities
def summary(seed, learned, modes):
    """For each seed, and number of validation rows."""
    found = {}
    for valid, run in learned.items():
        lasso, weighted = run["lasso"], run["weighted"]
        for name in ("valid", "test", "estimation"):
            found[f"{name}_ratio_{valid}"] = weighted[name] / lasso[name]
        found[f"better_{valid}"] = weighted["test"] < lasso["test"]
        found[f"lasso_support_{valid}"] = lasso["support"]
        found[f"weighted_support_{valid}"] = weighted["support"]
    return found | {
        "modes_apart": modes["apart"],
        "modes_error": modes["error"],
        "hypergradient_error": max(max(run["errors"]) for run in learned.values()),
    }


@figure
def curves(canvas, learned):
    """The validation error over the outer steps (lines), and the test error before and after (points)."""
    parts = canvas.subplots(1, 2, sharey=True)
    for axes, valid in zip(parts, next(iter(learned.values())), strict=True):
        for seed, runs in learned.items():
            found = runs[valid]
            (line,) = axes.plot(found["values"], label=f"seed {seed}")
            ends = [found["lasso"]["test"], found["weighted"]["test"]]
            axes.plot([0, len(found["values"]) - 1], ends, "o:", color=line.get_color())
        axes.plot([], [], color="grey", label="validation rows")
        axes.plot([], [], "o:", color="grey", label="test rows, first and last")
        axes.set(xlabel="step on the 1,000 penalties", title=f"{valid} validation rows", ylim=(0.0, None))
    parts[0].set(ylabel="mean squared error (step 0: lasso)")
    parts[1].legend(fontsize="small", loc="lower left")
