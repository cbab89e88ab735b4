"""The rates of an optimiser, read from hyperparameters: rows (T,) outside the step, numbers inside it.

Notation: T steps, n parameters, L top-level keys of the parameters ("layers").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.primitives.linear import broadcast_to, reshape
from hypergrad.ad.primitives.shape import concatenate
from hypergrad.ad.trace import is_traced
from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, children, lookup
from hypergrad.optim.schedules import Schedule
from hypergrad.unroll.layout import Layout

__all__ = ["check_rates", "rate_now", "rate_rows", "rate_table"]


def rate_rows(optimizer: Optimizer, hparams: Any, steps: int) -> dict[str, Any]:
    """Rows (T,) of the rates that change from step to step, and of what the optimiser derives from its rates.

    Returns:
        name -> row, or a dict of one row a layer where a rate is given per layer.
    """
    full: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for name, rate in optimizer.rates().items():
        found = _read(optimizer, name, rate, hparams)
        if isinstance(rate, Schedule):
            found = rows[name] = _each(lambda leaf, rate=rate: rate.rows(leaf, steps), found)
        full[name] = found
    t = np.arange(1.0, steps + 1.0)
    layered = {name: tuple(value) for name, value in full.items() if isinstance(value, Mapping)}
    if not layered:
        return {**rows, **optimizer.derived(full, t)}
    first, layers = next(iter(layered.items()))
    for name, other in layered.items():
        if set(other) != set(layers):
            raise ProblemError(
                f"{type(optimizer).__name__} reads its rate {first} for the layers {_list(layers)}, "
                f"but {name} for {_list(other)}; give both the top-level keys of params"
            )
    derived = {
        layer: optimizer.derived(
            {name: v[layer] if isinstance(v, Mapping) else v for name, v in full.items()}, t
        )
        for layer in layers
    }
    names = derived[layers[0]]
    return {**rows, **{name: {layer: derived[layer][name] for layer in layers} for name in names}}


def rate_now(optimizer: Optimizer, hparams: Any, rows: Mapping[str, Any], start: Layout) -> dict[str, Any]:
    """Each rate and derived row at one step: a number, an array (), or an array (n,) with one value a layer.

    Args:
        rows: what `rate_rows` returned, at this step.
        start: the layout of the parameters.
    """
    values = {
        **{
            name: _read(optimizer, name, rate, hparams)
            for name, rate in optimizer.rates().items()
            if name not in rows
        },
        **rows,
    }
    return {
        name: _spread(value, name, type(optimizer).__name__, start) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }


def rate_table(
    optimizer: Optimizer, hparams: Any, rows: Mapping[str, Any], steps: int, start: Layout
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Each rate at each step and layer, (T, J) in float64, and the parameters of each of the J layers.

    J = 1 where no rate is given per layer. Rates are those that the step computes with, of the state's dtype.

    Args:
        hparams: concrete, of the state's dtype.
        rows: what `rate_rows` returned, concrete.
        start: the layout of the parameters.
    """
    shape = start.structure
    ends = np.cumsum([child.count for child in shape.children], dtype=int).tolist()
    sizes = [sum(start.sizes[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    found = {
        name: rows[name] if name in rows else _read(optimizer, name, rate, hparams)
        for name, rate in optimizer.rates().items()
    }
    layered = any(isinstance(value, Mapping) for value in found.values())
    count = len(sizes) if layered else 1
    table = {}
    for name, value in found.items():
        parts = [value[str(key)] for key in shape.keys] if isinstance(value, Mapping) else [value] * count
        columns = [np.broadcast_to(np.asarray(part, start.dtype), (steps,)) for part in parts]
        table[name] = np.stack(columns, axis=1).astype(float)
    return table, sizes if layered else [start.size]


def check_rates(optimizer: Optimizer, hparams: Any) -> None:
    """Raise ProblemError where the numbers that a schedule reads are outside its domain."""
    for name, rate in optimizer.rates().items():
        if isinstance(rate, Schedule):
            found = _read(optimizer, name, rate, hparams)
            for layer, leaf in found.items() if isinstance(found, Mapping) else [("", found)]:
                rate.check(leaf, f"{rate.key}/{layer}" if layer else rate.key)


def _each(function: Any, value: Any) -> Any:
    return {k: function(v) for k, v in value.items()} if isinstance(value, Mapping) else function(value)


def _list(names: Any) -> str:
    return ", ".join(map(repr, sorted(names)))


def _read(optimizer: Optimizer, name: str, rate: Any, hparams: Any) -> Any:
    """A rate as a number or a float array, or a dict of float arrays by layer.

    A list of numbers that a schedule reads is one array.

    Raises:
        ProblemError: a hyperparameter that is no rate.
    """
    if isinstance(rate, float):
        return rate
    key = rate.key if isinstance(rate, Schedule) else rate
    what = f"{type(optimizer).__name__} reads its rate {name} from hparams[{{!r}}]"
    value = lookup(hparams, key)
    below = children(value)
    if not below:
        return _float(value, key, what, isinstance(rate, Schedule))
    whole = isinstance(rate, Schedule) and isinstance(value, list | tuple)
    found = {
        part: _float(leaf, f"{key}/{part}", what, isinstance(rate, Schedule)) for part, leaf in below.items()
    }
    return np.stack(list(found.values())) if whole and all(v.shape == () for v in found.values()) else found


def _float(value: Any, key: str, what: str, schedule: bool) -> Any:
    """One leaf of a hyperparameter that an optimiser reads, as a float array."""
    what = what.format(key)
    if children(value) or tree.structure(value).kind is not None:
        raise ProblemError(f"{what}, which is no number but {type(value).__name__}; name one of its leaves")
    if not is_traced(value):
        if isinstance(value, int) and not isinstance(value, bool):
            raise ProblemError(f"{what}, which is the int {value} and has no derivative; write {value}.0")
        kind = np.asarray(value).dtype.kind
        if kind in "iu":
            number = f"write {value}.0" if np.ndim(value) == 0 else "write .astype(float)"
            raise ProblemError(f"{what}, which holds integers and has no derivative; {number}")
        if kind != "f":
            raise ProblemError(f"{what}, which is {value!r}; write a float")
        value = np.asarray(value)
    if not schedule and value.shape != ():
        raise ProblemError(
            f"{what}, which must be one number, got shape {value.shape}; "
            "write hg.optim.PerStep(key) for one number a step"
        )
    return value


def _spread(value: Mapping[str, Any], name: str, optimizer: str, start: Layout) -> Any:
    """One value a layer as an array (n,)."""
    shape = start.structure
    layers = [str(key) for key in shape.keys]
    if set(value) != set(layers):
        has = f"params has {_list(layers)}" if layers else "params is one array"
        raise ProblemError(f"{optimizer} reads its rate {name} for the layers {_list(value)}, but {has}")
    parts, index = [], 0
    for layer, child in zip(layers, shape.children, strict=True):
        size = sum(start.sizes[index : index + child.count])
        index += child.count
        parts.append(broadcast_to(reshape(value[layer], (1,)), (size,)))
    return concatenate(parts)
