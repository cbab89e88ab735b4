"""Tracer: what a traced function computes with, in the place of ndarrays.

It answers NumPy's protocols (``__array_ufunc__``, ``__array_function__``) from two tables, which
`hypergrad.ad.dispatch` fills, and refuses what would need its numbers in one sentence with the user's line.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import linecache
import operator
import os
import sys
import textwrap
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

import numpy as np

from hypergrad.ad.program import ArrayType, Atom, Const
from hypergrad.ad.refused import alternative
from hypergrad.errors import HypergradError, TracingError, UnsupportedError

__all__ = [
    "ARGUMENT",
    "Deferred",
    "Owned",
    "Tracer",
    "View",
    "function_table",
    "line_of_code",
    "rule_of",
    "source_line",
    "strong",
    "ufunc_table",
    "view_functions",
]

# Filled by hypergrad.ad.dispatch: NumPy object -> function of tracers; functions whose results share memory.
ufunc_table: dict[Any, Callable[..., Any]] = {}
function_table: dict[Any, Callable[..., Any]] = {}
view_functions: set[Any] = set()

# code that is not the user's: this package, and what may stand between the user's code and a tracer
_SITE = os.path.dirname(os.path.dirname(os.path.abspath(np.__file__)))
_FOREIGN = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep,
    *(os.path.join(_SITE, library) + os.sep for library in ("numpy", "scipy", "pandas")),
    *(os.path.abspath(str(module.__file__)) for module in (contextlib, functools)),
    "<hypergrad",
    "<__array_function__",
)


@functools.lru_cache(maxsize=4096)
def _is_foreign(filename: str) -> bool:
    return filename.startswith(_FOREIGN)


def _user_frame() -> FrameType | None:
    """The nearest frame of the user's code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_foreign(frame.f_code.co_filename):
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


class Deferred:
    """An operand that answers operators and ufuncs itself: entries selected by a traced mask."""


class Owned:
    """Memory of its own, of an array that has been written to, made to be written to, or must not be.

    Attributes:
        access: None where it may be written to, else why not.
        origin: the variable that the array first was, whose strides it keeps; None: C order.
        stamp: the time of the last write.
        maker: the trace during which it was copied; None: that of its first variable.
    """

    __slots__ = ("access", "maker", "origin", "stamp")
    source = None

    def __init__(
        self, access: str | None = None, origin: Atom | None = None, stamp: int = 0, maker: Any = None
    ):
        self.access = access
        self.origin = origin
        self.stamp = stamp
        self.maker = maker


class View:
    """The memory of another array, seen through a primitive such as a slice or a transposition.

    Attributes:
        source: the tracer that it is a view of.
        primitive, params, number: its value is output `number` of ``primitive(source; params)``; primitive
            None: it is ``params["derive"](source)``, which cannot be written to.
        stamp: the time at which the value was last taken from the source.
        owner: the tracer whose memory it is, once it has been found out (a reshape may have copied).
    """

    __slots__ = ("number", "owner", "params", "primitive", "source", "stamp")

    def __init__(self, source: Tracer, primitive: Any, params: dict[str, Any], number: int, stamp: int):
        self.source = source
        self.primitive = primitive
        self.params = params
        self.number = number
        self.stamp = stamp
        self.owner: Tracer | None = None


ARGUMENT = Owned("argument")  # of every argument of a traced function


