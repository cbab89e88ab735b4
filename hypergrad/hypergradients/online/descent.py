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

from hypergrad.ad.api import jvp
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import convert, reshape, stop_gradient
from hypergrad.ad.primitives.shape import split
from hypergrad.ad.program import ArrayType, Program
from hypergrad.ad.reverse import linearize
from hypergrad.ad.trace import Builder, type_of, user_code
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients.online.base import Adapted, Bounds, Online, Pushed, Run, made, rows_at
from hypergrad.optim import SGD, Optimizer
from hypergrad.unroll.draws import TracedGenerator
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

    By default the learning rate of the problem's optimiser is adapted. f is the inner loss without that optimiser's own
    weight_decay; a penalty that is to count is a part of the inner loss.
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

    By default the learning rate of the problem's optimiser is adapted. f is the inner loss without that optimiser's own
    weight_decay; a penalty that is to count is a part of the inner loss.
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
        plain = type(optimizer).bound is Optimizer.bound and type(optimizer).ahead is Optimizer.ahead
        if "lr" not in optimizer.rates() or not plain or optimizer.full_batch:
            raise DerivativeError(
                f"{what} takes optimizers of noisy gradients, with a rate called lr and without a penalty, "
                f"got {optimizer!r}"
            )


def first_slots(optimizer: Optimizer, size: int) -> tuple[np.ndarray, ...]:
    """The slots of a level for `size` numbers before its first update."""
    rates = {name: rate for name, rate in optimizer.rates().items() if name in optimizer.initial}
    return tuple(np.full(size, value, float) for value in optimizer.first_slots(size, rates))


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


def _check_problem(problem: Any) -> None:
    """Raise DerivativeError unless each step takes the gradient of an inner loss at the parameters themselves."""
    if not isinstance(problem, BilevelProblem):
        raise DerivativeError(
            "hypergradient descent follows the inner loss, which an UnrolledProblem has not; "
            "use hg.online.RealTimeForward, which follows the outer loss"
        )
    if type(problem.optimizer).ahead is not Optimizer.ahead:
        raise DerivativeError(
            f"hypergradient descent needs the gradient at the parameters, but {type(problem.optimizer).__name__} "
            "takes it ahead of them; use hg.online.RealTimeForward"
        )


def _learning_rate(trajectory: Trajectory) -> list[str]:
    _check_problem(trajectory.problem)
    lr = trajectory.problem.optimizer.rates().get("lr")
    if isinstance(lr, str):
        return [lr]
    raise DerivativeError(
        "the problem's optimizer reads no learning rate from hparams; write optimizer=hg.optim.SGD('lr'), "
        "or name in wrt what is to be adapted"
    )


def _descend(adapted: Adapted, optimizers: Sequence[Optimizer], multiplicative: bool) -> Run:
    """Train once, a moved by the levels."""
    of = adapted.of
    _check_problem(of.problem)
    kinds = tuple(replace(o, lr=0.0) for o in optimizers)  # type: ignore[type-var]
    code = made(adapted, (kinds, multiplicative), lambda: _Code(adapted, kinds, multiplicative))
    run = Run(adapted)
    m, n = adapted.layout.size, of.code.start_layout.size
    height, dtype = len(optimizers), of.code.layout.dtype
    sizes = [m] + [1] * (height - 1)
    carried = [
        run.state,
        adapted.first,
        *[np.full(1, o.rates()["lr"], F64) for o in optimizers],
        *[np.zeros(size) for size in sizes],
        *[slot for o, size in zip(optimizers, sizes, strict=True) for slot in first_slots(o, size)],
    ]
    pair = [np.array(x) for x in carried], [np.array(x) for x in carried]
    z = np.zeros((m, n), dtype)
    number, loss, back = np.zeros((), np.int64), np.zeros((), dtype), np.zeros((), np.bool_)
    residuals = [np.zeros(type.shape, type.dtype) for type in code.residuals]
    given = [z, *adapted.fixed(), adapted.low, adapted.high, of.inputs[0], number, *of.inputs[3:]]
    scratch = code.step.scratch()
    steps = [
        code.step.bind([*pair[i], *given], [*pair[1 - i], loss, back, *residuals], scratch) for i in (0, 1)
    ]
    push = None if code.linear is None else code.linear.bind(residuals, [np.eye(m)], z, code.linear.scratch())
    here = 0
    for t in range(run.steps):
        of.prepare(t)
        number[...] = t
        now = pair[1 - here]
        try:
            steps[here]()
            if push is not None:
                push()
        except np.linalg.LinAlgError:  # a singular matrix: training has diverged
            now[0][...] = np.nan
        here = 1 - here
        of.evaluations["forward"] += 1
        run.trace[t] = now[1]
        run.curve[t] = loss
        run.projected += bool(back)
        if run.ended(adapted, now[0], now[1], t + 1):
            break
    run.state, run.last = pair[here][0], pair[here][1]
    run.stats["level_rates"] = [float(rate[0]) for rate in pair[here][2 : 2 + height]]
    return run


