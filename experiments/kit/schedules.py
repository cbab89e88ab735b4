"""Learned training schedules (Maclaurin, Duvenaud & Adams 2015, section 3.1), for the experiments on them.

Notation
    T               training steps; B rows a step
    w1, b1, ...     weights and biases of the layers: 8 groups, each with its own lr (T,), momentum (T,) and scale ()
    alpha, beta     the paper's names of lr and momentum:  v' = beta v - (1 - beta) g,  w' = w + alpha v'
    z               (log lr, logit momentum, log scale): what the outer optimiser moves
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import hypergrad as hg
from hypergrad import tree
from hypergrad.unroll.batches import generator
from kit import data, networks, reference

SIZES = (784, 50, 50, 50, 10)
LAYERS = range(1, len(SIZES))
GROUPS = tuple(f"{kind}{number}" for number in LAYERS for kind in "wb")
Tree = Any


@dataclass(frozen=True)
class Averaged(hg.optim.Momentum):
    """The paper's momentum: m' = momentum m + (1 - momentum) g; w' = w - lr m'."""

    def update(self, w: Any, g: Any, slots: Any, rate: Any) -> Any:
        """One step."""
        return super().update(w, (1.0 - rate["momentum"]) * g, slots, rate)

    def reversal(self, rates: Any) -> None:
        """None: `hg.Reversible` undoes only PyTorch's form."""


def layered(params: Tree) -> networks.Params:
    """The groups as the layers of `kit.networks`."""
    return {f"layer{i}": {"w": params[f"w{i}"], "b": params[f"b{i}"]} for i in LAYERS}


def init(hparams: Tree, rng: np.random.Generator) -> Tree:
    """Normal weights and biases of standard deviation scale."""
    shapes = {
        f"{kind}{i}": SIZES[i - 1 : i + 1] if kind == "w" else SIZES[i : i + 1]
        for i in LAYERS
        for kind in "wb"
    }
    return {name: hparams["scale"][name] * rng.standard_normal(shapes[name]) for name in GROUPS}


def loss(params: Tree, hparams: Tree, batch: data.Rows) -> Any:
    """Mean cross-entropy, nats."""
    return networks.cross_entropy(layered(params), batch)


def error(params: Tree, hparams: Tree, batch: data.Rows) -> float:
    """Error rate."""
    return networks.error_rate(layered(params), batch)


def problem(seed: int, rows: int, steps: int, batch_size: int, centred: bool = False) -> hg.BilevelProblem:
    """Training on `rows` digits, judged by the loss on all of them, as in the paper; 1,000 for validation."""
    train, valid = data.mnist(seed, rows, 1000, centred=centred)
    return hg.BilevelProblem(
        init=init,
        inner_loss=loss,
        outer_loss=loss,
        train=train,
        valid=train,
        test=valid,
        metrics={"loss": loss, "error": error},
        optimizer=Averaged(lr=hg.optim.PerStep("lr"), momentum=hg.optim.PerStep("momentum")),
        steps=steps,
        batch_size=batch_size,
    )


def start(steps: int, log_lr: float = -1.0, momentum: float = 0.5, log_scale: float = -3.0) -> Tree:
    """z of one lr, momentum and scale everywhere; by default the paper's start."""
    logit = float(np.log(momentum / (1.0 - momentum)))
    return {
        "lr": {name: np.full(steps, log_lr) for name in GROUPS},
        "momentum": {name: np.full(steps, logit) for name in GROUPS},
        "scale": dict.fromkeys(GROUPS, log_scale),
    }


def natural(z: Tree) -> Tree:
    """z -> hyperparameters."""
    return {
        "lr": tree.map(np.exp, z["lr"]),
        "momentum": tree.map(lambda b: 1.0 / (1.0 + np.exp(-b)), z["momentum"]),
        "scale": tree.map(lambda s: float(np.exp(s)), z["scale"]),
    }


def by_z(hparams: Tree, gradient: Tree) -> Tree:
    """The chain rule: derivatives by hyperparameters -> derivatives by z."""
    slopes = {**hparams, "momentum": tree.map(lambda b: b * (1.0 - b), hparams["momentum"])}
    return tree.map(lambda g, slope: g * slope, gradient, slopes)


def adam(
    slope: Callable[[Tree, int], tuple[float, Tree]], z: Tree, steps: int, lr: float
) -> tuple[Tree, list[float]]:
    """Adam as the paper's code has it: the last z, and the values on the way, that of the start first.

    m' = a_t m + (1 - a_t) g,  v' = .99 v + .01 g^2,  z' = z - lr m' / (1 - .9^t) / (sqrt(v' / (1 - .99^t)) + 1e-4)
    with a_t = .9 1e-4^(t-1), t = 1, 2, ...: the decaying a_t of Adam's first version, by which only the first step
    is remembered.
    """
    values: list[float] = []
    m, v = tree.map(np.zeros_like, z), tree.map(np.zeros_like, z)
    for t in range(1, steps + 1):
        value, g = slope(z, t - 1)
        values.append(value)
        a, rate, spread = 0.9 * 1e-4 ** (t - 1), lr / (1.0 - 0.9**t), 1.0 - 0.99**t
        m = tree.map(lambda m, g: a * m + (1.0 - a) * g, m, g)  # noqa: B023
        v = tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, v, g)
        z = tree.map(lambda z, m, v: z - rate * m / (np.sqrt(v / spread) + 1e-4), z, m, v)  # noqa: B023
    return z, [*values, slope(z, steps)[0]]


def learn(
    task: hg.BilevelProblem, z: Tree, iterations: int, lr: float, first_seed: int
) -> tuple[Tree, list[Tree], list[float]]:
    """Adam on z, with a new seed of the first weights and the batches each iteration.

    Returns:
        The last z, the log scales before each iteration and after the last, and the outer loss at each of these.
    """
    scales: list[Tree] = []

    def slope(z: Tree, t: int) -> tuple[float, Tree]:
        scales.append({name: float(scale) for name, scale in z["scale"].items()})
        hparams = natural(z)
        result = hg.hypergradient(task, hparams, seed=first_seed + t, curve=0)
        return result.value, by_z(hparams, result.hypergradient)

    z, values = adam(slope, z, iterations, lr)
    return z, scales, values


def agreement(task: hg.BilevelProblem, z: Tree, seed: int) -> dict[str, float]:
    """Value and hypergradient at z against training written by hand, see `kit.reference.agreement`."""

    def by_hand(z: Tree) -> float:
        hparams = natural(z)
        params = init(hparams, generator(seed, "init", 0))
        v = tree.map(np.zeros_like, params)
        for t in range(task.steps):
            rows = task.batches.at(seed, t)
            slope = reference.gradient(layered(params), task.train["x"][rows], task.train["y"][rows])
            for k in GROUPS:
                alpha, beta = hparams["lr"][k][t], hparams["momentum"][k][t]
                v[k] = beta * v[k] - (1.0 - beta) * slope[f"layer{k[1]}"][k[0]]
                params[k] = params[k] + alpha * v[k]
        return reference.loss(layered(params), task.valid["x"], task.valid["y"])

    hparams = natural(z)
    result = hg.hypergradient(task, hparams, seed=seed, curve=0)
    # in u = z - z_0 + .05, of which `reference.agreement` moves each entry by 1e-3 of its size
    u = tree.map(lambda x: 0.0 * x + 0.05, z)
    return reference.agreement(
        by_z(hparams, result.hypergradient),
        result.value,
        lambda u: by_hand(tree.map(lambda x, y: x + (y - 0.05), z, u)),
        u,
        seed,
    )
