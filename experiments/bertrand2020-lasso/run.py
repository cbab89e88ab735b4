"""Bertrand et al. (2020), "Implicit differentiation of Lasso-type models for hyperparameter optimization", sec. 4.1.

The penalty of the lasso with the least cross-validated error: by its derivative, and by scikit-learn's LassoCV. Both
are judged by exact fits (`kit.sparse`) on the same folds.
"""

import numpy as np
from kit import sparse, timing
from sklearn.linear_model import LassoCV

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table
from hypergrad.tasks import ElasticNetCriterion, find_penalty


def peer(x, y, cv):
    """LassoCV with its defaults: 100 alphas, tolerance 1e-4."""
    return sparse.fitted(LassoCV(cv=cv), x, y)


@stage
def searched(seed, dataset, rows, features):
    """Both searches, and the error of both answers."""
    x, y = sparse.regression(dataset, seed, rows, features)
    cv = sparse.folds(seed)
    splits = list(cv.split(x))
    found, grid = find_penalty(ElasticNetCriterion(x, y, cv)), peer(x, y, cv)
    theirs = float(grid.alpha_)
    return {
        "ours": [found.alpha],
        "value": float(np.mean(sparse.errors(x, y, splits, found.alpha)[0])),
        "theirs": [theirs],
        "grid_value": float(np.mean(sparse.errors(x, y, splits, theirs)[0])),
        "tried": [[e.alpha, e.value] for e in found.evaluations],
        "grid": np.stack([grid.alphas_, grid.mse_path_.mean(axis=1)], axis=1),
        "grid_points": len(grid.alphas_),
    }


@stage
def derivatives(seed, dataset, rows, features, fractions, steps):
    """Relative errors: of the criterion's derivative, and of the first fold's derivative and error through FISTA."""
    x, y = sparse.regression(dataset, seed, rows, features)
    splits = list(sparse.folds(seed).split(x))
    criterion, found = ElasticNetCriterion(x, y, splits), []
    task = sparse.problem(x, y, *splits[0], hg.optim.L1("alpha"), steps)
    around = lambda a: [(lambda t: sparse.errors(x, y, splits, a + t), 1e-5 * a)]
    for fraction in fractions:
        alpha, (by,) = sparse.off_kinks(fraction * criterion.alpha_max(), around)
        ours = criterion.evaluate(alpha).by_alpha
        trained = hg.hypergradient(task, {"alpha": alpha}, hg.Implicit(), curve=0)
        first = float(sparse.errors(x, y, splits[:1], alpha)[0][0])
        engine = trained.hypergradient["alpha"]
        found.append(
            [abs(ours / by.mean() - 1.0), abs(engine / by[0] - 1.0), abs(trained.value / first - 1.0)]
        )
    return np.max(found, axis=0)


@stage
def published(rows, features):
    """The least error in the setting of sparse-ho's example: no intercept."""
    x, y = sparse.regression("simulated", 42, rows, features)
    found = find_penalty(ElasticNetCriterion(x, y, sparse.folds(42), intercept=False))
    return {"value": found.value, "alpha": found.alpha}


@stage(alone=True)
def times(rows, features, repeats):
    """Seconds of processor time of each search, taking turns."""
    x, y = sparse.regression("simulated", 42, rows, features)
    cv = sparse.folds(42)
    sides = {
        "hypergrad": lambda: find_penalty(ElasticNetCriterion(x, y, cv)),
        "LassoCV": lambda: peer(x, y, cv),
    }
    return timing.taking_turns(sides, repeats)


@quantities
def summary(seed, searched, derivatives):
    """For each seed."""
    return sparse.summary(searched, derivatives)


@quantities
def single(published):
    """In the setting that the source's number is of."""
    return {"cv_mse_published": published["value"]}


@quantities
def speed(times):
    """Measured."""
    return {"speedup": float(np.median(times["LassoCV"]) / np.median(times["hypergrad"]))}


@table
def penalties(searched, times):
    """What both found; seconds of processor time, for the simulated data of seed 42."""
    return sparse.compared(searched, times, "LassoCV", lambda alpha: {"alpha": f"{alpha:.4f}"})


@figure
def path(canvas, searched):
    """The cross-validated error against alpha: the grid, and the points that the search tried."""
    axes = canvas.add_subplot()
    found = next(iter(searched.values()))["simulated"]
    grid, tried = found["grid"], np.array(found["tried"])
    largest, number = grid[:, 0].max(), np.arange(len(tried)) + 1
    axes.plot(grid[:, 0] / largest, grid[:, 1], ".-", color="grey", label="LassoCV, 100 alphas")
    order = axes.scatter(tried[:, 0] / largest, tried[:, 1], c=number, zorder=3, label="hypergrad")
    canvas.colorbar(order, label="order in which the search tried them")
    axes.set(xlabel="alpha / alpha_max", ylabel="mean squared error, 5 folds", xscale="log", yscale="log")
    axes.legend()
