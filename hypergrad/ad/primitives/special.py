"""Ufuncs of scipy.special, by name: importing hypergrad does not import SciPy.

Notation: out = f(x, y), partials[i] the derivative by operand i, None where it is not known (and it must not move).
Sources: Abramowitz & Stegun 6, 7, 9; DLMF 5, 7, 8, 10. At removable points the limit is taken: xlogy and rel_entr
have slope log y, or 0 where that is 0 log 0; i1 and j1 have slope 1/2 at 0.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad.ad.options import array_of
from hypergrad.ad.primitives.elementwise import broadcast_shape, expit_p, select
from hypergrad.ad.primitives.linear import convert, match
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import Tracer, bind, type_of
from hypergrad.errors import DerivativeError

__all__ = ["SPECIAL", "UFUNCS"]

SPECIAL: dict[str, Primitive] = {}
Partial = Callable[..., Any]


def _call(name: str) -> Callable[..., Any]:
    def call(*arrays: Any) -> Any:
        found = getattr(importlib.import_module("scipy.special"), name)(*arrays)
        return np.asarray(found, arrays[0].dtype)

    return call


def _define(name: str, *partials: Partial | None) -> None:
    def jvp(out: Any, tangents: Any, inputs: Any) -> Any:
        total = None
        for number, (t, partial) in enumerate(zip(tangents, partials, strict=True)):
            if t is None:
                continue
            if partial is None:
                raise DerivativeError(
                    f"scipy.special.{name} has no derivative by its operand {number + 1}; wrap it in hg.stop_gradient"
                )
            term = t * partial(out, *inputs)
            total = term if total is None else total + term
        return None if total is None else match(total, type_of(out))

    def infer(*types: ArrayType) -> ArrayType:
        return ArrayType(broadcast_shape([t.shape for t in types], name), types[0].dtype)

    SPECIAL[name] = Primitive(name, infer, _call(name), jvp)


def _f(name: str, *operands: Any) -> Any:
    """A special function of operands of one dtype."""
    return bind(SPECIAL[name], *operands)


def _apply(primitive: Primitive) -> Callable[..., Any]:
    def rule(*operands: Any) -> Any:
        arrays = [array_of(x) if not isinstance(x, int | float) else x for x in operands]
        kinds = [float if isinstance(x, int | float) else x.dtype for x in arrays]
        dtype = np.result_type(*(k if k is not float else 0.0 for k in kinds))
        dtype = dtype if dtype.kind == "f" and dtype.itemsize >= 4 else np.dtype(float)
        return bind(
            primitive, *(convert(x, dtype) if isinstance(x, Tracer) else np.asarray(x, dtype) for x in arrays)
        )

    return rule


_ROOT_PI, _ROOT_2PI = float(np.sqrt(np.pi)), float(np.sqrt(2.0 * np.pi))


def _safe(x: Any) -> Any:
    return select(x != 0, x, 1.0)


def _log_or_zero(x: Any, y: Any) -> Any:
    """log y, and 0 where x = y = 0."""
    both = (x == 0) & (y == 0)
    return select(both, 0.0, np.log(select(both, 1.0, y)))


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 where x = 0."""
    return select(x == 0, 0.0, x / select(x == 0, 1.0, y))


def _gaussian(x: Any) -> Any:
    return np.exp(-0.5 * x * x) / _ROOT_2PI


