"""`cond` and `scan`: control flow whose branches and bodies are traced once, however often they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.arguments import ARRAY, Results, as_value, name_of, own
from hypergrad.ad.primitives.control import Body, cond_p, scan_p
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.program import ArrayType, Const, Equation, Program, Var
from hypergrad.ad.trace import Tracer, bind, is_traced, trace, type_of
from hypergrad.errors import ShapeError, TreeError

__all__ = ["captured", "cond", "scan", "strong_array", "with_numbers"]


def captured(program: Program) -> tuple[Program, list[Tracer]]:
    """The Program with the tracers that it closes over as inputs before its own, and those tracers."""
    found: dict[int, tuple[Var, Tracer]] = {}

    def replace(atom: Any) -> Any:
        if not (isinstance(atom, Const) and is_traced(atom.value)):
            return atom
        key = id(atom.value.atom)
        if key not in found:
            found[key] = (Var(ArrayType(atom.type.shape, atom.type.dtype)), atom.value)
        return found[key][0]

    equations = tuple(
        Equation(eq.primitive, tuple(map(replace, eq.inputs)), eq.outputs, eq.params, eq.where)
        for eq in program.equations
    )
    outputs = tuple(map(replace, program.outputs))
    inputs = (*(var for var, _ in found.values()), *program.inputs)
    return Program(inputs, equations, outputs, program.name), [tracer for _, tracer in found.values()]


def _leaves(value: Any, what: str) -> tuple[list[Any], list[Any], tree.Structure]:
    """Array leaves as arrays; all leaves, with `ARRAY` in their places; the tree."""
    leaves, structure = tree.flatten(value)
    arrays, places = [], []
    for path, leaf in zip(structure.paths(), leaves, strict=True):
        static = leaf is None or isinstance(leaf, str | bool)
        places.append(leaf if static else ARRAY)
        if not static:
            arrays.append(as_value(leaf, what + (f", leaf {path!r}" if path else "")))
    return arrays, places, structure


def _rebuild(arrays: Sequence[Any], places: list[Any], structure: tree.Structure) -> Any:
    stream = iter(arrays)
    return structure.unflatten([next(stream) if place is ARRAY else place for place in places])


def strong_array(array: Any) -> Any:
    """An array of its own dtype: a Python number becomes one."""
    array = array if is_traced(array) else np.asarray(array)
    return convert(array, array.dtype) if is_traced(array) and array.type.weak else array


def with_numbers(value: Any) -> Any:
    """A tree whose Python ints and bools are arrays, to be stacked with those of other steps or examples."""
    return tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, int) else leaf, value)


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """``true_fun(*operands) if pred else false_fun(*operands)``, for a predicate that may be traced.

    Only the chosen branch runs, in values and in derivatives; ``np.where`` runs both. Branches may use traced values
    from outside.

    Args:
        pred: one bool (or number: not 0).
        operands: trees of arrays.

    Returns:
        A tree; both branches must return the same tree, shapes and dtypes.

    Raises:
        ShapeError: pred is no single value.
        TreeError: the branches return different trees, shapes or dtypes.
    """
    if not is_traced(pred):
        chosen = np.asarray(pred)
        if chosen.shape != ():
            raise ShapeError(f"cond needs one bool, got shape {chosen.shape}; use np.where for arrays")
        return (true_fun if chosen else false_fun)(*operands)
    if pred.shape != ():
        raise ShapeError(f"cond needs one bool, got shape {pred.shape}; use np.where for arrays")
    arrays, places, structure = _leaves(operands, "an operand of cond")
    arrays = [strong_array(a) for a in arrays]
    outs: list[Results] = []
    programs = []
    for function in (true_fun, false_fun):

        def flat(*tracers: Any, function: Callable[..., Any] = function) -> list[Any]:
            found, results = Results.of(function(*_rebuild(tracers, places, structure)), name_of(function))
            outs.append(found)
            return [strong_array(x) for x in results]

        programs.append(trace(flat, [type_of(a) for a in arrays], name_of(function), branch=True))
    names = f"{name_of(true_fun)} and {name_of(false_fun)}"
    for a, b in zip(outs[0].static, outs[1].static, strict=False):
        if (a is ARRAY) == (b is ARRAY) and a is not b and (type(a), a) != (type(b), b):
            raise TreeError(
                f"the branches of cond, {names}, return the constants {a!r} and {b!r}, of which a traced cond cannot "
                "choose one; return np.asarray of a number"
            )
    if outs[0].structure != outs[1].structure or len(programs[0].outputs) != len(programs[1].outputs):
        raise TreeError(
            f"the branches of cond, {names}, return the trees {outs[0].structure} and {outs[1].structure}"
        )
    for i, (a, b) in enumerate(zip(programs[0].outputs, programs[1].outputs, strict=True)):
        if (a.type.shape, a.type.dtype) != (b.type.shape, b.type.dtype):
            raise TreeError(
                f"the branches of cond, {names}, return {a.type} and {b.type} as result {i}; make them equal"
            )
    bodies, closed = _with_all_captured(programs)
    found = bind(cond_p, pred != 0, *closed, *arrays, true=bodies[0], false=bodies[1])
    return outs[0].tree(found)


def _with_all_captured(programs: Sequence[Program]) -> tuple[list[Body], list[Tracer]]:
    """Programs over the same captured tracers, and those."""
    each = [captured(program) for program in programs]
    union = {id(tracer.atom): tracer for _, tracers in each for tracer in tracers}
    bodies = []
    for (program, tracers), original in zip(each, programs, strict=True):
        own_vars = dict(zip((id(t.atom) for t in tracers), program.inputs, strict=False))
        inputs = [own_vars.get(key) or Var(ArrayType(t.shape, t.dtype)) for key, t in union.items()]
        rest = program.inputs[len(tracers) :]
        bodies.append(Body(Program((*inputs, *rest), program.equations, program.outputs, original.name)))
    return bodies, list(union.values())


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]], init: Any, xs: Any = None, length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """A loop of T steps, ``carry, y_t = f(carry, x_t)``, traced once.

    The Program, and the time to trace it, do not grow with T. Reverse mode keeps what the backward pass reads of every
    step.

    Args:
        f: ``f(carry, x) -> (carry, y)``; may use traced values from outside.
        init: tree of the first carry; f must return the same tree, shapes and dtypes.
        xs: tree of arrays (T, ...); None: f gets None, and `length` says how many steps.
        length: T.
        reverse: from the last step to the first.

    Returns:
        The last carry, and the tree of y stacked to (T, ...).

    Raises:
        ShapeError: xs of different lengths, or no length.
        TreeError: the carry changes its tree, shape or dtype.
    """
    name = name_of(f)
    carry, places, structure = _leaves(init, "the carry of scan")
    rows, row_places, row_structure = _leaves(xs, "xs of scan")
    rows = [strong_array(x) for x in rows]
    lengths = {np.shape(x)[0] if np.ndim(x) else None for x in rows} | (
        {length} if length is not None else set()
    )
    if len(lengths) != 1 or None in lengths:
        raise ShapeError(
            f"scan needs xs of one common length, or length=; got shapes {[np.shape(x) for x in rows]}, length={length}"
        )
    (steps,) = lengths
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise ShapeError(f"scan of {name} needs length= as an int of at least 0, got {steps!r}")
    weak = [type(c) is float for c in carry]  # takes the dtype that the first step gives it
    carry = [strong_array(c) for c in carry]
    outs: dict[str, Results] = {}
    paths = structure.paths()

    def flat(*tracers: Any) -> list[Any]:
        given = _rebuild(tracers[: len(carry)], places, structure)
        row = _rebuild(tracers[len(carry) :], row_places, row_structure)
        result = f(given, row)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TreeError(f"{name} must return (carry, y), got {type(result).__name__}")
        after, kept, after_structure = _leaves(result[0], f"the carry of {name}")
        if after_structure != structure:
            raise TreeError(f"{name} returns the carry {after_structure}, expected {structure} as init")
        if kept != places:
            before, now = (["array" if p is ARRAY else repr(p) for p in row] for row in (places, kept))
            raise TreeError(
                f"{name} changes a carry that is static, from {', '.join(before)} to {', '.join(now)}; "
                "start from an array, such as np.asarray(False)"
            )
        outs["y"], ys = Results.of(with_numbers(result[1]), name)
        return [*(strong_array(a) for a in after), *(strong_array(y) for y in ys)]

    for attempt in range(2):
        starts = [
            ArrayType((), np.dtype(float), weak=True) if w and attempt == 0 else type_of(c)
            for c, w in zip(carry, weak, strict=True)
        ]
        types = [*starts, *(ArrayType(np.shape(x)[1:], type_of(x).dtype) for x in rows)]
        program = trace(flat, types, name)
        after_types = [atom.type for atom in program.outputs[: len(carry)]]
        wider = [
            a.dtype if w and a.dtype.kind == "f" else np.result_type(a.dtype, type_of(c).dtype)
            for a, c, w in zip(after_types, carry, weak, strict=True)
        ]
        if attempt == 0 and (
            any(weak) or any(w != type_of(c).dtype for w, c in zip(wider, carry, strict=True))
        ):
            carry = [
                convert(c, w) if is_traced(c) else c.astype(w) for c, w in zip(carry, wider, strict=True)
            ]
        else:
            break
    arrays_at = [path for path, place in zip(paths, places, strict=True) if place is ARRAY]
    for path, a, c in zip(arrays_at, after_types, carry, strict=True):
        if (a.shape, a.dtype) != (np.shape(c), type_of(c).dtype):
            where = f" {path!r}" if path else ""
            raise TreeError(
                f"the carry{where} of scan is {type_of(c)} before {name} and {a} after; keep it the same"
            )
    program, closed = captured(program)
    counts = (len(closed), len(carry))
    found = bind(
        scan_p,
        *closed,
        *carry,
        *rows,
        body=Body(program),
        counts=counts,
        length=int(steps or 0),
        reverse=bool(reverse),
    )
    if not any(is_traced(x) for x in found):
        found = own(found, [*carry, *rows])
    return _rebuild(found[: len(carry)], places, structure), outs["y"].tree(found[len(carry) :])
