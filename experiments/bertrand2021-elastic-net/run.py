"""Bertrand et al. (2021), "Implicit differentiation for fast hyperparameter selection in non-smooth convex learning".

Both penalties of the elastic net with the least cross-validated error: by its derivatives, and by scikit-learn's
ElasticNetCV. Both are judged by exact fits (`kit.sparse`) on the same folds.
"""

from functools import partial

import numpy as np
from kit import sparse, timing
from sklearn.linear_model import ElasticNetCV

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table
from hypergrad.tasks import ElasticNetCriterion, find_penalty


def peer(x, y, cv, ratios):
    """ElasticNetCV with its defaults: 100 alphas for each l1_ratio, tolerance 1e-4."""
    return sparse.fitted(ElasticNetCV(cv=cv, l1_ratio=ratios), x, y)


def pair(alpha, ratio):
    """The penalties a1 and a2 of scikit-learn's alpha and l1_ratio."""
    return alpha * ratio, alpha * (1.0 - ratio)


@stage
def searched(seed, dataset, rows, features, ratios):
    """Both searches, and the error of both answers."""
    x, y = sparse.regression(dataset, seed, rows, features)
    cv = sparse.folds(seed)
    splits = list(cv.split(x))
    found, grid = find_penalty(ElasticNetCriterion(x, y, cv), None), peer(x, y, cv, ratios)
    theirs = float(grid.alpha_), float(grid.l1_ratio_)
    return {
        "ours": [found.alpha, found.l1_ratio],
        "value": float(np.mean(sparse.errors(x, y, splits, *pair(found.alpha, found.l1_ratio))[0])),
        "theirs": list(theirs),
        "grid_value": float(np.mean(sparse.errors(x, y, splits, *pair(*theirs))[0])),
        "tried": [[e.alpha, e.l1_ratio, e.value] for e in found.evaluations],
        "grid_points": grid.mse_path_[..., 0].size,
    }


@stage
def derivatives(seed, dataset, rows, features, places, steps):
    """Errors of the criterion's derivatives, and of the first fold's derivatives and error through FISTA."""
    x, y = sparse.regression(dataset, seed, rows, features)
    splits = list(sparse.folds(seed).split(x))
    criterion, found = ElasticNetCriterion(x, y, splits), []
    task = sparse.problem(x, y, *splits[0], hg.optim.ElasticNet("a1", "a2"), steps)

    def around(alpha, ratio):
        a1, a2 = pair(alpha, ratio)
        return [
            (lambda t: sparse.errors(x, y, splits, a1 + t, a2), 1e-4 * a1),
            (lambda t: sparse.errors(x, y, splits, a1, a2 + t), 1e-4 * a2),
        ]

    for fraction, ratio in places:
        alpha, by = sparse.off_kinks(fraction * criterion.alpha_max(ratio), partial(around, ratio=ratio))
        a1, a2 = pair(alpha, ratio)
        by_a1, by_a2 = by.mean(axis=1)
        by_hand = np.array([ratio * by_a1 + (1.0 - ratio) * by_a2, alpha * (by_a1 - by_a2)])
        ours = criterion.evaluate(alpha, ratio)
        trained = hg.hypergradient(task, {"a1": a1, "a2": a2}, hg.Implicit(), curve=0)
        engine = [trained.hypergradient["a1"], trained.hypergradient["a2"]]
        first = float(sparse.errors(x, y, splits[:1], a1, a2)[0][0])
        pairs = (([ours.by_alpha, ours.by_l1_ratio], by_hand), (engine, by[:, 0]))
        apart = [np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in pairs]
        found.append([*apart, abs(trained.value / first - 1.0)])
    return np.max(found, axis=0)


@stage(alone=True)
def times(rows, features, ratios, repeats):
    """Seconds of processor time of each search, taking turns."""
    x, y = sparse.regression("simulated", 42, rows, features)
    cv = sparse.folds(42)
    sides = {
        "hypergrad": lambda: find_penalty(ElasticNetCriterion(x, y, cv), None),
        "ElasticNetCV": lambda: peer(x, y, cv, ratios),
    }
    return timing.taking_turns(sides, repeats)


@quantities
def summary(seed, searched, derivatives):
    """For each seed."""
    return sparse.summary(searched, derivatives)


@quantities
def single(times):
    """What has one seed."""
    return {"speedup": float(np.median(times["ElasticNetCV"]) / np.median(times["hypergrad"]))}


@table
def penalties(searched, times):
    """What both found; seconds of processor time, for the simulated data of seed 42."""
    shown = lambda alpha, ratio: {"alpha": f"{alpha:.4f}", "l1_ratio": f"{ratio:.3f}"}
    return sparse.compared(searched, times, "ElasticNetCV", shown)


@figure
def tried(canvas, searched):
    """Where the search tried penalties, and the cross-validated error there; diabetes, first seed."""
    axes = canvas.add_subplot()
    found = next(iter(searched.values()))["diabetes"]
    alpha, ratio, value = np.array(found["tried"]).T
    excess = np.maximum(value / value.min() - 1.0, 1e-5)
    points = axes.scatter(alpha, ratio, c=excess, norm="log", cmap="viridis_r")
    axes.plot(*found["theirs"], "rx", ms=10, label="ElasticNetCV's choice")
    axes.plot(*found["ours"], "k+", ms=12, label="hypergrad's choice")
    canvas.colorbar(points, label="mean squared error over its least, minus 1")
    axes.set(xlabel="alpha", ylabel="l1_ratio", xscale="log", title="diabetes, 5 folds")
    axes.legend()