_PARTIALS: dict[str, list[Partial | None]] = {
    "erf": [lambda out, x: np.exp(-x * x) * (2.0 / _ROOT_PI)],
    "erfc": [lambda out, x: np.exp(-x * x) * (-2.0 / _ROOT_PI)],
    "erfcx": [lambda out, x: 2.0 * x * out - 2.0 / _ROOT_PI],
    "erfinv": [lambda out, x: np.exp(out * out) * (0.5 * _ROOT_PI)],
    "erfcinv": [lambda out, x: np.exp(out * out) * (-0.5 * _ROOT_PI)],
    "ndtr": [lambda out, x: _gaussian(x)],
    "log_ndtr": [lambda out, x: np.exp(-0.5 * x * x - out) / _ROOT_2PI],
    "ndtri": [lambda out, x: np.exp(0.5 * out * out) * _ROOT_2PI],
    "logit": [lambda out, x: 1.0 / (x * (1.0 - x))],
    "log_expit": [lambda out, x: bind(expit_p, -x)],
    "gammaln": [lambda out, x: _f("psi", x)],
    "gamma": [lambda out, x: out * _f("psi", x)],
    "rgamma": [lambda out, x: -out * _f("psi", x)],
    "psi": [lambda out, x: _f("zeta", np.full((), 2.0, x.dtype), x)],
    "zeta": [None, lambda out, s, x: -s * _f("zeta", s + 1.0, x)],
    "beta": [
        lambda out, a, b: out * (_f("psi", a) - _f("psi", a + b)),
        lambda out, a, b: out * (_f("psi", b) - _f("psi", a + b)),
    ],
    "betaln": [
        lambda out, a, b: _f("psi", a) - _f("psi", a + b),
        lambda out, a, b: _f("psi", b) - _f("psi", a + b),
    ],
    "gammainc": [None, lambda out, a, x: np.exp(_f("xlogy", a - 1.0, x) - x - _f("gammaln", a))],
    "gammaincc": [None, lambda out, a, x: -np.exp(_f("xlogy", a - 1.0, x) - x - _f("gammaln", a))],
    "xlogy": [lambda out, x, y: _log_or_zero(x, y), lambda out, x, y: _ratio(x, y)],
    "xlog1py": [lambda out, x, y: np.log1p(y), lambda out, x, y: _ratio(x, 1.0 + y)],
    "entr": [lambda out, x: -np.log(x) - 1.0],
    "rel_entr": [lambda out, x, y: np.log(x / y) + 1.0, lambda out, x, y: -_ratio(x, y)],
    "kl_div": [lambda out, x, y: np.log(x / y), lambda out, x, y: 1.0 - _ratio(x, y)],
    "i0": [lambda out, x: _f("i1", x)],
    "i1": [lambda out, x: _f("i0", x) - select(x != 0, out / _safe(x), 0.5)],
    "i0e": [lambda out, x: _f("i1e", x) - np.sign(x) * out],
    "i1e": [lambda out, x: _f("i0e", x) - np.sign(x) * out - select(x != 0, out / _safe(x), 0.5)],
    "j0": [lambda out, x: -_f("j1", x)],
    "j1": [lambda out, x: _f("j0", x) - select(x != 0, out / _safe(x), 0.5)],
    "y0": [lambda out, x: -_f("y1", x)],
    "y1": [lambda out, x: _f("y0", x) - out / x],
    "k0": [lambda out, x: -_f("k1", x)],
    "k1": [lambda out, x: -_f("k0", x) - out / x],
    "expi": [lambda out, x: np.exp(x) / x],
    "exp1": [lambda out, x: -np.exp(-x) / x],
    "jv": [None, lambda out, v, x: 0.5 * (_f("jv", v - 1.0, x) - _f("jv", v + 1.0, x))],
    "yv": [None, lambda out, v, x: 0.5 * (_f("yv", v - 1.0, x) - _f("yv", v + 1.0, x))],
    "iv": [None, lambda out, v, x: 0.5 * (_f("iv", v - 1.0, x) + _f("iv", v + 1.0, x))],
    "kv": [None, lambda out, v, x: -0.5 * (_f("kv", v - 1.0, x) + _f("kv", v + 1.0, x))],
    "betainc": [
        None,
        None,
        lambda out, a, b, x: np.exp(
            _f("xlogy", a - 1.0, x) + _f("xlog1py", b - 1.0, -x) - _f("betaln", a, b)
        ),
    ],
    "boxcox": [lambda out, x, p: x ** (p - 1.0), None],
    "inv_boxcox": [lambda out, y, p: out ** (1.0 - p), None],
    "huber": [
        lambda out, d, r: np.maximum(np.absolute(r) - d, 0.0),
        lambda out, d, r: np.clip(r, -d, d),
    ],
    "pseudo_huber": [None, lambda out, d, r: r / np.sqrt(1.0 + (r / d) ** 2)],
    "exprel": [lambda out, x: select(x != 0, (np.exp(x) - out) / _safe(x), 0.5)],
    "cosm1": [lambda out, x: -np.sin(x)],
    "dawsn": [lambda out, x: 1.0 - 2.0 * x * out],
}
for _name, _partials in _PARTIALS.items():
    _define(_name, *_partials)

UFUNCS: dict[Any, Callable[..., Any]] = {name: _apply(primitive) for name, primitive in SPECIAL.items()}
del UFUNCS["zeta"]  # no ufunc in scipy.special; digamma is called psi there
ALL = tuple(SPECIAL.values())
