"""Trees as JSON text and vectors as bytes, bit for bit.

Floats are written by repr, the shortest text that reads back as the same float64. What JSON lacks is tagged:

===========================  =====================================================
value                        text
===========================  =====================================================
inf, -inf, nan               ``{"$float": "inf"}``; other nans by their bits, ``"0xfff8..."``
array                        ``{"$array": [1.0, 2.0], "shape": [2, 1], "dtype": "float64"}``
tuple                        ``{"$tuple": [1, 2]}``
dict with a key ``"$..."``   the key with one more ``$``
===========================  =====================================================
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad.errors import StudyError

__all__ = ["decode", "encode", "pack", "unpack"]

_NAMED = {name: struct.pack("<d", float(name)) for name in ("inf", "-inf", "nan")}
_NAMES = {bits: name for name, bits in _NAMED.items()}


def _tagged_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    bits = struct.pack("<d", value)
    return {"$float": _NAMES.get(bits, f"0x{int.from_bytes(bits, 'little'):016x}")}


def _plain(node: Any, what: str) -> Any:
    """`node` made of what the json module writes exactly."""
    if isinstance(node, np.generic):
        node = np.asarray(node).item() if node.dtype.kind in "iub" else node
        node = float(node) if isinstance(node, np.floating) else node
    if node is None or isinstance(node, bool | int):
        return node
    if isinstance(node, float):
        return _tagged_float(float(node))
    if isinstance(node, str):
        return str(node)
    if isinstance(node, Mapping):
        for key in node:
            if not isinstance(key, str):
                raise StudyError(f"{what} has the key {key!r}, which cannot be stored; use a string")
        return {
            "$" + key if key.startswith("$") else str(key): _plain(below, f"{what}/{key}")
            for key, below in node.items()
        }
    if isinstance(node, list):
        return [_plain(below, f"{what}/{i}") for i, below in enumerate(node)]
    if isinstance(node, tuple):
        return {"$tuple": [_plain(below, f"{what}/{i}") for i, below in enumerate(node)]}
    if isinstance(node, np.ndarray) and node.dtype.kind in "fiub":
        array = node.astype(np.float64) if node.dtype.itemsize > 8 else node
        flat = array.reshape(-1).tolist()
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            flat = [_tagged_float(value) for value in flat]
        return {"$array": flat, "shape": list(array.shape), "dtype": array.dtype.name}
    kind = f"an array of {node.dtype}" if isinstance(node, np.ndarray) else f"a {type(node).__name__}"
    raise StudyError(
        f"{what} is {kind}, which cannot be stored; use numbers, strings, arrays of numbers, lists and dicts"
    )


def _restored(node: dict[str, Any]) -> Any:
    if "$float" in node:
        text = node["$float"]
        bits = int(text, 16).to_bytes(8, "little") if text.startswith("0x") else _NAMED[text]
        return struct.unpack("<d", bits)[0]
    if "$array" in node:
        return np.array(node["$array"], np.dtype(node["dtype"])).reshape(node["shape"])
    if "$tuple" in node:
        return tuple(node["$tuple"])
    if any(key.startswith("$") for key in node):
        return {key.removeprefix("$"): below for key, below in node.items()}
    return node


_PLAIN = json.JSONDecoder()
_TAGGED = json.JSONDecoder(object_hook=_restored)


def encode(tree: Any, what: str = "value", sort: bool = False) -> str:
    """`tree` as ASCII JSON text; ``decode(encode(tree))`` has the same bits.

    Args:
        tree: dicts with string keys, lists, tuples, arrays of numbers, numbers, strings, booleans and None.
            NumPy scalars become Python numbers, extended precision becomes float64.
        what: the name of the tree in an error.
        sort: whether dicts are written in the order of their keys, so that equal trees have equal texts.

    Raises:
        StudyError: anything else in the tree.
    """
    return json.dumps(_plain(tree, what), allow_nan=False, sort_keys=sort)


def decode(text: str) -> Any:
    """The tree that `encode` wrote.

    Raises:
        ValueError, KeyError, TypeError: text that `encode` never writes.
    """
    return (_TAGGED if '"$' in text else _PLAIN).decode(text)


def pack(vector: Any) -> bytes:
    """A vector of float64 as little-endian bytes."""
    return np.ascontiguousarray(vector, np.dtype("<f8")).tobytes()


def unpack(blob: bytes) -> np.ndarray:
    """The read-only vector that `pack` wrote.

    Raises:
        ValueError: the length is no multiple of 8 bytes.
    """
    return np.frombuffer(blob, np.dtype("<f8")).astype(np.float64, copy=False)
