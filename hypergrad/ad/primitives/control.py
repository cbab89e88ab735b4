"""Control flow: primitives whose parameters are Programs.

Notation: a body is linearised as y = p(x), r = residuals(x), dy = L(r) dx (see `hypergrad.ad.reverse`).
    cond   runs one of two bodies; its derivative is a cond of their linear parts
    scan   (c, x_t) -> (c', y_t), T times; its derivative keeps the residuals of every step in one array each, and is
           a scan of the linear part, whose transpose runs from the last step to the first
Both are linear in their tangents by construction, so that forward mode, reverse mode and all orders follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType, Primitive, Program, Var
from hypergrad.ad.trace import Builder, bind, type_of

__all__ = ["Body", "cond_p", "scan_p"]


class Body:
    """A Program as a parameter: equal only to itself, compiled when it first runs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._run: Any = None

    def __str__(self) -> str:
        return "\n      " + str(self.program).replace("\n", "\n      ") + "\n    "

    @property
    def types(self) -> list[ArrayType]:
        """Types of the results."""
        return [ArrayType(atom.type.shape, atom.type.dtype) for atom in self.program.outputs]

    def __call__(self, arrays: Sequence[Any]) -> list[np.ndarray]:
        """The results for plain arrays."""
        if self._run is None:
            from hypergrad.ad.backends.numpy import Executable
            from hypergrad.ad.optimize import optimize

            self._run = Executable(optimize(self.program))
        return self._run(*[np.ascontiguousarray(a) if np.ndim(a) else np.asarray(a) for a in arrays])


def _zeros(type: ArrayType) -> np.ndarray:
    return np.zeros(type.shape, type.dtype)


