"""Pedregosa (2016), "Hyperparameter optimization with approximate gradient": HOAG, algorithm 1 and section 4.

Notation: h(w, u) = mean log(1 + exp(-y xw)) + exp(u)/2 |w|^2 on training rows, u = log alpha; F(u) = the mean logistic
loss of argmin_w h on validation rows; e_k the tolerance of outer step k.
"""

import numpy as np
from kit import logistic
from kit.logistic import newton, rows
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table


def problem(train, valid):
    """What is differentiated. Training is elsewhere: one step of length 0 stays at the weights that it is given."""

    def inner_loss(params, hparams, batch):
        data = {"x": batch["rows"].T, "y": batch["y"]}
        return logistic.loss(params["w"], data) + 0.5 * np.exp(hparams["u"]) * np.sum(params["w"] ** 2)

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": hparams["w"]},
        inner_loss=inner_loss,
        outer_loss=lambda params, hparams, data: logistic.loss(params["w"], data | {"x": data["rows"].T}),
        train={"rows": train["x"].T, "y": train["y"]},
        valid={"rows": valid["x"].T, "y": valid["y"]},
        optimizer=hg.optim.SGD(lr=0.0),
        steps=1,
    )


class Inner:
    """L-BFGS on h, started from the last fit: counts evaluations, ends where the gradient's norm is small enough."""

    def __init__(self, train):
        self.w, self.count, self.missed = np.zeros(len(train["x"])), 0, 0.0
        value = hg.value_and_grad(lambda w, u: logistic.loss(w, train) + 0.5 * np.exp(u) * np.sum(w**2))
        self._value = hg.compile(value)

    def norm(self, u):
        """Of the gradient at the present weights."""
        return float(np.linalg.norm(self._value(self.w, u)[1]))

    def fit(self, u, tolerance):
        """Improve the weights."""
        norm = np.inf

        def value(w):
            nonlocal norm
            found, gradient = self._value(w, u)
            self.count, norm, self.w = self.count + 1, float(np.linalg.norm(gradient)), w.copy()
            if norm <= tolerance:
                raise StopIteration
            return float(found), gradient

        try:
            options = {"ftol": 0.0, "gtol": 0.0, "maxfun": 2000, "maxiter": 2000}
            minimize(value, self.w, jac=True, method="L-BFGS-B", options=options)
        except StopIteration:
            pass
        self.missed = max(self.missed, norm / tolerance)


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
    task, errors = problem(train, valid), []
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
        inner, best = Inner(train), np.inf
        scale = inner.norm(0.0)
        for u in np.linspace(*domain, grid)[::-1]:
            inner.fit(u, tolerance * scale)
            best = min(best, float(logistic.loss(inner.w, valid)))
        found[name] = {"gradients": inner.count, "missed": inner.missed, "value": best}
    return found


@stage
def search(seed, dataset, decrease, domain, start, first, exact, iterations):
    """HOAG: u, inner gradients and Hessian products so far, at each outer step."""
    train, valid = rows(dataset, seed)
    task, inner, warm = problem(train, valid), Inner(train), {}
    scale, u, products = inner.norm(start), start, 0
    curvature, last, moved = None, None, 0.0
    path = []
    for k in range(1, iterations + 1):
        decay = {"exact": exact, "quadratic": first / k**2, "cubic": first / k**3}
        tolerance = max(decay.get(decrease, first * 0.9 ** (k - 1)), exact)
        inner.fit(u, tolerance * scale)
        method = hg.Implicit(solver="cg", tolerance=tolerance, estimate=False, warm_start=warm)
        found = hg.hypergradient(task, {"u": u, "w": inner.w}, method, wrt="u", curve=0)
        products += found.stats["solver_products"]
        path.append([u, inner.count, products])
        slope = float(found.hypergradient["u"])
        if curvature is None:
            curvature = abs(slope) if abs(slope) > 1e-3 else 1.0  # the first step is of length 1
        elif found.value - tolerance <= last[0] + last[1] * (1.0 + moved) - 0.5 * curvature * moved**2:
            curvature *= 0.95
        elif found.value > last[0]:
            curvature *= 2.0
        before, u = u, float(np.clip(u - slope / curvature, *domain))
        last, moved = (found.value, tolerance), abs(u - before)
    return {"path": path, "missed": inner.missed}


