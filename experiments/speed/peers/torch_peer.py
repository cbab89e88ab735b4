"""PyTorch: training unrolled with ``create_graph=True``, then one backward pass through all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LIBRARY = "torch"
DISTRIBUTION = "torch"
VARIANTS = ("unroll",)


def build(workload: Any, variant: str) -> tuple[Callable[[], float], Callable[[], tuple[float, Any]]]:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    layers = workload.layers
    count = len(layers)
    x = torch.from_numpy(workload.train["x"])
    y = torch.from_numpy(workload.train["y"].astype(np.int64))
    x_valid = torch.from_numpy(workload.valid["x"])
    y_valid = torch.from_numpy(workload.valid["y"].astype(np.int64))
    batches = torch.from_numpy(workload.batches.astype(np.int64))
    per_layer = isinstance(workload.hparams["lr"], dict)

    def cross_entropy(params: list, x: Any, y: Any) -> Any:
        for number in range(count - 1):
            x = torch.tanh(torch.addmm(params[2 * number + 1], x, params[2 * number]))
        return F.cross_entropy(torch.addmm(params[-1], x, params[-2]), y)

    def unroll(hparams: dict[str, Any], differentiable: bool) -> Any:
        params = [
            torch.from_numpy(workload.params[layer][name]).clone().requires_grad_()
            for layer in layers
            for name in ("w", "b")
        ]
        velocity = [torch.zeros_like(w) for w in params]
        rates = [hparams[f"lr/{layer}" if per_layer else "lr"].unbind() for layer in layers]
        momenta = hparams["momentum"].expand(len(batches)).unbind()
        penalised = "log_l2" in hparams
        for t, index in enumerate(batches):
            loss = cross_entropy(params, x[index], y[index])
            if penalised:
                strength = torch.exp(hparams["log_l2"]).expand(count)
                for number in range(count):
                    loss = loss + 0.5 * strength[number] * params[2 * number].square().sum()
            gradients = torch.autograd.grad(loss, params, create_graph=differentiable)
            with torch.set_grad_enabled(differentiable):
                velocity = [momenta[t] * m + g for m, g in zip(velocity, gradients, strict=True)]
                params = [w - rates[i // 2][t] * velocity[i] for i, w in enumerate(params)]
            if not differentiable:
                params = [w.requires_grad_() for w in params]
        with torch.set_grad_enabled(differentiable):
            return cross_entropy(params, x_valid, y_valid)

    def leaves(differentiable: bool) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for key, leaf in workload.hparams.items():
            parts = (
                {f"{key}/{name}": part for name, part in leaf.items()}
                if isinstance(leaf, dict)
                else {key: leaf}
            )
            named |= {path: torch.tensor(part, requires_grad=differentiable) for path, part in parts.items()}
        return named

    def train() -> float:
        return float(unroll(leaves(False), differentiable=False))

    def hypergradient() -> tuple[float, Any]:
        hparams = leaves(True)
        loss = unroll(hparams, differentiable=True)
        gradients = dict(zip(hparams, torch.autograd.grad(loss, list(hparams.values())), strict=True))
        tree = {
            key: {layer: gradients[f"{key}/{layer}"].numpy() for layer in leaf}
            if isinstance(leaf, dict)
            else gradients[key].numpy()
            for key, leaf in workload.hparams.items()
        }
        return float(loss.detach()), tree

    return train, hypergradient
