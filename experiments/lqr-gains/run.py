"""Fazel, Ge, Kakade & Mesbahi 2018: policy gradient on the linear quadratic regulator, as a hypergradient.

Notation as in regulator.py: gain K, cost C(K), second moments S_t of the state.
"""

import numpy as np
from regulator import closed_form, problem, riccati, starting_gains, stationary, system
from scipy.optimize import minimize

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage

METHODS = ("gradient", "natural", "gauss_newton")


def descend(task, gain, direction, accept, iterations):
    """Gains and costs on the way of gain - size * move; the size doubles, and halves until the cost falls enough."""
    result, size = hg.hypergradient(task, {"gain": gain}, curve=0), 1.0
    way = [(gain, result)]
    while result.value > accept and len(way) <= iterations:
        slope = result.hypergradient["gain"]
        move, size = direction(slope, gain), 2.0 * size
        while True:
            trial = hg.hypergradient(task, {"gain": gain - size * move}, curve=0)
            if trial.value <= result.value - 1e-4 * size * np.sum(slope * move):
                break
            size /= 2.0
            if size < 1e-12:
                return way
        gain, result = gain - size * move, trial
        way.append((gain, result))
    return way


def directions(plant, horizon):
    """What each method makes of a gradient: G, G S^-1, and (R + B' P B)^-1 G S^-1."""
    _, b, _, r, _ = plant

    def natural(slope, gain):
        return np.linalg.solve(closed_form(plant, [gain] * horizon)[2], slope.T).T

    def gauss_newton(slope, gain):
        p = closed_form(plant, [gain] * horizon)[3]
        return np.linalg.solve(r + b.T @ p @ b, natural(slope, gain))

    return {"gradient": lambda slope, gain: slope, "natural": natural, "gauss_newton": gauss_newton}


@stage
def one_gain(seed, states, controls, horizon, starts, iterations, precision):
    """Descent of each method from each start, and how far gradients on the way are from the closed form."""
    plant = system(seed, states, controls)
    *_, r, root = plant
    best, optimum = stationary(plant)
    spread = np.linalg.norm(closed_form(plant, [best] * horizon)[2], 2)
    scale = spread / (4.0 * np.linalg.eigvalsh(root @ root.T)[0] ** 2 * np.linalg.eigvalsh(r)[0])
    task, gaps, errors, shares = problem(plant, horizon, False), {}, [], []
    for method, direction in directions(plant, horizon).items():
        gaps[method] = []
        for start in starting_gains(plant, seed, starts):
            way = descend(task, start, direction, optimum * (1.0 + precision), iterations)
            gaps[method].append([found.value / optimum - 1.0 for _, found in way])
            for gain, found in (way[0], way[len(way) // 2]):
                slope, ours = closed_form(plant, [gain] * horizon)[1].sum(axis=0), found.hypergradient["gain"]
                errors.append(np.linalg.norm(ours - slope) / np.linalg.norm(slope))
                shares.append((found.value - optimum) / (scale * np.sum(ours**2)))
    return {"gaps": gaps, "errors": errors, "shares": shares}


@stage
def each_gain(seed, states, controls, short):
    """L-BFGS on a gain for each step of a short horizon, from no control, and the Riccati recursion."""
    plant = system(seed, states, controls)
    gains, optimum = riccati(plant, short)
    task, errors = problem(plant, short, True), []

    def cost(flat):
        result = hg.hypergradient(task, {"gain": flat.reshape(gains.shape)}, curve=0)
        return result.value, result.hypergradient["gain"].ravel()

    found = minimize(cost, np.zeros(gains.size), jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    for gain in (np.zeros(gains.size), 0.5 * found.x):
        slope = closed_form(plant, gain.reshape(gains.shape))[1].ravel()
        errors.append(np.linalg.norm(cost(gain)[1] - slope) / np.linalg.norm(slope))
    return {
        "gap": found.fun / optimum - 1.0,
        "errors": errors,
        "at_best": np.abs(cost(gains.ravel())[1]).max() / optimum,
        "iterations": found.nit,
    }


@quantities
def summary(seed, one_gain, each_gain):
    """For each system."""
    gaps = one_gain["gaps"]
    steps = {method: np.array([len(gap) - 1 for gap in gaps[method]]) for method in METHODS}
    ordered = (steps["gauss_newton"] < steps["natural"]) & (steps["natural"] < steps["gradient"])
    return {
        "gradient_error": max(*one_gain["errors"], *each_gain["errors"]),
        **{f"gap_{method}": max(gap[-1] for gap in gaps[method]) for method in METHODS},
        **{f"steps_{method}": float(np.mean(steps[method])) for method in METHODS},
        "order": float(np.mean(ordered)),
        "domination": max(one_gain["shares"]),
        "start_gap": max(gap[0] for gap in gaps["gradient"]),
        "gap_each": each_gain["gap"],
        "slope_at_riccati": each_gain["at_best"],
        "steps_each": each_gain["iterations"],
    }


@figure
def descents(canvas, one_gain):
    """Every descent."""
    axes = canvas.add_subplot()
    for number, method in enumerate(METHODS):
        curves = [gap for found in one_gain.values() for gap in found["gaps"][method]]
        for curve in curves:
            axes.plot(np.maximum(curve, 1e-12), color=f"C{number}", lw=0.8, alpha=0.7)
        axes.plot([], color=f"C{number}", label=method.replace("_", "-"))
    axes.set(
        xlabel="iterations", ylabel="cost over the Riccati optimum, minus 1", xscale="symlog", yscale="log"
    )
    axes.legend(title="policy gradient")
