"""Forward mode: the jvp of a Program.

Each equation ``z = f(x)`` is followed by the linear equations of its tangent
``dz = (df/dx) dx``; a tangent that is identically zero is None and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypergrad.ad.debug import active
from hypergrad.ad.guard import guarded
from hypergrad.ad.primitives.linear import zeros
from hypergrad.ad.program import Atom, Program, Var
from hypergrad.ad.trace import Builder, Tracer, bind, type_of

__all__ = ["evaluate", "jvp_program", "last_uses", "push"]


def last_uses(program: Program) -> list[list[Var]]:
    """For each equation, the variables that nothing reads after it."""
    seen: set[Var] = {atom for atom in program.outputs if isinstance(atom, Var)}
    dying: list[list[Var]] = []
    for eq in reversed(program.equations):
        now = []
        for var in (*eq.inputs, *eq.outputs):
            if isinstance(var, Var) and var not in seen:
                seen.add(var)
                now.append(var)
        dying.append(now)
    return dying[::-1]


@contextmanager
def located(args: Sequence[Any]) -> Iterator[Callable[[str], None]]:
    """Within it, ``at(where)`` gives new equations of the traces of `args` the source line `where`."""
    builders = list({id(x.builder): x.builder for x in args if isinstance(x, Tracer)}.values())
    before = [builder.where for builder in builders]

    def at(where: str) -> None:
        for builder in builders:
            builder.where = where

    try:
        yield at
    finally:
        for builder, where in zip(builders, before, strict=True):
            builder.where = where


def _constants(program: Program) -> list[Any]:
    atoms = [*(atom for eq in program.equations for atom in eq.inputs), *program.outputs]
    return [atom.value for atom in atoms if not isinstance(atom, Var)]


def evaluate(program: Program, args: Sequence[Any]) -> list[Any]:
    """The outputs of `program`: arrays, or tracers where an argument or a constant is traced."""
    watch = active()
    if watch is not None and not any(isinstance(x, Tracer) for x in (*args, *_constants(program))):
        return watch.run(program, args)
    env: dict[Var, Any] = dict(zip(program.inputs, args, strict=True))

    def read(atom: Atom) -> Any:
        return env[atom] if isinstance(atom, Var) else atom.value

    with located(args) as at:
        for eq, dying in zip(program.equations, last_uses(program), strict=True):
            at(eq.where)
            found = bind(eq.primitive, *[read(atom) for atom in eq.inputs], **eq.params)
            for var, value in zip(eq.outputs, found if eq.primitive.multiple else (found,), strict=True):
                env[var] = value
            for var in dying:
                del env[var]
    return [read(atom) for atom in program.outputs]


def push(program: Program, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Outputs and their tangents (None: zero), given the inputs and theirs."""
    program = guarded(program)
    values: dict[Var, Any] = dict(zip(program.inputs, primals, strict=True))
    moves: dict[Var, Any] = {var: t for var, t in zip(program.inputs, tangents, strict=True) if t is not None}

    def read(atom: Atom) -> Any:
        return values[atom] if isinstance(atom, Var) else atom.value

    def move(atom: Atom) -> Any:
        return moves.get(atom) if isinstance(atom, Var) else None

    with located([*primals, *tangents]) as at:
        for eq in program.equations:
            at(eq.where)
            inputs = [read(atom) for atom in eq.inputs]
            ts = [move(atom) for atom in eq.inputs]
            still = all(t is None for t in ts)
            if eq.primitive.joint is not None and not still:
                found, pushed = eq.primitive.joint(inputs, ts, **eq.params)
            else:
                found, pushed = bind(eq.primitive, *inputs, **eq.params), None
            outs = found if eq.primitive.multiple else (found,)
            values.update(zip(eq.outputs, outs, strict=True))
            if eq.primitive.jvp is not None and not still:
                pushed = eq.primitive.jvp(found, ts, inputs, **eq.params)
            if pushed is None:
                continue
            for var, t in zip(eq.outputs, pushed if eq.primitive.multiple else (pushed,), strict=True):
                if t is not None:
                    moves[var] = t
    return [read(atom) for atom in program.outputs], [move(atom) for atom in program.outputs]


def jvp_program(program: Program, wrt: Sequence[bool]) -> Program:
    """The Program (inputs, tangents of the inputs in `wrt`) -> (outputs, their tangents)."""
    with Builder(f"jvp({program.name})") as builder:
        primals = [builder.input(var.type) for var in program.inputs]
        tangents = [
            builder.input(var.type) if w else None for var, w in zip(program.inputs, wrt, strict=True)
        ]
        outs, pushed = push(program, primals, tangents)
        filled = [zeros(type_of(o)) if t is None else t for o, t in zip(outs, pushed, strict=True)]
        return builder.program([*outs, *filled])
