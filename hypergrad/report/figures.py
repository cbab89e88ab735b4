"""Figures, drawn by matplotlib where it is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hypergrad.errors import HypergradError
from hypergrad.study.slices import Axis, Slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "blank", "save", "slice_figure"]

FORMATS = (".png", ".pdf", ".svg")
LABELLED = 12  # values of a choice or an integer up to which each of them is a label


def slice_figure(found: Slice, title: str = "") -> Figure:
    """A slice as a curve with its 95 % interval and the trials, or as a map with the trials' places.

    Raises:
        HypergradError: matplotlib is not installed.
    """
    figure = blank()
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    draw = _curve if len(found.axes) == 1 else _map
    draw(figure, axes, found)
    for axis, which in zip(found.axes, (axes.xaxis, axes.yaxis), strict=False):
        which.set_label_text(axis.name)
        places, labels = _ticks(axis)
        which.set_ticks(places, labels)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a .png, .pdf or .svg file, with the same bytes for the same figure.

    Raises:
        HypergradError: another kind of file.
        OSError: it cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise HypergradError(
            f"no figure can be written to {path}; choose a name that ends in {', '.join(FORMATS)}"
        )
    import matplotlib

    dated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with matplotlib.rc_context({"svg.hashsalt": "hypergrad"}):
        figure.savefig(path, dpi=150, metadata=dated.get(path.suffix.lower()))


def blank() -> Any:
    """An empty matplotlib Figure, 6 by 4 inches.

    Raises:
        HypergradError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise HypergradError(
            "figures need matplotlib, which is not installed; pip install matplotlib, or write a .csv"
        ) from None
    return Figure(figsize=(6.0, 4.0), layout="constrained")


def _curve(figure: Figure, axes: Axes, found: Slice) -> None:
    (axis,) = found.axes
    low, high = np.nan_to_num(found.low), np.nan_to_num(found.high)
    if axis.kind == "choice":
        middle = found.median
        axes.errorbar(
            axis.units, middle, np.abs([middle - low, high - middle]), fmt="o", capsize=4, label="model"
        )
    else:
        (line,) = axes.plot(axis.units, found.median, label="model")
        axes.fill_between(axis.units, low, high, alpha=0.2, color=line.get_color(), lw=0, label="95 %")
    limits = axes.get_ylim()
    axes.scatter(found.seen[:, 0], found.seen[:, 1], s=12, color="0.4", label="trials, elsewhere too")
    axes.set_ylim(
        limits[0], max(limits[1], float(np.median(found.seen[:, 1])) if len(found.seen) else limits[1])
    )
    axes.set_ylabel("value")
    axes.legend(fontsize="small")


def _map(figure: Figure, axes: Axes, found: Slice) -> None:
    first, second = found.axes
    table = found.median.reshape(len(first.units), len(second.units)).T
    shown = axes.pcolormesh(first.units, second.units, table, shading="nearest")
    figure.colorbar(shown, ax=axes, label="value (median of the model)")
    axes.scatter(found.seen[:, 0], found.seen[:, 1], s=12, color="white", edgecolors="black", linewidths=0.5)


def _ticks(axis: Axis) -> tuple[list[float], list[str]]:
    """Places in the unit interval, and the natural values there."""
    count = len(axis.values)
    if axis.kind == "choice" or (count <= LABELLED and isinstance(axis.values[0], int)):
        index = np.arange(count)
    else:
        index = np.unique(np.rint(np.linspace(0, count - 1, 6)).astype(int))
    labels = [axis.values[i] for i in index]
    return axis.units[index].tolist(), [f"{v:.3g}" if isinstance(v, float) else str(v) for v in labels]
