"""Hypergradient descent and towers of it: rates that follow the loss of the very next step.

Notation
--------
w_t, g_t    parameters (n,), and ∇f_t(w_t), the gradient on the batch of step t
a_t         adapted hyperparameters (m,) used by step t; z_t = ∂w_t/∂a_{t-1} (m, n), of the one step before
κ^k_t       rate of level k, which moves what is below it: level 1 moves a, level k moves κ^{k-1}
y^k_t       ∂κ^{k-1}_t / ∂κ^k_t of the one update before (κ^0 = a)

G^1 = z_t g_t                                       = ∂f_t/∂a_{t-1}
G^{k+1} = G^k · y^k_t                               = ∂f_t/∂κ^k_t
κ^k' = update of level k + 1 (κ^k, G^{k+1}, κ^{k+1}'), from the top, whose rate is fixed, down to a_t
w_{t+1} = the step at a_t, with the same g_t

One level with plain gradient descent is hypergradient descent (Baydin et al. 2018, algorithms 4-6:
h_t = g_t ∇_α u_{t-1}, α_t = α_{t-1} - β h_t, before the step that uses α_t); more are Chandra et al. (2022). At the
first step z = 0. The derivatives are of the update rule as it stands, so that this is one text for every optimiser
and every level. All tensors see the same rate: it moves once a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hypergrad.ad.api import grad, jvp
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import convert, reshape
from hypergrad.ad.program import ArrayType, Program
from hypergrad.ad.trace import Builder, type_of, user_code
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.online.base import Adapted, Bounds, Online, Replay, Run, made, rows_at
from hypergrad.optim import SGD, Optimizer
from hypergrad.unroll.problem import BilevelProblem
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["HypergradientDescent", "Tower", "check_levels", "updated"]

F64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Tower(Online):
    """Each optimiser's rate is learned by the next (Chandra, Xie, Ragan-Kelley & Meijer 2022).

    Attributes:
        optimizers: of level 1, 2, ..., at least one; their rates are numbers. The `lr` of each but the last is
            where that level's rate starts.
        multiplicative: G^1 = a g_t z_t / (|g_t| |z_t|) instead, so that plain descent moves a by a relative step of
            at most its rate (Baydin et al. 2018, the multiplicative rule).
        bounds: (low, high) of adapted hyperparameters, or a dict of pairs by name; None: none. An update that leaves
            them is put back; the papers have none. Rates of levels are kept at 0 or above.

    By default the learning rate of the problem's optimiser is adapted.
    """

    optimizers: tuple[Optimizer, ...] = (SGD(1e-3), SGD(1e-3))
    multiplicative: bool = False
    bounds: Bounds = (0.0, np.inf)

    def __post_init__(self) -> None:
        check_levels(self.optimizers, "Tower")

    def default(self, trajectory: Trajectory) -> Sequence[str] | None:
        return _learning_rate(trajectory)

    def run(self, adapted: Adapted) -> Run:
        return _descend(adapted, self.optimizers, self.multiplicative)


@dataclass(frozen=True)
class HypergradientDescent(Online):
    """a_t = a_{t-1} - rate · ∂f_t/∂a_{t-1} (Baydin, Cornish, Martínez Rubio, Schmidt & Wood 2018).

    Attributes:
        rate: β, in units of a² by loss; with `multiplicative`, relative, below 1.
        multiplicative: a_t = a_{t-1} (1 - rate g_t z_t / (|g_t| |z_t|)), the paper's other rule.
        bounds: as in `Tower`.

    By default the learning rate of the problem's optimiser is adapted.
    """

    rate: float = 1e-3
    multiplicative: bool = False
    bounds: Bounds = (0.0, np.inf)

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not self.rate >= 0:
            raise DerivativeError(f"HypergradientDescent takes a rate of 0 or more, got {self.rate!r}")

    def default(self, trajectory: Trajectory) -> Sequence[str] | None:
        return _learning_rate(trajectory)

    def run(self, adapted: Adapted) -> Run:
        return _descend(adapted, (SGD(float(self.rate)),), self.multiplicative)


def check_levels(optimizers: Any, what: str) -> None:
    """Raise DerivativeError unless `optimizers` are optimisers whose rates are numbers."""
    if not isinstance(optimizers, tuple | list) or not optimizers:
        raise DerivativeError(f"{what} takes a tuple of one or more optimizers, got {optimizers!r}")
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer) or not all(
            isinstance(rate, float) for rate in optimizer.rates().values()
        ):
            raise DerivativeError(
                f"{what} takes optimizers of hg.optim whose rates are numbers, got {optimizer!r}"
            )
        if "lr" not in optimizer.rates():
            raise DerivativeError(f"{what} takes optimizers with a rate called lr, got {optimizer!r}")


def updated(
    optimizer: Optimizer, x: Any, gradient: Any, slots: Sequence[Any], lr: Any, count: Any
) -> tuple[Any, tuple[Any, ...]]:
    """One update of x (k,), with the rate lr () in place of the optimiser's own.

    Args:
        count: 1 at the first update, shape (1,), float.
    """
    rates: dict[str, Any] = {**optimizer.rates(), "lr": lr}
    derived = {name: reshape(row, ()) for name, row in optimizer.derived(rates, count).items()}
    return optimizer.update(x, gradient, tuple(slots), {**rates, **derived})


def _learning_rate(trajectory: Trajectory) -> list[str]:
    optimizer = getattr(trajectory.problem, "optimizer", None)
    lr = None if optimizer is None else optimizer.rates().get("lr")
    if isinstance(lr, str):
        return [lr]
    raise DerivativeError(
        "the problem's optimizer reads no learning rate from hparams; write optimizer=hg.optim.SGD('lr'), "
        "or name in wrt what is to be adapted"
    )


def _descend(adapted: Adapted, optimizers: Sequence[Optimizer], multiplicative: bool) -> Run:
    """Train once, a moved by the levels."""
    of = adapted.of
    if not isinstance(of.problem, BilevelProblem):
        raise DerivativeError(
            "hypergradient descent follows the inner loss, which an UnrolledProblem has not; "
            "use hg.online.RealTimeForward, which follows the outer loss"
        )
    kinds = tuple(replace(o, lr=0.0) for o in optimizers)  # type: ignore[type-var]
    executable, counts = made(
        adapted, (kinds, multiplicative), lambda: _compiled(adapted, kinds, multiplicative)
    )
    run = Run(adapted)
    m, n = adapted.layout.size, of.code.start_layout.size
    rates = [np.full(1, o.rates()["lr"], F64) for o in optimizers]
    sizes = [m] + [1] * (len(optimizers) - 1)
    carried = [
        run.state,
        adapted.first,
        np.zeros((m, n), of.code.layout.dtype),
        *rates,
        *[np.zeros(size) for size in sizes],
        *[np.zeros(size) for size, count in zip(sizes, counts, strict=True) for _ in range(count)],
    ]
    pair = [np.array(x) for x in carried], [np.array(x) for x in carried]
    row, rest = of.inputs[0], of.inputs[3:]
    number = np.zeros((), np.int64)
    given = [*adapted.fixed(), adapted.low, adapted.high, row, number, *rest]
    loss, moved = np.zeros((), of.code.layout.dtype), np.zeros((), np.bool_)
    scratch = executable.scratch()
    calls = [executable.bind([*pair[i], *given], [*pair[1 - i], loss, moved], scratch) for i in (0, 1)]
    here = 0
    levels = np.zeros((run.steps, len(optimizers)))
    for t in range(run.steps):
        of.prepare(t)
        number[...] = t
        try:
            calls[here]()
        except np.linalg.LinAlgError:  # a singular matrix: training has diverged
            pair[1 - here][0][...] = np.nan
        here = 1 - here
        now = pair[here]
        of.evaluations["backward"] += 1
        run.trace[t] = now[1]
        run.curve[t] = loss
        run.projected += bool(moved)
        levels[t] = [rate[0] for rate in now[3 : 3 + len(optimizers)]]
        if run.ended(adapted, now[0], now[1], t + 1):
            break
    run.state, run.last = pair[here][0], pair[here][1]
    run.stats["level_rates"] = levels[run.steps - 1].tolist()
    return run


def _compiled(
    adapted: Adapted, optimizers: Sequence[Optimizer], multiplicative: bool
) -> tuple[Executable, list[int]]:
    """One step of training and of all levels, and the number of slots of each level."""
    counts = [len(o.slots) for o in optimizers]
    program = _program(adapted, optimizers, counts, multiplicative)
    return Executable(optimize(program), closed=True), counts


def _program(
    adapted: Adapted, optimizers: Sequence[Optimizer], counts: Sequence[int], multiplicative: bool
) -> Program:
    """(s, a, z, κ^1.., y^1.., slots, fixed floats, low, high, row, t, batch, draws) -> the first of these at the next
    step, the inner loss, and whether a was put back within its bounds."""
    of, code = adapted.of, adapted.of.code
    problem, dtype, start = of.problem, code.layout.dtype, code.start_layout
    m, n, height = adapted.layout.size, start.size, len(optimizers)
    sizes = [m] + [1] * (height - 1)
    with Builder("online") as builder, user_code("the step"):
        vector = builder.input(ArrayType((code.layout.size,), dtype))
        a: Any = builder.input(ArrayType((m,), F64))
        z: Any = builder.input(ArrayType((m, n), dtype))
        kappa = [builder.input(ArrayType((1,), F64)) for _ in optimizers]
        slopes = [builder.input(ArrayType((size,), F64)) for size in sizes]
        slots = [
            [builder.input(ArrayType((size,), F64)) for _ in range(count)]
            for size, count in zip(sizes, counts, strict=True)
        ]
        fixed = [builder.input(type_of(value)) for value in adapted.fixed()]
        low, high = (builder.input(ArrayType((m,), F64)) for _ in (0, 1))
        row = builder.input(ArrayType((code.row_layout.size,), dtype))
        t = builder.input(ArrayType((), np.dtype(np.int64)))
        leaves = [builder.input(type_of(buffer)) for buffer in of.inputs[3 : 3 + len(code.train)]]
        batch = code._train_tree.unflatten(leaves) if leaves else problem.train
        rng = Replay(builder, dtype)

        def inner_loss(flat: Any) -> Any:
            return problem._call(rng.again(), start.tree(flat), adapted.hparams(a, fixed), batch)

        def advance(new: Any) -> Any:
            hparams = adapted.hparams(new, fixed)
            rates = rows_at(adapted, hparams, row, t)
            return problem.advance(vector, start, hparams, rates, batch, t, rng.again())

        g = grad(inner_loss)(vector[:n])
        found = convert(z @ g, F64)
        if multiplicative:
            size = convert(np.sqrt(np.sum(g * g) * np.sum(z * z, axis=1)), F64)
            found = a * np.where(size > 0, found / np.where(size > 0, size, 1.0), 0.0)
        count = reshape(convert(t, F64) + 1.0, (1,))
        gradients = [found]  # G^1, G^2, ...
        for slope in slopes[:-1]:
            gradients.append(reshape(np.sum(gradients[-1] * slope), (1,)))
        new_slots: list[Any] = [None] * height
        new_slopes: list[Any] = [None] * height
        for k in reversed(range(height)):
            below = kappa[k - 1] if k else a

            def move(lr: Any, k: int = k, below: Any = below) -> Any:
                return updated(optimizers[k], below, gradients[k], slots[k], lr, count)

            moved, new_slots[k] = move(reshape(kappa[k], ()))
            if k < height - 1:
                one = np.ones(())
                _, new_slopes[k] = jvp(lambda lr, move=move: move(lr)[0], (reshape(kappa[k], ()),), (one,))
            else:
                new_slopes[k] = slopes[k]
            if k:
                kappa[k - 1] = np.maximum(moved, 0.0)
            else:
                free, a_new = moved, np.clip(moved, low, high)
        back = np.any(free != a_new)
        identity = np.eye(m)
        columns = []
        for j in range(m):
            columns.append(jvp(lambda new: advance(new)[0][:n], (a_new,), (identity[j],))[1])
        state, loss = advance(a_new)
        outputs = [state, a_new, np.stack(columns), *kappa, *new_slopes]
        outputs += [slot for level in new_slots for slot in level]
        return builder.program([*outputs, np.reshape(loss, ()).astype(dtype), back])
