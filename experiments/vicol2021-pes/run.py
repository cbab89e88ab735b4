"""Persistent evolution strategies on influence balancing: Vicol, Metz & Sohl-Dickstein 2021, section 5.

Notation: s_{t+1} = A s_t + theta u, A = (I + superdiagonal of ones) / 2, s_0 = 1; u = +1 for the first p units, -1 for
the others; F(theta) = 1/T sum_{t=1..T} (s_t[0] - 1)^2 / 2. theta moves s[0] up at first, and down in the long run.
"""

import numpy as np

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

THETA = 0.5


def system(units, positive):
    """A and u."""
    return 0.5 * (np.eye(units) + np.eye(units, k=1)), np.where(np.arange(units) < positive, 1.0, -1.0)


def problem(units, positive, steps, total, window=None, first=None):
    """The run as an unrolled problem; theta = THETA + shift.

    Args:
        total: T, by which the sum of the losses is divided.
        window: the state is held fixed in derivatives every so many steps.
        first: the state before the first step; None: ones.
    """
    a, u = system(units, positive)

    def init(hparams, rng):
        return {"s": np.ones(units) if first is None else first, "sum": np.zeros(())}

    def step(state, hparams, batch, t):
        s = state["s"]
        if window is not None:
            s = np.where(t % window == 0, hg.stop_gradient(s), s)
        s = s @ a.T + (hparams["theta"] + hparams["shift"]) * u
        return {"s": s, "sum": state["sum"] + 0.5 * (s[0] - 1.0) ** 2 / total}

    return hg.UnrolledProblem(init=init, step=step, outer_loss=lambda s, h, data: s["sum"], steps=steps)


def slope_of(task, theta, method=None):
    """Value, derivative by theta and the whole result. (shift is 0, so that it is perturbed by sigma eps.)"""
    hparams = {"theta": float(theta), "shift": 0.0}
    result = hg.hypergradient(task, hparams, method=method, wrt="shift")
    return result.value, float(result.hypergradient["shift"]), result


def closed_form(units, positive, steps, theta):
    """F and dF/dtheta: s_t[0] = c_t + d_t theta."""
    a, u = system(units, positive)
    c, d, value, slope = np.ones(units), np.zeros(units), 0.0, 0.0
    for _ in range(steps):
        c, d = a @ c, a @ d + u
        gap = c[0] + d[0] * theta - 1.0
        value, slope = value + 0.5 * gap**2 / steps, slope + gap * d[0] / steps
    return value, slope


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
    _, persistent, result = slope_of(
        whole, THETA, hg.Evolution(sigma=sigma, pairs=pairs, unroll=window, seed=seed)
    )
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
            axes.errorbar(
                at, found[name], size, color=colour, fmt="s", label=None if number else f"{label}, ± 2 s.e."
            )
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
