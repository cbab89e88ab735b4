"""``np.einsum`` as matrix products: each pair of operands is contracted by one (stacked) product.

Notation: labels of an operand, one an axis. Of a pair, *batch* labels stand in both and in the result, *inner* ones
in both and nowhere later, *left* and *right* ones in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.memory import alias
from hypergrad.ad.options import array_of, integer, reject
from hypergrad.ad.primitives.linear import broadcast_to, convert, permute, reduce_sum, reshape
from hypergrad.ad.trace import source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in the order of the numbers of a sublist


def _einsum(
    *operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, order: str = "K",
    casting: str = "safe",
) -> Any:  # fmt: skip
    reject("einsum", out=(out, None))
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0].replace(" ", ""), [array_of(a) for a in operands[1:]]
    else:
        subscripts, arrays = _from_lists(operands)
    inputs, result = _parse(subscripts, [a.ndim for a in arrays])
    kind = np.result_type(*(a.dtype for a in arrays))
    if dtype is not None:
        if not np.can_cast(kind, dtype, casting):  # type: ignore[arg-type]
            raise ShapeError(f"einsum: {kind} to {dtype} is no {casting} cast, at {source_line()}")
        kind = np.dtype(dtype)
    arrays = [convert(a, kind) for a in arrays]
    sizes = _sizes(inputs, arrays, subscripts)
    if len(arrays) == 1 and set(inputs[0]) == set(result):  # a view of the operand, or of its diagonal
        array, labels = _own(arrays[0], inputs[0], sizes)
        return permute(array, tuple(labels.index(label) for label in result))
    items = [_own(a, labels, sizes) for a, labels in zip(arrays, inputs, strict=True)]
    while len(items) > 1:
        i, j = _cheapest(items, sizes, result)
        second, first = items.pop(j), items.pop(i)  # j > i
        later = set(result).union(*(labels for _, labels in items))
        items.append(_contract(first, second, later, sizes))
    array, labels = items[0]
    axes = tuple(i for i, label in enumerate(labels) if label not in result)
    labels = "".join(label for label in labels if label in result)
    return alias(permute(reduce_sum(array, axes), tuple(labels.index(label) for label in result)))


def _from_lists(operands: Any) -> tuple[str, list[Any]]:
    """The string form of ``einsum(op0, sublist0, op1, sublist1, ..., [sublistout])``."""
    pairs, rest = divmod(len(operands), 2)

    def letter(item: Any) -> str:
        place = integer(item, "einsum: a label")
        if not 0 <= place < len(_LETTERS):
            raise ShapeError(f"einsum: label {place} is outside 0 to {len(_LETTERS) - 1}, at {source_line()}")
        return _LETTERS[place]

    def text(items: Any) -> str:
        return "".join("..." if item is Ellipsis else letter(item) for item in items)

    subscripts = ",".join(text(operands[2 * i + 1]) for i in range(pairs))
    if rest:
        subscripts += "->" + text(operands[-1])
    return subscripts, [array_of(operands[2 * i]) for i in range(pairs)]


def _parse(subscripts: str, ndims: list[int]) -> tuple[list[str], str]:
    """Labels of each operand and of the result, ellipses spelt out with labels that are not letters."""
    left, arrow, right = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ShapeError(
            f"einsum: {len(terms)} terms in {subscripts!r} for {len(ndims)} operands, at {source_line()}"
        )
    named = [len(term.replace("...", "")) for term in terms]
    hidden = max([n - k for term, n, k in zip(terms, ndims, named, strict=True) if "..." in term], default=0)
    extra = "".join(chr(0x3B1 + i) for i in range(hidden))
    found = []
    for term, n, k in zip(terms, ndims, named, strict=True):
        full = term.replace("...", extra[hidden - (n - k) :] if n > k else "")
        if len(full) != n:
            raise ShapeError(f"einsum: {term!r} does not fit an array of {n} axes, at {source_line()}")
        found.append(full)
    joined = left.replace(",", "").replace("...", "")
    if arrow:
        result = right.replace("...", extra)
    else:
        result = extra + "".join(sorted(c for c in set(joined) if joined.count(c) == 1))
    if hidden and "..." not in (right if arrow else "..."):
        raise ShapeError(f"einsum: the result of {subscripts!r} lacks the axes of '...', at {source_line()}")
    bad = [c for c in result if all(c not in term for term in found)]
    if bad or len(set(result)) != len(result) or not all(c in _LETTERS for c in joined):
        raise ShapeError(f"einsum: {subscripts!r} is not a valid expression, at {source_line()}")
    return found, result


def _sizes(inputs: list[str], arrays: list[Any], subscripts: str) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for labels, array in zip(inputs, arrays, strict=True):
        for label, n in zip(labels, array.shape, strict=True):
            if n != array.shape[labels.index(label)]:
                raise ShapeError(f"einsum: the axes {label!r} of {array.shape} differ, at {source_line()}")
            known = sizes.get(label, n)
            if n != known and 1 not in (n, known):
                raise ShapeError(
                    f"einsum: {label!r} of {subscripts!r} is {known} and {n} long, at {source_line()}"
                )
            sizes[label] = max(n, known) if 0 not in (n, known) else 0
    return sizes


def _own(array: Any, labels: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """The operand with broadcast axes at full length, and diagonals taken where a label repeats."""
    full = tuple(sizes[label] for label in labels)
    array = broadcast_to(array, full) if array.shape != full else array
    while len(set(labels)) < len(labels):
        i = next(k for k, label in enumerate(labels) if label in labels[k + 1 :])
        j = labels.index(labels[i], i + 1)
        array = np.diagonal(array, 0, i, j)
        labels = labels[:i] + labels[i + 1 : j] + labels[j + 1 :] + labels[i]
    return array, labels


def _cheapest(items: list[tuple[Any, str]], sizes: dict[str, int], result: str) -> tuple[int, int]:
    """The pair whose contraction costs least: all of its labels' lengths multiplied; then the smallest result."""
    best, found = None, (0, 1)
    for i in range(len(items)):
        for j in range(i + 1, len(items)):
            labels = set(items[i][1]) | set(items[j][1])
            others = set(result).union(*(item[1] for k, item in enumerate(items) if k not in (i, j)))
            cost = (_product(labels, sizes), _product(labels & others, sizes))
            if best is None or cost < best:
                best, found = cost, (i, j)
    return found


