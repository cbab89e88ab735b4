"""Reverse mode: linearize, then transpose (Radul et al. 2022, "You only linearize once").

`linearize` splits the jvp of a Program into what does not depend on the tangents (computed once, its
values kept as residuals) and a linear Program of the tangents. `transpose` runs the linear Program
backwards: cotangents of outputs to cotangents of inputs. No derivative rule is written twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypergrad.ad.forward import evaluate, push
from hypergrad.ad.primitives.linear import convert, zeros
from hypergrad.ad.program import Atom, Equation, Program, Var
from hypergrad.ad.trace import Builder
from hypergrad.errors import DerivativeError

__all__ = ["Linearized", "linearize", "transpose", "vjp_program"]


@dataclass(frozen=True)
class Linearized:
    """A Program split at its derivative.

    Attributes:
        primal: inputs -> (outputs, residuals).
        linear: (residuals, tangents of the inputs in `wrt`) -> tangents of the moving outputs.
        outputs: number of outputs of the original Program.
        moving: for each output, whether its tangent can differ from zero.
    """

    primal: Program
    linear: Program
    outputs: int
    moving: tuple[bool, ...]

    @property
    def residuals(self) -> int:
        """Number of residuals."""
        return len(self.primal.outputs) - self.outputs


def linearize(program: Program, wrt: Sequence[bool]) -> Linearized:
    """Split `program` into values and a linear map of the tangents of the inputs in `wrt`."""
    with Builder(program.name) as builder:
        primals = [builder.input(var.type) for var in program.inputs]
        count = len(primals)
        tangents = [
            builder.input(var.type) if w else None for var, w in zip(program.inputs, wrt, strict=True)
        ]
        outs, pushed = push(program, primals, tangents)
        out_atoms = [builder.lift(value) for value in outs]
        moving = tuple(t is not None for t in pushed)
        moved_atoms = [builder.lift(t) for t in pushed if t is not None]

    moves: set[Var] = set(builder.inputs[count:])
    known: list[Equation] = []
    linear: list[Equation] = []
    for eq in builder.equations:
        if any(isinstance(atom, Var) and atom in moves for atom in eq.inputs):
            linear.append(eq)
            moves.update(eq.outputs)
        else:
            known.append(eq)
    residuals: dict[Var, None] = {}
    for atom in [*(atom for eq in linear for atom in eq.inputs), *moved_atoms]:
        if isinstance(atom, Var) and atom not in moves:
            residuals[atom] = None
    primal = Program(
        tuple(builder.inputs[:count]), tuple(known), (*out_atoms, *residuals), f"primal({program.name})"
    )
    tangent = Program(
        (*residuals, *builder.inputs[count:]), tuple(linear), tuple(moved_atoms), f"linear({program.name})"
    )
    return Linearized(primal, tangent, len(outs), moving)


def transpose(linear: Program, residuals: int) -> Program:
    """The Program (residuals, cotangents of the outputs) -> cotangents of the linear inputs.

    Args:
        linear: a Program that is linear in the inputs after the first `residuals`.
    """
    with Builder(linear.name.replace("linear", "transpose", 1)) as builder:
        known: dict[Var, Any] = {var: builder.input(var.type) for var in linear.inputs[:residuals]}
        cts: dict[Var, Any] = {}

        def read(atom: Atom) -> Any:
            return known[atom] if isinstance(atom, Var) else atom.value

        def add(var: Var, ct: Any) -> None:
            cts[var] = cts[var] + ct if var in cts else ct

        for atom in linear.outputs:
            seed = builder.input(atom.type)
            if isinstance(atom, Var) and atom not in known:
                add(atom, seed)
        for eq in reversed(linear.equations):
            found = [cts.pop(var, None) for var in eq.outputs]
            if all(ct is None for ct in found):
                continue
            builder.where = eq.where
            places = [isinstance(atom, Var) and atom not in known for atom in eq.inputs]
            inputs = [None if place else read(atom) for atom, place in zip(eq.inputs, places, strict=True)]
            if eq.primitive.transpose is None:
                raise DerivativeError(
                    f"{eq.primitive.name} has no transpose rule; its jvp rule must not emit it"
                )
            types = tuple(atom.type for atom in eq.inputs)
            ct = tuple(found) if eq.primitive.multiple else found[0]
            pulled = eq.primitive.transpose(ct, inputs, types, **eq.params)
            for atom, place, ct_in in zip(eq.inputs, places, pulled, strict=True):
                if place and ct_in is not None:
                    add(atom, convert(ct_in, atom.type.dtype))  # type: ignore[arg-type]
        builder.where = None
        outputs = [cts.get(var) for var in linear.inputs[residuals:]]
        return builder.program(
            [
                zeros(var.type) if ct is None else ct
                for var, ct in zip(linear.inputs[residuals:], outputs, strict=True)
            ]
        )


def vjp_program(program: Program, wrt: Sequence[bool], seeds: Sequence[Any] | None = None) -> Program:
    """The Program (inputs, cotangents of the outputs) -> (outputs, cotangents of the inputs in `wrt`).

    Args:
        seeds: constant cotangents, which are then no inputs; None: they are inputs.
    """
    lin = linearize(program, wrt)
    pullback = transpose(lin.linear, lin.residuals)
    with Builder(f"vjp({program.name})") as builder:
        primals = [builder.input(var.type) for var in program.inputs]
        found = evaluate(lin.primal, primals)
        outs, kept = found[: lin.outputs], found[lin.outputs :]
        if seeds is None:
            cts = [builder.input(atom.type) for atom in program.outputs]
        else:
            cts = list(seeds)
        moving = [ct for ct, m in zip(cts, lin.moving, strict=True) if m]
        return builder.program([*outs, *evaluate(pullback, [*kept, *moving])])
