"""The linear quadratic regulator: its rollout for hypergrad, its gradient in closed form and its optima.

Notation
    x_{t+1} = A x_t + B u_t,  u_t = -K_t x_t         dynamics and gain; E x_0 x_0' = S_0
    C(K) = E sum_{t<T} (x_t' Q x_t + u_t' R u_t) + x_T' Q x_T
    S_t = E x_t x_t'                                 the columns of the state X_t are such that S_t = X_t X_t'
"""

import numpy as np
from scipy.linalg import solve_discrete_are

import hypergrad as hg


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


def stationary(plant):
    """The optimal gain of an infinite horizon, and its cost, by SciPy's solution of the algebraic Riccati equation."""
    a, b, q, r, root = plant
    p = solve_discrete_are(a, b, q, r)
    return np.linalg.solve(r + b.T @ p @ b, b.T @ p @ a), float(np.trace(p @ root @ root.T))


def starting_gains(plant, seed, starts):
    """Random gains, as far from the optimum as the spectral radius of the closed loop stays below 0.95 (at most 3)."""
    a, b, *_ = plant
    best, _ = stationary(plant)
    rng, found = np.random.default_rng([seed, 1]), []
    for _ in range(starts):
        away = rng.standard_normal(best.shape)
        radius = [np.abs(np.linalg.eigvals(a - b @ (best + c * away))).max() for c in np.linspace(0, 3, 301)]
        beyond = int(np.argmax(np.array(radius) > 0.95)) or len(radius)
        found.append(best + np.linspace(0, 3, 301)[beyond - 1] * away)
    return found
