"""Cutting a Program in two, so that each part runs when, and as often as, it must.

`hoist` takes out what depends on some inputs alone (computed once, when those never change).
`cut` separates what can run before some inputs are known from what must wait for them, and chooses which
intermediate values (residuals) the first part keeps for the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypergrad.ad.optimize import prune
from hypergrad.ad.primitives.linear import reshape_p
from hypergrad.ad.primitives.shape import split_p
from hypergrad.ad.program import ArrayType, Equation, Program, Var

__all__ = ["Cut", "cut", "hoist"]

_SMALL = 64  # entries that a hoisted value may have, even where its operands have fewer
_CHEAP = {"add", "subtract", "multiply", "negative", "square", "convert", "relu", "positive"}


def hoist(program: Program, wrt: Sequence[bool], grow: bool = False) -> tuple[Program, Program]:
    """Take out what depends on the inputs in `wrt` (and constants) alone.

    Args:
        wrt: for each input, whether it is known beforehand.
        grow: also what is larger than these inputs, and what depends on constants alone.

    Returns:
        (before, rest). before: inputs in `wrt` -> values of their dtypes. rest: (those values, the other
        inputs) -> outputs. What would grow an input, such as a broadcast, stays in the rest, unless `grow`.
    """
    early = [var for var, w in zip(program.inputs, wrt, strict=True) if w]
    limit = max([_SMALL, *(var.type.size for var in early)])
    dtypes = {var.type.dtype for var in early} | {a.type.dtype for a in program.outputs if grow}
    known: set[Var] = set(early)
    taken: list[Equation] = []
    left: list[Equation] = []
    for eq in program.equations:
        fits = all(var.type.dtype in dtypes and (grow or var.type.size <= limit) for var in eq.outputs)
        variables = [atom for atom in eq.inputs if isinstance(atom, Var)]
        if fits and (variables or grow) and all(var in known for var in variables):
            taken.append(eq)
            known.update(eq.outputs)
        else:
            left.append(eq)
    read = dict.fromkeys(
        atom
        for atom in (*(atom for eq in left for atom in eq.inputs), *program.outputs)
        if isinstance(atom, Var) and atom in known
    )
    before = prune(Program(tuple(early), tuple(taken), tuple(read), f"before({program.name})"))
    others = [var for var, w in zip(program.inputs, wrt, strict=True) if not w]
    return before, Program((*read, *others), tuple(left), program.outputs, program.name)


@dataclass(frozen=True)
class Cut:
    """A Program in two parts.

    Attributes:
        early: early inputs -> (early outputs, residuals).
        late: (early inputs, the first early output, residuals, late inputs) -> late outputs.
        residuals: types of what `early` keeps for `late`.
    """

    early: Program
    late: Program
    residuals: tuple[ArrayType, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all residuals."""
        return sum(type.size * type.dtype.itemsize for type in self.residuals)


def cut(program: Program, late: int, outputs: int) -> Cut:
    """Separate what needs the last `late` inputs from what does not.

    Kept is what the late part reads, except inputs, parts of the first output (which both parts see), views, and
    what is cheaply recomputed from these.

    Args:
        outputs: how many of the outputs are early; they must not depend on the late inputs.
    """
    given = program.inputs[: len(program.inputs) - late]
    waiting: set[Var] = set(program.inputs[len(given) :])
    early: list[Equation] = []
    later: list[Equation] = []
    for eq in program.equations:
        if any(atom in waiting for atom in eq.inputs):
            later.append(eq)
            waiting.update(eq.outputs)
        else:
            early.append(eq)
    whole = program.outputs[0]
    wanted = [*(atom for eq in later for atom in eq.inputs), *program.outputs[outputs:]]
    needs = _Needs(early, [*given, *([whole] if isinstance(whole, Var) else [])])
    needs.keep([atom for atom in wanted if isinstance(atom, Var) and atom not in waiting])
    kept = tuple(needs.residuals)
    first = prune(Program(given, tuple(early), (*program.outputs[:outputs], *kept), f"keep({program.name})"))
    # an early output that is no variable of its own (a constant, an input) is seen under a new name
    seen = whole if isinstance(whole, Var) and whole not in given else Var(whole.type)
    inputs = (*given, seen, *kept, *program.inputs[len(given) :])
    equations = (*needs.parts, *(early[number] for number in sorted(needs.again)), *later)
    second = prune(Program(inputs, equations, program.outputs[outputs:], f"late({program.name})"))
    return Cut(first, second, tuple(var.type for var in kept))


