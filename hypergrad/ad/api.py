"""Derivatives of plain NumPy functions of trees of arrays.

Notation: f: R^n -> R^m, J its Jacobian at x, t a tangent (like x), c a cotangent (like f(x)).
jvp: J t. vjp: Jᵀ c. grad: Jᵀ 1 for m = 1. hvp: ∇²f(x) v = d/de ∇f(x + e v).

Leaves of arguments: arrays of floats and Python floats are differentiated; a Python int, bool, str or
None is static, seen by the function as it is, and its derivative is None.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad import dispatch as _dispatch  # noqa: F401 - fills the tables of the tracer
from hypergrad.ad.forward import evaluate, jvp_program
from hypergrad.ad.primitives import linear
from hypergrad.ad.program import ArrayType, Const, Program
from hypergrad.ad.reverse import linearize, transpose, vjp_program
from hypergrad.ad.trace import is_traced, trace, type_of
from hypergrad.errors import DerivativeError, ShapeError, TreeError

__all__ = ["grad", "hessian", "hvp", "jacobian", "jvp", "stop_gradient", "value_and_grad", "vjp"]


def is_static(leaf: Any) -> bool:
    """Whether a leaf is concrete in user code: an int, bool, str or None of Python."""
    return leaf is None or (isinstance(leaf, bool | int | str) and not isinstance(leaf, np.generic))


def as_array(leaf: Any, name: str) -> Any:
    """The leaf as an array of numbers, or the tracer that it is.

    Raises:
        TreeError: objects, strings or complex numbers.
    """
    if is_traced(leaf):
        return leaf
    array = np.asarray(leaf)
    if array.dtype.kind not in "fiub":
        raise TreeError(
            f"{name} must be an array of real numbers, got {type(leaf).__name__} "
            f"(dtype {array.dtype}, shape {array.shape}); convert it to floats first"
        )
    return array


class Traced:
    """A function traced at given arguments, as a Program of the leaves that are differentiated.

    Attributes:
        program: float leaves of the arguments in `argnums` -> leaves of the result.
        values: those float leaves.
        structures: for each of `argnums`, its tree, and which of its leaves are floats.
        out: tree of the result.
    """

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Any], argnums: Sequence[int], kwargs: dict
    ) -> None:
        name = getattr(function, "__name__", type(function).__name__)
        self.values: list[Any] = []
        self.structures: list[tuple[tree.Structure, list[bool]]] = []
        flats: dict[int, list[Any]] = {}
        for number in argnums:
            leaves, structure = tree.flatten(args[number])
            active = []
            for path, leaf in zip(structure.paths(), leaves, strict=True):
                where = f"argument {number} of {name}" + (f", leaf {path!r}" if path else "")
                if is_static(leaf):
                    active.append(False)
                    continue
                array = as_array(leaf, where)
                active.append(array.dtype.kind == "f")
                if active[-1]:
                    self.values.append(array)
            if not any(active) and leaves:
                kind = ", ".join(
                    sorted({type(leaf).__name__ if is_static(leaf) else str(leaf.dtype) for leaf in leaves})
                )
                raise DerivativeError(
                    f"argument {number} of {name} has no float to differentiate with respect to (got {kind}); "
                    "write 1.0 instead of 1, or convert it with .astype(float)"
                )
            flats[number] = leaves
            self.structures.append((structure, active))

        def flat(*tracers: Any) -> list[Any]:
            stream = iter(tracers)
            full = list(args)
            for number, (structure, active) in zip(argnums, self.structures, strict=True):
                mixed = [next(stream) if a else leaf for a, leaf in zip(active, flats[number], strict=True)]
                full[number] = structure.unflatten(mixed)
            leaves, self.out = tree.flatten(function(*full, **kwargs))
            return [as_array(leaf, f"the result of {name}") for leaf in leaves]

        self.out = tree.LEAF
        self.name = name
        self.program = trace(flat, [type_of(value) for value in self.values], name)

    def unflatten(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """One tree an argument from one value a float leaf; None at the other leaves."""
        stream = iter(leaves)
        return tuple(
            structure.unflatten([next(stream) if a else None for a in active])
            for structure, active in self.structures
        )


def own(values: Sequence[Any], inputs: Sequence[Any] = ()) -> list[Any]:
    """Values that share no memory with inputs, constants or each other; 0-d arrays as NumPy scalars."""
    owned: list[Any] = []
    seen: set[int] = {id(x) for x in inputs}
    for value in values:
        if not is_traced(value):
            value = np.asarray(value)
            if value.ndim == 0:
                value = value[()]
            elif value.base is not None or not value.flags.writeable or id(value) in seen:
                value = value.copy()
            seen.add(id(value))
        owned.append(value)
    return owned


def run(program: Program, values: Sequence[Any]) -> list[Any]:
    """The outputs of `program` as arrays of their own."""
    constants = [atom.value for atom in program.outputs if isinstance(atom, Const)]
    return own(evaluate(program, values), [*values, *constants])


def _argnums(argnums: int | Sequence[int], args: Sequence[Any], name: str) -> list[int]:
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for number in numbers:
        if not isinstance(number, int) or not -len(args) <= number < len(args):
            raise DerivativeError(
                f"argnums={argnums!r} names argument {number}, but {name} was called with {len(args)}"
            )
    return [number % len(args) for number in numbers]


def _scalar(traced: Traced) -> None:
    outputs = traced.program.outputs
    if traced.out != tree.LEAF or outputs[0].type.shape != ():
        shown = f"shape {outputs[0].type.shape}" if traced.out == tree.LEAF else f"the tree {traced.out}"
        raise DerivativeError(
            f"grad needs a function that returns one number; {traced.name} returns {shown}; "
            "sum or average it, or use hg.jacobian"
        )
    if not outputs[0].type.differentiable:
        raise DerivativeError(
            f"{traced.name} returns {outputs[0].type.dtype}, which has no derivative; return a float"
        )


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., tuple[Any, Any]]:
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
        traced = Traced(f, args, _argnums(argnums, args, getattr(f, "__name__", "f")), kwargs)
        _scalar(traced)
        program = traced.program
        seed = np.ones((), program.outputs[0].type.dtype)
        both = vjp_program(program, [True] * len(traced.values), [seed])
        value, *cts = run(both, traced.values)
        trees = traced.unflatten(cts)
        return value, trees[0] if isinstance(argnums, int) else trees

    return wrapped


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
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
        array = linear.zeros(kind) if leaf is None else as_array(leaf, name)
        if array.shape != kind.shape:
            where = f" at leaf {path!r}" if path else ""
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
    traced = Traced(f, args, range(len(args)), {})
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
    moved = [t if t.dtype.kind == "f" else None for t in found[half:]]
    return traced.out.unflatten(found[:half]), traced.out.unflatten(moved)


def vjp(f: Callable[..., Any], *args: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(f(*args), pullback)`` with ``pullback(c) = (Jᵀ c for each argument)``.

    Args:
        args: trees; float leaves are differentiated.

    Returns:
        value, and a function from a cotangent (a tree like the value; None leaves are zero) to a
        tuple of one tree an argument. It may be called any number of times.

    Source: as `value_and_grad`.
    """
    traced = Traced(f, args, range(len(args)), {})
    lin = linearize(traced.program, [True] * len(traced.values))
    found = evaluate(lin.primal, traced.values)
    residuals = found[lin.outputs :]
    back = transpose(lin.linear, lin.residuals)
    kinds = [atom.type for atom in traced.program.outputs]
    active = [kind.differentiable for kind in kinds]

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        """Cotangents of the arguments, given that of the value."""
        wanted = [kind for kind, a in zip(kinds, active, strict=True) if a]
        cts = iter(_like(cotangent, wanted, (traced.out, active), "the cotangent", "the value"))
        full = [next(cts) if a else None for a in active]
        moving = [ct for ct, m in zip(full, lin.moving, strict=True) if m]
        return traced.unflatten(own(evaluate(back, [*residuals, *moving]), [*residuals, *moving]))

    return traced.out.unflatten(own(found[: lin.outputs], [*traced.values, *residuals])), pullback


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The Hessian of a scalar function at `x`, times `v`: forward over reverse, O(cost of f).

    Args:
        f: function of one tree that returns one float.
        x: the tree.
        v: a tree like `x`.

    Source: Pearlmutter (1994), "Fast exact multiplication by the Hessian".
    """
    return jvp(grad(f), (x,), (v,))[1]


def _basis(kind: ArrayType) -> Any:
    for i in range(kind.size):
        one = np.zeros(kind.size, kind.dtype)
        one[i] = 1.0
        yield one.reshape(kind.shape)


def jacobian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, mode: str = "auto"
) -> Callable[..., Any]:
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
        traced = Traced(f, args, _argnums(argnums, args, getattr(f, "__name__", "f")), kwargs)
        lin = linearize(traced.program, [True] * len(traced.values))
        residuals = evaluate(lin.primal, traced.values)[lin.outputs :]
        ins = [type_of(value) for value in traced.values]
        outs = [atom.type for atom in traced.program.outputs]
        for kind in outs:
            if not kind.differentiable:
                raise DerivativeError(
                    f"{traced.name} returns {kind.dtype}, which has no derivative; return floats"
                )
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
            trees.append(per_argument[0] if isinstance(argnums, int) else per_argument)
        return traced.out.unflatten(trees)

    return wrapped


def _columns(lin: Any, residuals: list[Any], ins: list[ArrayType], outs: list[ArrayType]) -> list[Any]:
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


def _rows(lin: Any, residuals: list[Any], ins: list[ArrayType], outs: list[ArrayType]) -> list[Any]:
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


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The Hessian function of a scalar function: the forward-mode Jacobian of its gradient.

    Entry [i..., j...] of a leaf pair is d²f / dx[i...] dx[j...].
    """
    return jacobian(grad(f, argnums), argnums, mode="forward")


def stop_gradient(x: Any) -> Any:
    """A tree of arrays as it is, taken to be constant by every derivative."""
    return tree.map(lambda leaf: leaf if is_static(leaf) else linear.stop_gradient(as_array(leaf, "x")), x)
