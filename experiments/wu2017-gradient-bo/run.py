"""Bayesian optimisation with gradients (Wu et al. 2017): a Gaussian process on values alone, and on both."""

import numpy as np
from kit import data, functions, networks, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

FUNCTIONS = {  # name: (function, low, high), the boxes as in the authors' repository
    "branin": (functions.branin, [0.0, -5.0], [15.0, 15.0]),
    "rosenbrock": (functions.rosenbrock, [-2.0] * 4, [2.0] * 4),
    "hartmann3": (functions.hartmann3, [0.0] * 3, [1.0] * 3),
    "levy": (functions.levy, [-1.0] * 4, [2.0] * 4),
    "hartmann6": (functions.hartmann6, [0.0] * 6, [1.0] * 6),
    "ackley": (functions.ackley, [-5.0] * 5, [5.0] * 5),
}


def network(seed, rows, hidden, batch, steps):
    """Rate, momentum and penalty of a network on digits; and its rows of each step."""
    train, valid = data.digits(seed, *rows)
    batches = np.random.default_rng([seed, 1]).integers(0, rows[0], (steps, batch))

    def inner(params, hparams, part):
        squares = sum(np.sum(layer["w"] ** 2) for layer in params.values())
        return networks.cross_entropy(params, part) + 0.5 * hparams["l2"] * squares

    problem = hg.BilevelProblem(
        init=lambda hparams, rng: networks.dense((64, hidden, 10), rng),
        inner_loss=inner,
        outer_loss=lambda params, hparams, part: networks.cross_entropy(params, part),
        train=train,
        valid=valid,
        optimizer=hg.optim.Momentum("lr", momentum="momentum"),
        steps=steps,
        batches=batches,
    )
    return problem, batches


def setting(name, seed, rows, hidden, batch, steps):
    """The objective and its space, whose default (the first trial of both) is a random point."""
    rng = np.random.default_rng([seed, 5])
    if name == "training":
        start = {
            "lr": 10.0 ** rng.uniform(-3, 1),
            "momentum": rng.uniform(0, 0.99),
            "l2": 10.0 ** rng.uniform(-6, -1),
        }
        space = hg.Space(
            lr=hg.Float(1e-3, 10.0, log=True, default=start["lr"]),
            momentum=hg.Float(0.0, 0.99, default=start["momentum"]),
            l2=hg.Float(1e-6, 0.1, log=True, default=start["l2"]),
        )
        return network(seed, rows, hidden, batch, steps)[0], space
    function, low, high = FUNCTIONS[name]
    keys = [f"x{i}" for i in range(len(low))]
    start = rng.uniform(low, high)
    both = hg.value_and_grad(function)

    def objective(hparams):
        value, slope = both(np.array([hparams[key] for key in keys]))
        return float(value), dict(zip(keys, slope.tolist(), strict=True))

    floats = (hg.Float(a, b, default=float(c)) for a, b, c in zip(low, high, start, strict=True))
    return objective, hg.Space(dict(zip(keys, floats, strict=True)))


@stage
def search(seed, name, trials, rows, hidden, batch, steps):
    """Best value after each evaluation, of Bayesian optimisation without and with gradients."""
    objective, space = setting(name, seed, rows, hidden, batch, steps)
    found = {}
    for kind in ("plain", "gradient"):
        study = hg.Study(name, space, sampler=hg.samplers.Bayes(gradients=kind == "gradient"), seed=seed)
        study.optimize(objective, trials=trials, method=hg.Reverse())
        found[kind] = np.fmin.accumulate([trial.value for trial in study.trials])
    return found


