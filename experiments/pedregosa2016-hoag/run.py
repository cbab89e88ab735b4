"""Pedregosa (2016), "Hyperparameter optimization with approximate gradient": HOAG, algorithm 1 and section 4.

Notation as in hoag.py; u = log alpha.
"""

import hoag
import numpy as np
from kit import logistic
from kit.logistic import newton, rows
from scipy.interpolate import CubicSpline

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table


@stage
def least(seed, dataset, domain, points):
    """F on a fine grid, each penalty warm-started by the one above: the least of its spline, and where."""
    train, valid = rows(dataset, seed)
    at, values, w = np.linspace(*domain, points)[::-1], [], np.zeros(len(train["x"]))
    for u in at:
        w, _ = newton(train, u, w)
        values.append(float(logistic.loss(w, valid)))
    fine = np.linspace(*domain, 20001)
    spline = CubicSpline(at[::-1], values[::-1])(fine)
    return {
        "u": fine[::10],
        "F": spline[::10],
        "best": float(fine[spline.argmin()]),
        "least": float(spline.min()),
    }


@stage
def derivative(seed, dataset):
    """Errors of the implicit hypergradient and of F at the exact minimum, against those written by hand."""
    train, valid = rows(dataset, seed)
    task, errors = hoag.problem(train, valid), []
    for u in (-2.0, -4.0):
        w, value, slope = logistic.derivative(train, valid, u)
        found = hg.hypergradient(task, {"u": u, "w": w}, hg.Implicit(), wrt="u")
        errors.append([abs(found.hypergradient["u"] / slope - 1.0), abs(found.value / value - 1.0)])
    return np.max(errors, axis=0)


@stage
def grid_search(seed, dataset, domain, grid, exact):
    """Inner gradients of a grid, from the largest penalty on, to two tolerances."""
    train, valid = rows(dataset, seed)
    found = {}
    for name, tolerance in (("exact", exact), ("loose", 1e-4)):
        inner, best = hoag.Inner(train), np.inf
        scale = inner.norm(0.0)
        for u in np.linspace(*domain, grid)[::-1]:
            inner.fit(u, tolerance * scale)
            best = min(best, float(logistic.loss(inner.w, valid)))
        found[name] = {"gradients": inner.count, "missed": inner.missed, "value": best}
    return found


@stage
def search(seed, dataset, decrease, domain, start, first, exact, iterations):
    """HOAG: u, inner gradients and Hessian products so far, at each outer step."""
    return hoag.descend(*rows(dataset, seed), decrease, domain, start, first, exact, iterations)


@quantities
def summary(seed, least, search, grid_search, derivative):
    """For each seed; `of` gives an array with an entry for each data set."""
    sets, names = list(search), ("exact", "quadratic", "cubic", "exponential")
    found = {(d, name): hoag.judged(least[d], search[d][name]) for d in sets for name in names}
    errors = np.max(list(derivative.values()), axis=0)
    fits = [run for runs in (*search.values(), *grid_search.values()) for run in runs.values()]

    def of(name, what):
        return np.array([found[d, name][what] for d in sets])

    def grids(tolerance):
        return np.array([grid_search[d][tolerance]["gradients"] for d in sets])

    until, good, whole = ({n: of(n, key) for n in names} for key in ("until", "for good", "whole"))
    order = (until["exponential"] <= until["quadratic"]) & (until["quadratic"] <= until["exact"])
    best = np.array([grid_search[d]["exact"]["value"] / least[d]["least"] for d in sets])
    return {
        "hypergradient_error": errors[0],
        "value_error": errors[1],
        "missed": max(run["missed"] for run in fits),
        **{f"distance_{name}": float(of(name, "distance").max()) for name in names},
        "ordered": bool(order.all() and np.isfinite(until["exact"]).all()),
        "ordered_for_good": bool(np.all(good["exponential"] <= good["quadratic"])),
        **{f"{name}_for_good": float(np.max(good[name] / good["exact"])) for name in names[1:]},
        "quadratic_to_exact": float(np.mean(until["quadratic"] / until["exact"])),
        "exponential_to_exact": float(np.mean(until["exponential"] / until["exact"])),
        "to_grid": float(np.max(whole["quadratic"] / grids("exact"))),
        "exponential_to_grid": float(np.max(whole["exponential"] / grids("exact"))),
        "to_loose_grid": float(np.mean(whole["quadratic"] / grids("loose"))),
        "grid_excess": float(np.mean(best - 1.0)),
        "excess_exponential": float(np.mean([found[d, "exponential"]["excess"][-1] for d in sets])),
    }


@table
def work(search, least, grid_search):
    """Of the first seed: gradients and products until within 0.1 % of the least F, and of the whole search."""
    seed, made = next(iter(search)), []
    for dataset, runs in search[seed].items():
        grid = grid_search[seed][dataset]
        for decrease, run in runs.items():
            f = hoag.judged(least[seed][dataset], run)
            made.append(
                {
                    "data": dataset,
                    "tolerance": decrease,
                    "until 0.1 %": f["until"],
                    "for good": f["for good"],
                    "whole search": f["whole"],
                    "of these gradients": f["gradients"][-1],
                    "|u - u*|": round(float(f["distance"]), 4),
                    "grid, exact": grid["exact"]["gradients"],
                    "grid, to 1e-4": grid["loose"]["gradients"],
                }
            )
    return made


@figure
def curves(canvas, search, least, grid_search):
    """Excess of F against inner work, for the first data set and seed."""
    seed = next(iter(search))
    name, runs = next(iter(search[seed].items()))
    axes = canvas.add_subplot()
    for decrease, run in runs.items():
        f = hoag.judged(least[seed][name], run)
        axes.plot(f["work"], np.maximum(f["excess"], 1e-8), ".-", label=decrease)
    work = grid_search[seed][name]["exact"]["gradients"]
    axes.axvline(work, color="grey", ls="--", label="20-point grid, exact")
    axes.axhline(hoag.NEAR, color="grey", ls=":", label="0.1 %")
    xlabel, ylabel = "inner gradients and Hessian products", "validation loss above its least, relative"
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log", yscale="log", title=name)
    axes.legend()
