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
    dtype = torch.from_numpy(workload.train["x"]).dtype
    train_rows = {key: torch.from_numpy(leaf) for key, leaf in workload.train.items()}
    valid_rows = {key: torch.from_numpy(leaf) for key, leaf in workload.valid.items()}
    batches = None if workload.batches is None else torch.from_numpy(workload.batches.astype(np.int64))
    owners = [layer for layer, leaves in workload.params.items() for _ in leaves]
    firsts = [leaf for leaves in workload.params.values() for leaf in leaves.values()]
    places = [owners.index(layer) for layer in workload.layers]  # of each layer's weights
    biased = ["b" in leaves for leaves in workload.params.values()]
    slots = {"sgd": 0, "momentum": 1, "adam": 2}[workload.optimizer]
    activation = {"tanh": torch.tanh, "relu": torch.relu}[workload.activation]
    loss_of = {
        "softmax": F.cross_entropy,
        "binary": F.binary_cross_entropy_with_logits,
        "squared": F.mse_loss,
    }[workload.loss]

    def loss(params: list, rows: Any) -> Any:
        x = rows["x"]
        for number, i in enumerate(places):
            x = torch.addmm(params[i + 1], x, params[i]) if biased[number] else x @ params[i]
            if number < len(places) - 1:
                x = activation(x)
        return loss_of(x, rows["y"])

    def penalty(params: list, hparams: dict[str, Any]) -> Any:
        strength = torch.exp(hparams["log_l2"]) if "log_l2" in hparams else hparams["l2"]
        if workload.per_weight:
            return 0.5 * (strength * params[0].square()).sum()
        each = strength.expand(len(places))
        return sum(0.5 * each[number] * params[i].square().sum() for number, i in enumerate(places))

    def rate_of(hparams: dict[str, Any]) -> Callable[[str, str, int], Any]:
        """The rate `name` of `layer` at step t, bias corrections in float64."""
        rows: dict[str, Any] = {}
        for path, leaf in hparams.items():
            if path.split("/")[0] in workload.rates:
                rows[path] = leaf.unbind() if leaf.ndim else leaf
        if workload.optimizer == "adam":
            t = torch.arange(1.0, workload.steps + 1.0, dtype=torch.float64)
            lr, b1, b2 = (hparams[name].double() for name in ("lr", "b1", "b2"))
            rows["lr"] = (lr / (1.0 - b1**t)).to(dtype).unbind()
            rows["scale"] = (1.0 / torch.sqrt(1.0 - b2**t)).to(dtype).unbind()

        def now(name: str, layer: str, t: int) -> Any:
            found = rows.get(name)
            if found is None:
                found = rows.get(f"{name}/{layer}", workload.fixed.get(name))
            return found[t] if isinstance(found, tuple) else found

        return now

    def update(rate: Callable[[str], Any], w: Any, g: Any, *slots: Any) -> tuple[Any, ...]:
        if workload.optimizer == "sgd":
            return (w - rate("lr") * g,)
        if workload.optimizer == "momentum":
            m = rate("momentum") * slots[0] + g
            return w - rate("lr") * m, m
        m = rate("b1") * slots[0] + (1.0 - rate("b1")) * g
        v = rate("b2") * slots[1] + (1.0 - rate("b2")) * g.square()
        return w - rate("lr") * (m / (v.sqrt() * rate("scale") + workload.fixed["eps"])), m, v

    def unroll(hparams: dict[str, Any], differentiable: bool) -> Any:
        params = [torch.from_numpy(leaf).clone().requires_grad_() for leaf in firsts]
        state = [params, *([torch.zeros_like(w) for w in params] for _ in range(slots))]
        rate = rate_of(hparams)
        for t in range(workload.steps):
            rows = train_rows
            if batches is not None:
                rows = {key: leaf[batches[t]] for key, leaf in rows.items()}
            inner = loss(state[0], rows)
            if workload.penalised:
                inner = inner + penalty(state[0], hparams)
            gradients = torch.autograd.grad(inner, state[0], create_graph=differentiable)
            with torch.set_grad_enabled(differentiable):
                new = [
                    update(lambda name, layer=layer, t=t: rate(name, layer, t), w, g, *more)
                    for layer, w, g, *more in zip(owners, state[0], gradients, *state[1:], strict=True)
                ]
            state = [list(leaves) for leaves in zip(*new, strict=True)]
            if not differentiable:
                state[0] = [w.requires_grad_() for w in state[0]]
        with torch.set_grad_enabled(differentiable):
            return loss(state[0], valid_rows)

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
        found = unroll(hparams, differentiable=True)
        gradients = dict(zip(hparams, torch.autograd.grad(found, list(hparams.values())), strict=True))
        tree = {
            key: {layer: gradients[f"{key}/{layer}"].numpy() for layer in leaf}
            if isinstance(leaf, dict)
            else gradients[key].numpy()
            for key, leaf in workload.hparams.items()
        }
        return float(found.detach()), tree

    return train, hypergradient
