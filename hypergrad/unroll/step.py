"""The compiled training step and its adjoint, on one contiguous state vector.

Notation: s state (N,), r row of rates of one step (R,), θ the other float hyperparameters that the step reads (P,).
forward: s' = Φ(s, r, θ, b, t). vjp: given s̄' the cotangent of s', (s̄, r̄, θ̄) = Φ'ᵀ s̄'.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import value_and_grad
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.optimize import optimize
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape
from hypergrad.ad.program import ArrayType, Program, Var
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import Builder, no_global_draws, type_of
from hypergrad.errors import ProblemError
from hypergrad.unroll.batches import generator, leaves_of
from hypergrad.unroll.draws import Draw, TracedGenerator
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.layout import Layout

__all__ = ["Compiled", "Start", "compiled"]


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
        with Builder("init") as builder, no_global_draws("init"):
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
            return builder.program([problem.start(leaves, problem.state(self.layout), self.layout)]), dtypes

    @cached_property
    def vjp(self) -> Program:
        """(float hyperparameters, s̄_0) -> (s_0, their cotangents)."""
        return optimize(vjp_program(self.program, [True] * len(self.program.inputs)))


class Compiled:
    """A problem's programs for one signature of hyperparameters.

    Attributes:
        start_layout: of what `init` returned.
        layout: of the state vector.
        rows: float hyperparameters -> rates of all steps, (T, R).
        train, valid: leaves of the data, in the state's dtype.
        reads_rows, reads_step, reads_outer: for each float hyperparameter, what it enters.
    """

    def __init__(self, problem: Any, hyper: Hyper, seed: int) -> None:
        self.problem = problem
        self.hyper = hyper
        self._starts = {seed: Start(problem, hyper, seed)}
        self.start_layout = self._starts[seed].layout
        self.layout: Layout = problem.state(self.start_layout)
        self.train, self._train_tree = leaves_of(problem.train, self.layout.dtype)
        self.valid, self._valid_tree = leaves_of(problem.valid, self.layout.dtype)
        self._trace_rows()
        self._trace_step()
        self._trace_outer()

    def start(self, seed: int) -> Start:
        """The first state of a seed.

        Raises:
            ProblemError: `init` returns other shapes for this seed.
        """
        found = self._starts.get(seed)
        if found is None:
            found = Start(self.problem, self.hyper, seed)
            if found.layout != self.start_layout:
                raise ProblemError(
                    f"init returns other shapes or dtypes for seed {seed} than for an earlier seed"
                )
            self._starts = dict([*self._starts.items(), (seed, found)][-_CACHE_LIMIT:])
        return found

    def _trace_rows(self) -> None:
        steps = self.problem.steps
        with Builder("rates") as builder, no_global_draws("the optimizer"):
            inputs = [builder.input(type) for type in self.hyper.types]
            leaves, structure = tree.flatten(self.problem.rates(self.hyper.tree(inputs)))
            shapes = tuple(np.shape(leaf)[1:] for leaf in leaves)
            self.row_layout = Layout(structure, shapes, self.layout.dtype)
            flat = [
                reshape(leaf if np.ndim(leaf) else broadcast_to(leaf, (steps,)), (steps, n))
                for leaf, n in zip(leaves, self.row_layout.sizes, strict=True)
            ]
            matrix = np.concatenate(flat, axis=1) if flat else np.zeros((steps, 0))
            self.rows = optimize(builder.program([matrix.astype(self.layout.dtype)]))
        self.reads_rows = reads(self.rows, self.rows.inputs)

    def _step_program(self) -> tuple[Program, tuple[Draw, ...]]:
        """The step as a Program of (s, r, θ, t, batch, draws), and its draws."""
        problem, dtype = self.problem, self.layout.dtype
        data, structure = self.train, self._train_tree
        length = problem.batches.length
        with Builder("step") as builder, no_global_draws("the step"):
            state = builder.input(ArrayType((self.layout.size,), dtype))
            row = builder.input(ArrayType((self.row_layout.size,), dtype))
            theta = builder.input(ArrayType((self.theta.size,), dtype))
            t = builder.input(ArrayType((), np.dtype(np.int64)))
            batch_leaves = [builder.input(ArrayType((length, *leaf.shape[1:]), leaf.dtype)) for leaf in data]
            batch = structure.unflatten(batch_leaves) if data else problem.train
            rng = TracedGenerator(builder, dtype)
            hparams = self.hyper.tree(self._spread(theta))
            rates = self.row_layout.tree(row) if self.row_layout.shapes else {}
            vector, loss = problem.advance(state, self.start_layout, hparams, rates, batch, t, rng)
            value = np.full((), np.nan, dtype) if loss is None else loss
            program = builder.program([vector, np.reshape(value, ()).astype(dtype)])
        return program, tuple(rng.draws)

    def _spread(self, theta: Any) -> list[Any]:
        """Float hyperparameters as seen by the step: those in θ, and zeros for those that it never reads."""
        stream = iter(self.theta.leaves(theta) if self.theta.shapes else ())
        return [
            next(stream) if used else np.zeros(type.shape, self.layout.dtype)
            for used, type in zip(self.reads_step, self.hyper.types, strict=True)
        ]

    def _trace_step(self) -> None:
        # first with every float in θ, to see which the step reads; then with only those
        types = self.hyper.types
        self.reads_step = [True] * len(types)
        self.theta = self._theta()
        program, draws = self._step_program()
        used = self._used_theta(optimize(program))
        if not all(used):
            self.reads_step = used
            self.theta = self._theta()
            program, draws = self._step_program()
        self.draws = draws
        self.step = optimize(program)

    def _theta(self) -> Layout:
        shapes = [t.shape for t, used in zip(self.hyper.types, self.reads_step, strict=True) if used]
        return Layout(tree.structure([0] * len(shapes)), tuple(shapes), self.layout.dtype)

    def _used_theta(self, program: Program) -> list[bool]:
        """Which pieces of θ an optimised step reads: pieces of the split that nothing uses are unread."""
        theta = program.inputs[2]
        used = {atom for eq in program.equations for atom in eq.inputs} | set(program.outputs)
        for eq in program.equations:
            if eq.primitive.name == "split" and eq.inputs[0] is theta:
                return [var in used for var in eq.outputs]
        return [theta in used] * len(self.theta.shapes)

    def _trace_outer(self) -> None:
        problem, dtype = self.problem, self.layout.dtype
        data, structure = self.valid, self._valid_tree
        with Builder("outer_loss") as builder, no_global_draws("outer_loss"):
            state = builder.input(ArrayType((self.layout.size,), dtype))
            hypers = [builder.input(ArrayType(type.shape, dtype)) for type in self.hyper.types]
            rows = [builder.input(type_of(leaf)) for leaf in data]
            valid = structure.unflatten(rows) if data else problem.valid

            def outer_loss(vector: Any, floats: list[Any]) -> Any:
                return problem.outer_loss(
                    problem.params(vector, self.start_layout), self.hyper.tree(floats), valid
                )

            if hypers:
                value, (ct_state, ct_hypers) = value_and_grad(outer_loss, (0, 1))(state, hypers)
            else:
                value, ct_state = value_and_grad(lambda vector: outer_loss(vector, []))(state)
                ct_hypers = []
            program = builder.program([value, ct_state, *ct_hypers])
        self.outer = optimize(program)
        self.reads_outer = reads(self.outer, self.outer.inputs[1 : 1 + len(hypers)])

    # Executables, made when they are first needed -------------------------------------------------
    @cached_property
    def forward(self) -> Executable:
        """(s, r, θ, t, batch, draws) -> (s', inner loss)."""
        return Executable(self.step, closed=True)

    @cached_property
    def backward(self) -> Executable:
        """(s, r, θ, t, batch, draws, s̄') -> (s̄, r̄, θ̄)."""
        program = self.step
        wrt = [i < 3 for i in range(len(program.inputs))]
        one = Program(program.inputs, program.equations, program.outputs[:1], "step")
        both = vjp_program(one, wrt)
        return Executable(
            optimize(Program(both.inputs, both.equations, both.outputs[1:], "step_vjp")), closed=True
        )

    @cached_property
    def outer_executable(self) -> Executable:
        """(s, float hyperparameters, valid) -> (outer loss, s̄, cotangent of each float hyperparameter)."""
        return Executable(self.outer)

    @cached_property
    def outer_value(self) -> Executable:
        """(s, float hyperparameters, valid) -> outer loss."""
        outer = self.outer
        return Executable(optimize(Program(outer.inputs, outer.equations, outer.outputs[:1], "outer_loss")))

    @cached_property
    def rows_vjp(self) -> Program:
        """(float hyperparameters, cotangent (T, R)) -> (rates, their cotangents)."""
        return optimize(vjp_program(self.rows, [True] * len(self.rows.inputs)))


_CACHE_LIMIT = 16
_LOCK = threading.Lock()


def compiled(problem: Any, hyper: Hyper, seed: int) -> Compiled:
    """The compiled programs of `problem`, from its cache where the signature is known.

    Args:
        seed: whose first state a new signature is compiled with.
    """
    key = hyper.signature
    found = problem.compiled.get(key)
    if found is None:
        found = Compiled(problem, hyper, seed)
    with _LOCK:
        problem.compiled.pop(key, None)
        problem.compiled[key] = found  # the latest last
        while len(problem.compiled) > _CACHE_LIMIT:
            problem.compiled.pop(next(iter(problem.compiled)))
    return found
