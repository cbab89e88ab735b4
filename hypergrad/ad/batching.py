"""`vmap`: a function of one example, for a whole axis of examples at once.

The function is traced for one example; its Program is then evaluated with an extra first axis on whatever depends
on the batch. A primitive with a rule in `RULES` runs once on the whole batch; one without runs as a `scan` over the
examples, which is slower but always right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.arguments import ARRAY, Results, as_value, is_static, name_of, own
from hypergrad.ad.control import captured, with_numbers
from hypergrad.ad.debug import active
from hypergrad.ad.primitives.control import Body, cond_p, scan_p
from hypergrad.ad.primitives.linear import broadcast_to, permute, reshape
from hypergrad.ad.program import ArrayType, Equation, Program, Var
from hypergrad.ad.trace import Builder, bind, is_traced, trace, type_of
from hypergrad.errors import ShapeError, TreeError

__all__ = ["RULES", "batched", "vmap"]

Axes = int | None | tuple | list | dict


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0) -> Callable[..., Any]:
    """f, applied to every slice of its arguments along one axis, and the results stacked.

    Args:
        f: function of trees of arrays that returns a tree of arrays.
        in_axes: the axis of every leaf; or one entry an argument: an int, None (the same for all examples), or a tree
            like the argument with such entries.
        out_axes: the axis of the results that counts the examples.

    Raises:
        ShapeError: axes of different lengths, an axis that a leaf lacks, or none at all.
    """
    name = name_of(f)
    if isinstance(out_axes, bool) or not isinstance(out_axes, int):
        raise ShapeError(f"vmap of {name}: out_axes must be an int, got {out_axes!r}")

    @functools.wraps(f)
    def wrapped(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ShapeError(f"vmap of {name}: in_axes has {len(axes)} entries for {len(args)} arguments")
        leaves, structure = tree.flatten(args)
        places = [axis for arg, entry in zip(args, axes, strict=True) for axis in _axes_of(entry, arg, name)]
        arrays: list[Any] = []
        mapped: list[bool] = []
        sizes: dict[int, str] = {}
        for path, leaf, axis in zip(structure.paths(), leaves, places, strict=True):
            if is_static(leaf):
                continue
            value = as_value(leaf, f"argument {path} of {name}")
            if axis is not None:
                value = value if is_traced(value) else np.asarray(value)
                if not -value.ndim <= axis < value.ndim:
                    raise ShapeError(
                        f"vmap of {name}: argument {path} of shape {value.shape} has no axis {axis}"
                    )
                value = np.moveaxis(value, axis, 0)
                sizes.setdefault(value.shape[0], path)
            arrays.append(value)
            mapped.append(axis is not None)
        if len(sizes) != 1:
            shown = ", ".join(f"{path} has {n}" for n, path in sizes.items()) or "no argument has one"
            raise ShapeError(f"vmap of {name} needs one common length of the mapped axes: {shown}")
        (count,) = sizes
        kept = [leaf if is_static(leaf) else ARRAY for leaf in leaves]
        out = Results()

        def flat(*tracers: Any) -> list[Any]:
            nonlocal out
            stream = iter(tracers)
            out, found = Results.of(
                with_numbers(f(*structure.unflatten([next(stream) if k is ARRAY else k for k in kept]))), name
            )
            return found

        kinds = [type_of(x) for x in arrays]
        types = [ArrayType(k.shape[1:], k.dtype) if b else k for k, b in zip(kinds, mapped, strict=True)]
        program, closed = captured(trace(flat, types, name))
        given, marks = [*closed, *arrays], [*(False,) * len(closed), *mapped]
        watch = active()
        if watch is not None and not any(map(is_traced, given)):
            whole, _ = batched(program, marks, count, [True] * len(program.outputs))
            found = [(value, True) for value in watch.run(whole, given)]
        else:
            found = _evaluate(program, given, marks, count)
        results = []
        for value, b in found:
            full = _full(value, b, count)
            if not -np.ndim(full) <= out_axes < np.ndim(full):
                raise ShapeError(
                    f"vmap of {name}: a stacked result of shape {np.shape(full)} has no axis out_axes={out_axes}"
                )
            results.append(np.moveaxis(full, 0, out_axes))
        return out.tree(results if any(map(is_traced, results)) else own(results, arrays))

    return wrapped


def _axes_of(entry: Any, arg: Any, name: str) -> list[Any]:
    """The axis of each leaf of an argument."""
    if entry is None or (isinstance(entry, int) and not isinstance(entry, bool)):
        return [entry] * tree.structure(arg).count
    leaves, structure = tree.flatten(entry)
    if structure != tree.structure(arg):
        raise TreeError(
            f"vmap of {name}: in_axes {structure} does not fit the argument {tree.structure(arg)}"
        )
    wrong = [leaf for leaf in leaves if leaf is not None and type(leaf) is not int]
    if wrong:
        raise TreeError(f"vmap of {name}: an entry of in_axes must be an int or None, got {wrong[0]!r}")
    return leaves


def _evaluate(
    program: Program, args: Sequence[Any], marks: Sequence[bool], count: int
) -> list[tuple[Any, bool]]:
    """Outputs, each with whether its first axis is that of the batch."""
    env: dict[Var, tuple[Any, bool]] = dict(zip(program.inputs, zip(args, marks, strict=True), strict=True))

    def read(atom: Any) -> tuple[Any, bool]:
        return env[atom] if isinstance(atom, Var) else (atom.value, False)

    for eq in program.equations:
        inputs = [read(atom) for atom in eq.inputs]
        values, flags = [v for v, _ in inputs], [b for _, b in inputs]
        if not any(flags):
            found = bind(eq.primitive, *values, **eq.params)
            mapped = False
        else:
            plain = eq.primitive.ufunc is not None and eq.primitive.name != "matmul"
            rule = RULES.get(eq.primitive.name, _elementwise if plain else None)
            done = None if rule is None else rule(eq, values, flags, count)
            found, mapped = _looped(eq, values, flags, count) if done is None else done, True
        for var, value in zip(eq.outputs, found if eq.primitive.multiple else (found,), strict=True):
            env[var] = (value, mapped)
    return [read(atom) for atom in program.outputs]


def _looped(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    """One example after the other."""
    inputs = [Var(ArrayType(atom.type.shape, atom.type.dtype)) for atom in eq.inputs]
    order = [i for i, b in enumerate(marks) if not b] + [i for i, b in enumerate(marks) if b]
    outputs = tuple(Var(var.type) for var in eq.outputs)
    step = Equation(eq.primitive, tuple(inputs), outputs, eq.params, eq.where)
    body = Body(Program(tuple(inputs[i] for i in order), (step,), outputs, eq.primitive.name))
    found = bind(
        scan_p,
        *(values[i] for i in order),
        body=body,
        counts=(marks.count(False), 0),
        length=count,
        reverse=False,
    )
    return found if eq.primitive.multiple else found[0]


# Rules: (equation, values, which are batched, length) -> results with a first axis, or None: loop ------------
def _full(value: Any, mark: bool, count: int) -> Any:
    return value if mark else broadcast_to(value, (count, *np.shape(value)))


def _elementwise(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    ndim = eq.outputs[0].type.ndim
    aligned = []
    for value, mark in zip(values, marks, strict=True):
        shape = np.shape(value)
        if mark and len(shape) - 1 < ndim:
            value = reshape(value, (shape[0], *(1,) * (ndim - len(shape) + 1), *shape[1:]))
        aligned.append(value)
    return bind(eq.primitive, *aligned, **eq.params)


def _axes_up(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    return bind(eq.primitive, values[0], **{**eq.params, "axes": tuple(a + 1 for a in eq.params["axes"])})


def _axis_up(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    if eq.params["axis"] is None:
        return None
    full = [_full(v, m, count) for v, m in zip(values, marks, strict=True)]
    return bind(eq.primitive, *full, **{**eq.params, "axis": eq.params["axis"] + 1})


def _shape_up(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    value, shape = values[0], eq.params["shape"]
    if eq.primitive.name == "broadcast_to":
        inner = np.shape(value)[1:]
        value = reshape(value, (count, *(1,) * (len(shape) - len(inner)), *inner))
    return bind(eq.primitive, value, shape=(count, *shape))


def _permute_up(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    return permute(values[0], (0, *(a + 1 for a in eq.params["axes"])))


def _spec_up(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    params = {**eq.params, "spec": ((0, count, 1), *eq.params["spec"])}
    if "shape" in params:
        params["shape"] = (count, *params["shape"])
    return bind(eq.primitive, values[0], **params)


def _matmul(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    a, b = values
    left, right = (np.ndim(v) - m for v, m in zip(values, marks, strict=True))
    out = (count, *eq.outputs[0].type.shape)
    if not marks[0] and left == 2 and right == 1:  # A x for many x: one product
        return np.matmul(b, np.swapaxes(a, 0, 1))
    if left == 1:
        a = reshape(a, (*np.shape(a)[: marks[0]], 1, np.shape(a)[-1]))
    if right == 1:
        b = reshape(b, (*np.shape(b), 1))
    inner = max(np.ndim(a) - marks[0], np.ndim(b) - marks[1])
    a, b = (
        reshape(v, (count, *(1,) * (inner - np.ndim(v) + 1), *np.shape(v)[1:])) if m else v
        for v, m in zip((a, b), marks, strict=True)
    )
    return reshape(np.matmul(a, b), out)


def _stacked(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    """Functions of stacks of matrices take one more leading axis as they are."""
    return bind(eq.primitive, *values, **eq.params)


def batched(
    program: Program, marks: Sequence[bool], count: int, also: Sequence[bool]
) -> tuple[Program, list[bool]]:
    """The Program of `count` examples at once, and which of its outputs depend on the example.

    Args:
        marks: for each input, whether it has one value an example, along a new first axis.
        also: for each output, whether it has one value an example even where it does not depend on it.
    """
    with Builder(program.name) as builder:
        given = [
            builder.input(ArrayType((count, *var.type.shape) if mark else var.type.shape, var.type.dtype))
            for var, mark in zip(program.inputs, marks, strict=True)
        ]
        found = _evaluate(program, given, marks, count)
        values = [_full(v, m, count) if wanted else v for (v, m), wanted in zip(found, also, strict=True)]
        return builder.program(values), [m for _, m in found]


def _cond(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    """One branch for all examples; a predicate that differs between examples is looped over."""
    if marks[0]:
        return None
    every = [True] * len(eq.outputs)
    bodies = {
        side: Body(batched(eq.params[side].program, marks[1:], count, every)[0]) for side in ("true", "false")
    }
    return bind(cond_p, *values, **bodies)


def _scan(eq: Equation, values: list[Any], marks: list[bool], count: int) -> Any:
    """One loop for all examples; a carry differs between them if its start does, or what enters it."""
    body, (n, m) = eq.params["body"], eq.params["counts"]
    given_marks, marks = marks, list(marks)
    every = [True] * (len(eq.outputs) - m)
    while True:
        whole, found = batched(body.program, marks, count, [*marks[n : n + m], *every])
        grown = [a or b for a, b in zip(marks[n : n + m], found[:m], strict=True)]
        if grown == marks[n : n + m]:
            break
        marks[n : n + m] = grown
    given = []
    for i, (value, mark, was) in enumerate(zip(values, marks, given_marks, strict=True)):
        if i >= n + m and mark:
            value = np.moveaxis(value, 0, 1)  # steps first
        given.append(_full(value, was, count) if mark and i < n + m else value)
    out = bind(scan_p, *given, **{**eq.params, "body": Body(whole)})
    carries = [_full(v, mark, count) for v, mark in zip(out[:m], marks[n : n + m], strict=True)]
    return (*carries, *(np.moveaxis(y, 1, 0) for y in out[m:]))


Rule = Callable[[Equation, list[Any], list[bool], int], Any]
RULES: dict[str, Rule] = {
    **dict.fromkeys(("select", "convert", "expit", "stop_gradient", "real", "imag", "conj"), _elementwise),
    **dict.fromkeys(
        ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "any", "all", "softmax", "log_sum_exp"),
        _axes_up,
    ),
    **dict.fromkeys(
        ("cumsum", "cumprod", "concatenate", "split", "argmax", "argmin", "argsort", "fft", "rfft"), _axis_up
    ),
    **dict.fromkeys(("reshape", "broadcast_to"), _shape_up),
    **dict.fromkeys(("index", "scatter"), _spec_up),
    **dict.fromkeys(("inv", "det", "slogdet", "cholesky", "eigh", "svd", "qr", "pinv"), _stacked),
    "cond": _cond,
    "matmul": _matmul,
    "permute": _permute_up,
    "scan": _scan,
}
