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

from typing import Any, NamedTuple

import numpy as np

from hypergrad.ad.primitives.elementwise import _BY_UFUNC, select_p
from hypergrad.ad.primitives.indexing import keeps_all
from hypergrad.ad.primitives.linear import reshape_p
from hypergrad.ad.primitives.reduction import reduce_any_p
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var

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


Shape = tuple[int, ...]


class Condition(NamedTuple):
    """What a `where` asks: `atom` true (or false), seen with `shape` where the demand stands."""

    atom: Atom
    taken: bool
    shape: Shape


Demand = frozenset[frozenset[Condition]]
_ALWAYS: Demand = frozenset({frozenset()})
_MOST = 4  # alternatives of a demand, conditions of an alternative


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
    for eq in reversed(program.equations):
        demand = _simplest(set().union(*(found.pop(var, set()) for var in eq.outputs)))
        demands.append(demand)
        for place, atom in enumerate(eq.inputs):
            if not isinstance(atom, Var):
                continue
            asked = {_below(eq, alternative) for alternative in demand}
            if eq.primitive.name == "select" and place > 0:
                own = Condition(eq.inputs[0], place == 1, eq.inputs[0].type.shape)
                asked = {a | {own} if len(a) < _MOST else a for a in asked}
            found.setdefault(atom, set()).update(asked)
    return demands[::-1]


def _simplest(alternatives: set[frozenset[Condition]]) -> Demand:
    """Without the alternatives that another one covers."""
    kept = frozenset(a for a in alternatives if not any(b < a for b in alternatives))
    return kept if len(kept) <= _MOST else _ALWAYS


def _below(eq: Equation, alternative: frozenset[Condition]) -> frozenset[Condition]:
    """The conditions of a result of `eq`, as its operands see them."""
    if eq.primitive.name == "select" or (eq.primitive.ufunc is not None and eq.primitive.name != "matmul"):
        return alternative  # entry by entry
    kept = {condition for condition in alternative if condition.shape == ()}
    if _reshapes(eq):
        before, after = eq.inputs[0].type.shape, eq.outputs[0].type.shape
        kept |= {c._replace(shape=before) for c in alternative if c.shape == after}
    return frozenset(kept)


def _reshapes(eq: Equation) -> bool:
    """Whether an equation only gives its operand another shape."""
    name = eq.primitive.name
    return name == "reshape" or (name == "index" and keeps_all(eq.inputs[0].type.shape, eq.params["spec"]))


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
            atoms = [*program.equations[n].inputs, *(c.atom for a in guards.get(n, ()) for c in a)]
            new = {made[atom] for atom in atoms if isinstance(atom, Var) and atom in made} - seen
            seen |= new
            waiting += new
        return False

    for number, eq in enumerate(program.equations):
        if eq.primitive.name not in _STEEP or demands[number] == _ALWAYS:
            continue
        demand = _simplest(
            {
                frozenset(c for c in a if c.atom not in made or not depends(number, made[c.atom]))
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
                *(c.atom for alternative in self.guards.get(n, ()) for c in alternative),
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
        if len(demand) == 1 and len(next(iter(demand))) == 1:
            (condition,) = next(iter(demand))
            mask, taken = (
                self._fitted(self._shaped(condition), x.type.shape, condition.taken),
                condition.taken,
            )
        else:
            masks = [self._all(alternative, x.type.shape) for alternative in demand]
            mask, taken = masks[0], True
            for another in masks[1:]:
                mask = self._add(_BY_UFUNC[np.logical_or], mask, another)
        return self._add(select_p, mask, *((x, other) if taken else (other, x)), where=where)

    def _all(self, alternative: frozenset[Condition], shape: Shape) -> Atom:
        """Whether all conditions hold."""
        masks = []
        for condition in alternative:
            mask = self._shaped(condition)
            masks.append(mask if condition.taken else self._add(_BY_UFUNC[np.logical_not], mask))
        found = masks[0]
        for another in masks[1:]:
            found = self._add(_BY_UFUNC[np.logical_and], found, another)
        return self._fitted(found, shape, True)

    def _shaped(self, condition: Condition) -> Atom:
        if condition.atom.type.shape == condition.shape:
            return condition.atom
        return self._add(reshape_p, condition.atom, shape=condition.shape)

    def _fitted(self, mask: Atom, shape: Shape, taken: bool) -> Atom:
        """The mask for an operand of `shape`, which may be broadcast to that of the mask: taken anywhere counts."""
        seen = mask.type.shape
        extra = len(seen) - len(shape)
        axes = tuple(i for i, n in enumerate(seen) if i < extra or (n != 1 and shape[i - extra] == 1))
        if not axes:
            return mask
        if not taken:
            mask = self._add(_BY_UFUNC[np.logical_not], mask)
        mask = self._add(reduce_any_p, mask, axes=axes, keepdims=True)
        if extra > 0:
            mask = self._add(reshape_p, mask, shape=mask.type.shape[extra:])
        return mask if taken else self._add(_BY_UFUNC[np.logical_not], mask)

    def _add(self, primitive: Primitive, *inputs: Atom, where: str = "", **params: Any) -> Var:
        out = Var(primitive.types([atom.type for atom in inputs], params)[0])
        self.equations.append(Equation(primitive, inputs, (out,), params, where))
        return out
