"""Rewriting rules of single equations, for `hypergrad.ad.optimize`.

`RULES` simplify: the same value, to rounding, in fewer or cheaper equations. `LOWERINGS` spell out, for a backend
that has no call of its own, primitives that exist for the sake of their derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.primitives.contraction import matmul_p
from hypergrad.ad.primitives.elementwise import _BY_UFUNC
from hypergrad.ad.primitives.indexing import keeps_all
from hypergrad.ad.primitives.linear import permute_p, reduce_sum_p, reshape_p
from hypergrad.ad.program import ArrayType, Atom, Const, Primitive
from hypergrad.ad.rules_updates import index_of_update, update_of_update

__all__ = ["LOWERINGS", "RULES", "Rule"]

_PAIRWISE = 1 << 17  # entries beyond which a narrow float needs NumPy's pairwise summation

_NEGATIVE, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (
    _BY_UFUNC[f] for f in (np.negative, np.add, np.subtract, np.multiply, np.true_divide)
)
_EXP, _LOG, _MAXIMUM = (_BY_UFUNC[f] for f in (np.exp, np.log, np.maximum))

# (context, inputs, params, where) -> the atom that replaces the output, or None to leave the equation as it is
Rule = Callable[[Any, tuple[Atom, ...], dict[str, Any], str], Atom | None]


def _is(atom: Atom, number: float) -> bool:
    return (
        isinstance(atom, Const)
        and isinstance(atom.value, np.ndarray)
        and atom.value.ndim == 0
        and bool(atom.value == number)
    )


def _convert(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0] if inputs[0].type.dtype == params["dtype"] else None


def _multiply(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
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
        and bool(1e-3 <= abs(atom.value) <= 1e3)
    )


def _divide(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0] if _is(inputs[1], 1.0) else _negated(context, _DIVIDE, inputs, where)


def _negated(context: Any, primitive: Primitive, inputs: Any, where: str) -> Atom | None:
    """f(-x, y) = f(x, -y) = -f(x, y): signs move outwards, to where an addition takes them up."""
    for i, atom in enumerate(inputs):
        made = context.maker(atom, "negative")
        if made is not None:
            swapped = (*inputs[:i], made.inputs[0], *inputs[i + 1 :])
            return context.one(_NEGATIVE, context.one(primitive, *swapped, where=where), where=where)
    return None


def _reduce_sum(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
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


def _add(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    x, y = inputs
    for negated, other in ((y, x), (x, y)):
        made = context.maker(negated, "negative")
        if made is not None:
            return context.one(_SUBTRACT, other, made.inputs[0], where=where)
    return None


def _subtract(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    x, y = inputs
    if _is(y, 0.0):
        return x
    made = context.maker(y, "negative")
    return None if made is None else context.one(_ADD, x, made.inputs[0], where=where)


def _negative(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    made = context.maker(inputs[0], "negative")
    return None if made is None else made.inputs[0]


def _reshape(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
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


def _index(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    """An index that only drops and adds axes of length 1 is a reshape; see also `index_of_update`."""
    shape, spec = inputs[0].type.shape, params["spec"]
    if not keeps_all(shape, spec):
        return index_of_update(context, inputs, params, where)
    axes = iter(shape)
    found: list[int] = []
    for item in spec:
        if item is None:
            found.append(1)
            continue
        length = next(axes)
        if isinstance(item, tuple):
            found.append(length)
    return context.one(reshape_p, inputs[0], shape=(*found, *axes), where=where)


def _scatter(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    if not keeps_all(params["shape"], params["spec"]):
        return None
    return context.one(reshape_p, inputs[0], shape=params["shape"], where=where)


def _permute(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
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


def _matmul(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
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


def _same(context: Any, inputs: Any, params: Any, where: str) -> Atom | None:
    return inputs[0]


RULES: dict[str, Rule] = {
    "convert": _convert,
    "multiply": _multiply,
    "divide": _divide,
    "add": _add,
    "subtract": _subtract,
    "index": _index,
    "matmul": _matmul,
    "negative": _negative,
    "positive": _same,
    "reduce_sum": _reduce_sum,
    "reshape": _reshape,
    "scatter": _scatter,
    "permute": _permute,
    "update": update_of_update,
}


def _exponentials(context: Any, inputs: Any, params: Any, where: str) -> tuple[Atom, Atom]:
    """exp(x), and its sums."""
    powers = context.one(_EXP, inputs[0], where=where)
    return powers, context.one(reduce_sum_p, powers, axes=params["axes"], keepdims=False, where=where)


def _softmax(context: Any, inputs: Any, params: Any, where: str) -> Atom:
    powers, total = _exponentials(context, inputs, params, where)
    kept = tuple(1 if a in params["axes"] else n for a, n in enumerate(powers.type.shape))
    column = context.one(reshape_p, total, shape=kept, where=where)
    return context.one(_DIVIDE, powers, column, where=where)


def _log_sum_exp(context: Any, inputs: Any, params: Any, where: str) -> Atom:
    return context.one(_LOG, _exponentials(context, inputs, params, where)[1], where=where)


def _relu(context: Any, inputs: Any, params: Any, where: str) -> Atom:
    zero = np.zeros((), inputs[0].type.dtype)
    return context.one(_MAXIMUM, inputs[0], Const(zero, ArrayType((), zero.dtype)), where=where)


LOWERINGS: dict[str, Rule] = {"softmax": _softmax, "log_sum_exp": _log_sum_exp, "relu": _relu}
