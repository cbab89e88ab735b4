"""From a plain NumPy function to a Program, through ``__array_ufunc__`` and ``__array_function__``.

`trace` runs the function on Tracers; each operation on a Tracer appends one equation to the
Builder of the innermost trace that it touches. A Tracer of an enclosing trace is a constant
of the inner one, which is what makes derivatives nest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from hypergrad.ad.constants import Constants
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var
from hypergrad.ad.tracer import (
    ARGUMENT,
    Tracer,
    View,
    function_table,
    line_of_code,
    source_line,
    ufunc_table,
)
from hypergrad.errors import HypergradError, TracingError

__all__ = [
    "Builder",
    "Tracer",
    "as_argument",
    "bind",
    "function_table",
    "innermost",
    "is_traced",
    "source_line",
    "trace",
    "type_of",
    "ufunc_table",
]

_active = threading.local()


def _stack() -> list[Builder]:
    """The traces that are under way in this thread, the innermost last."""
    try:
        return _active.stack
    except AttributeError:
        _active.stack = []
        return _active.stack


def innermost() -> Builder | None:
    """The innermost trace that is under way in this thread."""
    stack = _stack()
    return stack[-1] if stack else None


class Builder:
    """Collects the equations of one trace.

    Attributes:
        level: depth of nesting; an operation belongs to the deepest trace among its operands.
        clock: counts the writes to traced arrays; shared with the enclosing traces.
        marks: the enclosing traces, with the number of equations that each had when this one began.
        where: source line given to new equations; None: look it up in the stack.
        branch: whether what is computed here may never run, so that nothing here is left to an enclosing trace.
    """

    def __init__(self, name: str = "program", branch: bool = False) -> None:
        self.name = name
        self.branch = branch
        stack = _stack()
        self.level = len(stack) + 1
        self.clock: list[int] = stack[-1].clock if stack else [0]
        self.marks: list[tuple[Builder, int]] = []
        self.constants: Constants | None = None  # while a user's function runs
        self.orders: dict[Var, tuple[int, ...]] = {}  # see hypergrad.ad.layout
        self.origins: dict[Atom, Atom | None] = {}
        self.ordered = 0
        self.makers: dict[Var, Equation] = {}  # see hypergrad.ad.selection
        self.indexed = 0
        self.equations: list[Equation] = []
        self.inputs: list[Var] = []
        self.open = True
        self.where: str | None = None

    def __enter__(self) -> Builder:
        stack = _stack()
        self.level = len(stack) + 1
        self.clock = stack[-1].clock if stack else self.clock
        self.marks = [(builder, len(builder.equations)) for builder in stack]
        stack.append(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: TracebackType | None) -> None:
        _stack().pop()
        self.open = False
        if not isinstance(error, ValueError | TypeError) or isinstance(error, HypergradError):
            return
        if isinstance(error.__cause__, HypergradError):
            raise error.__cause__ from None  # NumPy wraps what float(tracer) raises in array[i] = tracer
        if isinstance(error, TypeError) and "Tracer" in str(error):
            raise TracingError(
                f"a traced value cannot be used here ({error}), at {source_line(traceback)}; "
                "its number is not known yet"
            ) from error

    def input(self, type: ArrayType) -> Tracer:
        """A new input variable of the Program under construction."""
        var = Var(type)
        self.inputs.append(var)
        return Tracer(self, var, ARGUMENT if type.shape else None)

    def lift(self, value: Any) -> Atom:
        """The operand that stands for `value` here: a variable of this trace, or a constant."""
        if isinstance(value, Tracer):
            if value.memory is not None and value.builder.clock[0]:
                function_table["sync"](value)
            if value.builder is self:
                return value.atom
            value.builder.require_open()
            return Const(Tracer(value.builder, value.atom), value.atom.type)  # as it is now
        if self.constants is not None and isinstance(value, np.ndarray):
            value = self.constants.keep(value)
        return Const(value, type_of(value))

    def require_open(self) -> None:
        """Raise TracingError if the traced function has returned."""
        if not self.open:
            raise TracingError(
                f"a traced value outlived the function that it was traced in, at {source_line()}; "
                "return it from the function instead of storing it elsewhere"
            )

    def emit(self, primitive: Primitive, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append one equation; returns its output tracer (a tuple for a primitive with several)."""
        if not self.open:
            self.require_open()
        atoms = tuple([self.lift(value) for value in inputs])
        found = primitive.infer(*[atom.type for atom in atoms], **params)
        outputs: tuple[Atom, ...] | None = None
        for atom in atoms:
            if type(atom) is Var:
                break
        else:
            outputs = _folded(primitive, atoms, params)
        if outputs is None:
            variables = tuple([Var(kind) for kind in found]) if primitive.multiple else (Var(found),)
            where = line_of_code() if self.where is None else self.where
            self.equations.append(Equation(primitive, atoms, variables, params, where))
            outputs = variables
        if not primitive.view:
            if primitive.multiple:
                return tuple([Tracer(self, atom) for atom in outputs])
            return Tracer(self, outputs[0])
        source, now = inputs[0], self.clock[0]
        if not primitive.multiple:
            return Tracer(self, outputs[0], View(source, primitive, params, 0, now))
        return tuple(
            [Tracer(self, a, View(source, primitive, params, i, now)) for i, a in enumerate(outputs)]
        )

    def program(self, outputs: Sequence[Any]) -> Program:
        """The finished Program with the given tracers or arrays as outputs."""
        atoms = tuple(
            [self.lift(value) for value in outputs]
        )  # may emit equations: views of what was written to
        return Program(tuple(self.inputs), tuple(self.equations), atoms, self.name)


