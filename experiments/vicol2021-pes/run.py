"""Persistent evolution strategies on influence balancing: Vicol, Metz & Sohl-Dickstein 2021, section 5.

Notation as in influence.py: state s, parameter theta, loss F.
"""

import numpy as np
from influence import closed_form, problem, slope_of, system

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

THETA = 0.5


@stage
def exact(units, positive, steps, windows):
    """The derivative in closed form, by reverse mode, and by reverse mode truncated to windows."""
    value, slope = closed_form(units, positive, steps, THETA)
    ours, reverse, _ = slope_of(problem(units, positive, steps, steps), THETA)
    cut = [slope_of(problem(units, positive, steps, steps, k), THETA)[1] for k in windows]
    return {"value": value, "slope": slope, "our_value": ours, "reverse": reverse, "truncated": cut}


@stage
def estimates(seed, units, positive, steps, window, sigma, pairs):
    """Mean and standard error of persistent evolution strategies, and of those that start each window anew."""
    whole = problem(units, positive, steps, steps)
    method = hg.Evolution(sigma=sigma, pairs=pairs, unroll=window, seed=seed)
    _, persistent, result = slope_of(whole, THETA, method)
    a, u = system(units, positive)
    s, means, errors = np.ones(units), [], []
    for number in range(steps // window):
        part = problem(units, positive, window, steps, first=s)
        method = hg.Evolution(sigma=sigma, pairs=max(pairs // 10, 2), seed=1000 * seed + number)
        _, mean, found = slope_of(part, THETA, method)
        means.append(mean)
        errors.append(float(found.standard_error["shift"]))
        for _ in range(window):
            s = a @ s + THETA * u
    return {
        "persistent": persistent,
        "persistent_error": float(result.standard_error["shift"]),
        "truncated": float(np.sum(means)),
        "truncated_error": float(np.linalg.norm(errors)),
    }


@stage
def descents(seed, units, positive, steps, window, sigma, iterations, lr):
    """theta <- theta - lr g / (1 + |g|), g from each kind of gradient: the losses on the way."""
    methods = {
        "whole run": (None, hg.Reverse()),
        "truncated": (window, hg.Reverse()),
        "persistent ES": (None, hg.Evolution(sigma=sigma, pairs=4, unroll=window, seed=seed)),
    }
    found = {}
    for name, (cut, method) in methods.items():
        task, theta, losses = problem(units, positive, steps, steps, cut), THETA, []
        for _ in range(iterations):
            value, slope, _ = slope_of(task, theta, method)
            losses.append(value)
            theta -= lr * slope / (1.0 + abs(slope))
        found[name] = losses
    return found


@quantities
def summary(seed, steps, window, windows, exact, estimates, descents):
    """For each seed."""
    truth, e = exact["slope"], estimates
    return {
        "persistent_ratio": e["persistent"] / truth,
        "persistent_z": abs(e["persistent"] - truth) / e["persistent_error"],
        "truncated_es_ratio": e["truncated"] / truth,
        "truncated_es_z": abs(e["truncated"] - truth) / e["truncated_error"],
        "truncated_ratio": exact["truncated"][windows.index(window)] / truth,
        "descent_persistent": descents["persistent ES"][-1] / descents["persistent ES"][0],
        "descent_truncated": descents["truncated"][-1] / descents["truncated"][0],
        "value_error": abs(exact["our_value"] - exact["value"]) / exact["value"],
        "slope_error": abs(exact["reverse"] - truth) / abs(truth),
    }


@table
def windows_and_slopes(windows, exact):
    """The derivative truncated to windows of K steps, over that of the whole run."""
    pairs = zip(windows, exact["truncated"], strict=True)
    return [{"K": k, "truncated / exact": f"{slope / exact['slope']:.4f}"} for k, slope in pairs]


@figure
def bias(canvas, window, windows, exact, estimates):
    """Derivatives by the length of the window."""
    axes = canvas.add_subplot()
    axes.axhline(exact["slope"], color="black", linestyle="--", label="whole run, closed form")
    axes.semilogx(windows, exact["truncated"], "C1o-", label="reverse mode, truncated")
    for name, colour, label in (("truncated", "C3", "truncated ES"), ("persistent", "C0", "persistent ES")):
        for number, found in enumerate(estimates.values()):
            at, size = window * (0.94 + 0.06 * number), 2.0 * found[f"{name}_error"]
            once = None if number else f"{label}, ± 2 s.e."
            axes.errorbar(at, found[name], size, color=colour, fmt="s", label=once)
    axes.axhline(0.0, color="0.7", linewidth=0.8)
    axes.set(xlabel="steps a window, K", ylabel="dF/dθ at θ = 0.5")
    axes.legend(fontsize="small")


@figure
def descending(canvas, descents):
    """The loss along descents on theta."""
    axes = canvas.add_subplot()
    colours = {"whole run": "black", "truncated": "C1", "persistent ES": "C0"}
    for number, found in enumerate(descents.values()):
        for name, losses in found.items():
            axes.semilogy(losses, color=colours[name], label=None if number else name)
    axes.set(xlabel="step on θ", ylabel="loss F(θ)")
    axes.legend()
