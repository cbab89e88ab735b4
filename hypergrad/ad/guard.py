"""Guarded branches: ``np.where(x > 0, np.log(x), 0.0)`` has no NaN in its derivative.

The chain rule multiplies the zero cotangent of an entry that `where` did not take by the infinite slope of the
branch there, and 0 · inf is NaN. Before a Program is differentiated, operations with an infinite slope that only such a
branch reads get a harmless operand where the branch is not taken:

    where(c, f(x), y)  ->  where(c, f(where(c, x, safe)), y)

which changes no value. Programs without such a branch stay as they are, at no cost.
"""

from __future__ import annotations

import numpy as np

from hypergrad.ad.primitives.elementwise import select_p
from hypergrad.ad.primitives.indexing import keeps_all as _keeps_all
from hypergrad.ad.primitives.linear import reshape_p
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Program, Var

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


def guarded(program: Program) -> Program:
    """The same function, with the operands of steep operations made harmless in branches that are not taken."""
    if all(eq.primitive.name != "select" for eq in program.equations):
        return program
    made = {var: n for n, eq in enumerate(program.equations) for var in eq.outputs}
    guards, delayed = _guards(program)
    if not guards:
        return program
    rewriting = _Rewriting(program, made, guards)
    for number in range(len(program.equations)):
        if number not in delayed:
            rewriting.emit(number)
    outputs = []
    for atom in program.outputs:
        if isinstance(atom, Var) and atom in made:
            rewriting.emit(made[atom])
        outputs.append(rewriting.read(atom))
    return Program(program.inputs, tuple(rewriting.equations), tuple(outputs), program.name)


Shape = tuple[int, ...]
Guards = dict[int, list[tuple[Atom, bool, Shape]]]  # condition, side, shape that the condition takes there


class _Rewriting:
    """Emits equations after what they read and after the conditions that guard them."""

    def __init__(self, program: Program, made: dict[Var, int], guards: Guards) -> None:
        self.program, self.made, self.guards = program, made, guards
        self.equations: list[Equation] = []
        self.renamed: dict[Var, Var] = {}
        self.done: set[int] = set()

    def read(self, atom: Atom) -> Atom:
        return self.renamed.get(atom, atom) if isinstance(atom, Var) else atom

    def emit(self, number: int) -> None:
        """Emit an equation of the original Program, and before it whatever it needs."""
        waiting = [number]
        while waiting:
            n = waiting[-1]
            needs = [
                *self.program.equations[n].inputs,
                *(guard[0] for guard in self.guards.get(n, ())),
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
        inputs = [self.read(atom) for atom in eq.inputs]
        for condition, taken, shape in self.guards.get(number, ()):
            place, safe = _STEEP[eq.primitive.name]
            inputs[place] = self._harmless(
                self._shaped(condition, shape), inputs[place], safe, taken, eq.where
            )
        types = eq.primitive.types([atom.type for atom in inputs], eq.params)
        outputs = eq.outputs
        if any(
            (t.shape, t.dtype) != (v.type.shape, v.type.dtype) for t, v in zip(types, outputs, strict=True)
        ):
            outputs = tuple(Var(t) for t in types)  # the condition is of more entries than the operand
            self.renamed.update(zip(eq.outputs, outputs, strict=True))
        self.equations.append(Equation(eq.primitive, tuple(inputs), outputs, eq.params, eq.where))

    def _shaped(self, condition: Atom, shape: Shape) -> Atom:
        condition = self.read(condition)
        if condition.type.shape == shape:
            return condition
        out = Var(ArrayType(shape, condition.type.dtype))
        self.equations.append(Equation(reshape_p, (condition,), (out,), {"shape": shape}, ""))
        return out

    def _harmless(self, condition: Atom, x: Atom, safe: float, taken: bool, where: str) -> Atom:
        """x where the branch is taken, else `safe`."""
        number = np.array(safe, x.type.dtype)
        other = Const(number, ArrayType((), number.dtype))
        inputs = (condition, x, other) if taken else (condition, other, x)
        out = Var(select_p.types([atom.type for atom in inputs], {})[0])
        self.equations.append(Equation(select_p, inputs, (out,), {}, where))
        return out


def _guards(program: Program) -> tuple[Guards, set[int]]:
    """For each steep equation that only branches read, their conditions and sides; all equations of such branches."""
    readers: dict[Var, list[tuple[int, int]]] = {}
    for n, eq in enumerate(program.equations):
        for place, atom in enumerate(eq.inputs):
            if isinstance(atom, Var):
                readers.setdefault(atom, []).append((n, place))
    outputs = {atom for atom in program.outputs if isinstance(atom, Var)}
    guards: Guards = {}
    delayed: set[int] = set()
    for n in range(len(program.equations) - 1, -1, -1):
        eq = program.equations[n]
        for place in (1, 2) if eq.primitive.name == "select" else ():
            chain = _branch(program, n, place, readers, outputs)
            steep = [i for i in chain if program.equations[i].primitive.name in _STEEP]
            if steep:
                delayed |= set(chain)
            for i in steep:
                guards.setdefault(i, []).append((eq.inputs[0], place == 1, chain[i]))
    return guards, delayed


def _branch(
    program: Program, number: int, place: int, readers: dict[Var, list[tuple[int, int]]], outputs: set[Var]
) -> dict[int, Shape]:
    """The equations whose results nothing but this branch reads, each with the shape of the condition there."""
    eq = program.equations[number]
    shape = eq.outputs[0].type.shape
    chain: dict[int, Shape] = {}
    for n in range(number - 1, -1, -1):
        inner = program.equations[n]
        if len(inner.outputs) > 1 or inner.outputs[0] in outputs:
            continue
        (out,) = inner.outputs
        seen: set[Shape | None] = set()
        for m, p in readers.get(out, ()):
            if m == number and p == place:
                seen.add(eq.inputs[0].type.shape)
            else:
                seen.add(_below(program.equations[m], chain[m]) if m in chain else None)
        if len(seen) != 1 or None in seen:
            continue
        plain = inner.primitive.ufunc is not None and inner.primitive.name != "matmul"
        if not plain and inner.primitive.name != "select" and not _reshapes(inner):
            continue
        if len(out.type.shape) > len(shape):
            continue
        (found,) = seen
        chain[n] = found  # type: ignore[assignment]
    return chain


def _reshapes(eq: Equation) -> bool:
    """Whether an equation only gives its operand another shape."""
    name = eq.primitive.name
    return name == "reshape" or (name == "index" and _keeps_all(eq.inputs[0].type.shape, eq.params["spec"]))


def _below(eq: Equation, shape: Shape) -> Shape | None:
    """The shape of the condition at the operands of `eq`, given that at its result; None: it cannot be told."""
    if not _reshapes(eq):
        return shape
    return eq.inputs[0].type.shape if shape == eq.outputs[0].type.shape else None
