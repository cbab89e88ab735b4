"""Derivatives of plain NumPy functions of trees of arrays.

Notation: f: R^n -> R^m, J its Jacobian at x, t a tangent (like x), c a cotangent (like f(x)).
jvp: J t. vjp: Jᵀ c. grad: Jᵀ 1 for m = 1. hvp: ∇²f(x) v = d/de ∇f(x + e v).

Leaves of arguments: arrays of floats and Python floats are differentiated; a Python int, bool, str or
None is static, seen by the function as it is, and its derivative is None.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.arguments import ARRAY, Traced, as_array, is_static, name_of, own, run
from hypergrad.ad.forward import evaluate, jvp_program
from hypergrad.ad.primitives import linear
from hypergrad.ad.program import ArrayType, Const
from hypergrad.ad.reverse import Linearized, linearize, transpose, vjp_program
from hypergrad.ad.trace import type_of
from hypergrad.errors import DerivativeError, ShapeError, TreeError

__all__ = [
    "as_array", "grad", "hessian", "hvp", "is_static", "jacobian", "jvp", "stop_gradient", "value_and_grad", "vjp",
]  # fmt: skip

Argnums = int | Sequence[int]


def _argnums(argnums: Any, args: Sequence[Any], name: str) -> list[int]:
    """The positions in `argnums`, from the left."""
    try:
        numbers = [operator.index(n) for n in ([argnums] if np.ndim(argnums) == 0 else argnums)]
    except (TypeError, ValueError):
        raise DerivativeError(f"argnums must be an int or a sequence of ints, got {argnums!r}") from None
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise DerivativeError(
                f"argnums={argnums!r} names argument {number}, but {name} was called with {len(args)} "
                "positional arguments"
            )
    found = [number % len(args) for number in numbers]
    if len(set(found)) != len(found):
        raise DerivativeError(f"argnums={argnums!r} names an argument of {name} twice")
    return found


def _scalar(traced: Traced) -> None:
    outputs, structure = traced.program.outputs, traced.out.structure
    if structure != tree.LEAF or (outputs and outputs[0].type.shape != ()):
        shown = f"shape {outputs[0].type.shape}" if structure == tree.LEAF else f"the tree {structure}"
        raise DerivativeError(
            f"grad needs a function that returns one number; {traced.name} returns {shown}; "
            "sum or average it, or use hg.jacobian"
        )
    if outputs and outputs[0].type.dtype.kind == "c":
        raise DerivativeError(
            f"{traced.name} returns a complex number; return its np.real, np.imag or np.abs"
        )
    if not outputs or not outputs[0].type.differentiable:
        shown = str(outputs[0].type.dtype) if outputs else repr(traced.out.static[0])
        raise DerivativeError(f"{traced.name} returns {shown}, which has no derivative; return a float")


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., tuple[Any, Any]]:
    """The function returning ``(f(*args), gradient)``, in one reverse pass.

    Args:
        f: plain NumPy function of trees of arrays that returns one float.
        argnums: the argument or arguments to differentiate with respect to.

    Returns:
        A function of the same arguments. The gradient is a tree like the argument (a tuple of them
        for several argnums), each leaf of the shape and dtype of the argument's leaf.

    Raises:
        DerivativeError: the result is no single float, or an argument has no float leaf.
        TracingError: f uses a traced value where NumPy needs its number.

    Source: Griewank & Walther (2008), ch. 3; as linearize-then-transpose: Radul et al. (2022).
    """

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        traced = Traced(f, args, _argnums(argnums, args, name_of(f)), kwargs)
        _scalar(traced)
        program = traced.program
        seed = np.ones((), program.outputs[0].type.dtype)
        both = vjp_program(program, [True] * len(traced.values), [seed])
        value, *cts = run(both, traced.values)
        trees = traced.unflatten(cts)
        return value, trees[0] if np.ndim(argnums) == 0 else trees

    return wrapped


def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The gradient function of a scalar function: ``grad(f)(x) = ∇f(x)``.

    Arguments, results, errors and source as in `value_and_grad`.

    >>> import numpy as np
    >>> float(grad(lambda x: np.sum(x**2))(np.array([3.0]))[0])
    6.0
    """
    both = value_and_grad(f, argnums)

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return wrapped


