"""The compiled training step and its adjoint, on one contiguous state vector.

Notation: s state (N,), r row of rates of one step (R,), θ the other float hyperparameters that the step reads,
c(θ) what the step computes from them alone (C,), evaluated once. Forward: s' = Φ(s, r, c, b, t). Backward: given s̄',
the cotangent of s', (s̄, r̄, c̄) = Φ'ᵀ s̄', either from s alone or with what the forward step kept (residuals).
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import value_and_grad
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.batching import batched
from hypergrad.ad.cost import nominal_seconds
from hypergrad.ad.forward import evaluate, jvp_program
from hypergrad.ad.optimize import lower, optimize, prune
from hypergrad.ad.partition import Cut, cut, hoist
from hypergrad.ad.primitives.linear import broadcast_to, convert, reshape, stop_gradient
from hypergrad.ad.program import ArrayType, Program
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import Builder, type_of, user_code
from hypergrad.errors import ProblemError
from hypergrad.unroll.batches import leaves_of
from hypergrad.unroll.draws import TracedGenerator
from hypergrad.unroll.gathers import Gather, gathers_last, split_gathers
from hypergrad.unroll.hyper import Hyper
from hypergrad.unroll.layout import Layout
from hypergrad.unroll.start import Start, reads

__all__ = ["Compiled", "compiled", "over_tangents", "remembered"]


class Compiled:
    """A problem's programs for one signature of hyperparameters.

    Attributes:
        start_layout: of what `init` returned.
        layout: of the state vector.
        rows: float hyperparameters -> rates of all steps, (T, R).
        invariants: float hyperparameters -> c, (C,).
        step: (s, r, c, t, batch, draws) -> (s', inner loss).
        train, valid: leaves of the data, in the state's dtype.
        reads_rows, reads_step, reads_outer: for each float hyperparameter, what it enters.
        reads_t: whether the step reads its number.
        holds_data: whether the step holds training rows as constants.
    """

    def __init__(self, problem: Any, hyper: Hyper, seed: int) -> None:
        self.problem = problem
        self.hyper = hyper
        self._starts = {seed: Start(problem, hyper, seed)}
        self.start_layout = self._starts[seed].layout
        self.layout: Layout = problem.state(self.start_layout)
        self.train, self._train_tree = leaves_of(problem.train, self.layout.dtype)
        self.valid, self._valid_tree = leaves_of(problem.valid, self.layout.dtype)
        optimizer = getattr(problem, "optimizer", None)
        self.holds_data = optimizer is not None and optimizer.curvature
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

    def fits(self, problem: Any) -> bool:
        """Whether these programs are also those of `problem`, which differs in nothing but its data."""
        if self.holds_data:
            return False
        pairs = [(self.problem.train, problem.train), (self.problem.valid, problem.valid)]
        same = [
            [np.shape(a) == np.shape(b) for a, b in zip(tree.leaves(x), tree.leaves(y), strict=True)]
            for x, y in pairs
            if x is not None
        ]
        return all(map(all, same))

    def on(self, problem: Any) -> Compiled:
        """The same programs and executables for `problem`; see `fits`."""
        found = copy.copy(self)
        found.problem = problem
        found.train, _ = leaves_of(problem.train, self.layout.dtype)
        found.valid, _ = leaves_of(problem.valid, self.layout.dtype)
        return found

    def _trace_rows(self) -> None:
        steps = self.problem.steps
        with Builder("rates") as builder, user_code("the optimizer"):
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

    def _trace_step(self) -> None:
        traced = self._step_program()
        count = len(self.hyper.types)
        step = optimize(traced)
        self.reads_step = reads(step, step.inputs[2 : 2 + count])
        (self.reads_t,) = reads(step, [step.inputs[2 + count]])
        early = [2 <= i < 2 + count for i in range(len(step.inputs))]
        before, rest = hoist(step, early, self.holds_data)
        before, rest, self._dense = gathers_last(before, rest, len(step.inputs) - count)
        self._rest = rest
        shapes = tuple(atom.type.shape for atom in before.outputs)
        self.invariant_layout = Layout(tree.structure([0] * len(shapes)), shapes, self.layout.dtype)
        with Builder("invariants") as builder:
            inputs = [builder.input(type) for type in self.hyper.types]
            values = evaluate(before, [convert(x, self.layout.dtype) for x in inputs])
            self.invariants = optimize(builder.program([self.invariant_layout.vector(values)]))
        with Builder("step") as builder:
            state, row, *others = [builder.input(var.type) for var in step.inputs[:2]]
            vector = builder.input(ArrayType((self.invariant_layout.size,), self.layout.dtype))
            others = [builder.input(var.type) for var in step.inputs[2 + count :]]
            found = evaluate(rest, [*self.invariant_layout.leaves(vector), state, row, *others])
            self.step = optimize(builder.program(found))

    def _step_program(self) -> Program:
        """The step as a Program of (s, r, float hyperparameters, t, batch, draws)."""
        problem, dtype = self.problem, self.layout.dtype
        data, structure = self.train, self._train_tree
        length = problem.batches.length
        with Builder("step") as builder, user_code("the step"):
            state = builder.input(ArrayType((self.layout.size,), dtype))
            row = builder.input(ArrayType((self.row_layout.size,), dtype))
            floats = [builder.input(ArrayType(type.shape, dtype)) for type in self.hyper.types]
            t = builder.input(ArrayType((), np.dtype(np.int64)))
            batch_leaves = [builder.input(ArrayType((length, *leaf.shape[1:]), leaf.dtype)) for leaf in data]
            batch = structure.unflatten(batch_leaves) if data else problem.train
            rng = TracedGenerator(builder, dtype)
            hparams = self.hyper.tree(floats)
            rates = self.row_layout.tree(row) if self.row_layout.shapes else {}
            vector, loss = problem.advance(state, self.start_layout, hparams, rates, batch, t, rng)
            self.has_loss = loss is not None
            value = np.full((), np.nan, dtype) if loss is None else loss
            program = builder.program([vector, np.reshape(value, ()).astype(dtype)])
        self.draws = tuple(rng.draws)
        return program

    def _trace_outer(self) -> None:
        problem, dtype = self.problem, self.layout.dtype
        data, structure = self.valid, self._valid_tree
        with Builder("outer_loss") as builder, user_code("outer_loss"):
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
    def _state_alone(self) -> Program:
        """(s, r, c, t, batch, draws) -> (s', inner loss, which has no derivative)."""
        with Builder("step") as builder:
            inputs = [builder.input(var.type) for var in self.step.inputs]
            vector, loss = evaluate(self.step, inputs)
            return builder.program([vector, stop_gradient(loss)])

    @cached_property
    def _tangents(self) -> dict[tuple[int, bool], Executable]:
        return {}

    def jvp(self, count: int, loss: bool) -> Executable:
        """(s, r, c, t, batch, draws, ds (H, N), dr (H, R), dc (H, C)) -> (s', inner loss if `loss`, ds' (H, N)).

        Args:
            count: H.
        """
        found = self._tangents.get((count, loss))
        if found is None:
            one = self._state_alone
            both = jvp_program(one, [i < 3 for i in range(len(one.inputs))])
            vector, value, moved, _ = both.outputs
            outputs = (vector, value, moved) if loss else (vector, moved)
            both = optimize(Program(both.inputs, both.equations, outputs, "step_jvp"))
            whole = over_tangents(both, 3, 1, count)
            found = self._tangents[count, loss] = Executable(whole, closed=True)
        return found

    @cached_property
    def _split(self) -> tuple[list[Gather], Program, Program]:
        return split_gathers(self._rest, self._dense, len(self.invariant_layout.shapes))

    @property
    def gathers(self) -> list[Gather]:
        """What the step reads of the last parts of c, which it only gathers rows from."""
        return self._split[0]

    @property
    def dense(self) -> int:
        """Length of the first part of c, whose cotangent is a vector."""
        return sum(self.invariant_layout.sizes[: self._dense])

    def _joint_by_rows(self) -> Program:
        """`joint` where some parts of c are only gathered from."""
        gathers, before, after = self._split
        layout, first = self.invariant_layout, self._dense
        count, rows = len(layout.shapes), len(gathers)
        with Builder("step") as builder:
            inputs = [builder.input(var.type) for var in after.inputs]
            vector, loss = evaluate(after, inputs)
            one = builder.program([vector, stop_gradient(loss)])
        end = len(one.inputs) - rows
        both = optimize(
            vjp_program(
                one, [i < first or count <= i < count + 2 or i >= end for i in range(len(one.inputs))]
            )
        )
        with Builder("step_vjp") as builder:
            state, row, vector, *others = [builder.input(var.type) for var in self.step.inputs]
            ct = builder.input(state.type)
            given = [*layout.leaves(vector), state, row, *others]
            taken = iter(evaluate(before, given))
            values, indices = [], []
            for gather in gathers:
                values.append(next(taken))
                indices.append([next(taken) for _ in gather.types[1:]])
            nothing = np.zeros((), self.layout.dtype)
            new, loss, *cts = evaluate(both, [*given, *values, ct, nothing])
            dense = Layout(tree.structure([0] * first), layout.shapes[:first], layout.dtype).vector(
                cts[:first]
            )
            sparse = [x for g, index in zip(cts[first + 2 :], indices, strict=True) for x in (g, *index)]
            return optimize(builder.program([new, loss, *cts[first : first + 2], dense, *sparse]))

    @cached_property
    def joint(self) -> Program:
        """(s, r, c, t, batch, draws, s̄') -> (s', inner loss, s̄, r̄, c̄ of `dense`, for each of `gathers` ḡ and i)."""
        if self.gathers:
            return self._joint_by_rows()
        one = self._state_alone
        both = vjp_program(one, [i < 3 for i in range(len(one.inputs))])
        return optimize(Program(both.inputs[:-1], both.equations, both.outputs, "step_vjp"))

    @cached_property
    def cut(self) -> Cut:
        """`joint` in two parts: before s̄' is known, and after."""
        return cut(self.joint, late=1, outputs=2)

    @cached_property
    def prices(self) -> tuple[float, float, float]:
        """Nominal seconds of a plain step, of one that keeps residuals, and of its vjp."""
        step = Program(self.step.inputs, self.step.equations, self.step.outputs[:1], self.step.name)
        early = self.cut.early
        kept = Program(early.inputs, early.equations, (early.outputs[0], *early.outputs[2:]), early.name)
        plain, forward = (nominal_seconds(lower(prune(program))) for program in (step, kept))
        return plain, forward, nominal_seconds(lower(self.cut.late))

    @cached_property
    def _forward(self) -> dict[tuple[bool, bool], Executable]:
        return {}

    def forward(self, keep: bool, loss: bool) -> Executable:
        """(s, r, c, t, batch, draws) -> (s', inner loss if `loss`, residuals if `keep`: streamed)."""
        found = self._forward.get((keep, loss))
        if found is None:
            program = self.cut.early if keep else self.step
            outputs = program.outputs if loss else (program.outputs[0], *program.outputs[2:])
            program = prune(Program(program.inputs, program.equations, outputs, program.name))
            streamed = [f"o{i}" for i in range(1 + loss, len(outputs))]
            found = self._forward[keep, loss] = Executable(program, closed=True, streamed=streamed)
        return found

    @cached_property
    def backward(self) -> Executable:
        """(s, r, c, t, batch, draws, s̄') -> (s̄, r̄, c̄ and what else `joint` returns)."""
        joint = self.joint
        program = prune(Program(joint.inputs, joint.equations, joint.outputs[2:], joint.name))
        return Executable(program, closed=True)

    @cached_property
    def backward_kept(self) -> Executable:
        """(s, r, c, t, batch, draws, s', residuals: streamed, s̄') -> (s̄, r̄, c̄)."""
        late, count = self.cut.late, len(self.cut.residuals)
        last = len(late.inputs) - 1
        return Executable(late, closed=True, streamed=[f"i{i}" for i in range(last - count, last)])

    @cached_property
    def outside(self) -> Executable:
        """float hyperparameters -> (rates (T, R), c)."""
        return Executable(self._outside)

    @cached_property
    def outside_vjp(self) -> Executable:
        """(float hyperparameters, cotangents of the rates and of c) -> cotangents of the hyperparameters."""
        both = vjp_program(self._outside, [True] * len(self._outside.inputs))
        return Executable(optimize(Program(both.inputs, both.equations, both.outputs[2:], both.name)))

    def outside_jvp(self, count: int) -> Executable:
        """(float hyperparameters, their tangents, each (H, ...)) -> tangents of the rates (H, T, R) and of c (H, C)."""
        found = self._outside_tangents.get(count)
        if found is None:
            both = jvp_program(self._outside, [True] * len(self._outside.inputs))
            both = optimize(Program(both.inputs, both.equations, both.outputs[2:], both.name))
            whole = over_tangents(both, len(self.hyper.types), 2, count)
            found = self._outside_tangents[count] = Executable(whole)
        return found

    @cached_property
    def _outside_tangents(self) -> dict[int, Executable]:
        return {}

    @cached_property
    def _outside(self) -> Program:
        with Builder("outside") as builder:
            inputs = [builder.input(type) for type in self.hyper.types]
            found = [*evaluate(self.rows, inputs), *evaluate(self.invariants, inputs)]
            return optimize(builder.program(found))

    @cached_property
    def outer_executable(self) -> Executable:
        """(s, float hyperparameters, valid) -> (outer loss, s̄, cotangent of each float hyperparameter)."""
        return Executable(self.outer)

    @cached_property
    def outer_value(self) -> Executable:
        """(s, float hyperparameters, valid) -> outer loss."""
        outer = self.outer
        return Executable(prune(Program(outer.inputs, outer.equations, outer.outputs[:1], "outer_loss")))


def over_tangents(program: Program, inputs: int, outputs: int, count: int) -> Program:
    """A jvp Program for `count` tangents at once: its last inputs and outputs get a first axis of that length."""
    marks = [i >= len(program.inputs) - inputs for i in range(len(program.inputs))]
    also = [i >= len(program.outputs) - outputs for i in range(len(program.outputs))]
    if count > 1:
        return optimize(batched(program, marks, count, also)[0])
    with Builder(program.name) as builder:  # one tangent: the Program as it is
        given = [
            builder.input(ArrayType((1, *var.type.shape) if mark else var.type.shape, var.type.dtype))
            for var, mark in zip(program.inputs, marks, strict=True)
        ]
        flat = [
            reshape(x, var.type.shape) if mark else x
            for x, var, mark in zip(given, program.inputs, marks, strict=True)
        ]
        found = evaluate(program, flat)
        return optimize(
            builder.program(
                [reshape(x, (1, *np.shape(x))) if mark else x for x, mark in zip(found, also, strict=True)]
            )
        )


_CACHE_LIMIT = 16
_LOCK = threading.Lock()


def compiled(problem: Any, hyper: Hyper, seed: int) -> Compiled:
    """The compiled programs of `problem`, from its cache where the signature is known.

    Args:
        seed: whose first state a new signature is compiled with.
    """
    key = hyper.signature

    def make() -> Compiled:
        known = (one.compiled.get(key) for one in problem.kin)
        kin = next((code for code in known if code is not None and code.fits(problem)), None)
        return Compiled(problem, hyper, seed) if kin is None else kin.on(problem)

    return remembered(problem, key, make)


def remembered(problem: Any, key: Any, make: Callable[[], Any]) -> Any:
    """What the cache of a problem holds under `key`, made where it holds nothing; the latest few stay."""
    found = problem.compiled.get(key)
    if found is None:
        found = make()
    with _LOCK:
        problem.compiled.pop(key, None)
        problem.compiled[key] = found  # the latest last
        while len(problem.compiled) > _CACHE_LIMIT:
            problem.compiled.pop(next(iter(problem.compiled)))
    return found
