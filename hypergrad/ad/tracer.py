"""Tracer: what a traced function computes with, in the place of ndarrays.

It answers NumPy's protocols (``__array_ufunc__``, ``__array_function__``) from two tables, which
`hypergrad.ad.dispatch` fills, and refuses what would need its numbers in one sentence with the user's line.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import linecache
import os
import sys
import textwrap
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

import numpy as np

from hypergrad.ad.program import ArrayType, Var
from hypergrad.errors import HypergradError, TracingError, UnsupportedError

__all__ = ["Tracer", "function_table", "line_of_code", "source_line", "strong", "ufunc_table"]

# Filled by hypergrad.ad.dispatch: NumPy object -> function of tracers.
ufunc_table: dict[Any, Callable[..., Any]] = {}
function_table: dict[Any, Callable[..., Any]] = {}

# code that is not the user's: this package, and what may stand between the user's code and a tracer
_SITE = os.path.dirname(os.path.dirname(os.path.abspath(np.__file__)))
_FOREIGN = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    *(os.path.join(_SITE, library) + os.sep for library in ("numpy", "scipy", "pandas")),
    *(os.path.abspath(str(module.__file__)) for module in (contextlib, functools)),
    "<hypergrad",
    "<__array_function__",
)


def _user_frame() -> FrameType | None:
    """The nearest frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_FOREIGN):
        frame = frame.f_back
    return frame


def source_line(traceback: TracebackType | None = None) -> str:
    """``file:line `code` `` of the user's code: the nearest caller, or the deepest line of a traceback."""
    frame = _user_frame()
    place = None if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        place = place if name.startswith(_FOREIGN) else (name, traceback.tb_lineno)
        traceback = traceback.tb_next
    if place is None:
        return "an unknown line"
    code = textwrap.shorten(linecache.getline(*place).strip(), 100, placeholder=" ...")
    return f"{place[0]}:{place[1]}" + (f" `{code}`" if code else "")


def line_of_code() -> str:
    """``file:line`` of the user's code, short enough for printed Programs."""
    frame = _user_frame()
    return "" if frame is None else f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


