"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hypergrad.space import Float
from hypergrad.tasks.base import L2, Task, cross_entropy, half_squared_error
from hypergrad.tasks.data import Dataset

__all__ = ["MLP"]


@dataclass(frozen=True)
class MLP(Task):
    """One hidden layer of tanh units; softmax cross-entropy on classes, ½ squared error on quantities.

    Ω = ½ Σ_g l2_hidden · l2_group_g · |u_g|² + ½ l2_out |v|² for the weights u of the hidden layer and v of
    the output; biases are not penalised. The space has ``scale_hidden`` and ``scale_out``, the deviation of
    an initial weight times the root of the number of its layer's inputs, ``l2_hidden`` and ``l2_out``.

    Attributes:
        hidden: units.
    """

    hidden: int = 32

    name: ClassVar[str] = "mlp"

    def parameters(self, dataset: Dataset) -> dict[str, Float]:
        scale, l2 = Float(0.1, 3.0, log=True, default=1.0), Float(1e-5, 1.0, log=True, default=L2)
        return {"scale_hidden": scale, "scale_out": scale, "l2_hidden": l2, "l2_out": l2}

    def initial(self, features: int, outputs: int, hparams: Mapping[str, Any], rng: Any) -> dict[str, Any]:
        u = rng.standard_normal((features, self.hidden)) / np.sqrt(features)
        v = rng.standard_normal((self.hidden, outputs)) / np.sqrt(self.hidden)
        return {
            "hidden": {"w": hparams["scale_hidden"] * u, "b": np.zeros(self.hidden)},
            "out": {"w": hparams["scale_out"] * v, "b": np.zeros(outputs)},
        }

    def outputs(self, params: Mapping[str, Any], x: Any) -> Any:
        units = np.tanh(x @ params["hidden"]["w"] + params["hidden"]["b"])
        return units @ params["out"]["w"] + params["out"]["b"]

    def penalty(self, params: Mapping[str, Any], hparams: Mapping[str, Any], factor: Any) -> Any:
        hidden = hparams["l2_hidden"] * np.sum(factor * params["hidden"]["w"] ** 2)
        return 0.5 * (hidden + hparams["l2_out"] * np.sum(params["out"]["w"] ** 2))

    def row_loss(self, dataset: Dataset) -> Any:
        return cross_entropy if dataset.kind == "classification" else half_squared_error
