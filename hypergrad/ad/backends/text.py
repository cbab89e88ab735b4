"""The text of indices in a printed plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["index_text", "tuple_text"]


def tuple_text(spec: tuple[Any, ...], arrays: Sequence[str]) -> str:
    """The text of an index as a tuple."""
    stream = iter(arrays)
    items = [
        next(stream) if item == "array" else f"slice{item}" if isinstance(item, tuple) else str(item)
        for item in spec
    ]
    return f"({', '.join(items)},)"


def index_text(spec: tuple[Any, ...], arrays: Sequence[str] = ()) -> str:
    """The text of an index; ends in an Ellipsis where it is basic, so that a scalar stays a view."""
    stream = iter(arrays)
    items = []
    for item in spec:
        if item == "array":
            items.append(next(stream))
        elif isinstance(item, tuple):
            items.append(":".join("" if part is None else str(part) for part in item))
        else:
            items.append(str(item))
    if not arrays:
        items.append("...")
    return ", ".join(items)
