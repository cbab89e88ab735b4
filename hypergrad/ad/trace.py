"""From a plain NumPy function to a Program, through ``__array_ufunc__`` and ``__array_function__``.

`trace` runs the function on Tracers; each operation on a Tracer appends one equation to the
Builder of the innermost trace that it touches. A Tracer of an enclosing trace is a constant
of the inner one, which is what makes derivatives nest.
"""

from __future__ import annotations

import linecache
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Primitive, Program, Var
from hypergrad.errors import TracingError, UnsupportedError

__all__ = [
    "Builder",
    "Tracer",
    "bind",
    "function_table",
    "is_traced",
    "source_line",
    "trace",
    "type_of",
    "ufunc_table",
]

# Filled by hypergrad.ad.dispatch: NumPy object -> function of tracers.
ufunc_table: dict[Any, Callable[..., Any]] = {}
function_table: dict[Any, Callable[..., Any]] = {}

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_depth = threading.local()


def source_line() -> str:
    """``file:line `code` `` of the nearest caller that is neither hypergrad nor NumPy."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_PACKAGE, _NUMPY, "<hypergrad")):
            code = textwrap.shorten(linecache.getline(name, frame.f_lineno).strip(), 100, placeholder=" ...")
            return f"{name}:{frame.f_lineno}" + (f" `{code}`" if code else "")
        frame = frame.f_back  # type: ignore[assignment]
    return "an unknown line"


def _where() -> str:
    """``file:line`` of the user's code, short enough for printed Programs."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_PACKAGE, _NUMPY, "<hypergrad")):
            return f"{os.path.basename(name)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class Builder:
    """Collects the equations of one trace.

    Attributes:
        level: depth of nesting; an operation belongs to the deepest trace among its operands.
        where: source line given to new equations; None: look it up in the stack.
    """

    def __init__(self, name: str = "program") -> None:
        self.name = name
        self.level = getattr(_depth, "value", 0) + 1
        self.equations: list[Equation] = []
        self.inputs: list[Var] = []
        self.open = True
        self.where: str | None = None

    def __enter__(self) -> Builder:
        self.level = getattr(_depth, "value", 0) + 1
        _depth.value = self.level
        return self

    def __exit__(self, *exc: object) -> None:
        _depth.value = self.level - 1
        self.open = False

    def input(self, type: ArrayType) -> Tracer:
        """A new input variable of the Program under construction."""
        var = Var(type)
        self.inputs.append(var)
        return Tracer(self, var)

    def lift(self, value: Any) -> Atom:
        """The operand that stands for `value` here: a variable of this trace, or a constant."""
        if isinstance(value, Tracer) and value.builder is self:
            return value.atom
        return Const(value, type_of(value))

    def emit(self, primitive: Primitive, inputs: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append one equation; returns its output tracer (a tuple for a primitive with several)."""
        if not self.open:
            raise TracingError(
                f"a traced value outlived the function that it was traced in, at {source_line()}; "
                "return it from the function instead of storing it elsewhere"
            )
        atoms = tuple(self.lift(value) for value in inputs)
        outputs = tuple(Var(type) for type in primitive.types([atom.type for atom in atoms], params))
        where = _where() if self.where is None else self.where
        self.equations.append(Equation(primitive, atoms, outputs, params, where))
        if primitive.multiple:
            return tuple(Tracer(self, var) for var in outputs)
        return Tracer(self, outputs[0])

    def program(self, outputs: Sequence[Any]) -> Program:
        """The finished Program with the given tracers or arrays as outputs."""
        return Program(
            tuple(self.inputs), tuple(self.equations), tuple(self.lift(value) for value in outputs), self.name
        )


def is_traced(value: Any) -> bool:
    """Whether `value` is a tracer."""
    return isinstance(value, Tracer)


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
    arrays = []
    for value in inputs:
        if isinstance(value, Tracer):
            if builder is None or value.builder.level > builder.level:
                builder = value.builder
            arrays.append(value)
        else:
            arrays.append(np.asarray(value))
    if builder is None:
        return primitive.call(*arrays, **params)
    return builder.emit(primitive, arrays, params)


def trace(
    function: Callable[..., Sequence[Any]], types: Sequence[ArrayType], name: str = "program"
) -> Program:
    """The Program of a function from arrays of the given types to a sequence of arrays.

    Raises:
        TracingError: the function used a traced value where NumPy needs its number, or drew
            from NumPy's global random state, whose draws would be frozen into the Program.
    """
    builder = Builder(name)
    before = _random_state()
    with builder:
        outputs = function(*[builder.input(type) for type in types])
        if _random_state() != before:
            raise TracingError(
                f"{name} draws from NumPy's global random state while it is traced, which would freeze the draws "
                "into constants; pass random numbers, or a numpy.random.Generator made outside, as data"
            )
        return builder.program(outputs)


def _random_state() -> tuple[Any, ...]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002 - the state is read, not used
    inner = state["state"]
    key = inner.get("key")
    return (inner.get("pos"), None if key is None else (key[0], key[-1]), state["gauss"], state["has_gauss"])


class Tracer:
    """A value of known shape and dtype, without numbers, that records what is done to it."""

    __slots__ = ("atom", "builder")
    __array_priority__ = 1000
    __pandas_priority__ = 10000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: Builder, atom: Var) -> None:
        self.builder = builder
        self.atom = atom

    # What an array tells of itself -------------------------------------------------------------
    @property
    def type(self) -> ArrayType:
        return self.atom.type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.atom.type.shape

    @property
    def dtype(self) -> np.dtype:
        return self.atom.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.atom.type.shape)

    @property
    def size(self) -> int:
        return self.atom.type.size

    @property
    def T(self) -> Any:
        return np.transpose(self)  # type: ignore[call-overload]

    @property
    def mT(self) -> Any:
        return np.swapaxes(self, -1, -2)  # type: ignore[call-overload]

    @property
    def real(self) -> Tracer:
        return self

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced value without axes")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TypeError(f"iteration over a traced value without axes, at {source_line()}")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"Tracer<{self.type}>"

    # NumPy's protocols -------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce":
            reduction = function_table.get((ufunc, "reduce"))
            if reduction is not None:
                axis = kwargs.pop("axis", 0)
                return reduction(*inputs, axis=axis, **kwargs)
        rule = ufunc_table.get(ufunc) or ufunc_table.get(ufunc.__name__)
        if rule is None or method != "__call__":
            shown = ufunc.__name__ + ("" if method == "__call__" else f".{method}")
            raise UnsupportedError(
                f"{shown} has no derivative rule, at {source_line()}; write it with supported functions, "
                "or compute it outside the differentiated function and pass the result as data"
            )
        out = kwargs.pop("out", None)
        if out is not None:
            raise UnsupportedError(
                f"{ufunc.__name__} cannot write a traced value into an array (out= or an in-place operator on an "
                f"ndarray), at {source_line()}; write `a = a + b` instead"
            )
        if kwargs:
            raise UnsupportedError(
                f"{ufunc.__name__} does not take {', '.join(f'{k}=' for k in kwargs)} on a traced value, "
                f"at {source_line()}; use np.where or .astype"
            )
        return rule(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = function_table.get(function)
        if rule is None:
            name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
            raise UnsupportedError(
                f"{name} has no derivative rule, at {source_line()}; write it with supported functions, "
                "or compute it outside the differentiated function and pass the result as data"
            )
        return rule(*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TracingError(
            f"a traced value ({self.type}) was to become a plain ndarray, at {source_line()}; build arrays of traced "
            "values with np.stack or np.concatenate, and use NumPy functions that dispatch "
            "(hg.nn has logsumexp, softmax and log_softmax; scipy.linalg cannot be traced)"
        )

    def _concrete(self, what: str, instead: str) -> Any:
        raise TracingError(f"a traced value ({self.type}) was used {what}, at {source_line()}; {instead}")

    def __bool__(self) -> bool:
        return self._concrete("as a condition (if, while, and, or, not)", "use np.where(condition, a, b)")

    def __float__(self) -> float:
        return self._concrete("as a Python float", "keep it an array, or return it from the function")

    def __complex__(self) -> complex:
        return self._concrete("as a Python complex", "keep it an array, or return it from the function")

    def __int__(self) -> int:
        return self._concrete("as a Python int", "keep it an array, or pass the number as static data")

    def __index__(self) -> int:
        return self._concrete(
            "as an index or a size",
            "index another traced array, write np.take(array, index), or pass the size as static data",
        )

    def item(self, *args: Any) -> Any:
        return self._concrete(
            "as a Python number (.item())", "keep it an array, or return it from the function"
        )

    def tolist(self) -> Any:
        return self._concrete("as a list (.tolist())", "keep it an array, or return it from the function")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise UnsupportedError(
            f"a traced value cannot be assigned to in place, at {source_line()}; use np.where, np.concatenate or np.stack"
        )

    def __getitem__(self, index: Any) -> Any:
        return function_table["getitem"](self, index)

    # Operators ---------------------------------------------------------------------------------
    def __neg__(self) -> Any:
        return np.negative(self)

    def __pos__(self) -> Any:
        return np.positive(self)

    def __abs__(self) -> Any:
        return np.absolute(self)

    def __invert__(self) -> Any:
        return np.invert(self)

    def __pow__(self, other: Any) -> Any:
        return function_table["operator"]("power", self, other)

    def __rpow__(self, other: Any) -> Any:
        return function_table["operator"]("power", other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    # Methods -----------------------------------------------------------------------------------
    def astype(self, dtype: Any, **kwargs: Any) -> Any:
        return function_table["astype"](self, dtype)

    def copy(self, order: str = "C") -> Tracer:
        return self

    def flatten(self, order: str = "C") -> Any:
        return np.ravel(self, order=order)  # type: ignore[call-overload]

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        target = shape[0] if len(shape) == 1 else shape
        return np.reshape(self, target, order=order)  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        if not axes or axes == (None,):
            return np.transpose(self)  # type: ignore[call-overload]
        return np.transpose(self, axes[0] if len(axes) == 1 else axes)  # type: ignore[call-overload]

    def dot(self, other: Any) -> Any:
        return np.dot(self, other)  # type: ignore[call-overload]


def _binary(name: str, swap: bool = False) -> Callable[..., Any]:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, str | list | dict | tuple) and not isinstance(other, np.ndarray):
            other = np.asarray(other)
        pair = (other, self) if swap else (self, other)
        return function_table["operator"](name, *pair)

    return method


def _method(name: str) -> Callable[..., Any]:
    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return getattr(np, name)(self, *args, **kwargs)

    method.__name__ = name
    return method


for _operator, _ufunc in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_operator}__", _binary(_ufunc))
    setattr(Tracer, f"__r{_operator}__", _binary(_ufunc, swap=True))
for _operator, _ufunc in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_operator}__", _binary(_ufunc))
for _name in (
    "sum", "mean", "var", "std", "max", "min", "prod", "any", "all", "argmax", "argmin", "cumsum",
    "ravel", "squeeze", "swapaxes", "clip", "repeat", "take", "trace", "diagonal", "round", "conj",
):  # fmt: skip
    setattr(Tracer, _name, _method(_name))
