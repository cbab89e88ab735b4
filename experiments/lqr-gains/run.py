"""Fazel, Ge, Kakade & Mesbahi 2018: policy gradient on the linear quadratic regulator, as a hypergradient.

Notation
    x_{t+1} = A x_t + B u_t,  u_t = -K_t x_t         dynamics and gain; E x_0 x_0' = S_0
    C(K) = E sum_{t<T} (x_t' Q x_t + u_t' R u_t) + x_T' Q x_T
    S_t = E x_t x_t'                                 the columns of the state X_t are such that S_t = X_t X_t'
"""

import numpy as np
from scipy.linalg import solve_discrete_are
from scipy.optimize import minimize

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage

METHODS = ("gradient", "natural", "gauss_newton")


def system(seed, states, controls):
    """A, B, Q, R and a root of S_0; A is unstable, with spectral radius 1.05."""
    rng = np.random.default_rng([seed, 0])
    a = rng.standard_normal((states, states))
    a *= 1.05 / np.abs(np.linalg.eigvals(a)).max()
    root = rng.standard_normal((states, states)) / np.sqrt(states) + np.eye(states)
    return a, rng.standard_normal((states, controls)), np.eye(states), 0.5 * np.eye(controls), root


def problem(plant, steps, each):
    """The rollout: its outer loss is C, its hyperparameter the gain; `each`: one for each step, (T, m, n)."""
    a, b, q, r, root = plant

    def step(state, hparams, batch, t):
        x = state["x"]
        u = -(hparams["gain"][t] if each else hparams["gain"]) @ x
        return {"x": a @ x + b @ u, "cost": state["cost"] + np.sum(x * (q @ x)) + np.sum(u * (r @ u))}

    return hg.UnrolledProblem(
        init=lambda hparams, rng: {"x": root, "cost": np.zeros(())},
        step=step,
        outer_loss=lambda state, hparams, valid: state["cost"] + np.sum(state["x"] * (q @ state["x"])),
        steps=steps,
    )


def closed_form(plant, gains):
    """C; its gradient with respect to each gain 2 ((R + B' P B) K_t - B' P A) S_t, P = P_{t+1}; sum_t S_t; P_1."""
    a, b, q, r, root = plant
    s = [root @ root.T]
    for k in gains:
        s.append((a - b @ k) @ s[-1] @ (a - b @ k).T)
    p, slopes, first = q, [], q
    for k, s_t in zip(gains[::-1], s[-2::-1], strict=True):
        slopes.append(2.0 * ((r + b.T @ p @ b) @ k - b.T @ p @ a) @ s_t)
        first, p = p, q + k.T @ r @ k + (a - b @ k).T @ p @ (a - b @ k)
    return float(np.trace(p @ s[0])), np.array(slopes[::-1]), np.sum(s[:-1], axis=0), first


def riccati(plant, steps):
    """The optimal gains of a finite horizon, first step first, and the optimal cost, by the backward recursion."""
    a, b, q, r, root = plant
    p, gains = q, []
    for _ in range(steps):
        gains.append(np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a))
        p = q + a.T @ p @ (a - b @ gains[-1])
    return np.array(gains[::-1]), float(np.trace(p @ root @ root.T))


def starting_gains(plant, seed, starts):
    """Random gains, as far from the optimum as the spectral radius of the closed loop stays below 0.95 (at most 3)."""
    a, b, q, r, _ = plant
    p = solve_discrete_are(a, b, q, r)
    best = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
    rng, found = np.random.default_rng([seed, 1]), []
    for _ in range(starts):
        away = rng.standard_normal(best.shape)
        radius = [np.abs(np.linalg.eigvals(a - b @ (best + c * away))).max() for c in np.linspace(0, 3, 301)]
        beyond = int(np.argmax(np.array(radius) > 0.95)) or len(radius)
        found.append(best + np.linspace(0, 3, 301)[beyond - 1] * away)
    return found


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
    a, b, q, r, root = plant
    p = solve_discrete_are(a, b, q, r)
    best = np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a)
    optimum = float(np.trace(p @ root @ root.T))
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
