"""Influence balancing (Vicol, Metz & Sohl-Dickstein 2021, section 5): the run for hypergrad, and in closed form.

Notation: s_{t+1} = A s_t + theta u, A = (I + superdiagonal of ones) / 2, s_0 = 1; u = +1 for the first p units, -1 for
the others; F(theta) = 1/T sum_{t=1..T} (s_t[0] - 1)^2 / 2. theta moves s[0] up at first, and down in the long run.
"""

import numpy as np

import hypergrad as hg


def system(units, positive):
    """A and u."""
    return 0.5 * (np.eye(units) + np.eye(units, k=1)), np.where(np.arange(units) < positive, 1.0, -1.0)


def problem(units, positive, steps, total, window=None, first=None):
    """The run as an unrolled problem; it is at theta + shift.

    Args:
        total: T, by which the sum of the losses is divided.
        window: the state is held fixed in derivatives every so many steps.
        first: the state before the first step; None: ones.
    """
    a, u = system(units, positive)

    def init(hparams, rng):
        return {"s": np.ones(units) if first is None else first, "sum": np.zeros(())}

    def step(state, hparams, batch, t):
        s = state["s"]
        if window is not None:
            s = np.where(t % window == 0, hg.stop_gradient(s), s)
        s = s @ a.T + (hparams["theta"] + hparams["shift"]) * u
        return {"s": s, "sum": state["sum"] + 0.5 * (s[0] - 1.0) ** 2 / total}

    return hg.UnrolledProblem(init=init, step=step, outer_loss=lambda s, h, data: s["sum"], steps=steps)


def slope_of(task, theta, method=None):
    """Value, derivative by theta and the whole result. (shift is 0, so that it is perturbed by sigma eps.)"""
    hparams = {"theta": float(theta), "shift": 0.0}
    result = hg.hypergradient(task, hparams, method=method, wrt="shift")
    return result.value, float(result.hypergradient["shift"]), result


def closed_form(units, positive, steps, theta):
    """F and dF/dtheta: s_t[0] = c_t + d_t theta."""
    a, u = system(units, positive)
    c, d, value, slope = np.ones(units), np.zeros(units), 0.0, 0.0
    for _ in range(steps):
        c, d = a @ c, a @ d + u
        gap = c[0] + d[0] * theta - 1.0
        value, slope = value + 0.5 * gap**2 / steps, slope + gap * d[0] / steps
    return value, slope
