"""Slices through the model of a study: how the value depends on one or two hyperparameters, all others held."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hypergrad.bayesopt.marginal import Marginal
from hypergrad.errors import StudyError, nearest, unknown_name
from hypergrad.parameters import Discrete, Float
from hypergrad.samplers.base import Record
from hypergrad.samplers.surrogate import Surrogate
from hypergrad.samplers.warping import Warp
from hypergrad.space import Space

if TYPE_CHECKING:
    import pandas

__all__ = ["Axis", "Slice", "axis_of", "cut"]

ROWS = 400  # values and derivatives in the model, at most; the values are always all there
INTERVAL = 1.959963984540054  # standard deviations on either side of the median that hold 95 %


@dataclass(frozen=True, eq=False)
class Axis:
    """One coordinate along which a slice goes.

    Attributes:
        name: of the coordinate: ``"lr"``, ``"l2[3,0]"``.
        kind: ``"linear"``, ``"log"`` or ``"logit"``: the scale on which its values are evenly spaced; or ``"choice"``.
        column: its place in the unit cube.
        units: (n,) the values in the unit cube, ascending.
        values: the n values in natural units.
    """

    name: str
    kind: str
    column: int
    units: np.ndarray
    values: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Slice:
    """The model's value along one or two coordinates; made by `Study.slice`.

    Every array has one entry a point of the grid, (n,) for one axis and (n1 n2,) for two, the last axis fastest. All
    are in the unit of the value, and of the value without the noise of a trial. Above the median of the trials the
    model has the value on a logarithmic scale: where it is unsure there, `mean` and `sd` are much above `median` and
    the width of the interval, or infinite. The uncertainty is that of the value and of the model's hyperparameters, see
    `hypergrad.bayesopt.marginal`; samplers, which take the most probable hyperparameters as known, count with less.

    Attributes:
        axes: one or two.
        mean, sd: mean and standard deviation.
        median, low, high: median, and the interval that holds the value with probability 95 %.
        derivative: of the median by the natural unit of the axis; nan for two axes, integers and choices.
        at: hparams at which the others are held; those that the axes make active have their defaults.
        number: the trial of these hparams; None: they were given.
        seen: (m, k + 1) the finite trials: unit coordinates along the k axes, and the value; trials in which one of
            them is inactive are left out.
    """

    axes: tuple[Axis, ...]
    mean: np.ndarray
    sd: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    derivative: np.ndarray
    at: dict[str, Any]
    number: int | None
    seen: np.ndarray

    def dataframe(self) -> pandas.DataFrame:
        """One row a point of the grid: the values of the axes by name, then the other arrays by theirs."""
        import pandas

        grid = np.meshgrid(*(np.arange(len(axis.values)) for axis in self.axes), indexing="ij")
        columns: dict[str, Any] = {
            axis.name: [axis.values[i] for i in index.reshape(-1)]
            for axis, index in zip(self.axes, grid, strict=True)
        }
        for name in ("mean", "sd", "median", "low", "high", "derivative"):
            columns[name] = getattr(self, name)
        return pandas.DataFrame(columns)


def axis_of(space: Space, name: str, points: int, where: str) -> Axis:
    """The axis of a hyperparameter or a coordinate, with `points` values, or all values where there are no more.

    Raises:
        UnknownNameError: no coordinate of this name.
        StudyError: an array of several coordinates.
    """
    parameter = space.parameters.get(name)
    if parameter is not None and parameter.size > 1:
        example = space.names[space.columns[name].start]
        raise StudyError(
            f"{name!r} of {where} is an array of {parameter.size} coordinates; name one of them, such as {example!r}"
        )
    if name not in space.names:
        close = nearest(name, space.names)
        raise unknown_name("hyperparameter", name, space.parameters if close is None else space.names)
    column = space.names.index(name)
    path = next(path for path, span in space.columns.items() if span.start <= column < span.stop)
    parameter = space.parameters[path]
    if not isinstance(parameter, Discrete):
        units = np.linspace(0.0, 1.0, points)
        full = np.repeat(units[:, None], parameter.size, axis=1)
        values = tuple(float(np.reshape(parameter.from_unit(row), -1)[0]) for row in full)
        kind = "log" if parameter.log else "logit" if getattr(parameter, "logit", False) else "linear"
        return Axis(name, kind, column, units, values)
    index = np.arange(parameter.count)
    if parameter.count > points and hasattr(parameter, "low"):
        index = np.unique(parameter.bins(np.linspace(0.0, 1.0, points)))
    kind = "choice" if hasattr(parameter, "choices") else "log" if parameter.log else "linear"
    units = parameter.middles(index)
    return Axis(name, kind, column, units, tuple(parameter.value(int(i)) for i in index))


def cut(
    space: Space,
    history: Sequence[Record],
    axes: Sequence[Axis],
    base: np.ndarray,
    number: int | None,
    where: str,
) -> Slice:
    """The slice through `base` (d,) along the axes.

    Raises:
        StudyError: too few values for a model, or a coordinate that is inactive all along the slice.
    """
    told = [r for r in history if r.state == "complete"]
    finite = [r for r in told if math.isfinite(r.value)]
    values = np.array([r.value for r in finite])
    if len(values) < 2:
        raise StudyError(
            f"{where} has {len(values)} trials of finite value, and a model needs 2; run more trials"
        )
    if len(axes) not in (1, 2) or len({axis.name for axis in axes}) < len(axes):
        raise StudyError(
            f"a slice goes along one or two hyperparameters, and got {len(axes)}: "
            f"{', '.join(repr(axis.name) for axis in axes) or 'none'}"
        )
    sizes = [len(axis.units) for axis in axes]
    x = np.repeat(base[None], math.prod(sizes), axis=0)
    for axis, grid in zip(axes, np.meshgrid(*(axis.units for axis in axes), indexing="ij"), strict=True):
        x[:, axis.column] = grid.reshape(-1)
    held, smooth = space.snap(x), space.continuous
    active = space.active(held)
    for axis in axes:
        if not active[:, axis.column].any():
            raise StudyError(
                f"{axis.name!r} is inactive at the hparams through which this slice of {where} goes; "
                "give at= hparams, or a trial, in which it is active"
            )
    warp = Warp.of(values)
    surrogate = Surrogate.of(space, told, gradients=True, rows=ROWS)
    found = [
        surrogate.posterior.moments(held[i : i + 64], active[i : i + 64]) for i in range(0, len(held), 64)
    ]
    middle = np.concatenate([each.mean for each in found])
    marginal = Marginal.of(surrogate.model, surrogate.sources.priors)
    deviation = np.sqrt(marginal.variance(held, active))
    mean, sd = warp.moments(middle, deviation)
    derivative = np.full(len(held), np.nan)
    if len(axes) == 1 and smooth[axes[0].column]:
        column = axes[0].column
        slopes = np.concatenate([each.mean_gradient[:, column] for each in found])
        with np.errstate(over="ignore", invalid="ignore"):
            rate = warp.slope(middle) * slopes / _slope(space, axes[0])
        derivative = np.where(active[:, column], rate, np.nan)
    seen = space.snap(np.stack([r.unit for r in finite]))
    columns = [axis.column for axis in axes]
    there = space.active(seen)[:, columns].all(axis=1)
    return Slice(
        axes=tuple(axes),
        mean=mean,
        sd=sd,
        median=warp.backward(middle),
        low=warp.backward(middle - INTERVAL * deviation),
        high=warp.backward(middle + INTERVAL * deviation),
        derivative=derivative,
        at=space.from_unit(base),
        number=number,
        seen=np.column_stack([seen[:, columns], values])[there],
    )


def _slope(space: Space, axis: Axis) -> np.ndarray:
    """d natural / d unit along a continuous axis, (n,)."""
    path = next(path for path, span in space.columns.items() if span.start <= axis.column < span.stop)
    parameter = space.parameters[path]
    if not isinstance(parameter, Float):
        return np.full(len(axis.units), np.nan)
    found = [
        parameter.slope(np.full(parameter.shape, value) if parameter.shape else value)[0]
        for value in axis.values
    ]
    return np.array(found)
