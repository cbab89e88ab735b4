"""The text of a constraint as a tree: comparisons of arithmetic over the names of a space, and nothing else.

::

    either      = both ("or" both)*
    both        = comparison ("and" comparison)*       ; or "(" either ")"
    comparison  = total (("<=" | "<" | ">=" | ">" | "==" | "!=") total)+
    total       = product (("+" | "-") product)*
    product     = signed (("*" | "/") signed)*
    signed      = ("+" | "-") signed | power
    power       = atom ["**" signed]
    atom        = number | name | "text" | 'text' | true | false | "sum" "(" total ")" | "(" total ")"
    name        = path ["[" integer ("," integer)* "]"]
    path        = word ("." word)* | "`" any path, such as opt/learning-rate "`"

Nothing of it is ever run as Python. A parenthesis opens a total where what follows makes it one, else an either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hypergrad.errors import SpaceError

__all__ = ["Chain", "Comparison", "Junction", "Literal", "Name", "Node", "Total", "parse", "wrong"]

_Read = TypeVar("_Read")

LONGEST = 2000  # characters of a text
DEEPEST = 30  # parentheses, signs and powers within one another

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))"
    r"|(?P<path>[^\W\d]\w*(?:\.[^\W\d]\w*)*|`[^`]+`)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|\*\*|[<>+\-*/()\[\],]))"
)
_COMPARISONS = ("<=", "<", ">=", ">", "==", "!=")
_WORDS = {"true": True, "false": False, "True": True, "False": False}


@dataclass(frozen=True)
class Literal:
    """A number, a text, true or false; `at` is its place in the text, from 0."""

    value: float | str | bool
    at: int


@dataclass(frozen=True)
class Name:
    """A hyperparameter or a fixed value by path, or one entry of it."""

    path: str
    index: tuple[int, ...]
    at: int


@dataclass(frozen=True)
class Total:
    """The sum of the entries of an array."""

    of: Node
    at: int


@dataclass(frozen=True)
class Chain:
    """``terms[0] signs[0] terms[1] ...`` from left to right, entry by entry; signs + -, or * /, or one **.

    A negative number is 0 minus it.
    """

    terms: tuple[Node, ...]
    signs: tuple[str, ...]
    at: int


@dataclass(frozen=True)
class Comparison:
    """``terms[0] signs[0] terms[1] signs[1] ...``: all must hold, for all entries."""

    terms: tuple[Node, ...]
    signs: tuple[str, ...]
    at: int


@dataclass(frozen=True)
class Junction:
    """Parts of which all ("and") or one ("or") must hold."""

    kind: str
    parts: tuple[Comparison | Junction, ...]


Node = Literal | Name | Total | Chain


def wrong(text: str, at: int, what: str) -> SpaceError:
    """The error for place `at` of the constraint `text`."""
    return SpaceError(f"the constraint {text!r}, at character {at + 1}: {what}")


def parse(text: str) -> Comparison | Junction:
    """The tree of a constraint.

    Raises:
        SpaceError: not of the grammar; names the place, counted from 1.
    """
    if len(text) > LONGEST:
        raise SpaceError(
            f"the constraint {text[:40]!r}... has {len(text)} characters, expected at most {LONGEST}; split it in two"
        )
    reader = _Reader(text)
    found = reader.either()
    if reader.here is not None:
        raise reader.unexpected("a comparison such as <=, 'and', 'or' or the end")
    return found


class _Reader:
    """The tokens of a text, read one after the other."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []  # (kind, what it says, place)
        end = len(text.rstrip())
        place = 0
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None:
                at = place + len(text[place:]) - len(text[place:].lstrip())
                raise wrong(
                    text,
                    at,
                    f"{text[at]!r} is not understood, expected names, numbers and + - * / ** < <= > >= == !=",
                )
            kind = str(found.lastgroup)
            self.tokens.append((kind, found[kind], found.start(kind)))
            place = found.end()
        self.next, self.depth = 0, 0

    @property
    def here(self) -> str | None:
        """What the next token says; None at the end."""
        return self.tokens[self.next][1] if self.next < len(self.tokens) else None

    @property
    def at(self) -> int:
        """Where the next token stands."""
        return self.tokens[self.next][2] if self.next < len(self.tokens) else len(self.text.rstrip())

    def unexpected(self, expected: str) -> SpaceError:
        """The error for the next token."""
        got = "the end" if self.here is None else repr(self.here)
        return wrong(self.text, self.at, f"{got} comes where {expected} is expected")

    def take(self, *words: str) -> str | None:
        """The next token if it is one of these."""
        found = self.here
        if found is None or found not in words:
            return None
        self.next += 1
        return found

    def need(self, word: str) -> None:
        """The next token, which must be this one."""
        if self.take(word) is None:
            raise self.unexpected(repr(word))

    def deeper(self, read: Callable[[], _Read]) -> _Read:
        """What `read` reads, one level down."""
        if self.depth == DEEPEST:
            raise wrong(self.text, self.at, f"nested more than {DEEPEST} deep; split the constraint in two")
        self.depth += 1
        found = read()
        self.depth -= 1
        return found

    # --- what must hold

    def either(self) -> Comparison | Junction:
        return self._joined("or", self.both)

    def both(self) -> Comparison | Junction:
        return self._joined("and", self.part)

    def _joined(self, word: str, read: Callable[[], Comparison | Junction]) -> Comparison | Junction:
        parts = [read()]
        while self.take(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def part(self) -> Comparison | Junction:
        if self.here == "(" and self._holds_a_comparison():
            self.need("(")
            found = self.deeper(self.either)
            self.need(")")
            return found
        return self.comparison()

    def _holds_a_comparison(self) -> bool:
        """Whether the parenthesis that opens here closes around a comparison."""
        depth = 0
        for _, word, _ in self.tokens[self.next :]:
            depth += (word == "(") - (word == ")")
            if depth == 0:
                return False
            if word in _COMPARISONS:
                return True
        return False

    def comparison(self) -> Comparison:
        at = self.at
        terms, signs = [self.total()], []
        while (sign := self.take(*_COMPARISONS)) is not None:
            signs.append(sign)
            terms.append(self.total())
        if not signs:
            raise self.unexpected("a comparison such as <=")
        return Comparison(tuple(terms), tuple(signs), at)

    # --- what is compared

    def total(self) -> Node:
        return self._chain(("+", "-"), self.product)

    def product(self) -> Node:
        return self._chain(("*", "/"), self.signed)

    def _chain(self, signs: tuple[str, ...], read: Callable[[], Node]) -> Node:
        at, terms, found = self.at, [read()], []
        while (sign := self.take(*signs)) is not None:
            found.append(sign)
            terms.append(read())
        return Chain(tuple(terms), tuple(found), at) if found else terms[0]

    def signed(self) -> Node:
        at = self.at
        sign = self.take("+", "-")
        if sign is None:
            return self.power()
        of = self.deeper(self.signed)
        return of if sign == "+" else Chain((Literal(0.0, at), of), ("-",), at)

    def power(self) -> Node:
        at, base = self.at, self.atom()
        return Chain((base, self.deeper(self.signed)), ("**",), at) if self.take("**") else base

    def atom(self) -> Node:
        at = self.at
        if self.take("("):
            found = self.deeper(self.total)
            self.need(")")
            return found
        kind = self.tokens[self.next][0] if self.here is not None else ""
        if kind not in ("number", "path", "text") or self.here in ("and", "or"):
            raise self.unexpected("a name or a number")
        word = str(self.here)
        self.next += 1
        if kind == "number":
            return Literal(float(word), at)
        if kind == "text":
            return Literal(word[1:-1], at)
        if word in _WORDS:
            return Literal(_WORDS[word], at)
        if word == "sum" and self.take("("):
            found = self.deeper(self.total)
            self.need(")")
            return Total(found, at)
        if self.here == "(":
            raise wrong(self.text, at, f"{word!r} is called, and 'sum' is the only function there is")
        path = word[1:-1] if word.startswith("`") else word.replace(".", "/")
        return Name(path, self._index() if self.take("[") else (), at)

    def _index(self) -> tuple[int, ...]:
        found = []
        while True:
            word = self.here
            if word is None or not word.isdecimal():
                raise self.unexpected("an index from 0")
            self.next += 1
            found.append(int(word))
            if not self.take(","):
                self.need("]")
                return tuple(found)
