"""Real training, differentiated: what is minimised is ln of the mean cross-entropy of the validation rows.

Notation
    T   training steps        lr, m   rates of ``m' = momentum m + g; w' = w - lr m'``
    w1, w2   weights of the network 64-32-10 with tanh, w = scale N(0, 1) / sqrt(inputs) before the first step

The inner loss is the mean of the (weighted) cross-entropies of the batch + 1/2 sum_l l2_l |w_l|^2. The seed of an
instance fixes split, wrong labels, initial parameters and batches, so that the same hyperparameters always give the
same value. A run is T steps; `gradient_cost` is that of a value and its hypergradient in runs (see `README.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import hypergrad as hg
from problems.base import Evaluation, Problem
from problems.data import breast_cancer, digits

__all__ = ["TRAINING", "Training"]

HIDDEN = 32


class Training(Problem):
    """A bilevel problem as a problem of the benchmark.

    Extras: test_loss and test_accuracy; step_evaluations, in training runs; where the gradient was asked for, trusted:
    0 where it came with a warning, such as that training is chaotic.

    Attributes:
        problem: what is trained.
        method: of the hypergradient.
    """

    differentiable = True

    def __init__(
        self, name: str, seed: int, space: hg.Space, problem: hg.BilevelProblem, gradient_cost: float
    ) -> None:
        self.name, self.seed, self.space, self.problem = name, seed, space, problem
        self.gradient_cost = gradient_cost
        self.method = hg.Reverse()

    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = True, draw: int = 0) -> Evaluation:
        found = (
            hg.hypergradient(self.problem, hparams, self.method, seed=self.seed, curve=0)
            if wants_gradient
            else hg.train(self.problem, hparams, seed=self.seed, curve=0)
        )
        extras = {
            "test_loss": found.metrics["test"]["loss"],
            "test_accuracy": found.metrics["test"]["accuracy"],
            "step_evaluations": found.stats["step_evaluations"] / found.stats["steps"],
        }
        if wants_gradient:
            extras["trusted"] = float(found.stats["trusted"])
        cost = self.gradient_cost if wants_gradient else 1.0
        return Evaluation(found.value, found.hypergradient, cost, extras)


def _forward(params: Any, x: Any) -> Any:
    hidden = np.tanh(x @ params["w1"] + params["b1"])
    return hidden @ params["w2"] + params["b2"]


def _init(scale1: Any, scale2: Any, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "w1": rng.standard_normal((64, HIDDEN)) * (scale1 / np.sqrt(64)),
        "b1": np.zeros(HIDDEN),
        "w2": rng.standard_normal((HIDDEN, 10)) * (scale2 / np.sqrt(HIDDEN)),
        "b2": np.zeros(10),
    }


def _log_loss(params: Any, hparams: Any, data: Any) -> Any:
    return np.log(hg.nn.softmax_cross_entropy(_forward(params, data["x"]), data["y"]).mean())


def _loss(params: Any, hparams: Any, data: Any) -> float:
    return float(hg.nn.softmax_cross_entropy(_forward(params, data["x"]), data["y"]).mean())


def _accuracy(params: Any, hparams: Any, data: Any) -> float:
    return float((_forward(params, data["x"]).argmax(axis=1) == data["y"]).mean())


def _penalty(params: Any, first: Any, second: Any) -> Any:
    return 0.5 * (first * np.sum(params["w1"] ** 2) + second * np.sum(params["w2"] ** 2))


def _network(
    parts: tuple[Any, Any, Any], init: Callable, inner_loss: Callable, optimizer: Any, steps: int, batch: int
) -> hg.BilevelProblem:
    train, valid, test = parts
    return hg.BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=_log_loss,
        train=train,
        valid=valid,
        test=test,
        metrics={"loss": _loss, "accuracy": _accuracy},
        optimizer=optimizer,
        steps=steps,
        batch_size=batch,
    )


def digits6(seed: int) -> Training:
    """Six hyperparameters of an MLP: lr at the start and the end of a cosine, momentum, l2 per layer, scale of init."""
    train, valid, test, _ = digits(seed, train=200, valid=400, wrong=0.2)
    space = hg.Space(
        lr=hg.Float(1e-3, 3.0, log=True, default=0.05),
        lr_end=hg.Float(1e-5, 1.0, log=True, default=0.01),
        momentum=hg.Float(0.05, 0.995, logit=True, default=0.8),
        l2_1=hg.Float(1e-6, 1.0, log=True),
        l2_2=hg.Float(1e-6, 1.0, log=True),
        scale=hg.Float(0.01, 3.0, log=True, default=1.0),
    )

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        losses = hg.nn.softmax_cross_entropy(_forward(params, batch["x"]), batch["y"])
        return losses.mean() + _penalty(params, hparams["l2_1"], hparams["l2_2"])

    problem = _network(
        (train, valid, test),
        lambda hparams, rng: _init(hparams["scale"], hparams["scale"], rng),
        inner_loss,
        hg.optim.Momentum(lr=hg.optim.Cosine("lr", "lr_end"), momentum="momentum"),
        steps=400,
        batch=50,
    )
    return Training("digits6", seed, space, problem, GRADIENT_COST["digits6"])


def digits29(seed: int) -> Training:
    """Twenty-nine: 10 knots of lr, 5 of momentum, l2 and scale of init per layer, 10 class weights."""
    train, valid, test, _ = digits(seed, train=200, valid=400, wrong=0.2)
    space = hg.Space(
        lr=hg.Float(1e-3, 3.0, log=True, default=0.05, shape=(10,)),
        momentum=hg.Float(0.05, 0.995, logit=True, default=0.8, shape=(5,)),
        l2_1=hg.Float(1e-6, 1.0, log=True),
        l2_2=hg.Float(1e-6, 1.0, log=True),
        scale_1=hg.Float(0.01, 3.0, log=True, default=1.0),
        scale_2=hg.Float(0.01, 3.0, log=True, default=1.0),
        weight=hg.Float(0.1, 10.0, log=True, default=1.0, shape=(10,)),
    )

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        losses = hg.nn.softmax_cross_entropy(_forward(params, batch["x"]), batch["y"])
        weights = hparams["weight"][batch["y"]]
        return (weights * losses).mean() + _penalty(params, hparams["l2_1"], hparams["l2_2"])

    problem = _network(
        (train, valid, test),
        lambda hparams, rng: _init(hparams["scale_1"], hparams["scale_2"], rng),
        inner_loss,
        hg.optim.Momentum(
            lr=hg.optim.PiecewiseLinear("lr", log=True), momentum=hg.optim.PiecewiseLinear("momentum")
        ),
        steps=400,
        batch=50,
    )
    return Training("digits29", seed, space, problem, GRADIENT_COST["digits29"])


def mlp1000(seed: int) -> Training:
    """1,005: a weight for each of 1,000 training rows, of which 30 % have a wrong label; lr, momentum, l2 and scale."""
    train, valid, test, _ = digits(seed, train=1000, valid=400, wrong=0.3)
    train["row"] = np.arange(1000)
    space = hg.Space(
        lr=hg.Float(1e-3, 3.0, log=True, default=0.05),
        momentum=hg.Float(0.05, 0.995, logit=True, default=0.8),
        l2_1=hg.Float(1e-6, 1.0, log=True),
        l2_2=hg.Float(1e-6, 1.0, log=True),
        scale=hg.Float(0.01, 3.0, log=True, default=1.0),
        weight=hg.Float(0.01, 0.99, logit=True, shape=(1000,)),
    )

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        losses = hg.nn.softmax_cross_entropy(_forward(params, batch["x"]), batch["y"])
        weights = 2.0 * hparams["weight"][batch["row"]]  # 1 at the default
        return (weights * losses).mean() + _penalty(params, hparams["l2_1"], hparams["l2_2"])

    problem = _network(
        (train, valid, test),
        lambda hparams, rng: _init(hparams["scale"], hparams["scale"], rng),
        inner_loss,
        hg.optim.Momentum(lr="lr", momentum="momentum"),
        steps=400,
        batch=100,
    )
    return Training("mlp1000", seed, space, problem, GRADIENT_COST["mlp1000"])


def logistic30(seed: int) -> Training:
    """Thirty: an l2 penalty for each feature of a logistic regression on 100 rows, a tenth of them mislabelled."""
    train, valid, test = breast_cancer(seed, train=100, valid=200, wrong=0.1)
    space = hg.Space(l2=hg.Float(1e-4, 10.0, log=True, default=0.01, shape=(30,)))

    def logits(params: Any, data: Any) -> Any:
        return data["x"] @ params["w"] + params["b"]

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        losses = hg.nn.sigmoid_binary_cross_entropy(logits(params, batch), batch["y"])
        return losses.mean() + 0.5 * np.sum(hparams["l2"] * params["w"] ** 2)

    def loss(params: Any, hparams: Any, data: Any) -> Any:
        return hg.nn.sigmoid_binary_cross_entropy(logits(params, data), data["y"]).mean()

    def accuracy(params: Any, hparams: Any, data: Any) -> float:
        return float(((logits(params, data) > 0.0) == (data["y"] > 0.5)).mean())

    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(30), "b": np.zeros(())},
        inner_loss=inner_loss,
        outer_loss=lambda params, hparams, valid: np.log(loss(params, hparams, valid)),
        train=train,
        valid=valid,
        test=test,
        metrics={"loss": lambda p, h, d: float(loss(p, h, d)), "accuracy": accuracy},
        optimizer=hg.optim.Momentum(lr=0.2, momentum=0.9),
        steps=1000,
    )
    return Training("logistic30", seed, space, problem, GRADIENT_COST["logistic30"])


# A value and its hypergradient in runs: CPU time of hg.hypergradient by that of hg.train is 2.4 to 2.7, rounded up.
# In step evaluations it is 2: T steps, and T steps with their vjp, each of which counts as one.
GRADIENT_COST = {"digits6": 3.0, "digits29": 3.0, "logistic30": 3.0, "mlp1000": 3.0}

TRAINING: dict[str, Callable[[int], Training]] = {
    "digits6": digits6,
    "digits29": digits29,
    "logistic30": logistic30,
    "mlp1000": mlp1000,
}