def _product(labels: Any, sizes: dict[str, int]) -> int:
    total = 1
    for label in labels:
        total *= sizes[label]
    return total


def _contract(
    a: tuple[Any, str], b: tuple[Any, str], later: set[str], sizes: dict[str, int]
) -> tuple[Any, str]:
    """One operand in the place of two."""
    (x, first), (y, second) = _summed(a, set(b[1]) | later), _summed(b, set(a[1]) | later)
    shared = [label for label in first if label in second]
    batch = "".join(label for label in shared if label in later)
    inner = "".join(label for label in shared if label not in later)
    left = "".join(label for label in first if label not in second)
    right = "".join(label for label in second if label not in first)
    n, m, k, p = (_product(labels, sizes) for labels in (batch, left, inner, right))
    x = permute(x, tuple(first.index(label) for label in batch + left + inner))
    y = permute(y, tuple(second.index(label) for label in batch + inner + right))
    shape = tuple(sizes[label] for label in batch + left + right)
    if not inner:
        ones = (1,) * len(left)
        spread = y.shape[: len(batch)] + ones + y.shape[len(batch) :]
        return reshape(x, x.shape + (1,) * len(right)) * reshape(y, spread), batch + left + right
    lead = (n,) if batch else ()
    product = np.matmul(reshape(x, (*lead, m, k)), reshape(y, (*lead, k, p)))
    return reshape(product, shape), batch + left + right


def _summed(item: tuple[Any, str], needed: set[str]) -> tuple[Any, str]:
    """The operand without the labels that nothing else has."""
    array, labels = item
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    return reduce_sum(array, axes), "".join(label for label in labels if label in needed)


FUNCTIONS: dict[Any, Callable[..., Any]] = {np.einsum: _einsum}
