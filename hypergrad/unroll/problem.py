"""Training problems: what is iterated, on which data, and how the result is judged.

Notation: state s_t, hyperparameters h, batch b_t, step Φ: s_{t+1} = Φ(s_t, h, b_t, t), t = 0..T-1;
outer objective F(h) = E(s_T(h), h). The literature also writes lower/upper or inner/meta for inner/outer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import value_and_grad
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape
from hypergrad.ad.primitives.shape import concatenate, split
from hypergrad.errors import ProblemError, ShapeError
from hypergrad.optim.base import Optimizer, lookup
from hypergrad.optim.schedules import Schedule
from hypergrad.unroll.batches import Batches, row_count
from hypergrad.unroll.layout import Layout

__all__ = ["BilevelProblem", "UnrolledProblem"]


class UnrolledProblem:
    """Any iteration: proximal steps, policy gradients, a simulator, or (see `BilevelProblem`) training.

    Args:
        init: ``init(hparams, rng) -> state``: a tree of float arrays of one dtype; may read hparams.
        step: ``step(state, hparams, batch, t) -> state``; t is a traced int.
        outer_loss: ``outer_loss(state, hparams, valid) -> float``.
        steps: T, at least 1.
        train, valid, test: trees of arrays with one row an example; floats are cast to the state's dtype.
        metrics: name -> ``metric(state, hparams, data) -> float``, evaluated on the data sets that there are.
        batch_size: rows a step; None: all.
        batches: (T, B) row indices instead of batch_size.

    Raises:
        ProblemError: arguments that contradict each other.
    """

    def __init__(
        self,
        *,
        init: Callable[..., Any],
        step: Callable[..., Any],
        outer_loss: Callable[..., Any],
        steps: int,
        train: Any = None,
        valid: Any = None,
        test: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        batch_size: int | None = None,
        batches: Any = None,
    ) -> None:
        for name, function in {
            "init": init,
            "step": step,
            "outer_loss": outer_loss,
            **(metrics or {}),
        }.items():
            if not callable(function):
                raise ProblemError(f"{name} must be a function, got {type(function).__name__}")
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise ProblemError(f"steps must be a positive int, got {steps!r}")
        self.init = init
        self.step = step
        self.outer_loss = outer_loss
        self.steps = int(steps)
        self.train = train
        self.valid = valid
        self.test = test
        self.metrics = dict(metrics or {})
        self.batches = Batches(row_count(train, "train"), self.steps, batch_size, batches)
        for name, data in (("valid", valid), ("test", test)):
            row_count(data, name)
        self.compiled: dict[Any, Any] = {}

    # What the step and the methods ask of a problem -----------------------------------------------
    def rates(self, hparams: Any) -> dict[str, Any]:
        """Rows of shape (T, ...), evaluated outside the step and given to it one by one."""
        return {}

    def state(self, start: Layout) -> Layout:
        """The layout of the state vector, given that of what `init` returned."""
        return start

    def start(self, leaves: Any, layout: Layout, start: Layout) -> Any:
        """The first state vector, from the leaves of what `init` returned."""
        return layout.vector(leaves)

    def advance(
        self, vector: Any, start: Layout, hparams: Any, rates: dict[str, Any], batch: Any, t: Any, rng: Any
    ) -> tuple[Any, Any]:
        """The next state vector, and the inner loss of this step (None: there is none)."""
        state = self.step(start.tree(vector), hparams, batch, t)
        leaves, structure = tree.flatten(state)
        if structure != start.structure:
            raise ProblemError(f"step returned the tree {structure}, expected {start.structure} as from init")
        for path, leaf, shape in zip(structure.paths(), leaves, start.shapes, strict=True):
            if np.shape(leaf) != shape:
                raise ShapeError(
                    f"step returned shape {np.shape(leaf)} at {path!r}, expected {shape} as from init"
                )
        return start.vector(leaves), None

    def params(self, vector: Any, start: Layout) -> Any:
        """What the outer loss and the metrics see of a state vector."""
        return start.tree(vector)

    def evaluate(self, params: Any, hparams: Any, data: Any) -> float:
        """The outer loss on any data."""
        return float(self.outer_loss(params, hparams, data))


class BilevelProblem(UnrolledProblem):
    """Training by an optimiser: w_{t+1}, m_{t+1} = update(w_t, m_t, ∇_w inner_loss(w_t, h, b_t), h).

    Args:
        init: ``init(hparams, rng) -> params``.
        inner_loss: ``inner_loss(params, hparams, batch) -> float``, or with a fourth argument ``rng`` for random
            draws: the mean over the batch plus the whole regulariser.
        outer_loss: ``outer_loss(params, hparams, valid) -> float``, on the whole validation set at once.
        train, valid, test, metrics, steps, batch_size, batches: as in `UnrolledProblem`.
        optimizer: of `hypergrad.optim`; its rates are numbers, keys of hparams, or schedules.
    """

    def __init__(
        self,
        *,
        init: Callable[..., Any],
        inner_loss: Callable[..., Any],
        outer_loss: Callable[..., Any],
        train: Any,
        valid: Any,
        optimizer: Optimizer,
        steps: int,
        test: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        batch_size: int | None = None,
        batches: Any = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise ProblemError(f"optimizer must be one of hg.optim (SGD, Momentum, Adam), got {optimizer!r}")
        if not callable(inner_loss):
            raise ProblemError(f"inner_loss must be a function, got {type(inner_loss).__name__}")
        super().__init__(
            init=init,
            step=self.advance,
            outer_loss=outer_loss,
            steps=steps,
            train=train,
            valid=valid,
            test=test,
            metrics=metrics,
            batch_size=batch_size,
            batches=batches,
        )
        self.inner_loss = inner_loss
        self.optimizer = optimizer
        self._rates = optimizer.rates()
        self._random = _takes_rng(inner_loss)

    def rates(self, hparams: Any) -> dict[str, Any]:
        full: dict[str, Any] = {}
        rows: dict[str, Any] = {}
        for name, rate in self._rates.items():
            if isinstance(rate, Schedule):
                value = lookup(hparams, rate.key)
                if isinstance(value, Mapping):
                    full[name] = rows[name] = {
                        str(layer): rate.rows(_as_rate(v, f"{rate.key}/{layer}"), self.steps)
                        for layer, v in value.items()
                    }
                else:
                    full[name] = rows[name] = rate.rows(_as_rate(value, rate.key), self.steps)
            else:
                full[name] = lookup(hparams, rate) if isinstance(rate, str) else rate
        t = np.arange(1.0, self.steps + 1.0)
        if any(isinstance(value, Mapping) for value in full.values()):
            layers = sorted(
                {layer for value in full.values() if isinstance(value, Mapping) for layer in value}
            )
            per_layer = {
                layer: self.optimizer.derived(
                    {k: v[layer] if isinstance(v, Mapping) else v for k, v in full.items()}, t
                )
                for layer in layers
            }
            names = per_layer[layers[0]] if layers else {}
            rows.update({name: {layer: per_layer[layer][name] for layer in layers} for name in names})
        else:
            rows.update(self.optimizer.derived(full, t))
        return rows

    def state(self, start: Layout) -> Layout:
        count = 1 + len(self.optimizer.slots)
        return Layout(tree.structure([0] * count), ((start.size,),) * count, start.dtype)

    def start(self, leaves: Any, layout: Layout, start: Layout) -> Any:
        slots = [np.zeros(start.size, start.dtype) for _ in self.optimizer.slots]
        return layout.vector([start.vector(leaves), *slots])

    def advance(
        self, vector: Any, start: Layout, hparams: Any, rates: dict[str, Any], batch: Any, t: Any, rng: Any
    ) -> tuple[Any, Any]:
        w, *slots = split(vector, (start.size,) * (1 + len(self.optimizer.slots)))

        def inner_loss(flat: Any) -> Any:
            extra = (rng,) if self._random else ()
            return self.inner_loss(start.tree(flat), hparams, batch, *extra)

        loss, g = value_and_grad(inner_loss)(w)
        now = {
            name: self._rate(
                rates[name] if name in rates else lookup(hparams, rate) if isinstance(rate, str) else rate,
                name,
                start,
            )
            for name, rate in {**{name: name for name in rates}, **self._rates}.items()
        }
        new, new_slots = self.optimizer.update(w, g, tuple(slots), now)
        parts = [convert(broadcast_to(part, (start.size,)), start.dtype) for part in (new, *new_slots)]
        return concatenate(parts), loss

    def _rate(self, value: Any, name: str, start: Layout) -> Any:
        """A rate as a number, an array (), or an array (n,) with one value a layer."""
        if not isinstance(value, Mapping):
            if type(value) is float:
                return value
            rate = _as_rate(value, name)
            if rate.shape != ():
                raise ProblemError(
                    f"the rate {name} of {type(self.optimizer).__name__} must be one number, got shape {rate.shape}; "
                    "write hg.optim.PerStep(key) for one a step"
                )
            return rate
        tops = start.structure.keys
        by_name = {str(key): v for key, v in value.items()}
        missing = [str(key) for key in tops if str(key) not in by_name]
        if missing or len(by_name) != len(tops):
            raise ProblemError(
                f"the rate {name} has the layers {sorted(by_name)}, but params has {[str(k) for k in tops]}"
            )
        parts, index = [], 0
        for key, child in zip(tops, start.structure.children, strict=True):
            size = sum(start.sizes[index : index + child.count])
            index += child.count
            parts.append(broadcast_to(reshape(_as_rate(by_name[str(key)], f"{name}/{key}"), (1,)), (size,)))
        return concatenate(parts)

    def params(self, vector: Any, start: Layout) -> Any:
        return start.tree(vector[: start.size])


def _as_rate(value: Any, name: str) -> Any:
    """A hyperparameter that an optimiser reads, as a float array.

    Raises:
        ProblemError: an int, which has no derivative, or no number.
    """
    if isinstance(value, bool | str) or value is None:
        raise ProblemError(f"the optimizer reads {name} as a rate, got {value!r}; write a float")
    if isinstance(value, int) or getattr(getattr(value, "dtype", None), "kind", "f") in "iu":
        raise ProblemError(f"the optimizer reads {name} as a rate, got the int {value!r}; write {value!r}.0")
    return value if hasattr(value, "shape") else np.asarray(value, dtype=float)


def _takes_rng(inner_loss: Callable[..., Any]) -> bool:
    """Whether inner_loss has a fourth positional argument."""
    try:
        parameters = inspect.signature(inner_loss).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    return len(required) >= 4 or any(p.name == "rng" for p in positional[3:])
