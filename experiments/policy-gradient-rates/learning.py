"""Policy gradient as a problem for hypergrad; its best constants, and descent on its hyperparameters."""

from itertools import product

import decisions
import numpy as np
from scipy.optimize import minimize

import hypergrad as hg


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
        cuts = np.cumsum([np.size(start[name]) for name in names])[:-1]
        for name, part in zip(names, np.split(z, cuts), strict=True):
            found[name] = 1.0 / (1.0 + np.exp(-part[0])) if name == "discount" else np.exp(part)
        return found

    def slope(z):
        at = natural(z)
        result = hg.hypergradient(inner, at, curve=0)
        inside = {**at, "discount": at["discount"] * (1.0 - at["discount"])}
        parts = [np.atleast_1d(result.hypergradient[name] * inside[name]) for name in names]
        return result.value, np.concatenate(parts)

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