class Tracer:
    """A value of known shape and dtype, without numbers, that records what is done to it."""

    __slots__ = ("atom", "builder")
    __array_priority__ = 1000
    __pandas_priority__ = 10000

    def __init__(self, builder: Any, atom: Var) -> None:
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
    def itemsize(self) -> int:
        return self.atom.type.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def T(self) -> Any:
        return function_table[np.transpose](self)

    @property
    def mT(self) -> Any:
        return function_table[np.swapaxes](self, -1, -2)

    @property
    def real(self) -> Tracer:
        return self

    def __len__(self) -> int:
        if not self.shape:
            raise TracingError(f"len() of a traced value without axes, at {source_line()}")
        return self.shape[0]

    def __iter__(self) -> Any:
        if not self.shape:
            raise TracingError(f"iteration over a traced value without axes, at {source_line()}")
        return (self[i] for i in range(self.shape[0]))

    def __repr__(self) -> str:
        return f"Tracer<{self.type}>"

    def __format__(self, spec: str) -> str:
        return (
            self._concrete(f"in a format string (:{spec})", "print the result outside")
            if spec
            else repr(self)
        )

    def __copy__(self) -> Tracer:
        return self

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        what = "ndarray." + name if hasattr(np.ndarray, name) else name
        raise _NoAttributeError(
            f"a traced value has no {what}, at {source_line()}; write it with supported NumPy functions, "
            "or compute it outside the traced function and pass the result as data"
        )

    # NumPy's protocols -------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "reduce":
            reduction = function_table.get((ufunc, "reduce"))
            if reduction is not None:
                return _call(reduction, f"{ufunc.__name__}.reduce", inputs, kwargs)
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
                f"{ufunc.__name__} cannot write a traced value into an array (out= or an in-place operator on "
                f"an ndarray), at {source_line()}; write `a = a + b` instead"
            )
        if kwargs:
            raise UnsupportedError(
                f"{ufunc.__name__} does not take {', '.join(f'{k}=' for k in kwargs)} on a traced value, "
                f"at {source_line()}; use np.where or .astype"
            )
        return rule(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = function_table.get(function)
        name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
        if rule is None:
            raise UnsupportedError(
                f"{name} has no derivative rule, at {source_line()}; write it with supported functions, "
                "or compute it outside the differentiated function and pass the result as data"
            )
        return strong(_call(rule, name, args, kwargs))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TracingError(
            f"a traced value ({self.type}) was to become a plain ndarray, at {source_line()}; "
            "build arrays of traced values with np.stack, np.concatenate or np.ones(n) * value, index a plain "
            "array with np.take_along_axis or pass it as an argument too, and use functions that dispatch "
            "(a @ b for a.dot(b); hg.nn for scipy.special.logsumexp and softmax; nothing of scipy.linalg)"
        )

    def _concrete(self, what: str, instead: str) -> NoReturn:
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
            "index an array that is traced too, write np.take_along_axis, or pass the number as static data",
        )

    def __hash__(self) -> int:
        return self._concrete("as a key (hash)", "use static data as keys of dicts, sets and caches")

    def __reduce__(self) -> Any:
        return self._concrete("in a pickle", "return it from the function and store the result")

    def __round__(self, digits: int | None = None) -> Any:
        return self._concrete("by round()", "use np.round")

    def item(self, *args: Any) -> Any:
        return self._concrete(
            "as a Python number (.item())", "keep it an array, or return it from the function"
        )

    def tolist(self) -> Any:
        return self._concrete("as a list (.tolist())", "keep it an array, or return it from the function")

    def __setitem__(self, index: Any, value: Any) -> None:
        raise UnsupportedError(
            f"a traced value cannot be assigned to in place, at {source_line()}; "
            "use np.where, np.concatenate or np.stack"
        )

    def __getitem__(self, index: Any) -> Any:
        return function_table["getitem"](self, index)

    # Operators: like the ufunc, but what stems from Python numbers alone stays weak (NEP 50) -----
    def __neg__(self) -> Any:
        return function_table["operator"]("negative", self)

    def __pos__(self) -> Any:
        return function_table["operator"]("positive", self)

    def __abs__(self) -> Any:
        return function_table["operator"]("absolute", self)

    def __invert__(self) -> Any:
        return np.invert(self)

    def __pow__(self, other: Any) -> Any:
        return function_table["operator"]("power", self, _operand(other))

    def __rpow__(self, other: Any) -> Any:
        return function_table["operator"]("power", _operand(other), self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    # Methods -----------------------------------------------------------------------------------
    def astype(self, dtype: Any, order: str = "K", casting: str = "unsafe", **kwargs: Any) -> Any:
        return function_table["astype"](self, dtype, casting)

    def copy(self, order: str = "C") -> Tracer:
        return self

    def flatten(self, order: str = "C") -> Any:
        return function_table[np.ravel](self, order=order)

    def reshape(self, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
        return function_table[np.reshape](self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return function_table[np.transpose](self, axes[0] if len(axes) == 1 else axes or None)

    def conj(self) -> Any:
        return np.conjugate(self)

    def conjugate(self) -> Any:
        return np.conjugate(self)

    def dot(self, other: Any) -> Any:
        return function_table[np.dot](self, other)


def strong(value: Any) -> Any:
    """`value`, without the weakness of what stems from Python numbers: functions of NumPy return arrays."""
    if isinstance(value, Tracer) and value.type.weak:
        return function_table["astype"](value, value.dtype)
    return value


class _NoAttributeError(UnsupportedError, AttributeError):
    """An attribute of ndarray that a traced value does not have."""


def _call(rule: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """``rule(*args, **kwargs)``, with a sentence where the rule has no such parameters."""
    try:
        return rule(*args, **kwargs)
    except TypeError as error:
        if isinstance(error, HypergradError):
            raise
        try:
            inspect.signature(rule).bind(*args, **kwargs)
        except TypeError as misfit:
            raise UnsupportedError(
                f"{name} does not take these arguments on a traced value ({misfit}), at {source_line()}"
            ) from None
        raise


def _operand(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, str | list | dict | tuple) else value


def _binary(name: str, swap: bool = False) -> Callable[..., Any]:
    def method(self: Tracer, other: Any) -> Any:
        other = _operand(other)
        pair = (other, self) if swap else (self, other)
        return function_table["operator"](name, *pair)

    return method


def _method(name: str) -> Callable[..., Any]:
    function = getattr(np, name)

    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        return self.__array_function__(function, (), (self, *args), kwargs)

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
    "ravel", "squeeze", "swapaxes", "clip", "repeat", "take", "trace", "diagonal", "round",
):  # fmt: skip
    setattr(Tracer, _name, _method(_name))