class _Code:
    """One step of training and of all levels, compiled.

    Attributes:
        slots: how many each level has.
        step: (s, a, κ^1.., y^1.., slots, z, fixed floats, low, high, row, t, batch, draws) -> the first of these (up to
            slots) at the next step, the inner loss, whether a was put back within its bounds, residuals.
        linear: (residuals, tangents of a (m, m)) -> those of w' (m, n); None: w' does not depend on a.
        residuals: their types.
    """

    def __init__(self, adapted: Adapted, optimizers: Sequence[Optimizer], multiplicative: bool) -> None:
        self.slots = [len(o.slots) for o in optimizers]
        slope = _slope(adapted)
        training = _training(adapted, slope)
        parts = linearize(training, [i == 1 for i in range(len(training.inputs))])
        self.residuals = [atom.type for atom in parts.primal.outputs[3:]]
        self.linear = Pushed(parts.linear, 1, adapted.layout.size) if parts.moving[0] else None
        whole = _whole(adapted, optimizers, self.slots, multiplicative, slope, parts.primal)
        self.step = Executable(optimize(whole), closed=True)


def _inputs(adapted: Adapted, builder: Builder) -> tuple[Any, ...]:
    """s, a, fixed floats, row, t, batch: as inputs of a program."""
    of, code = adapted.of, adapted.of.code
    return (
        builder.input(ArrayType((code.layout.size,), code.layout.dtype)),
        builder.input(ArrayType((adapted.layout.size,), F64)),
        [builder.input(type_of(value)) for value in adapted.fixed()],
        builder.input(ArrayType((code.row_layout.size,), code.layout.dtype)),
        builder.input(ArrayType((), np.dtype(np.int64))),
        [builder.input(type_of(buffer)) for buffer in of.inputs[3 : 3 + len(code.train)]],
    )


def _slope(adapted: Adapted) -> Program:
    """(s, a, fixed, row, t, batch, draws) -> (inner loss, g)."""
    of, code = adapted.of, adapted.of.code
    with Builder("slope") as builder, user_code("the step"):
        vector, a, fixed, _, _, leaves = _inputs(adapted, builder)
        batch = code._train_tree.unflatten(leaves) if leaves else of.problem.train
        rng = TracedGenerator(builder, code.layout.dtype)
        hparams = adapted.hparams(a, fixed)
        loss, g = of.problem.slope(
            split(vector, code.layout.sizes)[0], code.start_layout, hparams, batch, rng
        )
        return optimize(builder.program([np.reshape(loss, ()).astype(code.layout.dtype), g]))


