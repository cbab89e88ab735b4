"""Program to Program: common subexpressions, constants, algebra, dead code.

`simplify` walks a Program once, forwards: it folds constant equations, applies rules (see `hypergrad.ad.rules`,
each a small function of one equation) and reuses equal equations. `prune` then drops what no output reads.
`lower`, once nothing more is to be differentiated, spells out what a backend has no call for.
Values may differ from the original by rounding only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from hypergrad.ad.primitives.linear import reshape_p
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var
from hypergrad.ad.rules import LOWERINGS, RULES, Rule

__all__ = ["lower", "optimize", "prune", "simplify"]

_FOLD_LIMIT = 1 << 16  # entries of a constant that is worth keeping instead of computing


def optimize(program: Program) -> Program:
    """The Program with the same outputs in fewer and cheaper equations."""
    return prune(simplify(prune(program)))


def prune(program: Program) -> Program:
    """Dead code elimination: only the equations that an output depends on."""
    needed: set[Var] = {atom for atom in program.outputs if isinstance(atom, Var)}
    kept = []
    for eq in reversed(program.equations):
        if any(var in needed for var in eq.outputs):
            kept.append(eq)
            needed.update(atom for atom in eq.inputs if isinstance(atom, Var))
    return Program(program.inputs, tuple(kept[::-1]), program.outputs, program.name)


class _Context:
    """What the rules may look at: the new equation that defines each new variable."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.equations: list[Equation] = []
        self.definition: dict[Var, Equation] = {}
        self.numbers: dict[Any, Equation] = {}
        self.alive: list[Atom] = []  # constants known by their address must not be collected

    def maker(self, atom: Atom, name: str) -> Equation | None:
        """The equation that defines `atom`, if it is one of the primitive called `name`."""
        eq = self.definition.get(atom) if isinstance(atom, Var) else None
        return eq if eq is not None and eq.primitive.name == name else None

    def add(
        self, primitive: Primitive, inputs: tuple[Atom, ...], params: dict[str, Any], where: str
    ) -> tuple[Atom, ...]:
        """The outputs of an equation, simplified, and shared with an equal earlier one."""
        if all(isinstance(atom, Const) and isinstance(atom.value, np.ndarray) for atom in inputs):
            types = primitive.types([atom.type for atom in inputs], params)
            if sum(type.size for type in types) <= _FOLD_LIMIT:
                with np.errstate(all="ignore"):
                    found = primitive.call(*[atom.value for atom in inputs], **params)  # type: ignore[union-attr]
                values = found if primitive.multiple else (found,)
                return tuple(Const(np.asarray(v), t) for v, t in zip(values, types, strict=True))
        if primitive.ufunc is not None:
            inputs = self._unbroadcast(primitive, inputs)
        rule = self.rules.get(primitive.name)
        if rule is not None:
            found = rule(self, inputs, params, where)
            if found is not None:
                return (found,)
        key = (
            primitive.name,
            tuple(map(_key, inputs)),
            tuple(sorted(params.items(), key=lambda item: item[0])),
        )
        known = self.numbers.get(key)
        if known is None:
            self.alive += inputs
            outputs = tuple(Var(type) for type in primitive.types([atom.type for atom in inputs], params))
            known = Equation(primitive, inputs, outputs, params, where)
            self.equations.append(known)
            self.numbers[key] = known
            for var in outputs:
                self.definition[var] = known
        return known.outputs

    def one(self, primitive: Primitive, *inputs: Atom, where: str, **params: Any) -> Atom:
        """The single output of `add`."""
        return self.add(primitive, inputs, params, where)[0]

    def _unbroadcast(self, primitive: Primitive, inputs: tuple[Atom, ...]) -> tuple[Atom, ...]:
        """Operands before an explicit broadcast, where the ufunc's own broadcasting does the same."""
        if primitive.name == "matmul":
            return inputs
        target = np.broadcast_shapes(*(atom.type.shape for atom in inputs))
        found = list(inputs)
        for i in range(len(found) if len(found) > 1 else 0):
            shapes = [other.type.shape for j, other in enumerate(found) if j != i]
            while (smaller := self._smaller(found[i])) is not found[i]:
                if np.broadcast_shapes(smaller.type.shape, *shapes) != target:
                    break
                found[i] = smaller
        return tuple(found)

    def _smaller(self, atom: Atom) -> Atom:
        made = self.maker(atom, "broadcast_to")
        if made is not None:
            return made.inputs[0]
        if isinstance(atom, Var) and atom.type.size == 1 and atom.type.ndim:
            made = self.definition.get(atom)
            return self.one(reshape_p, atom, shape=(), where="" if made is None else made.where)
        if isinstance(atom, Const) and isinstance(atom.value, np.ndarray) and atom.value.size > 1:
            value = atom.value
            if not any(value.strides) or (value.size <= _FOLD_LIMIT and _alike(value)):
                scalar = np.array(value.flat[0], dtype=value.dtype)
                return Const(scalar, ArrayType((), scalar.dtype))
        return atom


def _key(atom: Atom) -> Any:
    if isinstance(atom, Const) and isinstance(atom.value, np.ndarray):
        value = atom.value
        if value.size <= 64:
            return (value.dtype.str, value.shape, value.tobytes())
        if value.size <= _FOLD_LIMIT:  # equal arrays of several traces
            return (value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).digest())
        return id(value)
    return atom if isinstance(atom, Var) else id(atom.value)


def _alike(value: np.ndarray) -> bool:
    """Whether all entries are the same number, zeros of either sign apart."""
    same = bool((value == value.flat[0]).all())
    return same and (value.dtype.kind != "f" or value.flat[0] != 0 or np.unique(np.signbit(value)).size == 1)


def lower(program: Program) -> Program:
    """The Program with `LOWERINGS` spelt out, for a backend that has no such calls."""
    if all(eq.primitive.name not in LOWERINGS for eq in program.equations):
        return program
    return prune(simplify(program, RULES | LOWERINGS))


def simplify(program: Program, rules: Mapping[str, Rule] = RULES) -> Program:
    """One forward pass of constant folding, `rules` and common subexpression elimination."""
    context = _Context(rules)
    new: dict[Var, Atom] = {var: var for var in program.inputs}

    def read(atom: Atom) -> Atom:
        return new[atom] if isinstance(atom, Var) else atom

    for eq in program.equations:
        outputs = context.add(eq.primitive, tuple(map(read, eq.inputs)), eq.params, eq.where)
        new.update(zip(eq.outputs, outputs, strict=True))
    return Program(program.inputs, tuple(context.equations), tuple(map(read, program.outputs)), program.name)
