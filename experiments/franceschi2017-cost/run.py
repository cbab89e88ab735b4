"""Cost of forward and reverse mode (Franceschi et al. 2017): time and memory by hyperparameters and by steps."""

import numpy as np
from kit import reference, timing
from matplotlib.ticker import LogLocator, NullLocator
from network import by_hand, point, problem

import hypergrad as hg
from hypergrad import tree
from hypergrad.experiments import figure, quantities, stage, table
from hypergrad.hypergradients.prepare import unrolled

METHODS = {"forward": hg.Forward(), "reverse": hg.Reverse()}


def line(x, y):
    """R² of the least-squares line of y on x; 1 for a constant."""
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    spread = np.sum((y - np.mean(y)) ** 2)
    return float(1.0 - np.sum(residual**2) / spread) if spread > 0.0 else 1.0


@stage
def counted(seed, rows, counts, lengths, lr, momentum):
    """For each number of hyperparameters and of steps: what each mode counts, and how far the two are apart."""
    found = {name: {"steps": [], "work": [], "bytes": []} for name in METHODS}
    apart = 0.0
    for count in counts:
        of = {name: {key: [] for key in values} for name, values in found.items()}
        for steps in lengths:
            task, h = problem(seed, rows, count, steps, lr, momentum), point(seed, count)
            results = {name: hg.hypergradient(task, h, method=method) for name, method in METHODS.items()}
            for name, result in results.items():
                stats = result.stats
                runs = stats.get("tangents", 1)  # jvps of each step; reverse mode takes one vjp
                of[name]["steps"].append(stats["forward_steps"] + runs * steps)
                of[name]["work"].append(METHODS[name].plan(unrolled(task, h, 0), [True]).factor * steps)
                of[name]["bytes"].append(stats["bytes"])
            one, other = (result.hypergradient["log_l2"] for result in results.values())
            apart = max(apart, float(np.linalg.norm(one - other) / np.linalg.norm(other)))
        for name, values in of.items():
            for key, row in values.items():
                found[name][key].append(row)
    return {"apart": apart, **tree.map(float, found)}


@stage
def checked(seed, rows, counts, lengths, lr, momentum):
    """The largest problem against training written by hand."""
    setting = (seed, rows, counts[-1], lengths[-1], lr, momentum)
    task, h = problem(*setting), point(seed, counts[-1])
    found = [hg.hypergradient(task, h, method=method) for method in METHODS.values()]
    errors = [
        reference.agreement(r.hypergradient, r.value, lambda h: by_hand(h, *setting), h, seed) for r in found
    ]
    return {key: max(error[key] for error in errors) for key in errors[0]}


@stage(alone=True)
def measured(rows, counts, lengths, lr, momentum, repeats):
    """Core-seconds of a hypergradient, the fastest of `repeats`, by hyperparameters (most steps)."""

    def seconds(method, count):
        task, h = problem(0, rows, count, lengths[-1], lr, momentum), point(0, count)
        call = lambda: hg.hypergradient(task, h, method=method)
        return timing.fastest(call, repeats + 1)[0]  # the first also compiles

    return {name: [seconds(method, count) for count in counts] for name, method in METHODS.items()}


@quantities
def summary(seed, counted, checked, counts, lengths):
    """By hyperparameters at the most steps, by steps at the most hyperparameters; counted, so that no clock is read."""
    forward = {key: np.array(value) for key, value in counted["forward"].items()}
    reverse = {key: np.array(value) for key, value in counted["reverse"].items()}
    flat = float(np.max(np.ptp(forward["bytes"], axis=1)) / np.min(forward["bytes"]))
    grown = reverse["bytes"][-1, -1] - reverse["bytes"][-1, 0]
    return {
        **checked,
        "forward_vs_reverse": counted["apart"],
        "forward_steps_per_hyperparameter": forward["steps"][-1, -1] / (counts[-1] * lengths[-1]),
        "forward_work_r2": line(counts, forward["work"][:, -1]),
        "forward_work_growth": forward["work"][-1, -1] / forward["work"][0, -1],
        "forward_bytes_spread_in_steps": flat,
        "forward_bytes_r2_in_hyperparameters": line(counts, forward["bytes"][:, -1]),
        "reverse_steps_per_step": reverse["steps"][-1, -1] / lengths[-1],
        "reverse_work_growth": reverse["work"][-1, -1] / reverse["work"][0, -1],
        "reverse_bytes_r2_in_steps": line(lengths, reverse["bytes"][-1]),
        "reverse_bytes_growth": grown / (reverse["bytes"][-1, 1] - reverse["bytes"][-1, 0]),
        "reverse_bytes_growth_in_hyperparameters": reverse["bytes"][-1, -1] / reverse["bytes"][0, -1],
    }


@quantities
def clock(measured, counts):
    """Measured, and so not gated."""
    return {
        "forward_seconds_r2": line(counts, np.array(measured["forward"])),
        "forward_seconds_growth": measured["forward"][-1] / measured["forward"][0],
        "reverse_seconds_growth": measured["reverse"][-1] / measured["reverse"][0],
    }


@table
def costs(counted, measured, counts, lengths):
    """By hyperparameters, at the most steps; counts of seed 0."""
    first = next(iter(counted.values()))
    return [
        {
            "mode": name,
            "hyperparameters": count,
            "step derivatives": first[name]["steps"][i][-1],
            "predicted training runs": first[name]["work"][i][-1] / lengths[-1],
            "bytes": first[name]["bytes"][i][-1],
            "core-seconds": measured[name][i],
        }
        for name in METHODS
        for i, count in enumerate(counts)
    ]


@figure
def modes(canvas, counted, measured, counts, lengths):
    """Time by hyperparameters, memory by steps."""
    left, right = canvas.subplots(1, 2)
    first = next(iter(counted.values()))
    for name, marker in zip(METHODS, "os", strict=True):
        seconds = 1e3 * np.array(measured[name])
        left.loglog(counts, seconds, marker=marker, label=f"{name} mode")
        right.loglog(lengths, np.array(first[name]["bytes"][-1]) / 2**20, marker=marker, label=f"{name} mode")
    left.set(xlabel="hyperparameters", ylabel="core-milliseconds", title=f"{lengths[-1]} steps")
    right.set(xlabel="steps", ylabel="memory, MiB", title=f"{counts[-1]} hyperparameters")
    for axes, ticks in ((left, counts), (right, lengths)):
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, ticks)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.legend()
