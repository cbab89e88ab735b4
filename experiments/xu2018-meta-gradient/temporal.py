"""TD(lambda) as a problem for hypergrad, and written by hand.

Notation (Sutton & Barto 2018, sections 12.2 and 12.8; states s, s', features x, x', reward r)
    e <- discount(s) trace(s) e + x,   0 before an episode's first state
    w <- w + rate e (r + discount(s') x'w - xw)
    error = mean over runs and over the episodes from `since` on of sqrt(sum_s judged(s) (x(s)w - v(s))^2), after each
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from kit.outer import adam
from kit.reference import agreement
from processes import Process

import hypergrad as hg

Case = tuple[Process, dict[str, np.ndarray], int]  # a process, trajectories, the first episode that counts
Hparams = dict[str, Any]


def weights(rows: dict[str, np.ndarray], since: int) -> np.ndarray:
    """Of each step in the error, (T, runs)."""
    last = rows["last"] * (np.cumsum(rows["last"], axis=0) > since)
    return last / last.sum()


def problem(process: Process, rows: dict[str, np.ndarray], since: int) -> hg.UnrolledProblem:
    """All runs at once; hyperparameters ``rate``, and ``discount`` and ``trace``, numbers or (n + 1,)."""
    x, v = process.features, process.values
    steps, runs = rows["now"].shape

    def at(h: Any, states: Any) -> Any:
        return h[states][:, None] if np.ndim(h) else h

    def step(state: Any, hparams: Any, batch: Any, t: Any) -> Any:
        b = {name: array[0] for name, array in batch.items()}
        table = hg.array(x)
        w, now, then = state["w"], table[b["now"]], table[b["next"]]
        decay = at(hparams["discount"], b["now"]) * at(hparams["trace"], b["now"])
        e = decay * state["e"] * (1.0 - b["first"][:, None]) + now
        target = b["reward"][:, None] + at(hparams["discount"], b["next"]) * np.sum(
            then * w, axis=1, keepdims=True
        )
        surprise = b["on"][:, None] * (target - np.sum(now * w, axis=1, keepdims=True))
        w = w + hparams["rate"] * surprise * e
        off = np.sqrt(((w @ x[:-1].T - v) ** 2) @ process.judged + 1e-24)
        return {"w": w, "e": e, "error": state["error"] + np.sum(b["weight"] * off)}

    def init(hparams: Any, rng: Any) -> Any:
        zero = np.zeros((runs, x.shape[1]))
        return {"w": zero, "e": zero, "error": np.zeros(())}

    return hg.UnrolledProblem(
        init=init,
        step=step,
        outer_loss=lambda state, hparams, valid: state["error"],
        steps=steps,
        train={**rows, "weight": weights(rows, since)},
        batches=np.arange(steps)[:, None],
    )


def by_hand(process: Process, rows: dict[str, np.ndarray], since: int, hparams: dict[str, Any]) -> float:
    """The error, one run after the other, in terms of the state's numbers."""
    x, total = process.features, 0.0
    n = len(x)
    discount, trace = (
        np.broadcast_to(np.asarray(hparams[name], float), (n,)) for name in ("discount", "trace")
    )
    share = weights(rows, since)
    for run in range(rows["now"].shape[1]):
        w, e = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for t in range(int(rows["on"][:, run].sum())):
            s, to = rows["now"][t, run], rows["next"][t, run]
            e = x[s] if rows["first"][t, run] else discount[s] * trace[s] * e + x[s]
            w = w + hparams["rate"] * (rows["reward"][t, run] + discount[to] * (x[to] @ w) - x[s] @ w) * e
            if share[t, run]:
                off = x[:-1] @ w - process.values
                total += share[t, run] * np.sqrt(process.judged @ off**2)
    return float(total)


def learn(case: Case, start: Hparams, wrt: tuple[str, ...], iterations: int) -> tuple[Hparams, list[float]]:
    """Adam on the hyperparameters `wrt` of TD(lambda): all of them, and the errors on the way."""
    return descend(problem(*case), start, wrt, iterations)


def descend(
    task: hg.UnrolledProblem, start: Hparams, wrt: tuple[str, ...], iterations: int
) -> tuple[Hparams, list[float]]:
    """Adam on the hyperparameters `wrt` of a problem, kept in their domains."""

    def project(h: Hparams) -> Hparams:
        return {name: np.clip(value, 1e-3 if name == "rate" else 0.0, 1.0) for name, value in h.items()}

    def slope(h: Hparams, _: int) -> tuple[float, Hparams]:
        result = hg.hypergradient(task, {**start, **h}, wrt=wrt, curve=0)
        return result.value, {name: result.hypergradient[name] for name in wrt}

    found, curve = adam(slope, {name: start[name] for name in wrt}, iterations, lr=0.03, project=project)
    return {**start, **found}, curve


def error(case: Case, h: Hparams) -> float:
    """The error of TD(lambda) at hyperparameters."""
    return hg.train(problem(*case), h, curve=0).value


def grid(case: Case, made: Callable[..., Hparams], *axes: np.ndarray) -> np.ndarray:
    """Errors of the hyperparameters made(a, b) on a grid; inf where TD diverges."""
    task = problem(*case)
    errors = np.array([hg.train(task, made(*at), curve=0).value for at in product(*axes)])
    return np.where(np.isfinite(errors), errors, np.inf).reshape([len(axis) for axis in axes])


def independent(case: Case, h: Hparams) -> dict[str, float]:
    """Value and hypergradient against TD(lambda) written by hand."""
    result = hg.hypergradient(problem(*case), h, curve=0)
    return agreement(result.hypergradient, result.value, lambda at: by_hand(*case, at), h)


def expected(process: Process, steps: int) -> tuple[hg.UnrolledProblem, Callable[[Hparams], float]]:
    """Expected updates of the random walk, and their mean squared error by hand.

    w <- w + rate (I - discount trace P)^-1 (r + discount P w - w): exact at once where all three are 1.
    """
    n = len(process.values)
    p = 0.5 * (np.eye(n, k=1) + np.eye(n, k=-1))
    r = 0.5 * (np.arange(n) == n - 1) - 0.5 * (np.arange(n) == 0)

    def step(w: Any, hparams: Any, batch: Any, t: Any) -> Any:
        surprise = r + hparams["discount"] * (p @ w) - w
        return w + hparams["rate"] * np.linalg.solve(
            np.eye(n) - hparams["discount"] * hparams["trace"] * p, surprise
        )

    def reference(h: Hparams) -> float:
        off = (
            -process.values
        )  # w - v shrinks by the same matrix in each step, but for the error of the discount
        inverse = np.linalg.inv(np.eye(n) - h["discount"] * h["trace"] * p)
        for _ in range(steps):
            off = off - h["rate"] * inverse @ (
                off - h["discount"] * p @ off - (h["discount"] - 1.0) * p @ process.values
            )
        return float(np.mean(off**2))

    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.zeros(n),
        step=step,
        outer_loss=lambda w, hparams, valid: np.mean((w - process.values) ** 2),
        steps=steps,
    )
    return problem, reference
