"""Tables for people: what `tune`, `grad`, `show` and `studies` print.

Every function returns a rich renderable; `write` puts it on a stream, in colour and fitted to the width
on a terminal, in full width and plain text elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from hypergrad import tree
from hypergrad.hypergradients.differences import Leaf
from hypergrad.hypergradients.offers import Offer
from hypergrad.hypergradients.plan import size, times
from hypergrad.report.summary import TuneSummary

__all__ = [
    "describe",
    "differences",
    "importance",
    "number",
    "offers",
    "slices",
    "studies",
    "summary",
    "trials",
    "write",
]

SHOWN = 6  # a vector of up to this many numbers is printed whole
PARTS = {"train": "train", "valid": "validation", "test": "test"}


def number(value: Any, digits: int = 4) -> str:
    """`value` with `digits` significant digits; ``-`` for None, ``nan`` and ``inf`` as they are."""
    if value is None:
        return "-"
    if isinstance(value, float | np.floating):
        return f"{float(value):.{digits}g}"
    return str(value)


def describe(value: Any, names: Sequence[str] = ()) -> str:
    """One hyperparameter, readable in a line.

    Up to 6 numbers are printed whole. Of a longer vector, such as a schedule, 6 equally spaced entries are
    printed; of a column ``(k, 1)`` its range and median, with the names of the extremes if `names` has k.

    >>> describe(np.linspace(0.0, 1.0, 101))
    '0 0.2 0.4 0.6 0.8 1 (6 of 101)'
    >>> describe(np.array([[3.0], [1.0]] * 4), [f"x{i}" for i in range(8)])
    '8 values from 1 (x1) to 3 (x0), median 2'
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        return number(value)
    flat = array.ravel()
    if not array.ndim:
        return number(array.item())
    if flat.size <= SHOWN:
        return " ".join(map(number, flat.tolist()))
    if flat.min() == flat.max():
        return f"{flat.size} values, all {number(flat[0])}"
    if array.ndim == 1:
        places = np.rint(np.linspace(0, flat.size - 1, SHOWN)).astype(int)
        return " ".join(map(number, flat[places].tolist())) + f" ({SHOWN} of {flat.size})"
    low, high = (
        f"{number(flat[i])} ({names[i]})" if len(names) == flat.size else number(flat[i])
        for i in (int(flat.argmin()), int(flat.argmax()))
    )
    return f"{flat.size} values from {low} to {high}, median {number(np.median(flat))}"


def summary(result: TuneSummary) -> RenderableType:
    """The end of a tuning run: the best hyperparameters, the figures beside the defaults', the notes."""
    head = Text(
        f"best validation loss {number(result.best.value)} in trial {result.best.trial}"
        f" of {result.trials} (defaults: {number(result.baseline.value)})"
    )
    hparams = plain_table("hyperparameter", "best value")
    for path, leaf in named_leaves(result.best.hparams):
        hparams.add_row(path, describe(leaf, result.groups))
    notes = [Text(f"note: {note}") for note in result.notes]
    return Group(head, Text(), hparams, Text(), figures(result), *notes)


def figures(result: TuneSummary) -> Table:
    """Loss and accuracy (or RMSE) on the three parts of the data, tuned beside defaults."""
    table = plain_table("", "tuned", "defaults")
    for part, label in PARTS.items():
        tuned, defaults = result.metrics[part], result.baseline.metrics[part]
        for kind in tuned:
            table.add_row(f"{label} {kind}", number(tuned[kind]), number(defaults[kind]))
    return table


def trials(
    rows: Iterable[Any], limit: int | None = None, best: int | None = None, width: int | None = None
) -> Table:
    """The trials of a study, one a row: number, state, value, seconds, hyperparameters.

    Args:
        rows: trials with number, state, value, hparams and seconds.
        limit: show at most this many rows.
        best: number of the best trial, which is marked.
        width: leave out the last hyperparameters that do not fit in so many characters, and say which.
    """
    rows = list(rows)[:limit]
    leaves = [dict(named_leaves(row.hparams)) for row in rows]
    names = list(dict.fromkeys(name for found in leaves for name in found))
    for count in range(len(names), -1, -1):
        table = plain_table("trial", "state", "value", "seconds", *names[:count])
        for row, found in zip(rows, leaves, strict=True):
            mark = "*" if row.number == best else ""
            cells = [spread(found[name]) if name in found else "-" for name in names[:count]]
            table.add_row(
                f"{row.number}{mark}", row.state, number(row.value, 6), number(row.seconds, 3), *cells
            )
        if count < len(names):
            table.caption = f"no room for {', '.join(names[count:])}; --json has all"
        if width is None or Console(width=10_000).measure(table).maximum <= width:
            break
    return table