@stage
def agreement(seed, rows, hidden, batch, steps):
    """Gradients against complex steps of plain NumPy, and the hypergradient against training by hand."""
    rng, worst = np.random.default_rng([seed, 6]), 0.0
    for function, low, high in FUNCTIONS.values():
        x = rng.uniform(low, high)
        steps_of = [np.imag(function(x + 1e-30j * unit)) / 1e-30 for unit in np.eye(len(x))]
        worst = max(worst, float(np.max(np.abs(hg.grad(function)(x) - steps_of)) / np.max(np.abs(steps_of))))
    problem, batches = network(seed, rows, hidden, batch, steps)
    hparams = {"lr": 0.1, "momentum": 0.7, "l2": 1e-3}
    result = hg.hypergradient(problem, hparams, seed=seed)
    start = hg.train(problem, {"lr": 0.0, "momentum": 0.0, "l2": 0.0}, seed=seed).params

    def by_hand(at):
        return reference.trained_loss(
            start,
            problem.train,
            problem.valid,
            batches,
            at["lr"],
            at["momentum"],
            lambda layer, leaf: at["l2"] if leaf == "w" else 0.0,
        )

    return {
        "gradient_error": worst,
        **reference.agreement(result.hypergradient, result.value, by_hand, hparams, seed),
    }


def medians(search, name):
    """Best values after each evaluation, the median of the seeds, without and with gradients."""
    return [np.median([of[name][kind] for of in search.values()], axis=0) for kind in ("plain", "gradient")]


def needed(plain, gradient):
    """Evaluations with gradients until the value that the others end at, by theirs; 2 where it is not reached."""
    hits = np.flatnonzero(gradient <= plain[-1])
    return float((hits[0] + 1) / len(plain)) if len(hits) else 2.0


def shares(search, name):
    """`needed` of each seed: its start, and of the network its data, are its own."""
    return [needed(of[name]["plain"], of[name]["gradient"]) for of in search.values()]


@quantities
def summary(search, agreement):
    """Of all seeds together."""
    names = list(next(iter(search.values())))
    found = {f"needed_{n}": float(np.median(shares(search, n))) for n in names}
    each = np.array([found[f"needed_{n}"] for n in names if n in FUNCTIONS])
    found["won"], found["won_by_cost"] = int(np.sum(each <= 0.5)), int(np.sum(each <= 1 / 3))
    curves = [needed(*medians(search, n)) for n in FUNCTIONS if n in names]
    found["won_in_medians"] = int(np.sum(np.array(curves) <= 0.5))
    worse = [of[n]["gradient"][-1] > of[n]["plain"][-1] + 0.01 for of in search.values() for n in names]
    found["runs_behind"] = int(np.sum(worse))
    for key in ("gradient_error", "value_error", "slope_error"):
        found[key] = max(of[key] for of in agreement.values())
    return found


@table
def regrets(search, trials):
    """Regrets in the median of the seeds (of the network: validation loss), and of the worst run with gradients."""
    rows = []
    for name in next(iter(search.values())):
        plain, gradient = medians(search, name)
        optimum = functions.OPTIMA.get(name, 0.0)
        worst = max(of[name]["gradient"][-1] for of in search.values())
        row = {"objective": name, f"plain, {trials}": plain[-1] - optimum}
        row |= {f"with gradients, {trials // 2}": gradient[trials // 2 - 1] - optimum}
        row |= {f"with gradients, {trials}": gradient[-1] - optimum, "its worst": worst - optimum}
        row = {k: v if isinstance(v, str) else f"{v:.2g}" for k, v in row.items()}
        needs = ", ".join("not reached" if x > 1 else f"{x:.0%}" for x in shares(search, name))
        rows.append({**row, "needed, each seed": needs})
    return rows


@figure
def curves(canvas, search, trials):
    """Median regret after each evaluation, a panel each; of the network: above the best of all runs."""
    names = list(next(iter(search.values())))
    grid = canvas.subplots(2, 4, sharex=True).ravel()
    for axes, name in zip(grid, names, strict=False):
        best = min(float(of[name][kind][-1]) for of in search.values() for kind in of[name])
        optimum = functions.OPTIMA.get(name, best)
        for kind, curve, color in zip(
            ("values", "and gradients"), medians(search, name), ("0.4", "C0"), strict=True
        ):
            axes.plot(np.arange(1, trials + 1), np.maximum(curve - optimum, 1e-6), color=color, label=kind)
        axes.set(yscale="log", title=name, ylim=(5e-7, None))
        axes.tick_params(labelsize=7)
    for axes in grid[len(names) :]:
        axes.axis("off")
    grid[-1].legend(*grid[0].get_legend_handles_labels(), loc="center", fontsize=9, title="told")
    canvas.supxlabel("evaluations", fontsize=10)
    canvas.supylabel("median regret", fontsize=10)
