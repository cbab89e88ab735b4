"""Ufuncs of scipy.special, by name: importing hypergrad does not import SciPy.

Notation: out = f(x, y), partials[i] the derivative by operand i, None where it is not known (and it must not move).
Sources: Abramowitz & Stegun 6, 7, 9, 13; DLMF 5, 7, 8, 10. At removable points the limit is taken: xlogy and rel_entr
have slope log y, or 0 where that is 0 log 0. Slopes are written so that nothing cancels: near 0 (i1, j1, exprel),
far out (erfcx, dawsn, log_ndtr) and at poles (rgamma).
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
from hypergrad.ad.trace import Tracer, bind, source_line, type_of
from hypergrad.errors import DerivativeError, UnsupportedError

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
        arrays = [x if type(x) in (int, float) else array_of(x) for x in operands]
        kinds = [type(x) if type(x) in (int, float) else x.dtype for x in arrays]
        ufunc = getattr(importlib.import_module("scipy.special"), primitive.name)
        try:
            loop = ufunc.resolve_dtypes((*kinds, None))
        except TypeError:
            loop = ()
        if [dtype.kind for dtype in loop] != ["f"] * ufunc.nargs:
            raise UnsupportedError(
                f"scipy.special.{primitive.name} takes real numbers, got {', '.join(map(str, kinds))}, at "
                f"{source_line()}; give it np.real(x)"
            )
        return bind(
            primitive,
            *(
                convert(x, dtype) if isinstance(x, Tracer) else np.asarray(x, dtype)
                for x, dtype in zip(arrays, loop, strict=False)
            ),
        )

    return rule


_ROOT_PI, _ROOT_2PI = float(np.sqrt(np.pi)), float(np.sqrt(2.0 * np.pi))


def _log_or_zero(x: Any, y: Any) -> Any:
    """log y, and 0 where x = y = 0."""
    both = (x == 0) & (y == 0)
    return select(both, 0.0, np.log(select(both, 1.0, y)))


def _ratio(x: Any, y: Any) -> Any:
    """x / y, and 0 where x = 0."""
    return select(x == 0, 0.0, x / select(x == 0, 1.0, y))


def _gaussian(x: Any) -> Any:
    return np.exp(-0.5 * x * x) / _ROOT_2PI


def _order(name: str, order: float, x: Any) -> Any:
    """A function of two operands, the first of them a number."""
    return _f(name, np.full((), order, x.dtype), x)


def _far(x: Any, sign: float, near: Any) -> Any:
    """`near`; where |x| is large (1 + 3u + 15u² + 105u³ + ...)/x², the asymptotic series in u = sign/2x²."""
    far = np.absolute(x) > (12.0 if x.dtype.itemsize == 8 else 5.0)
    square = select(far, x, 1.0) ** 2
    u, total = 0.5 * sign / square, 1.0
    for factor in range(27, 1, -2):
        total = 1.0 + factor * u * total
    return select(far, total / square, near)


def _log_ndtr_slope(out: Any, x: Any) -> Any:
    left = x < 0
    mills = _f("erfcx", select(left, x, 0.0) * -(0.5**0.5))
    return select(left, 2.0 / (_ROOT_2PI * mills), np.exp(select(left, 0.0, -0.5 * x * x - out)) / _ROOT_2PI)


def _rgamma_slope(out: Any, x: Any) -> Any:
    """-ψ(x)/Γ(x); left of 1/2 the derivative of sin(πx) Γ(1-x)/π, which has no poles there."""
    left = x < 0.5
    turn, y = np.pi * select(left, x, 0.0), 1.0 - select(left, x, 0.0)
    mirrored = _f("gamma", y) * (np.cos(turn) - np.sin(turn) * _f("psi", y) / np.pi)
    return select(left, mirrored, -out * _f("psi", select(left, 1.0, x)))


def _exprel_slope(x: Any) -> Any:
    """∫₀¹ t exp(xt) dt."""
    two = np.full((), 2.0, x.dtype)
    return 0.5 * _f("hyp1f1", two, two + two.dtype.type(1.0), x)


def _boxcox_slope(log: Any, p: Any) -> Any:
    """∂/∂p of expm1(p log)/p."""
    return log * log * _exprel_slope(p * log)


def _pseudo_huber_slope(d: Any, r: Any) -> Any:
    """By d: with s = r/d and q = √(1 + s²), 2d(q - 1) - d s²/q = d (q - 1)²/q."""
    square = (r / d) ** 2
    q = np.sqrt(1.0 + square)
    return d * (square / (1.0 + q)) ** 2 / q


_PARTIALS: dict[str, list[Partial | None]] = {
    "erf": [lambda out, x: np.exp(-x * x) * (2.0 / _ROOT_PI)],
    "erfc": [lambda out, x: np.exp(-x * x) * (-2.0 / _ROOT_PI)],
    "erfcx": [lambda out, x: _far(x, -1.0, 2.0 - 2.0 * _ROOT_PI * x * out) / -_ROOT_PI],
    "erfinv": [lambda out, x: np.exp(out * out) * (0.5 * _ROOT_PI)],
    "erfcinv": [lambda out, x: np.exp(out * out) * (-0.5 * _ROOT_PI)],
    "ndtr": [lambda out, x: _gaussian(x)],
    "log_ndtr": [_log_ndtr_slope],
    "ndtri": [lambda out, x: np.exp(0.5 * out * out) * _ROOT_2PI],
    "logit": [lambda out, x: 1.0 / (x * (1.0 - x))],
    "log_expit": [lambda out, x: bind(expit_p, -x)],
    "gammaln": [lambda out, x: _f("psi", x)],
    "gamma": [lambda out, x: out * _f("psi", x)],
    "rgamma": [_rgamma_slope],
    "psi": [lambda out, x: _order("zeta", 2.0, x)],
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
    "i1": [lambda out, x: 0.5 * (_f("i0", x) + _order("iv", 2.0, x))],
    "i0e": [lambda out, x: _f("i1e", x) - np.sign(x) * out],
    "i1e": [lambda out, x: 0.5 * (_f("i0e", x) + _order("ive", 2.0, x)) - np.sign(x) * out],
    "j0": [lambda out, x: -_f("j1", x)],
    "j1": [lambda out, x: 0.5 * (_f("j0", x) - _order("jv", 2.0, x))],
    "y0": [lambda out, x: -_f("y1", x)],
    "y1": [lambda out, x: _f("y0", x) - out / x],
    "k0": [lambda out, x: -_f("k1", x)],
    "k1": [lambda out, x: -_f("k0", x) - out / x],
    "k0e": [lambda out, x: out - _f("k1e", x)],
    "k1e": [lambda out, x: out - _f("k0e", x) - out / x],
    "expi": [lambda out, x: np.exp(x) / x],
    "exp1": [lambda out, x: -np.exp(-x) / x],
    "jv": [None, lambda out, v, x: 0.5 * (_f("jv", v - 1.0, x) - _f("jv", v + 1.0, x))],
    "yv": [None, lambda out, v, x: 0.5 * (_f("yv", v - 1.0, x) - _f("yv", v + 1.0, x))],
    "iv": [None, lambda out, v, x: 0.5 * (_f("iv", v - 1.0, x) + _f("iv", v + 1.0, x))],
    "kv": [None, lambda out, v, x: -0.5 * (_f("kv", v - 1.0, x) + _f("kv", v + 1.0, x))],
    "ive": [None, lambda out, v, x: 0.5 * (_f("ive", v - 1.0, x) + _f("ive", v + 1.0, x)) - np.sign(x) * out],
    "kve": [None, lambda out, v, x: out - 0.5 * (_f("kve", v - 1.0, x) + _f("kve", v + 1.0, x))],
    "betainc": [
        None,
        None,
        lambda out, a, b, x: np.exp(
            _f("xlogy", a - 1.0, x) + _f("xlog1py", b - 1.0, -x) - _f("betaln", a, b)
        ),
    ],
    "boxcox": [lambda out, x, p: x ** (p - 1.0), lambda out, x, p: _boxcox_slope(np.log(x), p)],
    "boxcox1p": [lambda out, x, p: (1.0 + x) ** (p - 1.0), lambda out, x, p: _boxcox_slope(np.log1p(x), p)],
    "inv_boxcox": [
        lambda out, y, p: out ** (1.0 - p),
        lambda out, y, p: -_boxcox_slope(np.log(out), p) * out ** (1.0 - p),
    ],
    "inv_boxcox1p": [
        lambda out, y, p: (1.0 + out) ** (1.0 - p),
        lambda out, y, p: -_boxcox_slope(np.log1p(out), p) * (1.0 + out) ** (1.0 - p),
    ],
    "huber": [
        lambda out, d, r: np.maximum(np.absolute(r) - d, 0.0),
        lambda out, d, r: np.clip(r, -d, d),
    ],
    "pseudo_huber": [
        lambda out, d, r: _pseudo_huber_slope(d, r),
        lambda out, d, r: r / np.sqrt(1.0 + (r / d) ** 2),
    ],
    "exprel": [lambda out, x: _exprel_slope(x)],
    "hyp1f1": [None, None, lambda out, a, b, x: a / b * _f("hyp1f1", a + 1.0, b + 1.0, x)],
    "cosm1": [lambda out, x: -np.sin(x)],
    "dawsn": [lambda out, x: -0.5 * _far(x, 1.0, 4.0 * x * out - 2.0)],
}
for _name, _partials in _PARTIALS.items():
    _define(_name, *_partials)

ALL = tuple(SPECIAL.values())
UFUNCS: dict[Any, Callable[..., Any]] = {primitive.name: _apply(primitive) for primitive in (*ALL, expit_p)}
del UFUNCS["zeta"]  # no ufunc in scipy.special; digamma is called psi there
UFUNCS |= {name: getattr(np, name) for name in ("cbrt", "exp2", "expm1", "log1p")}
