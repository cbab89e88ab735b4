"""Towers as PyTorch's graph differentiates them: rates are kept in the graph of the one step that they made."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test; install the extra [peers]")

RNG = np.random.default_rng(8)
X, Y = RNG.standard_normal((24, 4)), RNG.integers(0, 3, 24)
FIRST = {
    "a": 0.5 * RNG.standard_normal((4, 5)),
    "b": np.zeros(5),
    "c": 0.5 * RNG.standard_normal((5, 3)),
}
STEPS = 25


def problem(optimizer):
    def loss(p, hparams, batch):
        logits = np.tanh(batch["x"] @ p["a"] + p["b"]) @ p["c"]
        return hg.nn.softmax_cross_entropy(logits, batch["y"]).mean()

    data = {"x": X, "y": Y}
    return hg.BilevelProblem(
        init=lambda hparams, rng: FIRST,
        inner_loss=loss,
        outer_loss=loss,
        train=data,
        valid=data,
        optimizer=optimizer,
        steps=STEPS,
        batch_size=8,
    )


def torch_loss(w, x, y):
    a, b, c = w[:20].reshape(4, 5), w[20:25], w[25:].reshape(5, 3)
    return torch.nn.functional.cross_entropy(torch.tanh(x @ a + b) @ c, y)


class Level:
    """One optimiser's update of a detached x, in the graph of its rate alone."""

    def __init__(self, kind, betas=(0.9, 0.999), momentum=0.9):
        self.kind, self.betas, self.momentum = kind, betas, momentum
        self.first = self.second = 0.0
        self.count = 0

    def __call__(self, x, g, lr):
        self.count += 1
        if self.kind == "sgd":
            return x - lr * g
        if self.kind == "momentum":
            self.first = self.momentum * self.first + g
            return x - lr * self.first
        b1, b2 = self.betas
        self.first, self.second = b1 * self.first + (1 - b1) * g, b2 * self.second + (1 - b2) * g * g
        mean, square = self.first / (1 - b1**self.count), self.second / (1 - b2**self.count)
        return x - lr * mean / (torch.sqrt(square) + 1e-8)


def reference(kinds, rates):
    """The trace of the lowest rate, and the last w, for levels `kinds` (the problem's optimiser first)."""
    levels = [Level(kind) for kind in kinds]
    values = [torch.tensor(rate, dtype=torch.float64, requires_grad=True) for rate in rates]
    flat = np.concatenate([FIRST[k].ravel() for k in "abc"])
    w = torch.tensor(flat, requires_grad=True)
    task, trace = problem(hg.optim.SGD("lr")), []
    for t in range(STEPS):
        rows = task.batches.at(0, t)
        found = torch.autograd.grad(
            torch_loss(w, torch.tensor(X[rows]), torch.tensor(Y[rows])), [w, *values], allow_unused=True
        )
        g, *slopes = [
            torch.zeros_like(v) if s is None else s for s, v in zip(found, [w, *values], strict=True)
        ]
        new = [values[-1].detach().clone().requires_grad_()]
        for k in range(len(values) - 1, 0, -1):  # level k moves the rate below it
            new.insert(0, levels[k](values[k - 1].detach(), slopes[k - 1], new[0]))
        values = new
        w = levels[0](w.detach(), g, values[0])
        trace.append(values[0].item())
    return np.array(trace), w.detach().numpy()


MADE = {
    "sgd": hg.optim.SGD,
    "momentum": lambda lr: hg.optim.Momentum(lr, 0.9),
    "adam": hg.optim.Adam,
}


@pytest.mark.parametrize(
    ("kinds", "rates"),
    [
        (("sgd", "sgd"), (0.1, 0.05)),
        (("adam", "sgd"), (0.01, 1e-4)),
        (("momentum", "sgd", "sgd"), (0.05, 1e-3, 1e-4)),
        (("adam", "adam", "sgd"), (0.01, 1e-3, 1e-4)),
        (("sgd", "adam", "adam"), (0.1, 0.01, 1e-3)),
        (("momentum", "momentum", "adam", "sgd"), (0.05, 1e-3, 1e-4, 1e-5)),
    ],
)
def test_towers_are_what_the_graph_says(kinds, rates):
    trace, w = reference(kinds, rates)
    task = problem(MADE[kinds[0]]("lr"))
    method = hg.online.Tower(tuple(MADE[k](r) for k, r in zip(kinds[1:], rates[1:], strict=True)))
    result = hg.online.adapt(task, {"lr": rates[0]}, method)
    np.testing.assert_allclose(result.trace["lr"], trace, rtol=1e-12)
    found = np.concatenate([np.ravel(result.params[k]) for k in "abc"])
    np.testing.assert_allclose(found, w, rtol=1e-11, atol=1e-13)
    assert np.ptp(trace) > 1e-3 * rates[0]
    assert trace.min() > 0
