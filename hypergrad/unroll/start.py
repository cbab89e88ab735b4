"""The first state of a problem as a Program of its hyperparameters, for one seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.forward import jvp_program
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.program import ArrayType, Program, Var
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import Builder, user_code
from hypergrad.unroll.batches import generator
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.layout import Layout

__all__ = ["Start", "reads"]


def reads(program: Program, inputs: Sequence[Var]) -> list[bool]:
    """For each of `inputs`, whether an equation or an output of the (pruned) program reads it."""
    used = {atom for eq in program.equations for atom in eq.inputs if isinstance(atom, Var)}
    used.update(atom for atom in program.outputs if isinstance(atom, Var))
    return [var in used for var in inputs]


class Start:
    """What `init` returns for one seed.

    Attributes:
        layout: of what it returned.
        program: float hyperparameters -> first state vector.
        reads: for each float hyperparameter, whether the first state depends on it.
    """

    def __init__(self, problem: Any, hyper: Hyper, seed: int) -> None:
        program, dtypes = self._trace(problem, hyper, seed, hyper.types)
        if len(dtypes) > 1:
            # a float64 array among the hyperparameters has lifted some leaves: show init the narrowest dtype
            narrow = min(dtypes, key=lambda dtype: dtype.itemsize)
            seen = [ArrayType(t.shape, narrow, t.weak) for t in hyper.types]
            program, _ = self._trace(problem, hyper, seed, seen)
        self.program = optimize(program)
        self.reads = reads(self.program, self.program.inputs)

    def _trace(
        self, problem: Any, hyper: Hyper, seed: int, seen: Sequence[ArrayType]
    ) -> tuple[Program, set[np.dtype]]:
        """`init` as a Program, its hyperparameters seen with the types `seen`, and the dtypes of its leaves."""
        with Builder("init") as builder, user_code("init"):
            inputs = [builder.input(type) for type in hyper.types]
            shown = [
                x if x.type == type else convert(x, type.dtype) for x, type in zip(inputs, seen, strict=True)
            ]
            state = problem.init(hyper.tree(shown), generator(seed, "init", 0))
            leaves = tree.leaves(state)
            dtypes = {
                leaf.dtype for leaf in leaves if getattr(getattr(leaf, "dtype", None), "kind", "") == "f"
            }
            if len(dtypes) > 1 and any(x.dtype != min(dtypes, key=lambda d: d.itemsize) for x in shown):
                return builder.program([]), dtypes
            self.layout = Layout.of_state(state, "init")
            layout, hparams = problem.state(self.layout), hyper.tree(shown)
            return builder.program([problem.start(leaves, layout, self.layout, hparams)]), dtypes

    @cached_property
    def vjp(self) -> Program:
        """(float hyperparameters, s̄_0) -> (s_0, their cotangents)."""
        return optimize(vjp_program(self.program, [True] * len(self.program.inputs)))

    @cached_property
    def jvp(self) -> Program:
        """(float hyperparameters, their tangents) -> (s_0, ds_0)."""
        return optimize(jvp_program(self.program, [True] * len(self.program.inputs)))
