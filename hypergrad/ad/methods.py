"""The methods and attributes of ndarray on traced values, with NumPy's signatures.

What a traced value has none of (its bytes, its buffer, its numbers) is in `REFUSED`, with what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad import memory
from hypergrad.ad.layout import strided
from hypergrad.ad.numpy_inplace import Flat
from hypergrad.ad.tracer import Owned, Tracer, function_table, source_line
from hypergrad.errors import UnsupportedError

__all__ = ["REFUSED", "instead"]

_OUTSIDE = "return it from the function and do this outside"
REFUSED: dict[str, str] = {
    "base": "a traced value keeps track of the memory that it shares by itself",
    "byteswap": _OUTSIDE,
    "ctypes": _OUTSIDE,
    "data": _OUTSIDE,
    "dump": _OUTSIDE,
    "dumps": _OUTSIDE,
    "getfield": "use .astype, or a slice",
    "resize": "write np.resize(x, shape), which returns a new array, or x.reshape(shape)",
    "setfield": "use .astype, and assign with x[...] = value",
    "setflags": "traced arrays stay writable; hand out x.copy() instead",
    "tobytes": _OUTSIDE,
    "tofile": _OUTSIDE,
    "tostring": _OUTSIDE,
}


def instead(name: str) -> str:
    """What to do instead of using the attribute `name`."""
    return REFUSED.get(
        name,
        "write it with supported NumPy functions, or compute it outside the traced function and pass the result "
        "as data",
    )


def _delegate(name: str, place: int = 0) -> Callable[..., Any]:
    """The method that calls the NumPy function of its name, with the array as positional argument `place`."""
    function = getattr(np, name)

    def method(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        full = (*args[:place], self, *args[place:])
        if len(args) < place:  # x.compress(condition=c)
            full = (kwargs.pop("condition"), self, *args)
        return self.__array_function__(function, (), full, kwargs)

    method.__name__ = name
    return method


def _in_place(name: str) -> Callable[..., Any]:
    """The method that writes the result of the NumPy function of its name to the array: sort, partition."""
    function = getattr(np, name)

    def method(self: Tracer, *args: Any, **kwargs: Any) -> None:
        memory.writable(self, name)
        memory.write(self, self.__array_function__(function, (), (self, *args), kwargs), name)

    method.__name__ = name
    return method


def _astype(
    self: Tracer, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True, copy: bool = True
) -> Any:
    found = function_table["astype"](self, dtype, casting)
    if found is not self or not copy:
        return found
    fresh = memory.alias(self)
    if not self.shape and self.memory is not None:
        fresh.memory = Owned()
    return fresh


def _copy(self: Tracer, order: str = "C") -> Tracer:
    found = memory.copy(self)
    if order != "C" and isinstance(found.memory, Owned):
        found.memory.origin = self.atom
    return found


def _flatten(self: Tracer, order: str = "C") -> Any:
    return memory.alias(function_table[np.ravel](self, order=order))


def _reshape(self: Tracer, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    found = function_table[np.reshape](self, shape[0] if len(shape) == 1 else shape, order=order)
    if copy:
        return memory.copy(found)
    if copy is False and memory.owner(found) is not memory.owner(self):
        raise UnsupportedError(f"reshape with copy=False would have to copy, at {source_line()}")
    return found


def _transpose(self: Tracer, *axes: Any) -> Any:
    return function_table[np.transpose](self, axes[0] if len(axes) == 1 else axes or None)


def _dot(self: Tracer, b: Any, out: Any = None) -> Any:
    return self.__array_function__(np.dot, (), (self, b), {} if out is None else {"out": out})


def _fill(self: Tracer, value: Any) -> None:
    if np.ndim(value):
        raise UnsupportedError(f"fill takes one number, got shape {np.shape(value)}, at {source_line()}")
    memory.write(self, value, "fill")


def _view(self: Tracer, dtype: Any = None, type: Any = None) -> Tracer:
    if (dtype is not None and not (dtype is np.ndarray or dtype == self.dtype)) or type not in (
        None,
        np.ndarray,
    ):
        raise UnsupportedError(
            f"a traced value cannot be viewed as {dtype or type}, at {source_line()}; use .astype, which converts"
        )
    return self


def _to_device(self: Tracer, device: Any, /, *, stream: Any = None) -> Tracer:
    if device != "cpu":
        raise UnsupportedError(f"traced values are on the device 'cpu', not {device!r}, at {source_line()}")
    return self


def _known(name: str, what: str, instead: str) -> Callable[..., Any]:
    """A method that answers where the numbers are known, and raises a sentence elsewhere."""

    def method(self: Tracer, *args: Any) -> Any:
        known = self.known()
        return self._concrete(what, instead) if known is None else getattr(known, name)(*args)

    method.__name__ = name
    return method


class _Flags:
    """``x.flags``: the order of the entries, as NumPy would have it, and whether assignment is allowed."""

    __slots__ = ("_x",)

    def __init__(self, x: Tracer) -> None:
        object.__setattr__(self, "_x", x)

    @property
    def writeable(self) -> bool:
        try:
            memory.writable(self._x)
        except UnsupportedError:
            return False
        return True

    @property
    def owndata(self) -> bool:
        return memory.owner(self._x) is self._x

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(strided(self._x).flags, name)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key.lower())

    def __setattr__(self, name: str, value: Any) -> None:
        raise UnsupportedError(
            f"flags of a traced value cannot be set, at {source_line()}; {REFUSED['setflags']}"
        )

    __setitem__ = __setattr__


def _unsettable(name: str, instead: str) -> property:
    read = getattr(Tracer, name)

    def refuse(self: Tracer, value: Any) -> None:
        raise UnsupportedError(f"the {name} of a traced value cannot be set, at {source_line()}; {instead}")

    return property(read.fget, refuse, doc=read.__doc__)


def _real(self: Tracer) -> Any:
    return self if self.dtype.kind != "c" else self.__array_function__(np.real, (), (self,), {})


def _imag(self: Tracer) -> Any:
    if self.dtype.kind == "c":
        return self.__array_function__(np.imag, (), (self,), {})
    found = function_table[np.zeros_like](self)
    found.memory.access = "imaginary part of a real array"
    return found


def _set_real(self: Tracer, value: Any) -> None:
    memory.write(self, value + 1j * self.imag if self.dtype.kind == "c" else value, "real")


def _set_imag(self: Tracer, value: Any) -> None:
    if self.dtype.kind != "c":
        raise UnsupportedError(f"a real array has no imaginary part to set, at {source_line()}")
    memory.write(self, self.real + 1j * value, "imag")


def _set_flat(self: Tracer, value: Any) -> None:
    Flat(self)[:] = value


for _name in (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "choose", "clip", "cumprod", "cumsum", "diagonal",
    "max", "mean", "min", "prod", "put", "ravel", "repeat", "round", "searchsorted", "squeeze", "std", "sum",
    "swapaxes", "take", "trace", "var",
):  # fmt: skip
    setattr(Tracer, _name, _delegate(_name))
for _name in ("sort", "partition"):
    setattr(Tracer, _name, _in_place(_name))
for _name, _member in {
    "compress": _delegate("compress", 1),
    "astype": _astype,
    "copy": _copy,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "dot": _dot,
    "fill": _fill,
    "view": _view,
    "to_device": _to_device,
    "conj": lambda self: np.conjugate(self),
    "conjugate": lambda self: np.conjugate(self),
    "item": _known(
        "item", "as a Python number (.item())", "keep it an array, or return it from the function"
    ),
    "tolist": _known("tolist", "as a list (.tolist())", "keep it an array, or return it from the function"),
    "nonzero": _known(
        "nonzero", "by nonzero(), whose result has no fixed shape", "use np.where(condition, a, b)"
    ),
    "T": property(lambda self: function_table[np.transpose](self)),
    "mT": property(lambda self: function_table[np.swapaxes](self, -1, -2)),
    "real": property(_real, _set_real),
    "imag": property(_imag, _set_imag),
    "flat": property(Flat, _set_flat),
    "flags": property(_Flags),
    "strides": property(lambda self: tuple(n * self.itemsize for n in strided(self).strides)),
    "device": property(lambda self: "cpu"),
    "shape": _unsettable("shape", "write x = x.reshape(shape)"),
    "dtype": _unsettable("dtype", "write x = x.astype(dtype)"),
}.items():
    setattr(Tracer, _name, _member)
