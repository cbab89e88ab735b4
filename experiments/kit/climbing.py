"""Training whose learning rate is learned on the way, written by hand in NumPy: hypergradient descent and towers.

Notation
    r_0 = α, r_1, ..., r_K     the learning rate, and the rate by which each level moves the one below; r_K is fixed
    u_t(w), w' = w - α u_t     the direction of step t; g_t the gradient there, of the batch's cross-entropy + l2 |w|²/2
    G_0 = -g_t · u_{t-1}       = ∂ loss_t / ∂ α_{t-1}
    G_k = -G_{k-1} · G_{k-1}'  = ∂ loss_t / ∂ r_k, with G' of the step before
From the top down, r_k <- max(r_k - r_{k+1} G_k, 0), and then the step is taken at the new α.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.reference import gradient, loss

Tree = Any
RULES = ("sgd", "momentum", "nesterov", "adam")


def climb(
    params: Tree,
    train: dict[str, np.ndarray],
    batches: np.ndarray,
    rates: tuple[float, ...],
    rule: str = "sgd",
    momentum: float = 0.9,
    l2: float = 0.0,
) -> tuple[Tree, np.ndarray, np.ndarray]:
    """Parameters of a tanh network after training by one of `RULES`, the α of each step, and its loss with the penalty.

    Args:
        params: ``{"layer1": {"w": (p, q), "b": (q,)}, ...}``, the start.
        train: ``{"x": (n, p), "y": (n,) labels}``.
        batches: (T, B) rows of each step.
        rates: r_0, ..., r_K; one alone is plain training.
        rule: Adam's decay factors are 0.9 and 0.999, its eps 1e-8.
        momentum: of momentum and Nesterov's rule.
        l2: of all parameters.
    """
    names = [(layer, leaf) for layer in params for leaf in params[layer]]
    w = [np.array(params[layer][leaf], float) for layer, leaf in names]
    now = list(rates)
    first = [np.zeros_like(x) for x in w]
    second = [np.zeros_like(x) for x in w]
    u = [np.zeros_like(x) for x in w]
    before = [0.0] * len(now)
    trace, losses = np.zeros(len(batches)), np.zeros(len(batches))
    for t, rows in enumerate(batches):
        here = _tree(params, names, w)
        losses[t] = loss(here, train["x"][rows], train["y"][rows]) + 0.5 * l2 * sum(np.sum(x * x) for x in w)
        slope = gradient(here, train["x"][rows], train["y"][rows])
        g = [slope[layer][leaf] + l2 * x for (layer, leaf), x in zip(names, w, strict=True)]
        found = [-sum(float(np.sum(a * b)) for a, b in zip(g, u, strict=True))]
        for k in range(1, len(now)):
            found.append(-found[-1] * before[k - 1])
        for k in reversed(range(len(now) - 1)):
            now[k] = max(now[k] - now[k + 1] * found[k], 0.0)
        before = found
        for i, x in enumerate(g):
            if rule == "adam":
                first[i] = 0.9 * first[i] + 0.1 * x
                second[i] = 0.999 * second[i] + 0.001 * x * x
                top = first[i] / (1.0 - 0.9 ** (t + 1))
                u[i] = top / (np.sqrt(second[i] / (1.0 - 0.999 ** (t + 1))) + 1e-8)
                continue
            first[i] = (0.0 if rule == "sgd" else momentum) * first[i] + x
            u[i] = x + momentum * first[i] if rule == "nesterov" else first[i]
        w = [x - now[0] * d for x, d in zip(w, u, strict=True)]
        trace[t] = now[0]
    return _tree(params, names, w), trace, losses


def agreement(run: Any, *given: Any, **options: Any) -> dict[str, float]:
    """Largest relative distances of a run of `hg.online.adapt` from `climb`, whose arguments are given.

    Returns:
        ``lr``, of the learning rates of all steps, and ``loss``, of their losses.
    """
    _, trace, losses = climb(*given, **options)
    pairs = {"lr": (run.trace["lr"], trace), "loss": (run.curve, losses)}
    return {name: float(np.max(np.abs(a - b) / np.abs(b))) for name, (a, b) in pairs.items()}


def _tree(like: Tree, names: list[tuple[str, str]], leaves: list[np.ndarray]) -> Tree:
    found: Tree = {layer: {} for layer in like}
    for (layer, leaf), value in zip(names, leaves, strict=True):
        found[layer][leaf] = value
    return found
