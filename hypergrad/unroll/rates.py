"""The rates of an optimiser, read from hyperparameters: rows (T,) outside the step, numbers inside it.

Notation: T steps, n parameters, L top-level keys of the parameters ("layers").
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.primitives.linear import broadcast_to, reshape
from hypergrad.ad.primitives.shape import concatenate
from hypergrad.ad.trace import is_traced
from hypergrad.errors import ProblemError
from hypergrad.optim.base import Optimizer, children, lookup
from hypergrad.optim.reader import Schedule
from hypergrad.unroll.layout import Layout

__all__ = ["check_rates", "rate_now", "rate_rows", "rate_start", "rate_table"]


def rate_rows(optimizer: Optimizer, hparams: Any, steps: int) -> dict[str, Any]:
    """Rows (T,) of the rates that change from step to step, and of what the optimiser derives from its rates.

    Returns:
        name -> row, or a dict of one row a layer where a rate is given per layer.
    """
    kind = type(optimizer).__name__
    rates = {name: rate for name, rate in optimizer.rates().items() if name not in optimizer.initial}
    full = {name: _value(kind, name, rate, hparams, steps) for name, rate in rates.items()}
    rows = {name: full[name] for name, rate in rates.items() if isinstance(rate, Schedule)}
    t = np.arange(1.0, steps + 1.0)
    derived = _by_layer(kind, full, lambda one: optimizer.derived(one, t))
    if any(isinstance(value, Mapping) for value in full.values()):
        names = next(iter(derived.values()))
        derived = {name: {layer: found[name] for layer, found in derived.items()} for name in names}
    return {**rows, **derived}


def rate_now(optimizer: Optimizer, hparams: Any, rows: Mapping[str, Any], start: Layout) -> dict[str, Any]:
    """Each rate and derived row at one step: a number, an array (), or an array (n,) with one value a layer.

    Args:
        rows: what `rate_rows` returned, at this step.
        start: the layout of the parameters.
    """
    values = {
        **{
            name: _read(type(optimizer).__name__, name, rate, hparams)
            for name, rate in optimizer.rates().items()
            if name not in rows and name not in optimizer.initial
        },
        **rows,
    }
    return _spread_all(optimizer, values, start)


def rate_start(optimizer: Optimizer, hparams: Any, start: Layout) -> dict[str, Any]:
    """Each rate that the optimiser reads before the first step, as in `rate_now`."""
    rates = optimizer.rates()
    values = {name: _read(type(optimizer).__name__, name, rates[name], hparams) for name in optimizer.initial}
    return _spread_all(optimizer, values, start)


def _spread_all(optimizer: Optimizer, values: Mapping[str, Any], start: Layout) -> dict[str, Any]:
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
    sizes = [sum(start.sizes[a:b]) for a, b in pairwise([0, *ends])]
    found = {
        name: rows[name] if name in rows else _read(type(optimizer).__name__, name, rate, hparams)
        for name, rate in optimizer.rates().items()
        if name not in optimizer.initial
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
        _check(type(optimizer).__name__, name, rate, hparams)


def _check(kind: str, name: str, rate: Any, hparams: Any) -> None:
    for field, part in rate.rates().items() if isinstance(rate, Schedule) else ():
        if isinstance(part, str):
            found = _read(kind, name, part, hparams, field in rate.arrays)
            for layer, leaf in found.items() if isinstance(found, Mapping) else [("", found)]:
                key = f"{part}/{layer}" if layer else part
                rate.check(field, leaf, f"hparams[{key!r}]")
        _check(kind, name, part, hparams)


def _value(kind: str, name: str, rate: Any, hparams: Any, steps: int, array: bool = False) -> Any:
    """A rate as a number or an array (), a schedule's as a row (T,); or a dict of these by layer."""
    if not isinstance(rate, Schedule):
        return _read(kind, name, rate, hparams, array)
    values = {
        field: _value(kind, name, part, hparams, steps, field in rate.arrays)
        for field, part in rate.rates().items()
    }
    return _by_layer(kind, values, lambda one: rate.rows(one, steps), f"{name}/")


def _by_layer(kind: str, values: Mapping[str, Any], function: Any, prefix: str = "") -> Any:
    """`function` of the values, or of those of each layer where one of them is given per layer.

    Raises:
        ProblemError: two of them name different layers.
    """
    layered = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    if not layered:
        return function(values)
    first, layers = next(iter(layered.items()))
    for name, other in layered.items():
        if set(other) != set(layers):
            raise ProblemError(
                f"{kind} reads its rate {prefix}{first} for the layers {_list(layers)}, "
                f"but {prefix}{name} for {_list(other)}; give both the top-level keys of params"
            )
    return {
        layer: function({name: v[layer] if isinstance(v, Mapping) else v for name, v in values.items()})
        for layer in layers
    }


def _list(names: Any) -> str:
    return ", ".join(map(repr, sorted(names)))


def _read(kind: str, name: str, rate: Any, hparams: Any, array: bool = False) -> Any:
    """A rate as a number or an array (), or a dict of these by layer; with `array`, arrays of any shape.

    A list of numbers that is read as an array is one.

    Args:
        kind: whose rate it is, for errors.

    Raises:
        ProblemError: a hyperparameter that is no rate.
    """
    if isinstance(rate, float):
        return rate
    what = f"{kind} reads its rate {name} from hparams[{{!r}}]"
    value = lookup(hparams, rate)
    below = children(value)
    if not below:
        return _float(value, rate, what, array)
    found = {part: _float(leaf, f"{rate}/{part}", what, array) for part, leaf in below.items()}
    whole = array and isinstance(value, list | tuple) and all(leaf.shape == () for leaf in found.values())
    return np.stack(list(found.values())) if whole else found


def _float(value: Any, key: str, what: str, array: bool) -> Any:
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
    if not array and value.shape != ():
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
