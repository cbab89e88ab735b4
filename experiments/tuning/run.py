"""hypergrad's samplers beside multi-start L-BFGS-B, Optuna's TPE and random search."""

import numpy as np
from job import run
from methods import METHODS
from problems import BUDGETS, group_of, load
from summary import at, costs, incumbents, reached

from hypergrad.experiments import figure, quantities, stage, table

OWN, RIVALS = "hybrid", ("lbfgs", "random", "optuna-tpe")


@stage
def tuned(problem, method, seed, share):
    """What a method found on an instance; None where it is not suited or not installed."""
    try:
        instance = load(problem, seed)
        # a Gaussian process of values alone takes an hour at 1,005 dimensions
        if METHODS[method].unsuited(instance) or (
            method == "bayes-values" and instance.space.dimension > 100
        ):
            return None
        return run(problem, method, seed, share * BUDGETS[group_of(problem)])
    except ImportError:
        return None


@stage
def slopes(seed):
    """Hypergradients of the smallest training problem beside central differences, relative error."""
    problem = load("digits6", seed)
    rng = np.random.default_rng([seed, 1])
    start = problem.space.to_unit(problem.space.defaults())
    direction = 0.05 * rng.standard_normal(problem.space.dimension)

    def value(step):
        return problem.evaluate(problem.space.from_unit(start + step * direction)).value

    hparams = problem.space.from_unit(start)
    found = problem.space.gradient_to_unit(hparams, problem.evaluate(hparams, True).gradient) @ direction
    h = 1e-3
    expected = (8.0 * (value(h) - value(-h)) - (value(2 * h) - value(-2 * h))) / (12.0 * h)
    return abs(found - expected) / abs(expected)


def kept(by_seed):
    """The runs of a method on a problem."""
    return [run for run in by_seed.values() if run is not None]


def final(runs):
    """Median over seeds of the best value within the budget."""
    return float(np.median([at(run, run["budget"], "measured") for run in runs]))


def trained(tuned):
    """problem -> method -> runs, of the problems whose optimum nobody knows."""
    groups = {
        problem: {m: kept(runs) for m, runs in by.items() if kept(runs)} for problem, by in tuned.items()
    }
    return {problem: by for problem, by in groups.items() if next(iter(by.values()))[0]["optimum"] is None}


@quantities
def training(tuned, slopes):
    """Share of the budget at which Hybrid is where the best peer ends, and how far behind the better rival it ends."""
    found = {"slope_error": max(slopes.values())}
    for problem, by in trained(tuned).items():
        peers = [final(by[name]) for name in RIVALS if name in by]
        grid = np.unique(np.concatenate([costs(run, "measured") for run in by[OWN]]))
        there = [c for c in grid if np.median([at(run, c, "measured") for run in by[OWN]]) <= min(peers)]
        found[f"share_{problem}"] = float(there[0] / by[OWN][0]["budget"]) if there else float("inf")
        better = min(final(by[name]) for name in ("lbfgs", "bayes-values") if name in by)
        scale = max(final(runs) for runs in by.values()) - min(final(runs) for runs in by.values())
        found[f"behind_{problem}"] = max(final(by[OWN]) - better, 0.0) / scale
    return found


@quantities
def synthetic(tuned):
    """Share of the seeds on which Hybrid is at the target within 20 evaluations."""
    found = {}
    for problem, by in tuned.items():
        runs = kept(by[OWN])
        if runs[0]["optimum"] is not None:
            level = runs[0]["optimum"] + runs[0]["target"]
            found[f"solved_{problem}"] = float(np.mean([reached(run, level, "unit") <= 20.0 for run in runs]))
    return found


@table
def finals(tuned):
    """Median final values; regret where the optimum is known."""
    return [
        {
            "problem": problem,
            "method": method,
            "seeds": len(runs),
            "final, median": final(runs) - (runs[0]["optimum"] or 0.0),
            "CPU s a run": float(np.mean([run["cpu_seconds"] for run in runs])),
        }
        for problem, by in tuned.items()
        for method, runs in ((name, kept(found)) for name, found in by.items())
        if runs
    ]


@figure
def curves(canvas, tuned):
    """Median incumbents against cost on the training problems."""
    groups = trained(tuned)
    canvas.set_size_inches(9, 6)
    panels = canvas.subplots(-(-len(groups) // 2), 2, squeeze=False).ravel()
    for axes, (problem, by) in zip(panels, groups.items(), strict=False):
        for method, runs in by.items():
            grid = np.linspace(1.0, runs[0]["budget"], 120)
            place = [np.searchsorted(costs(run, "measured"), grid, side="right") - 1 for run in runs]
            values = [
                np.where(p >= 0, incumbents(run)[p], np.nan) for p, run in zip(place, runs, strict=True)
            ]
            axes.plot(grid, np.median(values, axis=0), label=method, lw=2.0 if method == OWN else 1.0)
        axes.set(title=problem, xlabel="runs (value + gradient: 3)", ylabel="ln validation loss")
    panels[0].legend(fontsize="small")