def _filled(tangents: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """Tangents with zeros for None, of the inputs' types."""
    return [_zeros(type_of(x)) if t is None else t for t, x in zip(tangents, inputs, strict=True)]


# cond: (pred, operands) -> results ------------------------------------------------------------------------
def _cond_call(pred: Any, *operands: Any, true: Body, false: Body) -> tuple[Any, ...]:
    return tuple((true if pred else false)(operands))


def _cond_joint(
    inputs: Sequence[Any], tangents: Sequence[Any], true: Body, false: Body
) -> tuple[Any, Sequence[Any]]:
    from hypergrad.ad.reverse import linearize

    pred, *operands = inputs
    wrt = [t is not None for t in tangents[1:]]
    lins = [linearize(body.program, wrt) for body in (true, false)]
    count = lins[0].outputs
    moving = [a or b for a, b in zip(lins[0].moving, lins[1].moving, strict=True)]
    kept = [[atom.type for atom in lin.primal.outputs[count:]] for lin in lins]
    primal, linear = [], []
    for number, lin in enumerate(lins):
        with Builder("branch") as builder:
            given = [builder.input(var.type) for var in lin.primal.inputs]
            found = _evaluate(lin.primal, given)
            others = [_zeros(t) for t in kept[1 - number]]
            mine = found[count:]
            primal.append(
                Body(builder.program([*found[:count], *(mine + others if number == 0 else others + mine)]))
            )
        with Builder("linear(branch)") as builder:
            residuals = [[builder.input(t) for t in types] for types in kept]
            ts = [builder.input(type_of(x)) for x, w in zip(operands, wrt, strict=True) if w]
            stream = iter(_evaluate(lin.linear, [*residuals[number], *ts]))
            moved = [
                next(stream) if m else _zeros(atom.type)
                for m, atom in zip(lin.moving, lin.primal.outputs[:count], strict=True)
            ]
            linear.append(Body(builder.program([t for t, m in zip(moved, moving, strict=True) if m])))
    found = bind(cond_p, pred, *operands, true=primal[0], false=primal[1])
    outs, residuals_now = found[:count], found[count:]
    if not any(moving):
        return outs, [None] * count
    ts = [t for t in tangents[1:] if t is not None]
    stream = iter(bind(cond_p, pred, *residuals_now, *ts, true=linear[0], false=linear[1]))
    return outs, [next(stream) if m else None for m in moving]


def _cond_transpose(ct: Any, inputs: Any, types: Any, true: Body, false: Body) -> tuple[Any, ...]:
    pred, *operands = inputs
    known = [x for x in operands if x is not None]
    places = [x is None for x in operands]
    bodies = [Body(_transposed(body.program, places)) for body in (true, false)]
    cts = [_zeros(t) if c is None else c for c, t in zip(ct, true.types, strict=True)]
    stream = iter(bind(cond_p, pred, *known, *cts, true=bodies[0], false=bodies[1]))
    return None, *(next(stream) if place else None for place in places)


def _transposed(program: Program, places: Sequence[bool]) -> Program:
    """(known inputs, cotangents of the outputs) -> cotangents of the inputs in `places`."""
    from hypergrad.ad.reverse import transpose

    known = [var for var, p in zip(program.inputs, places, strict=True) if not p]
    linear = [var for var, p in zip(program.inputs, places, strict=True) if p]
    return transpose(
        Program((*known, *linear), program.equations, program.outputs, "linear(body)"), len(known)
    )


def _evaluate(program: Program, args: Sequence[Any]) -> list[Any]:
    from hypergrad.ad.forward import evaluate

    return evaluate(program, args)


cond_p: Primitive = Primitive(
    "cond",
    infer=lambda pred, *operands, true, false: tuple(true.types),
    call=_cond_call,
    transpose=_cond_transpose,
    multiple=True,
    joint=_cond_joint,
)


# scan: (constants, first carry, xs) -> (last carry, ys) ----------------------------------------------------
def _scan_infer(*types: ArrayType, body: Body, counts: tuple[int, int], length: int, reverse: bool) -> Any:
    carries = counts[1]
    outs = body.types
    return (*outs[:carries], *(ArrayType((length, *t.shape), t.dtype) for t in outs[carries:]))


def _scan_call(
    *inputs: Any, body: Body, counts: tuple[int, int], length: int, reverse: bool
) -> tuple[Any, ...]:
    consts, carry, xs = _parts(inputs, counts)
    if not length:
        carry = [np.array(c) for c in carry]  # results never alias operands, whose buffers are used again
    types = body.types[counts[1] :]
    ys = [np.empty((length, *t.shape), t.dtype) for t in types]
    for t in range(length - 1, -1, -1) if reverse else range(length):
        found = body([*consts, *carry, *(x[t] for x in xs)])
        carry = found[: counts[1]]
        for y, value in zip(ys, found[counts[1] :], strict=True):
            y[t] = value
    return (*carry, *ys)


def _parts(items: Sequence[Any], counts: tuple[int, int]) -> tuple[list[Any], list[Any], list[Any]]:
    """Constants, carries and xs."""
    n, m = counts
    return list(items[:n]), list(items[n : n + m]), list(items[n + m :])


def _scan_joint(
    inputs: Sequence[Any],
    tangents: Sequence[Any],
    body: Body,
    counts: tuple[int, int],
    length: int,
    reverse: bool,
) -> tuple[Any, Sequence[Any]]:
    from hypergrad.ad.reverse import linearize

    n, m = counts
    program = body.program
    wrt = [t is not None for t in tangents]
    while True:  # a carry moves if its first value does, or if something that moves enters it
        lin = linearize(program, wrt)
        grown = [
            *wrt[:n],
            *(a or b for a, b in zip(wrt[n : n + m], lin.moving[:m], strict=True)),
            *wrt[n + m :],
        ]
        if grown == wrt:
            break
        wrt = grown
    # residuals that are constants or xs of the body themselves are not stored again
    place = {var: i for i, var in enumerate(lin.primal.inputs) if not n <= i < n + m}
    kept = lin.primal.outputs[lin.outputs :]
    stored = [atom for atom in kept if not (isinstance(atom, Var) and atom in place)]
    direct = [place[atom] for atom in kept if isinstance(atom, Var) and atom in place]
    first = Program(
        lin.primal.inputs, lin.primal.equations, (*lin.primal.outputs[: lin.outputs], *stored), "body"
    )
    found = bind(scan_p, *inputs, body=Body(first), counts=counts, length=length, reverse=reverse)
    outs, slabs = found[: lin.outputs], found[lin.outputs :]

    shared = [i for i in direct if i < n]
    moved_in = [i for i, w in enumerate(wrt) if w]
    consts_t, carry_t, xs_t = (
        [i for i in moved_in if a <= i < b] for a, b in ((0, n), (n, n + m), (n + m, len(wrt)))
    )
    with Builder("linear(body)") as builder:
        given = {("known", i): builder.input(program.inputs[i].type) for i in shared}
        for i in (*consts_t, *carry_t):
            given["t", i] = builder.input(program.inputs[i].type)
        slices = {("x", i): builder.input(program.inputs[i].type) for i in direct if i >= n}
        slots = [builder.input(atom.type) for atom in stored]
        for i in xs_t:
            given["t", i] = builder.input(program.inputs[i].type)
        stream = iter(slots)
        full = []
        for atom in kept:
            at = place.get(atom) if isinstance(atom, Var) else None
            full.append(next(stream) if at is None else given["known", at] if at < n else slices["x", at])
        results = iter(_evaluate(lin.linear, [*full, *(given["t", i] for i in moved_in)]))
        pushed = [next(results) if moves else None for moves in lin.moving]
        carry_out = [
            _zeros(program.inputs[i].type) if pushed[i - n] is None else pushed[i - n] for i in carry_t
        ]
        ys_out = [t for t in pushed[m:] if t is not None]
        linear = Body(builder.program([*carry_out, *ys_out]))
    filled = _filled(tangents, inputs)
    moved = bind(
        scan_p,
        *(inputs[i] for i in shared),
        *(filled[i] for i in (*consts_t, *carry_t)),
        *(inputs[i] for i in direct if i >= n),
        *slabs,
        *(filled[i] for i in xs_t),
        body=linear,
        counts=(len(shared) + len(consts_t), len(carry_t)),
        length=length,
        reverse=reverse,
    )
    carries = dict(zip(carry_t, moved[: len(carry_t)], strict=True))
    ys = iter(moved[len(carry_t) :])
    return outs, [carries.get(i + n) for i in range(m)] + [
        None if t is None else next(ys) for t in pushed[m:]
    ]


def _scan_transpose(
    ct: Any, inputs: Any, types: Any, body: Body, counts: tuple[int, int], length: int, reverse: bool
) -> tuple[Any, ...]:
    """Cotangents of the carry run backwards, those of linear constants add up, those of xs are stacked."""
    m = counts[1]
    places = [x is None for x in inputs]
    consts, carry, xs = _parts(range(len(inputs)), counts)
    known_c, linear_c = ([i for i in consts if places[i] == p] for p in (False, True))
    known_x, linear_x = ([i for i in xs if places[i] == p] for p in (False, True))
    for i in carry:
        places[i] = True  # tangents by construction, also where the first one is a constant zero
    back = _transposed(body.program, places)
    outs = body.types
    step = [outs[m + k] for k in range(len(outs) - m)]
    with Builder("transpose(body)") as builder:
        const_in = [builder.input(body.program.inputs[i].type) for i in known_c]
        carry_in = [builder.input(body.program.inputs[i].type) for i in carry]
        sums = [builder.input(body.program.inputs[i].type) for i in linear_c]
        x_in = [builder.input(body.program.inputs[i].type) for i in known_x]
        ct_ys = [builder.input(t) for t in step]
        found = iter(_evaluate(back, [*const_in, *x_in, *carry_in, *ct_ys]))
        results = {i: next(found) for i, p in enumerate(places) if p}
        added = [a + results[i] for a, i in zip(sums, linear_c, strict=True)]
        program = builder.program([*(results[i] for i in carry), *added, *(results[i] for i in linear_x)])
    shapes = _scan_infer(*types, body=body, counts=counts, length=length, reverse=reverse)
    cts = [_zeros(t) if c is None else c for c, t in zip(ct, shapes, strict=True)]
    moved = bind(
        scan_p,
        *(inputs[i] for i in known_c),
        *cts[:m],
        *(_zeros(types[i]) for i in linear_c),
        *(inputs[i] for i in known_x),
        *cts[m:],
        body=Body(program),
        counts=(len(known_c), m + len(linear_c)),
        length=length,
        reverse=not reverse,
    )
    answer: dict[int, Any] = dict(zip(carry, moved[:m], strict=True))
    answer |= dict(zip(linear_c, moved[m : m + len(linear_c)], strict=True))
    answer |= dict(zip(linear_x, moved[m + len(linear_c) :], strict=True))
    return tuple(answer.get(i) for i in range(len(inputs)))


scan_p: Primitive = Primitive(
    "scan", infer=_scan_infer, call=_scan_call, transpose=_scan_transpose, multiple=True, joint=_scan_joint
)