class _Needs:
    """What the late part needs of the early one.

    Args:
        early: equations of the early part.
        given: variables that both parts see.

    Attributes:
        residuals: variables to keep.
        again: numbers of the early equations that the late part runs too.
        parts: equations that cut a given vector into the variables that it was concatenated from.
    """

    def __init__(self, early: Sequence[Equation], given: Sequence[Var]) -> None:
        self.early = early
        self.number: dict[Var, int] = {var: n for n, eq in enumerate(early) for var in eq.outputs}
        self.parts: list[Equation] = []
        self.known = set(given)
        for var in given:
            self._open(var)
        self.residuals: dict[Var, None] = {}
        self.again: set[int] = set()

    def _open(self, vector: Var) -> None:
        """Make known the variables that lie in one piece in a given vector."""
        eq = self.early[self.number[vector]] if vector in self.number else None
        if eq is None:
            return
        params: dict[str, Any]
        if eq.primitive.name == "reshape":
            (source,) = eq.inputs
            found = [(source, source.type)]
            primitive, params = reshape_p, {"shape": source.type.shape}
        elif eq.primitive.name == "concatenate" and vector.type.ndim == 1:
            found = [(atom, atom.type) for atom in eq.inputs]
            primitive = split_p
            params = {"sizes": tuple(type.size for _, type in found), "axis": 0}
        else:
            return
        fresh = [atom if isinstance(atom, Var) and self._alone(atom) else Var(type) for atom, type in found]
        if len(set(fresh)) < len(fresh):
            return  # the same variable twice
        self.parts.append(Equation(primitive, (vector,), tuple(fresh), params, eq.where))
        new = [var for var in fresh if var in self.number]
        self.known.update(new)
        for var in new:
            self._open(var)

    def _alone(self, var: Var) -> bool:
        """Whether `var` is still unknown, and the one output of its equation."""
        made = self.number.get(var)
        return var not in self.known and made is not None and len(self.early[made].outputs) == 1

    def keep(self, wanted: Sequence[Var]) -> None:
        """Choose residuals such that all of `wanted` can be had."""
        roots = [root for root in dict.fromkeys(map(self._root, wanted)) if root not in self.known]
        stored = {var for var in roots if not self._cheap(var)}
        for var in roots:
            if not self._reach(var, stored, 2):
                stored.add(var)
        for var in wanted:
            self._bring(var, stored)

    def _root(self, var: Var) -> Var:
        """The variable whose memory `var` is a view of."""
        while var not in self.known and self._made(var).primitive.view:
            source = self._made(var).inputs[0]
            if not isinstance(source, Var):
                break
            var = source
        return var

    def _made(self, var: Var) -> Equation:
        return self.early[self.number[var]]

    def _cheap(self, var: Var) -> bool:
        return self._made(var).primitive.name in _CHEAP

    def _reach(self, var: Var, stored: set[Var], depth: int) -> bool:
        """Whether `var` can be had without keeping it, by at most `depth` cheap equations in a row."""
        root = self._root(var)
        if root in self.known or root in stored:
            return True
        sources = [atom for atom in self._made(root).inputs if isinstance(atom, Var)]
        return depth > 0 and self._cheap(root) and all(self._reach(a, stored, depth - 1) for a in sources)

    def _bring(self, var: Var, stored: set[Var]) -> None:
        """Make `var` known to the late part."""
        if var in self.known or var in self.residuals:
            return
        if var in stored:
            self.residuals[var] = None
            return
        self.again.add(self.number[var])
        for atom in self._made(var).inputs:
            if isinstance(atom, Var):
                self._bring(atom, stored)
