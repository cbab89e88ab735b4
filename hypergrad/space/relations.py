"""Known constraints written as text, such as ``"layers * width <= 4096"``.

A relation is a function of hparams like any other constraint, and is its text: equal texts are equal, a store keeps it,
and it can be read from a file. `hypergrad.space.grammar` says what a text may hold. Names are those of the space:
``lr``, ``opt.lr`` or ```opt/lr``` (a path in backquotes) for what is nested, ``mix[0]`` for one entry.

- Arithmetic is that of float64, entry by entry; ``sum(mix)`` is the sum of the entries of an array.
- A comparison of arrays holds where it holds for every entry; one with nan does not hold.
- Choices that are words are compared by ``==`` and ``!=``: ``kind == "sgd" or momentum <= 0.9``.
- A comparison that names an inactive hyperparameter holds: it is about something that does not exist there.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hypergrad.errors import unknown_name
from hypergrad.parameters import Discrete, Parameter
from hypergrad.parameters.scalars import same
from hypergrad.space.grammar import Chain, Comparison, Junction, Literal, Name, Node, Total, parse, wrong

__all__ = ["Inactive", "Relation", "holds", "looked_up"]

_APPLY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
}
_parsed = lru_cache(maxsize=1024)(parse)


class Inactive(Exception):
    """A name that hparams do not have."""


@dataclass(frozen=True)
class Relation:
    """A constraint by its text; a space checks it when it is made.

    Args:
        text: a comparison, or several joined by ``and`` and ``or``.

    Raises:
        SpaceError: not of the grammar of `hypergrad.space.grammar`; names the place.
    """

    text: str

    def __post_init__(self) -> None:
        _parsed(self.text)

    @property
    def __name__(self) -> str:
        return self.text

    @property
    def tree(self) -> Comparison | Junction:
        """The text, parsed."""
        return _parsed(self.text)

    def __call__(self, hparams: Mapping[str, Any]) -> bool:
        """Whether the relation holds at hparams of its space."""
        with np.errstate(all="ignore"):
            return holds(self.tree, hparams)

    def check(self, parameters: Mapping[str, Parameter], constants: Mapping[str, Any]) -> None:
        """Refuse a text that does not fit a space, given by its parameters and constants by path.

        Raises:
            SpaceError: an unknown name, an index outside the array, arrays that do not fit one another, arithmetic with
                words, a comparison with what is none of the choices, or no name at all.
        """
        checker = _Checker(self.text, parameters, constants)
        for comparison in _comparisons(self.tree):
            checker.comparison(comparison)


def _comparisons(node: Comparison | Junction) -> Iterator[Comparison]:
    if isinstance(node, Comparison):
        yield node
    else:
        for part in node.parts:
            yield from _comparisons(part)


# --- what a relation says of hparams


def holds(node: Comparison | Junction, hparams: Mapping[str, Any]) -> bool:
    """Whether what was parsed holds at hparams."""
    if isinstance(node, Junction):
        return (all if node.kind == "and" else any)(holds(part, hparams) for part in node.parts)
    try:
        values = [_value(term, hparams) for term in node.terms]
    except Inactive:
        return True
    return all(
        bool(np.all(_APPLY[sign](left, right)))
        for sign, left, right in zip(node.signs, values[:-1], values[1:], strict=True)
    )


def _value(node: Node, hparams: Mapping[str, Any]) -> Any:
    """A float64, an array of them, a string, a boolean or None."""
    if isinstance(node, Chain):
        found = _value(node.terms[0], hparams)
        for sign, term in zip(node.signs, node.terms[1:], strict=True):
            found = _APPLY[sign](found, _value(term, hparams))
        return found
    if isinstance(node, Total):
        return np.sum(_value(node.of, hparams))
    leaf: Any = node.value if isinstance(node, Literal) else looked_up(node, hparams)
    return leaf if leaf is None or isinstance(leaf, str | bool) else np.asarray(leaf, np.float64)[()]


def looked_up(name: Name, hparams: Mapping[str, Any]) -> Any:
    """The value of a name, or of its entry.

    Raises:
        Inactive: hparams do not have it.
    """
    found: Any = hparams
    for key in name.path.split("/"):
        if key not in found:
            raise Inactive
        found = found[key]
    return found[name.index] if name.index else found


# --- whether it fits a space


@dataclass(frozen=True)
class _Checker:
    """The checks of one text against one space."""

    text: str
    parameters: Mapping[str, Parameter]
    constants: Mapping[str, Any]

    def comparison(self, node: Comparison) -> None:
        if not any(isinstance(leaf, Name) for term in node.terms for leaf in _leaves(term)):
            raise wrong(
                self.text, node.at, "the comparison names no hyperparameter, so it is always the same"
            )
        for sign, left, right in zip(node.signs, node.terms[:-1], node.terms[1:], strict=True):
            words = [term for term in (left, right) if self.word(term)]
            if not words:
                self.together(self.shape(left), self.shape(right), right.at)
                continue
            if sign not in ("==", "!="):
                raise wrong(
                    self.text,
                    words[0].at,
                    f"a word is compared by {sign}, and words are compared by == and !=",
                )
            for one in (left, right):
                if not isinstance(one, Literal | Name):
                    raise wrong(self.text, one.at, "arithmetic is compared with a word, expected a choice")
                self.shape(one, words=True)
            for one, other in ((left, right), (right, left)):
                if isinstance(one, Literal):
                    self.choice(one, other)

    def choice(self, literal: Literal, other: Node) -> None:
        """Refuse a literal that the other side never is."""
        parameter = self.parameters.get(other.path) if isinstance(other, Name) else None
        if not isinstance(parameter, Discrete):
            if not isinstance(other, Name) or other.path not in self.constants:
                raise wrong(self.text, literal.at, "a word is compared, expected a choice on the other side")
            return
        values = getattr(parameter, "choices", None)
        if values is None:
            raise wrong(self.text, literal.at, f"{literal.value!r} is compared with a number")
        if not any(same(literal.value, value) for value in values):
            named = f"{literal.value:g}" if isinstance(literal.value, float) else str(literal.value)
            raise wrong(self.text, literal.at, str(unknown_name("choice", named, values)))

    def word(self, node: Node) -> bool:
        """Whether the node is no number: a text, true, false, or a name with a value that is none."""
        if isinstance(node, Literal):
            return isinstance(node.value, str | bool)
        if not isinstance(node, Name):
            return False
        if node.path in self.constants:
            fixed = self.constants[node.path]
            return fixed is None or isinstance(fixed, str | bool)
        choices = getattr(self.parameters.get(node.path), "choices", ())
        return any(value is None or isinstance(value, str | bool) for value in choices)

    def shape(self, node: Node, words: bool = False) -> tuple[int, ...]:
        """The shape of the value of a node."""
        if isinstance(node, Chain):
            found = self.shape(node.terms[0])
            for term in node.terms[1:]:
                found = self.together(found, self.shape(term), term.at)
            return found
        if isinstance(node, Total):
            if not self.shape(node.of):
                raise wrong(self.text, node.at, "'sum' is of a single number, expected an array")
            return ()
        if self.word(node) and not words:
            raise wrong(self.text, node.at, "arithmetic with a word; compare it by == or !=")
        if isinstance(node, Literal):
            return ()
        if node.path in self.constants:
            whole = np.shape(self.constants[node.path])
        elif node.path in self.parameters:
            whole = self.parameters[node.path].shape
        else:
            known = [*self.parameters, *self.constants]
            raise wrong(self.text, node.at, str(unknown_name("hyperparameter", node.path, known)))
        if node.index and (
            len(node.index) != len(whole) or any(i >= n for i, n in zip(node.index, whole, strict=True))
        ):
            index = ",".join(map(str, node.index))
            raise wrong(
                self.text, node.at, f"{node.path!r} has the shape {whole}, so there is no entry [{index}]"
            )
        return () if node.index else tuple(whole)

    def together(self, left: tuple[int, ...], right: tuple[int, ...], at: int) -> tuple[int, ...]:
        """The shape of two arrays, entry by entry."""
        try:
            return np.broadcast_shapes(left, right)
        except ValueError:
            raise wrong(
                self.text, at, f"arrays of the shapes {left} and {right} do not fit one another"
            ) from None


def _leaves(node: Node) -> Iterator[Literal | Name]:
    if isinstance(node, Chain):
        for term in node.terms:
            yield from _leaves(term)
    elif isinstance(node, Total):
        yield from _leaves(node.of)
    else:
        yield node
