"""``numpy.fft`` and the parts of complex numbers, with NumPy's signatures, in terms of primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of, axis_list, integer, reject
from hypergrad.ad.primitives.complex import conj, imag, real
from hypergrad.ad.primitives.fft import fft_p, irfft_p, rfft_p
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.trace import bind, source_line
from hypergrad.errors import ShapeError

__all__ = ["FUNCTIONS"]

_SWAPPED = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _ready(a: Any, axis: Any, norm: Any, name: str) -> tuple[Any, int]:
    a = array_of(a)
    if norm not in _SWAPPED:
        raise ShapeError(
            f"np.fft.{name}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}, at {source_line()}"
        )
    return a if a.dtype.kind in "fc" else convert(a, float), axis_list(axis, a.ndim, f"np.fft.{name}")[0]


def _to_length(a: Any, n: Any, axis: int, name: str) -> Any:
    """The array cropped, or padded with zeros at the end, to length n along `axis`."""
    length = a.shape[axis]
    n = length if n is None else integer(n, f"np.fft.{name}: n")
    if n < 1:
        raise ShapeError(f"np.fft.{name}: {n} points, at {source_line()}; at least one is needed")
    if n < length:
        return a[(slice(None),) * axis + (slice(0, n),)]
    if n > length:
        pad = np.zeros((*a.shape[:axis], n - length, *a.shape[axis + 1 :]), a.dtype)
        return np.concatenate([a, pad], axis=axis)
    return a


def _fft(
    a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None, *, inverse: bool = False
) -> Any:
    name = "ifft" if inverse else "fft"
    reject(f"np.fft.{name}", out=(out, None))
    a, place = _ready(a, axis, norm, name)
    return bind(fft_p, _to_length(a, n, place, name), axis=place, inverse=inverse, norm=norm)


def _ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    return _fft(a, n, axis, norm, out, inverse=True)


def _rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    reject("np.fft.rfft", out=(out, None))
    a, place = _ready(a, axis, norm, "rfft")
    if a.dtype.kind == "c":
        raise ShapeError(f"np.fft.rfft takes real numbers, at {source_line()}; use np.fft.fft")
    return bind(rfft_p, _to_length(a, n, place, "rfft"), axis=place, norm=norm)


def _irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    reject("np.fft.irfft", out=(out, None))
    a, place = _ready(a, axis, norm, "irfft")
    n = 2 * (a.shape[place] - 1) if n is None else integer(n, "np.fft.irfft: n")
    if n < 1:
        raise ShapeError(f"np.fft.irfft: {n} points, at {source_line()}; at least one is needed")
    a = convert(a, np.result_type(a.dtype, np.complex64))
    return bind(irfft_p, _to_length(a, n // 2 + 1, place, "irfft"), n=n, axis=place, norm=norm)


def _hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    return _irfft(conj(array_of(a)), n, axis, _SWAPPED.get(norm, norm), out)


def _ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    return conj(_rfft(a, n, axis, _SWAPPED.get(norm, norm), out))


def _lengths(a: Any, s: Any, axes: Any, name: str) -> tuple[list[Any], tuple[int, ...]]:
    """Length and number of each transformed axis; the last length of an inverse real transform may be None."""
    for option, value in (("s", s), ("axes", axes)):
        if value is not None and not isinstance(value, tuple | list | range | np.ndarray):
            raise ShapeError(f"np.fft.{name}: {option} must be a tuple, got {value!r}, at {source_line()}")
    if axes is None:
        axes = range(-(a.ndim if s is None else len(s)), 0)
    places = [axis_list(axis, a.ndim, f"np.fft.{name}")[0] for axis in axes]
    if not places and "r" in name:
        raise ShapeError(f"np.fft.{name} of no axes, at {source_line()}; at least one is needed")
    if s is None:
        last = [None] if name.startswith("irfft") else [-1]
        s = [-1] * (len(places) - 1) + last * bool(places)
    if len(s) != len(places):
        raise ShapeError(f"np.fft.{name}: {len(s)} lengths for {len(places)} axes, at {source_line()}")
    return [a.shape[p] if n == -1 else n for n, p in zip(s, places, strict=True)], tuple(places)


def _fftn(name: str, transform: Callable[..., Any], default: Any = None) -> Callable[..., Any]:
    def rule(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        reject(f"np.fft.{name}", out=(out, None))
        a = array_of(a)
        sizes, places = _lengths(a, s, axes, name)
        for n, place in list(zip(sizes, places, strict=True))[::-1]:
            a = transform(a, n, place, norm)
        return a

    return rule


def _rfftn(name: str, default: Any = None) -> Callable[..., Any]:
    def rule(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        reject(f"np.fft.{name}", out=(out, None))
        a = array_of(a)
        sizes, places = _lengths(a, s, axes, name)
        a = _rfft(a, sizes[-1], places[-1], norm)
        for n, place in list(zip(sizes, places, strict=True))[-2::-1]:
            a = _fft(a, n, place, norm)
        return a

    return rule


def _irfftn(name: str, default: Any = None) -> Callable[..., Any]:
    def rule(a: Any, s: Any = None, axes: Any = default, norm: Any = None, out: Any = None) -> Any:
        reject(f"np.fft.{name}", out=(out, None))
        a = array_of(a)
        sizes, places = _lengths(a, s, axes, name)
        for n, place in list(zip(sizes, places, strict=True))[:-1]:
            a = _ifft(a, n, place, norm)
        return _irfft(a, sizes[-1], places[-1], norm)

    return rule


def _shift(sign: int) -> Callable[..., Any]:
    def rule(x: Any, axes: Any = None) -> Any:
        x = array_of(x)
        items = range(x.ndim) if axes is None else axes if isinstance(axes, tuple | list) else (axes,)
        for axis in items:
            place = axis_list(axis, x.ndim, "np.fft.fftshift")[0]
            x = np.roll(x, sign * (x.shape[place] // 2), place)
        return x

    return rule


def _angle(z: Any, deg: bool = False) -> Any:
    z = array_of(z)
    a = np.arctan2(imag(z), real(z))
    return a * (180 / np.pi) if deg else a


def _real_if_close(a: Any, tol: Any = 100) -> Any:
    a = array_of(a)
    if a.dtype.kind != "c":
        return a
    raise ShapeError(
        f"np.real_if_close decides by numbers that are not known when tracing, at {source_line()}; use np.real"
    )


def _sort_out(test: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda x: test(array_of(x))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.fft.fft: _fft,
    np.fft.ifft: _ifft,
    np.fft.rfft: _rfft,
    np.fft.irfft: _irfft,
    np.fft.hfft: _hfft,
    np.fft.ihfft: _ihfft,
    np.fft.fft2: _fftn("fft2", _fft, (-2, -1)),
    np.fft.ifft2: _fftn("ifft2", _ifft, (-2, -1)),
    np.fft.fftn: _fftn("fftn", _fft),
    np.fft.ifftn: _fftn("ifftn", _ifft),
    np.fft.rfft2: _rfftn("rfft2", (-2, -1)),
    np.fft.rfftn: _rfftn("rfftn"),
    np.fft.irfft2: _irfftn("irfft2", (-2, -1)),
    np.fft.irfftn: _irfftn("irfftn"),
    np.fft.fftshift: _shift(1),
    np.fft.ifftshift: _shift(-1),
    np.real: lambda val: real(array_of(val)),
    np.imag: lambda val: imag(array_of(val)),
    np.angle: _angle,
    np.real_if_close: _real_if_close,
    np.iscomplex: _sort_out(lambda x: imag(x) != 0),
    np.isreal: _sort_out(lambda x: imag(x) == 0),
    np.iscomplexobj: _sort_out(lambda x: x.dtype.kind == "c"),
    np.isrealobj: _sort_out(lambda x: x.dtype.kind != "c"),
    np.isposinf: lambda x, out=None: array_of(x) == np.inf,
    np.isneginf: lambda x, out=None: array_of(x) == -np.inf,
}
