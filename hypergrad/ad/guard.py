"""Guarded branches: ``np.where(x > 0, np.log(x), 0.0)`` has no NaN in its derivative.

The chain rule multiplies the zero cotangent of an entry that `where` did not take by the infinite slope of the
branch there, and 0 · inf is NaN. Before a Program is differentiated, operations with an infinite slope that only such
branches read get a harmless operand where no branch takes them:

    where(c, f(x), y)  ->  where(c, f(where(c, x, safe)), y)

which changes no value. Programs without such a branch stay as they are, at no cost.

One sweep from the results back finds the demand of every value: under which conditions anything reads it. A demand is a
set of alternatives (one a reader), each a set of conditions that hold together (one for each `where` on the way).
What cannot be followed is left out of an alternative, so that a demand is never too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from hypergrad.ad.primitives.elementwise import _BY_UFUNC, select_p
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape_p
from hypergrad.ad.primitives.reduction import reduce_any_p
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var
from hypergrad.ad.trace import Builder

__all__ = ["guarded"]

# primitive -> (operand whose slope may be infinite, an operand for which it is not)
_STEEP: dict[str, tuple[int, float]] = {
    **dict.fromkeys(("log", "log2", "log10", "log1p", "sqrt", "cbrt", "reciprocal", "power", "float_power"), (0, 1.0)),
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh", "tan", "square"), (0, 1.0)),
    **dict.fromkeys(("arcsin", "arccos", "arctanh"), (0, 0.5)),
    "arccosh": (0, 2.0),
    "divide": (1, 1.0),
    "logit": (0, 0.5),
    "gammaln": (0, 1.0),
}  # fmt: skip


# Linear primitives that place, repeat or add up entries: a mask of what is read goes back through their transposes
_PLACING = frozenset(
    (
        "reshape",
        "permute",
        "broadcast_to",
        "index",
        "gather",
        "concatenate",
        "reduce_sum",
        "cumsum",
        "scatter",
    )
)


Shape = tuple[int, ...]


class Condition(NamedTuple):
    """What a `where` asks: `atom` true (or false).

    `path` holds the number and the operand of each equation of `_PLACING` on the way back from the `where`.
    """

    atom: Atom
    taken: bool
    path: tuple[tuple[int, int], ...] = ()


Demand = frozenset[frozenset[Condition]]
_ALWAYS: Demand = frozenset({frozenset()})
_MOST = 4  # alternatives of a demand, conditions of an alternative, equations of a path


def guarded(program: Program) -> Program:
    """The same function, with the operands of steep operations made harmless where no branch takes them."""
    if all(eq.primitive.name != "select" for eq in program.equations):
        return program
    demands = _demands(program)
    made = {var: n for n, eq in enumerate(program.equations) for var in eq.outputs}
    guards = _guards(program, made, demands)
    if not guards:
        return program
    rewriting = _Rewriting(program, made, guards)
    for number, demand in enumerate(demands):
        if demand == _ALWAYS:
            rewriting.emit(number)
    for atom in program.outputs:
        if isinstance(atom, Var) and atom in made:
            rewriting.emit(made[atom])
    return Program(program.inputs, tuple(rewriting.equations), program.outputs, program.name)


# Analysis ------------------------------------------------------------------------------------------------
def _demands(program: Program) -> list[Demand]:
    """For each equation, when anything reads its results."""
    found: dict[Var, set[frozenset[Condition]]] = {}
    for atom in program.outputs:
        if isinstance(atom, Var):
            found[atom] = set(_ALWAYS)
    demands: list[Demand] = []
    for number in range(len(program.equations) - 1, -1, -1):
        eq = program.equations[number]
        demand = _simplest(set().union(*(found.pop(var, set()) for var in eq.outputs)))
        demands.append(demand)
        for place, atom in enumerate(eq.inputs):
            if not isinstance(atom, Var):
                continue
            asked = {_below(eq, number, place, alternative) for alternative in demand}
            if eq.primitive.name == "select" and place > 0:
                own = Condition(eq.inputs[0], place == 1)
                asked = {a | {own} if len(a) < _MOST else a for a in asked}
            found.setdefault(atom, set()).update(asked)
    return demands[::-1]


def _simplest(alternatives: set[frozenset[Condition]]) -> Demand:
    """Without the alternatives that another one covers."""
    kept = frozenset(a for a in alternatives if not any(b < a for b in alternatives))
    return kept if len(kept) <= _MOST else _ALWAYS


def _below(eq: Equation, number: int, place: int, alternative: frozenset[Condition]) -> frozenset[Condition]:
    """The conditions of a result of `eq`, as an operand sees them."""
    if eq.primitive.name == "select" or (eq.primitive.ufunc is not None and eq.primitive.name != "matmul"):
        return alternative  # entry by entry
    kept = {condition for condition in alternative if condition.atom.type.shape == ()}
    if eq.primitive.name in _PLACING and eq.outputs[0].type.differentiable:
        kept |= {
            c._replace(path=(*c.path, (number, place)))
            for c in alternative
            if c.atom.type.shape != () and len(c.path) < _MOST
        }
    return frozenset(kept)


def _reads(program: Program, condition: Condition) -> list[Atom]:
    """What it takes to compute a condition: its atom, and the positions in gathers on its path."""
    found = [condition.atom]
    for number, _ in condition.path:
        found += [atom for atom in program.equations[number].inputs if not atom.type.differentiable]
    return found


def _guards(program: Program, made: dict[Var, int], demands: list[Demand]) -> dict[int, Demand]:
    """For each steep equation that only branches read, when they do."""
    guards: dict[int, Demand] = {}

    def depends(on: int, number: int) -> bool:
        """Whether equation `number`, or what guards it, reads what equation `on` gives."""
        waiting, seen = [number], {number}
        while waiting:
            n = waiting.pop()
            if n == on:
                return True
            atoms = [
                *program.equations[n].inputs,
                *(atom for a in guards.get(n, ()) for c in a for atom in _reads(program, c)),
            ]
            new = {made[atom] for atom in atoms if isinstance(atom, Var) and atom in made} - seen
            seen |= new
            waiting += new
        return False

    for number, eq in enumerate(program.equations):
        if eq.primitive.name not in _STEEP or demands[number] == _ALWAYS:
            continue
        demand = _simplest(
            {
                frozenset(
                    c
                    for c in a
                    if not any(
                        isinstance(atom, Var) and atom in made and depends(number, made[atom])
                        for atom in _reads(program, c)
                    )
                )
                for a in demands[number]
            }
        )
        if demand and demand != _ALWAYS:
            guards[number] = demand
    return guards


# Rewriting -----------------------------------------------------------------------------------------------
class _Rewriting:
    """Emits equations after what they read and after the conditions that guard them."""

    def __init__(self, program: Program, made: dict[Var, int], guards: dict[int, Demand]) -> None:
        self.program, self.made, self.guards = program, made, guards
        self.equations: list[Equation] = []
        self.done: set[int] = set()

    def emit(self, number: int) -> None:
        """Emit an equation of the original Program, and before it whatever it needs."""
        waiting = [number]
        while waiting:
            n = waiting[-1]
            needs = [
                *self.program.equations[n].inputs,
                *(
                    atom
                    for alternative in self.guards.get(n, ())
                    for c in alternative
                    for atom in _reads(self.program, c)
                ),
            ]
            missing = [
                self.made[atom]
                for atom in needs
                if isinstance(atom, Var) and atom in self.made and self.made[atom] not in self.done
            ]
            if missing and n not in self.done:
                waiting += missing
                continue
            waiting.pop()
            if n not in self.done:
                self.done.add(n)
                self._append(n)

    def _append(self, number: int) -> None:
        eq = self.program.equations[number]
        demand = self.guards.get(number)
        if demand is not None:
            place, safe = _STEEP[eq.primitive.name]
            inputs = list(eq.inputs)
            inputs[place] = self._harmless(demand, inputs[place], safe, eq.where)
            eq = Equation(eq.primitive, tuple(inputs), eq.outputs, eq.params, eq.where)
        self.equations.append(eq)

    def _harmless(self, demand: Demand, x: Atom, safe: float, where: str) -> Atom:
        """x where anything reads what is made of it, else `safe`."""
        number = np.array(safe, x.type.dtype)
        other = Const(number, ArrayType((), number.dtype))
        taken = True
        if len(demand) == 1 and len(next(iter(demand))) == 1:
            (condition,) = next(iter(demand))
            if condition.atom.type.shape == x.type.shape and not condition.path:
                mask, taken = condition.atom, condition.taken
            else:
                mask = self._all([condition], x.type.shape)
        else:
            masks = [self._all(alternative, x.type.shape) for alternative in demand]
            mask = masks[0]
            for another in masks[1:]:
                mask = self._add(_BY_UFUNC[np.logical_or], mask, another)
        return self._add(select_p, mask, *((x, other) if taken else (other, x)), where=where)

    def _all(self, alternative: Iterable[Condition], shape: Shape) -> Atom:
        """Whether all conditions hold, for an operand of `shape`."""
        found: Atom | None = None
        for condition in alternative:
            mask = condition.atom
            if not condition.taken:
                mask = self._add(_BY_UFUNC[np.logical_not], mask)
            for number, place in condition.path:
                mask = self._through(self.program.equations[number], place, mask)
            mask = self._fitted(mask, shape)
            found = mask if found is None else self._add(_BY_UFUNC[np.logical_and], found, mask)
        assert found is not None
        return found

    def _through(self, eq: Equation, place: int, mask: Atom) -> Atom:
        """Which entries of an operand are read, given which entries of the result are."""
        out = eq.outputs[0].type
        mask = self._fitted(mask, out.shape)
        given: dict[Var, Atom] = {}
        with Builder("mask") as builder:
            builder.where = eq.where
            tracer = builder.input(mask.type)
            given[builder.inputs[-1]] = mask
            inputs: list[Any] = []
            for atom in eq.inputs:
                if atom.type.differentiable:
                    inputs.append(None)
                elif isinstance(atom, Var):
                    inputs.append(builder.input(atom.type))
                    given[builder.inputs[-1]] = atom
                else:
                    inputs.append(atom.value)
            ct = broadcast_to(convert(tracer, out.dtype), out.shape)
            types = tuple(atom.type for atom in eq.inputs)
            assert eq.primitive.transpose is not None
            pulled = eq.primitive.transpose(ct, inputs, types, **eq.params)[place]
            program = builder.program([pulled != 0])

        def read(atom: Atom) -> Atom:
            return given.get(atom, atom) if isinstance(atom, Var) else atom

        for inner in program.equations:
            self.equations.append(
                Equation(
                    inner.primitive, tuple(map(read, inner.inputs)), inner.outputs, inner.params, inner.where
                )
            )
        return read(program.outputs[0])

    def _fitted(self, mask: Atom, shape: Shape) -> Atom:
        """The mask for an array of `shape`, which may be broadcast to that of the mask: read anywhere counts."""
        seen = mask.type.shape
        extra = len(seen) - len(shape)
        axes = tuple(i for i, n in enumerate(seen) if i < extra or (n != 1 and shape[i - extra] == 1))
        if not axes:
            return mask
        mask = self._add(reduce_any_p, mask, axes=axes, keepdims=True)
        return self._add(reshape_p, mask, shape=mask.type.shape[extra:]) if extra > 0 else mask

    def _add(self, primitive: Primitive, *inputs: Atom, where: str = "", **params: Any) -> Var:
        out = Var(primitive.types([atom.type for atom in inputs], params)[0])
        self.equations.append(Equation(primitive, inputs, (out,), params, where))
        return out