class Tracer:
    """A value of known shape and dtype, without numbers, that records what is done to it.

    Attributes:
        builder: of the trace that it belongs to.
        atom: its variable at the moment (assignment changes it), or a constant that may be written to.
        memory: None for a fresh array (and for a number: 0-d results are immutable scalars, as NumPy's).
    """

    __slots__ = ("atom", "builder", "memory")
    __array_priority__ = 1000
    __pandas_priority__ = 10000

    def __init__(self, builder: Any, atom: Atom, memory: Owned | View | None = None) -> None:
        self.builder = builder
        self.atom = atom
        self.memory = memory

    def known(self) -> np.ndarray | None:
        """Its numbers, where they do not depend on what is traced (``np.zeros_like(x)``); else None."""
        if self.memory is not None:
            function_table["sync"](self)
        atom = self.atom
        return atom.value if type(atom) is Const and isinstance(atom.value, np.ndarray) else None

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

    def __copy__(self) -> Any:
        return function_table["copy"](self) if self.shape else self

    def __deepcopy__(self, memo: Any) -> Any:
        return self.__copy__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        what = "ndarray." + name if hasattr(np.ndarray, name) else name
        instead = function_table["instead"](name)
        raise _NoAttributeError(f"a traced value has no {what}, at {source_line()}; {instead}")

    # NumPy's protocols -------------------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for x in inputs:
            if isinstance(x, Deferred):
                return NotImplemented
        if method != "__call__" or kwargs:
            return function_table["ufunc"](ufunc, method, inputs, kwargs)
        return rule_of(ufunc)(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        rule = function_table.get(function)
        name = f"{getattr(function, '__module__', 'numpy')}.{getattr(function, '__name__', function)}"
        if rule is None:
            raise UnsupportedError(f"{name} has no derivative rule, at {source_line()}; {alternative(name)}")
        found = strong(_call(rule, name, args, kwargs))
        return (
            found
            if function in view_functions
            else function_table["result"](function, rule, found, args, kwargs)
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        known = self.known()
        if known is not None:
            array = np.array(known, dtype)
            array.flags.writeable = bool(copy)
            return array
        raise TracingError(
            f"a traced value ({self.type}) was to become a plain ndarray, at {source_line()}; "
            + ("" if self.type.dtype.kind in "fc" else "index a plain array as hg.array(array)[i], ")
            + "build arrays of traced values with hg.array([...]), np.stack, np.concatenate or np.ones(n) * value, "
            "make arrays that are assigned to (array[i] = value) with hg.zeros or hg.array(array), and use functions "
            "that dispatch (np.take_along_axis; a @ b for a.dot(b); hg.nn for scipy.special.logsumexp and softmax; "
            "nothing of scipy.linalg)"
        )

    def _concrete(self, what: str, instead: str) -> NoReturn:
        raise TracingError(f"a traced value ({self.type}) was used {what}, at {source_line()}; {instead}")

    def __bool__(self) -> bool:
        known = self.known()
        if known is not None:
            return bool(known)
        return self._concrete("as a condition (if, while, and, or, not)", "use np.where(condition, a, b)")

    def __float__(self) -> float:
        known = self.known()
        if known is not None:
            return float(known)
        return self._concrete(
            "as a Python float",
            "keep it an array (make arrays that it is assigned to with hg.zeros or hg.array), or return it from the "
            "function",
        )

    def __complex__(self) -> complex:
        known = self.known()
        if known is not None:
            return complex(known)
        return self._concrete("as a Python complex", "keep it an array, or return it from the function")

    def __int__(self) -> int:
        known = self.known()
        if known is not None:
            return int(known)
        return self._concrete("as a Python int", "keep it an array, or pass the number as static data")

    def __index__(self) -> int:
        known = self.known()
        if known is not None:
            return operator.index(known)
        return self._concrete(
            "as an index or a size",
            "index hg.array(sequence)[i] instead of a plain list or array, or pass the number as static data",
        )

    def __hash__(self) -> int:
        return self._concrete("as a key (hash)", "use static data as keys of dicts, sets and caches")

    def __reduce__(self) -> Any:
        return self._concrete("in a pickle", "return it from the function and store the result")

    def __round__(self, digits: int | None = None) -> Any:
        if digits is not None and not self.shape:
            return np.round(self, digits)
        return self._concrete("by round()", "use np.round")

    def __setitem__(self, index: Any, value: Any) -> None:
        function_table["setitem"](self, index, value)

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
        return function_table["operator"]("invert", self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self


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


def rule_of(ufunc: Any) -> Callable[..., Any]:
    """The rule of a ufunc on traced values.

    Raises:
        UnsupportedError: it has none.
    """
    rule = ufunc_table.get(ufunc) or ufunc_table.get(ufunc.__name__)
    if rule is None:
        raise UnsupportedError(
            f"{ufunc.__name__} has no derivative rule, at {source_line()}; {alternative(ufunc.__name__)}"
        )
    return rule


def _binary(name: str, swap: bool = False) -> Callable[..., Any]:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, Deferred):
            return NotImplemented
        pair = (other, self) if swap else (self, other)
        return function_table["operator"](name, *pair)

    return method


def _in_place(name: str) -> Callable[..., Any]:
    def method(self: Tracer, other: Any) -> Any:
        if isinstance(other, Deferred):
            return NotImplemented
        return function_table["inplace"](name, self, other)

    return method


for _operator, _ufunc in {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "pow": "power", "lshift": "left_shift", "rshift": "right_shift",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_operator}__", _binary(_ufunc))
    setattr(Tracer, f"__r{_operator}__", _binary(_ufunc, swap=True))
    setattr(Tracer, f"__i{_operator}__", _in_place(_ufunc))
for _operator, _ufunc in {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}.items():  # fmt: skip
    setattr(Tracer, f"__{_operator}__", _binary(_ufunc))
