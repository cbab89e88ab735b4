"""Rates, entropy bonus and discount learned through exact softmax policy gradient (processes in decisions.py)."""

from itertools import product

import decisions
import numpy as np
from kit.reference import agreement
from scipy.optimize import minimize

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

PROCESSES = {"chain": decisions.chain, "grid": decisions.grid}
LEVELS = {
    "rates": ("lr",),
    "rates_entropy": ("lr", "entropy"),
    "rates_entropy_discount": ("lr", "entropy", "discount"),
}
BONUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def problem(task, steps):
    """theta_{t+1} = theta_t + lr_t grad (J + entropy_t H); the outer loss is the regret 1 - J / J*, without bonus."""
    best, eye = decisions.optimum(task), np.eye(len(task.first))

    def objective(theta, discount, bonus):
        logs = hg.nn.log_softmax(theta)
        pi = np.exp(logs)
        reward = np.sum(pi * (task.rewards - bonus * logs), axis=1)
        return task.first @ np.linalg.solve(eye - discount * np.einsum("sa,sat->st", pi, task.moves), reward)

    def step(theta, hparams, batch, t):
        slope = hg.grad(lambda x: objective(x, hparams["discount"], hparams["entropy"][t]))(theta)
        return theta + hparams["lr"][t] * slope

    return hg.UnrolledProblem(
        init=lambda hparams, rng: np.zeros(task.rewards.shape),
        step=step,
        outer_loss=lambda theta, hparams, valid: 1.0 - objective(theta, task.discount, 0.0) / best,
        steps=steps,
    )


def constants(steps, lr, bonus, discount):
    """Hyperparameters that do not change from step to step."""
    return {"lr": np.full(steps, lr), "entropy": np.full(steps, bonus), "discount": discount}


def best_constants(task, steps, points, bonuses):
    """The smallest regret on a grid of constant rates and bonuses, and where."""
    inner = problem(task, steps)
    found = []
    for lr, bonus in product(np.geomspace(0.1, 1000.0, points), bonuses):
        regret = hg.train(inner, constants(steps, lr, bonus, task.discount), curve=0).value
        found.append((regret if np.isfinite(regret) else np.inf, lr, bonus))
    return min(found)


def learn(task, steps, start, names, iterations):
    """L-BFGS on logarithms and, of the discount, the logit: the regrets on the way, and the last point."""
    inner, way = problem(task, steps), []
    low, high = np.log(1e-6), np.log(1000.0)

    def natural(z):
        found = {name: np.array(start[name]) for name in start}
        for name, part in zip(
            names, np.split(z, np.cumsum([np.size(start[name]) for name in names])[:-1]), strict=True
        ):
            found[name] = 1.0 / (1.0 + np.exp(-part[0])) if name == "discount" else np.exp(part)
        return found

    def slope(z):
        at = natural(z)
        result = hg.hypergradient(inner, at, curve=0)
        inside = {**at, "discount": at["discount"] * (1.0 - at["discount"])}
        return result.value, np.concatenate(
            [np.atleast_1d(result.hypergradient[name] * inside[name]) for name in names]
        )

    logs = {name: np.log(np.maximum(start[name], 1e-6)) for name in ("lr", "entropy")}
    logs["discount"] = np.log(start["discount"] / (1.0 - start["discount"]))
    z = np.concatenate([np.atleast_1d(logs[name]) for name in names])
    found = minimize(
        slope,
        z,
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * len(z),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
        callback=lambda z: way.append(slope(z)[0]),
    )
    return {"curve": [slope(z)[0], *way], "regret": found.fun, "point": natural(found.x)}


@stage
def learned(seed, steps, iterations, points):
    """For each process: the best constants, what is learned from them at each level, and the check of slopes."""
    made = {}
    for name, build in PROCESSES.items():
        task = build(seed)
        rate, both = (best_constants(task, steps, points, bonuses) for bonuses in (BONUSES[:1], BONUSES))
        levels = {}
        for level, names in LEVELS.items():
            _, lr, bonus = rate if level == "rates" else both
            start = constants(steps, lr, bonus, task.discount)
            levels[level] = learn(task, steps, start, names, iterations)
        at, best = constants(steps, 1.0, 0.05, 0.9), decisions.optimum(task)
        result = hg.hypergradient(problem(task, steps), at, curve=0)

        def by_hand(h, task=task, best=best):
            return 1.0 - decisions.returned(task, decisions.by_hand(task, steps, h)) / best

        check = agreement(result.hypergradient, result.value, by_hand, at, seed)
        made[name] = {"rate": rate, "both": both, "levels": levels, **check}
    return made


@quantities
def summary(seed, learned):
    """For each seed."""
    found, more = {}, []
    for name, part in learned.items():
        regrets = [part["levels"][level]["regret"] for level in LEVELS]
        found |= {
            f"{name}_{level}": regret / part["rate"][0] for level, regret in zip(LEVELS, regrets, strict=True)
        }
        found |= {
            f"{name}_to_pair": regrets[1] / part["both"][0],
            f"{name}_best_rate": part["rate"][0],
            f"{name}_best_pair": part["both"][0],
            f"{name}_least": min(regrets),
        }
        more += [regrets[1] <= regrets[0], regrets[2] <= regrets[1]]
    return {
        "slope_error": max(part["slope_error"] for part in learned.values()),
        "value_error": max(part["value_error"] for part in learned.values()),
        "entropy_helps": bool(more[0] and more[2]),
        "more_is_better": bool(all(more)),
        **found,
    }


@table
def regrets(learned):
    """Regrets of the constants and of what was learned."""
    return [
        {
            "process": name,
            "seed": seed,
            "best rate": part["rate"][0],
            "best rate and bonus": part["both"][0],
            **{level.replace("_", ", "): part["levels"][level]["regret"] for level in LEVELS},
            "discount": float(part["levels"]["rates_entropy_discount"]["point"]["discount"]),
        }
        for seed, found in learned.items()
        for name, part in found.items()
    ]


@figure
def descents(canvas, learned):
    """The regret in each iteration of the first seed, and the best constants."""
    for number, (name, part) in enumerate(next(iter(learned.values())).items()):
        axes = canvas.add_subplot(1, 2, number + 1)
        for level, found in part["levels"].items():
            axes.semilogy(np.maximum(found["curve"], 1e-10), lw=1.0, label=level.replace("_", ", "))
        axes.axhline(part["rate"][0], color="0.2", ls="--", lw=0.9, label="best constant rate")
        axes.axhline(part["both"][0], color="0.6", ls="--", lw=0.9, label="best constant rate and bonus")
        axes.set(title=name, xlabel="meta-gradient step", ylabel="1 - J / J*" if number == 0 else None)
    axes.legend(fontsize=6, loc="best")