def spread(value: Any) -> str:
    """One hyperparameter in the width of a table's cell: a vector as its range."""
    if isinstance(value, list | np.ndarray) and np.ndim(value):
        array = np.asarray(value)
        low, high = number(float(array.min()), 3), number(float(array.max()), 3)
        return low if low == high else f"{low}..{high}"
    return describe(value)


def exact(hparams: Any) -> Table:
    """Hyperparameters, one a row, with every digit that they have."""
    table = plain_table("hyperparameter", "value")
    for path, leaf in named_leaves(hparams):
        table.add_row(path, json.dumps(leaf.tolist() if isinstance(leaf, np.ndarray) else leaf))
    return table


def studies(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The studies of a store, one a row, with the keys of the rows as columns."""
    table = plain_table(*(rows[0] if rows else ["study"]))
    for row in rows:
        table.add_row(*(number(value, 6) for value in row.values()))
    return table


def importance(rows: Sequence[Any]) -> Table:
    """Hyperparameters or coordinates, one a row, the most important first; ± is one standard error.

    Args:
        rows: of `hypergrad.study.Influence`.
    """
    table = plain_table("hyperparameter", "total", "alone", "slope", "share", "trials")
    for row in rows:
        table.add_row(
            row.name,
            _with_error(row.total, row.total_error),
            _with_error(row.first, row.first_error),
            _known(row.dgsm**0.5, "{:.3g}"),
            _known(row.share, "{:.1%}"),
            str(row.trials) if row.trials else "-",
        )
    return table


def _with_error(value: float, error: float) -> str:
    return _known(value, "{:.3f}") + (f" ± {error:.3f}" if np.isfinite(error) else "")


def _known(value: float, form: str) -> str:
    return "-" if np.isnan(value) else form.format(value)


def slices(found: Any) -> Table:
    """A slice through the model, one point a row.

    Args:
        found: a `hypergrad.study.Slice`.
    """
    frame = found.dataframe()
    columns = [name for name in frame if name != "derivative" or frame[name].notna().any()]
    table = plain_table(*columns)
    for row in frame[columns].itertuples(index=False):
        table.add_row(*(number(value) for value in row))
    return table


def differences(leaves: Sequence[Leaf]) -> Table:
    """A hypergradient beside central finite differences, one direction a row."""
    table = plain_table("hyperparameter", "at", "hypergradient", "finite difference", "relative difference")
    for leaf in leaves:
        size = f" ({leaf.size} values, norm {number(leaf.norm)})" if leaf.size > 1 else ""
        if size:
            table.add_row(f"{leaf.path}{size}")
        for row in leaf.directions:
            name = f"  {row.along}" if size else leaf.path
            name = f"{name} direction" if row.along == "random" else name
            at = "" if row.at is None else number(row.at)
            exact, numeric = (f"{x:.8e}" for x in (row.hypergradient, row.difference))
            table.add_row(name, at, exact, numeric, f"{row.relative:.1e}")
    return table


def offers(found: Sequence[Offer]) -> Table:
    """What each method would cost, one a row, the cheapest first; those that cannot be used last."""
    table = plain_table("method", "training runs", "keeps", "step evaluations", "what it does")
    table.columns[-1].justify = "left"
    able = [(offer, offer.plan) for offer in found if offer.plan is not None and offer.name != "auto"]
    for offer, plan in sorted(able, key=lambda pair: pair[1].factor):
        table.add_row(
            offer.name, times(plan.factor), size(plan.bytes), f"{plan.step_evaluations:,}", plan.what
        )
    for offer in found:
        if offer.plan is None:
            table.add_row(offer.name, "", "", "", "not for this problem")
    return table


def named_leaves(hparams: Any) -> list[tuple[str, Any]]:
    """(path, value) of each hyperparameter; an array or a list of numbers is one."""
    arrays = _lists_as_arrays(hparams)
    return list(zip(tree.paths(arrays), tree.leaves(arrays), strict=True))


def _lists_as_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists_as_arrays(item) for key, item in value.items()}
    return np.asarray(value) if isinstance(value, list | tuple) else value


def plain_table(*columns: str) -> Table:
    """A table with a rule under its head; every column but the first is aligned right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, caption_justify="left")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    return table


def write(renderable: RenderableType, stream: TextIO) -> None:
    """Print on `stream`; where it is no terminal, as wide as the widest row needs."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        wide = Console(file=stream, highlight=False, markup=False, emoji=False, width=10_000)
        needed = wide.measure(renderable).maximum
        console = Console(
            file=stream, highlight=False, markup=False, emoji=False, width=max(80, needed), color_system=None
        )
    console.print(renderable)