def judged(seed, least, search):
    """For each data set and decrease: the excess of F at each step, work so far, and work until within 0.1 %."""
    found = {}
    for dataset, runs in search[seed].items():
        truth = least[seed][dataset]
        for decrease, run in runs.items():
            u, gradients, products = np.array(run["path"]).T
            excess = np.interp(u, truth["u"], truth["F"]) / truth["least"] - 1.0
            work, near = gradients + products, excess <= 1e-3
            stays = np.logical_and.accumulate(near[::-1])[::-1]
            found[dataset, decrease] = {
                "excess": excess,
                "work": work,
                "until": float(work[near.argmax()]) if near.any() else np.inf,
                "for good": float(work[stays.argmax()]) if stays.any() else np.inf,
                "gradients": gradients,
                "distance": abs(u[-1] - truth["best"]),
            }
    return found


@quantities
def summary(seed, least, search, grid_search, derivative):
    """For each seed."""
    least, search = {seed: least}, {seed: search}
    found, sets = judged(seed, least, search), list(grid_search)
    errors = np.max(list(derivative.values()), axis=0)
    fits = [run for runs in search[seed].values() for run in runs.values()]
    fits += [run for runs in grid_search.values() for run in runs.values()]

    def until(name, what="until"):
        return np.array([found[dataset, name][what] for dataset in sets])

    def total(name):
        return np.array([found[dataset, name]["work"][-1] for dataset in sets])

    grids = {
        name: np.array([grid_search[dataset][name]["gradients"] for dataset in sets])
        for name in ("exact", "loose")
    }
    best = np.array([grid_search[d]["exact"]["value"] / least[seed][d]["least"] for d in sets])
    order = (until("exponential") <= until("quadratic")) & (until("quadratic") <= until("exact"))
    names = ("exact", "quadratic", "cubic", "exponential")
    good = {name: until(name, "for good") for name in names}
    return {
        "hypergradient_error": errors[0],
        "value_error": errors[1],
        "missed": max(run["missed"] for run in fits),
        **{f"distance_{name}": max(found[d, name]["distance"] for d in sets) for name in names},
        "ordered": bool(order.all() and np.isfinite(until("exact")).all()),
        "ordered_for_good": bool(np.all(good["exponential"] <= good["quadratic"])),
        "quadratic_for_good": float(np.max(good["quadratic"] / good["exact"])),
        "cubic_for_good": float(np.max(good["cubic"] / good["exact"])),
        "exponential_for_good": float(np.max(good["exponential"] / good["exact"])),
        "quadratic_to_exact": float(np.mean(until("quadratic") / until("exact"))),
        "exponential_to_exact": float(np.mean(until("exponential") / until("exact"))),
        "to_grid": float(np.max(total("quadratic") / grids["exact"])),
        "exponential_to_grid": float(np.max(total("exponential") / grids["exact"])),
        "to_loose_grid": float(np.mean(total("quadratic") / grids["loose"])),
        "grid_excess": float(np.mean(best - 1.0)),
        "excess_exponential": float(np.mean([found[d, "exponential"]["excess"][-1] for d in sets])),
    }


@table
def work(search, least, grid_search):
    """Of the first seed: gradients and products until within 0.1 % of the least F, and of the whole search."""
    seed = next(iter(search))
    return [
        {
            "data": dataset,
            "tolerance": decrease,
            "until 0.1 %": f["until"],
            "for good": f["for good"],
            "whole search": f["work"][-1],
            "of these gradients": f["gradients"][-1],
            "|u - u*|": round(float(f["distance"]), 4),
            "grid, exact": grid_search[seed][dataset]["exact"]["gradients"],
            "grid, to 1e-4": grid_search[seed][dataset]["loose"]["gradients"],
        }
        for (dataset, decrease), f in judged(seed, least, search).items()
    ]


@figure
def curves(canvas, search, least, grid_search):
    """Excess of F against inner work, for the first data set and seed."""
    seed = next(iter(search))
    axes = canvas.add_subplot()
    name = next(iter(search[seed]))
    for (dataset, decrease), f in judged(seed, least, search).items():
        if dataset == name:
            axes.plot(f["work"], np.maximum(f["excess"], 1e-8), ".-", label=decrease)
    axes.axvline(
        grid_search[seed][name]["exact"]["gradients"], color="grey", ls="--", label="20-point grid, exact"
    )
    axes.axhline(1e-3, color="grey", ls=":", label="0.1 %")
    axes.set(
        xlabel="inner gradients and Hessian products", ylabel="validation loss above its least, relative"
    )
    axes.set(xscale="log", yscale="log", title=name)
    axes.legend()