def _training(adapted: Adapted, slope: Program) -> Program:
    """(s, a, fixed, row, t, batch, draws) -> (w', and held fixed: s', inner loss)."""
    of, code = adapted.of, adapted.of.code
    n = code.start_layout.size
    with Builder("step") as builder, user_code("the step"):
        vector, a, fixed, row, t, leaves = _inputs(adapted, builder)
        draws = [builder.input(var.type) for var in slope.inputs[4 + len(fixed) + len(leaves) :]]
        loss, g = evaluate(slope, [vector, a, *fixed, row, t, *leaves, *draws])
        hparams = adapted.hparams(a, fixed)
        rates = rows_at(adapted, hparams, row, t)
        w, slots, now = of.problem.parts(vector, code.start_layout, hparams, rates)
        now |= of.problem.curvature(
            w, code.start_layout, hparams, TracedGenerator(builder, code.layout.dtype)
        )
        state = of.problem.move(w, g, slots, now, code.start_layout)
        # not optimised, so that its constants are those of `slope`, and equal equations are found equal
        return builder.program([state[:n], stop_gradient(state), stop_gradient(loss)])


def _whole(
    adapted: Adapted,
    optimizers: Sequence[Optimizer],
    counts: Sequence[int],
    multiplicative: bool,
    slope: Program,
    primal: Program,
) -> Program:
    """`_Code.step`."""
    m, n = adapted.layout.size, adapted.of.code.start_layout.size
    dtype = adapted.of.code.layout.dtype
    sizes = [m] + [1] * (len(optimizers) - 1)
    with Builder("online") as builder:
        vector = builder.input(slope.inputs[0].type)
        a = builder.input(ArrayType((m,), F64))
        rates = [builder.input(ArrayType((1,), F64)) for _ in optimizers]
        slopes = [builder.input(ArrayType((size,), F64)) for size in sizes]
        slots = [
            [builder.input(ArrayType((size,), F64)) for _ in range(count)]
            for size, count in zip(sizes, counts, strict=True)
        ]
        z = builder.input(ArrayType((m, n), dtype))
        fixed = [builder.input(type_of(value)) for value in adapted.fixed()]
        low, high = (builder.input(ArrayType((m,), F64)) for _ in (0, 1))
        rest = [builder.input(var.type) for var in slope.inputs[2 + len(fixed) :]]  # row, t, batch, draws
        _, g = evaluate(slope, [vector, a, *fixed, *rest])
        found = _first_gradient(a, z, g, multiplicative)
        count = reshape(convert(rest[1], F64) + 1.0, (1,))
        moved, *levels = climb(optimizers, a, found, rates, slopes, slots, count)
        new = np.clip(moved, low, high)
        _, state, loss, *residuals = evaluate(primal, [vector, new, *fixed, *rest])
        return builder.program([state, new, *levels, loss, np.any(moved != new), *residuals])


def _first_gradient(a: Any, z: Any, g: Any, multiplicative: bool) -> Any:
    """G^1."""
    found = convert(z @ g, F64)
    if not multiplicative:
        return found
    size = convert(np.sqrt(np.sum(g * g) * np.sum(z * z, axis=1)), F64)
    return a * np.where(size > 0, found / np.where(size > 0, size, 1.0), 0.0)


def climb(
    optimizers: Sequence[Optimizer],
    a: Any,
    found: Any,
    rates: Sequence[Any],
    slopes: Sequence[Any],
    slots: Sequence[Sequence[Any]],
    count: Any,
) -> list[Any]:
    """a' before its bounds, then κ^1', ..., y^1', ..., and the slots of each level, given G^1."""
    height = len(optimizers)
    gradients = [found]
    for slope in slopes[:-1]:
        gradients.append(reshape(np.sum(gradients[-1] * slope), (1,)))
    new_rates, new_slopes = list(rates), list(slopes)
    new_slots: list[Sequence[Any]] = list(slots)
    moved = a
    for k in reversed(range(height)):
        below = rates[k - 1] if k else a

        def move(lr: Any, k: int = k, below: Any = below) -> Any:
            return updated(optimizers[k], below, gradients[k], slots[k], lr, count)

        lr = reshape(new_rates[k], ())
        moved, new_slots[k] = move(lr)
        if k < height - 1:
            new_slopes[k] = jvp(lambda rate, move=move: move(rate)[0], (lr,), (np.ones(()),))[1]
        if k:
            new_rates[k - 1] = np.maximum(moved, 0.0)
    return [moved, *new_rates, *new_slopes, *[slot for level in new_slots for slot in level]]