def _folded(primitive: Primitive, atoms: tuple[Atom, ...], params: dict[str, Any]) -> tuple[Atom, ...] | None:
    """The results of an operation on numbers that are known, such as ``np.zeros_like(x) + 1``."""
    values = [atom.value for atom in atoms if isinstance(atom, Const)]
    if any(isinstance(value, Tracer) for value in values):
        return None
    found = primitive.call(*values, **params)
    arrays = [np.asarray(value) for value in (found if primitive.multiple else (found,))]
    return tuple(Const(array, ArrayType(array.shape, array.dtype)) for array in arrays)


def is_traced(value: Any) -> bool:
    """Whether `value` is a tracer."""
    return isinstance(value, Tracer)


def as_argument(value: Any) -> Any:
    """A traced part of an argument, as an argument of the user's function: assignment to it is refused."""
    if not isinstance(value, Tracer):
        return value
    return Tracer(value.builder, value.atom, ARGUMENT if value.shape else None)


def type_of(value: Any) -> ArrayType:
    """The type of a tracer, an array or a Python number."""
    if isinstance(value, Tracer):
        return value.type
    if isinstance(value, np.ndarray | np.generic):
        return ArrayType(value.shape, value.dtype)
    array = np.asarray(value)
    return ArrayType(
        array.shape, array.dtype, weak=isinstance(value, int | float) and not isinstance(value, bool)
    )


def bind(primitive: Primitive, *inputs: Any, **params: Any) -> Any:
    """Apply a primitive: an equation where an input is traced, the NumPy call otherwise.

    Inputs are tracers, arrays and Python numbers; what is no tracer becomes an ndarray.
    """
    builder: Builder | None = None
    arrays: list[Any] = []
    for value in inputs:
        if isinstance(value, Tracer):
            if value.memory is not None and value.builder.clock[0]:
                function_table["sync"](value)
            if builder is None or value.builder.level > builder.level:
                builder = value.builder
            elif value.builder is not builder and value.builder.level == builder.level:
                value.builder.require_open()
                builder.require_open()
                raise TracingError(
                    f"{primitive.name} mixes values of two separate traces, at {source_line()}; "
                    "a traced value must stay in the function that it was traced in"
                )
            arrays.append(value)
        else:
            arrays.append(np.asarray(value))
    if builder is None:
        return primitive.call(*arrays, **params)
    for inner in _stack()[builder.level :]:
        if inner.branch:
            builder = inner
    return builder.emit(primitive, arrays, params)


def trace(
    function: Callable[..., Sequence[Any]],
    types: Sequence[ArrayType],
    name: str = "program",
    branch: bool = False,
) -> Program:
    """The Program of a function from arrays of the given types to a sequence of arrays.

    Args:
        branch: whether it may never run, so that all of its operations stay in it.

    Raises:
        TracingError: the function used a traced value where NumPy needs its number, or drew
            from NumPy's global random state, whose draws would be frozen into the Program.
    """
    with Builder(name, branch) as builder, user_code(name):
        return builder.program(function(*[builder.input(type) for type in types]))


class user_code:
    """A context in which a user's function is traced: raises TracingError for what tracing would freeze.

    That is a draw from NumPy's global random state, and a change to a large array that was captured.

    Args:
        name: of the function that is traced.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self._before = _random_state()
        *outer, builder = _stack()
        self._shared = next((b.constants for b in reversed(outer) if b.constants is not None), None)
        builder.constants = self._shared or Constants()
        self._builder = builder

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        constants, self._builder.constants = self._builder.constants, None
        if error is not None:
            return
        if self._shared is None and constants is not None:
            constants.check()
        if _random_state() != self._before:
            raise TracingError(
                f"{self.name} draws from NumPy's global random state while it is traced, at {source_line()}, "
                "which would freeze the draws into constants; pass random numbers, or a numpy.random.Generator "
                "made outside, as data"
            )


def _random_state() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002 - the state is read, not used
    inner = state["state"]
    key = inner.get("key")
    return (inner.get("pos"), None if key is None else (key[0], key[-1]), state["gauss"], state["has_gauss"])
