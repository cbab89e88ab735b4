"""Program to Program: common subexpressions, constants, algebra, dead code.

`simplify` walks a Program once, forwards: it folds constant equations, applies `RULES` (each a small
function of one equation) and reuses equal equations. `prune` then drops what no output reads.
Values may differ from the original by rounding only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.primitives.contraction import matmul_p
from hypergrad.ad.primitives.elementwise import _BY_UFUNC
from hypergrad.ad.primitives.linear import permute_p, reduce_sum_p, reshape_p
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var

__all__ = ["optimize", "prune", "simplify"]

_PAIRWISE = 1 << 17  # entries beyond which a narrow float needs NumPy's pairwise summation
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

    def __init__(self) -> None:
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
        rule = RULES.get(primitive.name)
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
        for i, atom in enumerate(inputs):
            smaller = self._smaller(atom)
            if smaller is not atom:
                shapes = [other.type.shape for j, other in enumerate(found) if j != i]
                if shapes and np.broadcast_shapes(smaller.type.shape, *shapes) == target:
                    found[i] = smaller
        return tuple(found)

    def _smaller(self, atom: Atom) -> Atom:
        made = self.maker(atom, "broadcast_to")
        if made is not None:
            return made.inputs[0]
        if isinstance(atom, Var) and atom.type.size == 1 and atom.type.ndim:
            return self.one(
                reshape_p,
                atom,
                shape=(),
                where=self.definition[atom].where if atom in self.definition else "",
            )
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
        return id(value)
    return atom if isinstance(atom, Var) else id(atom.value)


def _alike(value: np.ndarray) -> bool:
    """Whether all entries are the same number, zeros of either sign apart."""
    same = bool((value == value.flat[0]).all())
    return same and (value.dtype.kind != "f" or value.flat[0] != 0 or np.unique(np.signbit(value)).size == 1)


def _is(atom: Atom, number: float) -> bool:
    return (
        isinstance(atom, Const)
        and isinstance(atom.value, np.ndarray)
        and atom.value.ndim == 0
        and bool(atom.value == number)
    )


# Rules: (context, inputs, params, where) -> the atom that replaces the output, or None -----------------
Rule = Callable[[_Context, tuple[Atom, ...], dict[str, Any], str], Atom | None]
_NEGATIVE, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (
    _BY_UFUNC[f] for f in (np.negative, np.add, np.subtract, np.multiply, np.true_divide)
)


def _convert(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0] if inputs[0].type.dtype == params["dtype"] else None


def _multiply(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    x, y = inputs
    for one, other in ((x, y), (y, x)):
        if _is(one, 1.0):
            return other
        if _is(one, -1.0):
            return context.one(_NEGATIVE, other, where=where)
    for c, other in ((x, y), (y, x)):
        # c (d z) = (c d) z for numbers c, d: one pass over z instead of two
        made = context.maker(other, "multiply")
        if made is not None and c.type.shape == ():
            for d, z in (made.inputs, made.inputs[::-1]):
                if d.type.shape == () and z.type.shape != () and _safe(c, d):
                    return context.one(_MULTIPLY, context.one(_MULTIPLY, c, d, where=where), z, where=where)
    return _negated(context, _MULTIPLY, inputs, where)


def _safe(c: Atom, d: Atom) -> bool:
    """Whether the product of two numbers cannot overflow or underflow where the product in steps does not."""
    return _moderate(c) or _moderate(d)


def _moderate(atom: Atom) -> bool:
    return (
        isinstance(atom, Const)
        and isinstance(atom.value, np.ndarray)
        and 1e-3 <= abs(float(atom.value)) <= 1e3
    )


def _divide(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0] if _is(inputs[1], 1.0) else _negated(context, _DIVIDE, inputs, where)


def _negated(context: _Context, primitive: Primitive, inputs: Any, where: str) -> Atom | None:
    """f(-x, y) = f(x, -y) = -f(x, y): signs move outwards, to where an addition takes them up."""
    for i, atom in enumerate(inputs):
        made = context.maker(atom, "negative")
        if made is not None:
            swapped = (*inputs[:i], made.inputs[0], *inputs[i + 1 :])
            return context.one(_NEGATIVE, context.one(primitive, *swapped, where=where), where=where)
    return None


def _reduce_sum(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    (x,) = inputs
    made = context.maker(x, "negative")
    if made is not None:
        return context.one(
            _NEGATIVE, context.one(reduce_sum_p, made.inputs[0], **params, where=where), where=where
        )
    if params["keepdims"] or len(params["axes"]) != x.type.ndim or x.type.dtype.kind != "f":
        return None
    if x.type.dtype != np.float64 and x.type.size > _PAIRWISE:
        return None
    # Σ x y over all entries is one inner product, without the array of products
    made = context.maker(x, "multiply") or context.maker(x, "square")
    if made is None or any(atom.type.shape != x.type.shape for atom in made.inputs):
        return None
    flat = [context.one(reshape_p, atom, shape=(x.type.size,), where=where) for atom in made.inputs]
    return context.one(matmul_p, flat[0], flat[-1], where=where)


def _add(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    x, y = inputs
    for negated, other in ((y, x), (x, y)):
        made = context.maker(negated, "negative")
        if made is not None:
            return context.one(_SUBTRACT, other, made.inputs[0], where=where)
    return None


def _subtract(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    x, y = inputs
    if _is(y, 0.0):
        return x
    made = context.maker(y, "negative")
    return None if made is None else context.one(_ADD, x, made.inputs[0], where=where)


def _negative(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    made = context.maker(inputs[0], "negative")
    return None if made is None else made.inputs[0]


def _reshape(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    if inputs[0].type.shape == params["shape"]:
        return inputs[0]
    negated = context.maker(inputs[0], "negative")
    if negated is not None:
        return context.one(
            _NEGATIVE, context.one(reshape_p, negated.inputs[0], **params, where=where), where=where
        )
    made = context.maker(inputs[0], "reshape")
    return (
        None if made is None else context.one(reshape_p, made.inputs[0], shape=params["shape"], where=where)
    )


def _permute(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    axes = params["axes"]
    if axes == tuple(range(len(axes))):
        return inputs[0]
    made = context.maker(inputs[0], "permute")
    if made is not None:
        inner = made.params["axes"]
        return context.one(permute_p, made.inputs[0], axes=tuple(inner[a] for a in axes), where=where)
    made = context.maker(inputs[0], "matmul")
    if made is not None and all(atom.type.ndim == 2 for atom in made.inputs):
        # (A B)ᵀ = Bᵀ Aᵀ: the transposes of operands cost nothing, that of a result a slow pass later on
        a, b = (context.one(permute_p, atom, axes=(1, 0), where=where) for atom in made.inputs)
        return context.one(matmul_p, b, a, where=where)
    return None


def _matmul(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    """x·(c y) = c (x·y) for a moderate constant c and vectors x, y."""
    if any(atom.type.ndim != 1 for atom in inputs):
        return None
    for i, atom in enumerate(inputs):
        view = context.maker(atom, "reshape")
        made = context.maker(atom if view is None else view.inputs[0], "multiply")
        for c, y in () if made is None else (made.inputs, made.inputs[::-1]):
            if c.type.shape == () and y.type.shape != () and _moderate(c):
                flat = context.one(reshape_p, y, shape=atom.type.shape, where=where)
                swapped = (*inputs[:i], flat, *inputs[i + 1 :])
                product = context.one(matmul_p, *swapped, where=where)
                return context.one(_MULTIPLY, c, product, where=where)
    return None


def _same(context: _Context, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0]


RULES: dict[str, Rule] = {
    "convert": _convert,
    "multiply": _multiply,
    "divide": _divide,
    "add": _add,
    "subtract": _subtract,
    "matmul": _matmul,
    "negative": _negative,
    "positive": _same,
    "reduce_sum": _reduce_sum,
    "reshape": _reshape,
    "permute": _permute,
}


def simplify(program: Program) -> Program:
    """One forward pass of constant folding, `RULES` and common subexpression elimination."""
    context = _Context()
    new: dict[Var, Atom] = {var: var for var in program.inputs}

    def read(atom: Atom) -> Atom:
        return new[atom] if isinstance(atom, Var) else atom

    for eq in program.equations:
        outputs = context.add(eq.primitive, tuple(map(read, eq.inputs)), eq.params, eq.where)
        new.update(zip(eq.outputs, outputs, strict=True))
    return Program(program.inputs, tuple(context.equations), tuple(map(read, program.outputs)), program.name)