def _like(given: Any, kinds: Sequence[ArrayType], structures: Any, name: str, against: str) -> list[Any]:
    """The float leaves of a tangent or cotangent, checked against the primal ones."""
    leaves, structure = tree.flatten(given)
    expected, active = structures
    if structure != expected:
        raise TreeError(f"{name} has the structure {structure}, expected {expected} as {against}")
    found = []
    chosen = [leaf for leaf, a in zip(leaves, active, strict=True) if a]
    paths = [path for path, a in zip(expected.paths(), active, strict=True) if a]
    for leaf, path, kind in zip(chosen, paths, kinds, strict=True):
        where = f" at leaf {path!r}" if path else ""
        array = (
            linear.zeros(kind)
            if leaf is None
            else as_array(leaf, name + where, "fiubc" if kind.dtype.kind == "c" else "fiub")
        )
        if array.shape != kind.shape:
            raise ShapeError(f"{name} has shape {array.shape}{where}, expected {kind.shape} as {against}")
        found.append(linear.convert(array, kind.dtype))
    return found


def jvp(f: Callable[..., Any], args: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(f(*args), J t)``: the value and its derivative in the direction of `tangents`.

    Args:
        args: tuple of trees; float leaves are differentiated.
        tangents: one tree an argument, of the same structure and shapes; None leaves are zero.

    Returns:
        value and tangent: trees of the same structure; leaves of integers have tangent None.

    Source: Griewank & Walther (2008), ch. 3.
    """
    if (
        not isinstance(args, tuple | list)
        or not isinstance(tangents, tuple | list)
        or len(args) != len(tangents)
    ):
        raise DerivativeError(
            "jvp(f, args, tangents) takes a tuple of arguments and a tuple of as many tangents"
        )
    traced = Traced(f, args, range(len(args)), {}, each=False)
    kinds = [type_of(value) for value in traced.values]
    flat: list[Any] = []
    start = 0
    for number, (given, structure) in enumerate(zip(tangents, traced.structures, strict=True)):
        count = sum(structure[1])
        flat += _like(
            given, kinds[start : start + count], structure, f"tangent {number}", f"argument {number}"
        )
        start += count
    program = jvp_program(traced.program, [True] * len(kinds))
    found = run(program, [*traced.values, *flat])
    half = len(found) // 2
    moved = [t if t.dtype.kind in "fc" else None for t in found[half:]]
    return traced.out.tree(found[:half]), traced.out.derivatives(moved)


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(f(*args), pullback)`` with ``pullback(c) = (Jᵀ c for each argument)``.

    Args:
        args: trees; float leaves are differentiated.

    Returns:
        value, and a function from a cotangent (a tree like the value; None leaves are zero) to a
        tuple of one tree an argument. It may be called any number of times.

    Source: as `value_and_grad`.
    """
    traced = Traced(f, args, range(len(args)), {}, each=False)
    lin = linearize(traced.program, [True] * len(traced.values))
    found = evaluate(lin.primal, traced.values)
    residuals = found[lin.outputs :]
    back = transpose(lin.linear, lin.residuals)
    wanted = [atom.type for atom in traced.program.outputs if atom.type.differentiable]
    active = [atom.type.differentiable for atom in traced.program.outputs]
    places = [bool(a) for a in tree.leaves(traced.out.derivatives(active))]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        """Cotangents of the arguments, given that of the value."""
        structures = (traced.out.structure, places)
        cts = iter(_like(cotangent, wanted, structures, "the cotangent", "the value"))
        full = [next(cts) if a else None for a in active]
        moving = [ct for ct, m in zip(full, lin.moving, strict=True) if m]
        return traced.unflatten(run(back, [*residuals, *moving]))

    constants = [atom.value for atom in lin.primal.outputs if isinstance(atom, Const)]
    value = own(found[: lin.outputs], [*traced.values, *residuals, *constants])
    return traced.out.tree(value), pullback


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of a scalar function at `x`, times `v`: forward over reverse, O(cost of f).

    Args:
        f: function of one tree that returns one float.
        x: the tree.
        v: a tree like `x`.

    Source: Pearlmutter (1994), "Fast exact multiplication by the Hessian".
    """
    return jvp(grad(f), (x,), (v,))[1]


def _basis(kind: ArrayType) -> Iterator[np.ndarray]:
    for i in range(kind.size):
        one = np.zeros(kind.size, kind.dtype)
        one[i] = 1.0
        yield one.reshape(kind.shape)


def jacobian(f: Callable[..., Any], argnums: Argnums = 0, mode: str = "auto") -> Callable[..., Any]:
    """The Jacobian function: leaf by leaf, entry [i..., j...] = d out[i...] / d in[j...].

    Args:
        f: function of trees whose result is a tree of floats.
        argnums: the argument or arguments to differentiate with respect to.
        mode: "forward" (one pass an input entry), "reverse" (one an output entry), or "auto": forward
            when there are no more input entries than output entries.

    Returns:
        A function of the same arguments: the tree of the result whose leaves are trees of the argument,
        of shape ``out.shape + in.shape`` (a tuple of such trees for several argnums).
    """
    if mode not in ("auto", "forward", "reverse"):
        raise DerivativeError(f'jacobian has the modes "auto", "forward" and "reverse", got {mode!r}')

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        traced = Traced(f, args, _argnums(argnums, args, name_of(f)), kwargs)
        lin = linearize(traced.program, [True] * len(traced.values))
        residuals = evaluate(lin.primal, traced.values)[lin.outputs :]
        ins = [type_of(value) for value in traced.values]
        outs = [atom.type for atom in traced.program.outputs]
        shown = [str(kind.dtype) for kind in outs if not kind.differentiable]
        shown += [repr(leaf) for leaf in traced.out.static if leaf is not ARRAY and leaf is not None]
        if shown:
            raise DerivativeError(f"{traced.name} returns {shown[0]}, which has no derivative; return floats")
        n, m = sum(kind.size for kind in ins), sum(kind.size for kind in outs)
        columns = (
            _columns(lin, residuals, ins, outs)
            if mode == "forward" or (mode == "auto" and n <= m)
            else _rows(lin, residuals, ins, outs)
        )
        blocks = iter(columns)
        trees = []
        for _ in outs:
            per_argument = traced.unflatten([next(blocks) for _ in ins])
            trees.append(per_argument[0] if np.ndim(argnums) == 0 else per_argument)
        return traced.out.derivatives(trees)

    return wrapped


def _columns(lin: Linearized, residuals: list[Any], ins: list[ArrayType], outs: list[ArrayType]) -> list[Any]:
    """Blocks (out by in) by forward mode: one linear pass for each input entry."""
    blocks: dict[tuple[int, int], list[Any]] = {(o, i): [] for o in range(len(outs)) for i in range(len(ins))}
    rest = [linear.zeros(kind) for kind in ins]
    for i, kind in enumerate(ins):
        for one in _basis(kind):
            moved = iter(evaluate(lin.linear, [*residuals, *rest[:i], one, *rest[i + 1 :]]))
            for o, out in enumerate(outs):
                blocks[o, i].append(next(moved) if lin.moving[o] else linear.zeros(out))
    return [
        _joined(blocks[o, i], outs[o], -1, (*outs[o].shape, *ins[i].shape))
        for o in range(len(outs))
        for i in range(len(ins))
    ]


def _rows(lin: Linearized, residuals: list[Any], ins: list[ArrayType], outs: list[ArrayType]) -> list[Any]:
    """Blocks (out by in) by reverse mode: one transposed pass for each output entry."""
    back = transpose(lin.linear, lin.residuals)
    moving = [o for o, m in enumerate(lin.moving) if m]
    blocks: list[Any] = []
    for o, out in enumerate(outs):
        rows: list[list[Any]] = []
        for one in _basis(out):
            if o not in moving:
                rows.append([linear.zeros(kind) for kind in ins])
                continue
            cts = [one if other == o else linear.zeros(outs[other]) for other in moving]
            rows.append(evaluate(back, [*residuals, *cts]))
        blocks += [
            _joined([row[i] for row in rows], kind, 0, (*out.shape, *kind.shape))
            for i, kind in enumerate(ins)
        ]
    return blocks


def _joined(parts: list[Any], kind: ArrayType, axis: int, shape: tuple[int, ...]) -> Any:
    """Slices stacked along a new axis and reshaped to the block's shape."""
    if not parts:
        return np.zeros(shape, kind.dtype)
    return np.reshape(np.stack(parts, axis=axis), shape)


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The Hessian function of a scalar function: the forward-mode Jacobian of its gradient.

    Entry [i..., j...] of a leaf pair is d²f / dx[i...] dx[j...].
    """
    return jacobian(grad(f, argnums), argnums, mode="forward")


def stop_gradient(x: Any) -> Any:
    """A tree of arrays as it is, taken to be constant by every derivative."""

    def stop(leaf: Any) -> Any:
        if is_static(leaf) or type(leaf) is float:
            return leaf
        return linear.stop_gradient(as_array(leaf, "what stop_gradient takes"))

    return tree.map(stop, x)
