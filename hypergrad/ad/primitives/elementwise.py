"""Elementwise primitives: one NumPy ufunc each, with its partial derivatives.

Notation: out = f(x, y), t the tangents; jvp = t_x * df/dx + t_y * df/dy. Conventions at points
without a derivative are stated beside the rule; each chooses a finite value where one is possible:
``sqrt`` and ``power`` have slope 0 at 0 (which keeps optimisers differentiable at zero gradient),
``absolute`` has slope 0 at 0, ties of ``maximum`` and ``minimum`` share the slope equally.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from hypergrad.ad.primitives.complex import conj, real
from hypergrad.ad.primitives.linear import convert, match, unbroadcast
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import Tracer, bind, source_line, type_of
from hypergrad.errors import DerivativeError, ShapeError, UnsupportedError

__all__ = ["ELEMENTWISE", "apply", "expit_p", "relu_p", "select", "select_p"]

Partial = Callable[..., Any]
_REAL_ONLY = {"maximum", "minimum", "fmax", "fmin", "sign"}  # what NumPy orders by the real part first


def broadcast_shape(shapes: list[tuple[int, ...]], name: str) -> tuple[int, ...]:
    """The common shape under NumPy's broadcasting.

    Raises:
        ShapeError: the shapes do not fit.
    """
    first = shapes[0]
    for shape in shapes:
        if shape != first:
            break
    else:
        return first
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(str(shape) for shape in shapes)
        raise ShapeError(f"{name}: shapes {shown} do not broadcast, at {source_line()}") from None


@lru_cache(maxsize=4096)
def _loop(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...] | None:
    try:
        return ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    except TypeError:
        return None


def _infer(ufunc: np.ufunc, name: str) -> Callable[..., ArrayType]:
    def infer(*types: ArrayType) -> ArrayType:
        loop = _loop(ufunc, tuple([type.dtype for type in types]))
        if loop is None:
            shown = ", ".join(str(type.dtype) for type in types)
            raise UnsupportedError(f"{name} is not defined for {shown}, at {source_line()}")
        if name in _REAL_ONLY and types[0].dtype.kind == "c":
            raise UnsupportedError(f"{name} of complex numbers has no derivative, at {source_line()}")
        return ArrayType(broadcast_shape([type.shape for type in types], name), loop[-1])

    return infer


def elementwise(
    ufunc: np.ufunc,
    *partials: Partial | None,
    jvp: Callable[..., Any] | None = None,
    transpose: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Primitive:
    """The primitive of a ufunc with ``partials[i](out, *inputs) = d out / d input_i`` (None: zero)."""

    def combine(out: Any, tangents: Any, inputs: Any) -> Any:
        total = None
        for t, partial in zip(tangents, partials, strict=True):
            if t is None or partial is None:
                continue
            term = t * partial(out, *inputs)
            total = term if total is None else total + term
        return None if total is None else match(total, type_of(out))

    name = name or ufunc.__name__
    rule = jvp or (combine if any(partials) else None)
    return Primitive(name, _infer(ufunc, name), ufunc, rule, transpose, ufunc=ufunc)


def _linear(combine: Callable[..., Any]) -> Callable[..., Any]:
    """A jvp for operations that are linear in both operands together."""

    def jvp(out: Any, tangents: Any, inputs: Any) -> Any:
        return match(combine(*tangents), type_of(out))

    return jvp


def _add_t(tx: Any, ty: Any) -> Any:
    return ty if tx is None else tx if ty is None else tx + ty


def _sub_t(tx: Any, ty: Any) -> Any:
    return -ty if tx is None else tx if ty is None else tx - ty


def _mul_transpose(ct: Any, inputs: Any, types: Any) -> tuple[Any, Any]:
    x, y = inputs
    if x is None and y is None:
        raise DerivativeError("a derivative rule multiplies two tangents; it must be linear in them")
    return (
        unbroadcast(ct * y, types[0].shape) if x is None else None,
        unbroadcast(ct * x, types[1].shape) if y is None else None,
    )


def _where_nonzero(x: Any, value: Any) -> Any:
    """`value` where x is not 0, else 0."""
    return select(x != 0, value, 0.0)


def _zero_to_inf(x: Any) -> Any:
    """`x`, with inf in the place of 0: a denominator that makes a quotient 0 there."""
    return select(x != 0, x, np.inf)


def _nonzero(x: Any) -> Any:
    """`x`, with 1 in the place of 0: a denominator that is safe to divide by."""
    return select(x != 0, x, 1.0)


def _power_x(out: Any, x: Any, y: Any) -> Any:
    # y x^(y-1); where y = 0 the power is constant, and 0^(y-1) for y < 1 has no finite slope: both 0.
    if y.dtype.kind == "c":
        return y * x ** (y - 1.0)
    if not isinstance(y, Tracer) and (y >= 1).all():
        return y * x ** (float(y) - 1.0 if y.ndim == 0 else y - 1.0)
    safe = (y != 0) & ((x != 0) | (y >= 1))
    return select(safe, y * select(safe, x, 1.0) ** select(safe, y - 1.0, 1.0), 0.0)


def _power_y(out: Any, x: Any, y: Any) -> Any:
    # out log x; at x = 0 the limit for y > 0 is 0.
    return out * np.log(_nonzero(x))


def _tie(x: Any, y: Any) -> Any:
    """1 where x is chosen over y, 1/2 at ties, 0 elsewhere."""
    kind = type_of(x).dtype if type_of(x).dtype.kind == "f" else type_of(y).dtype
    return convert(x > y, kind) + 0.5 * convert(x == y, kind)


def _hypot(out: Any, x: Any) -> Any:
    return _where_nonzero(out, x / _nonzero(out))


def _absolute(out: Any, tangents: Any, inputs: Any) -> Any:
    """sign(x) t; of complex numbers Re(conj(z) t) / |z|, and 0 at 0."""
    (x,), (t,) = inputs, tangents
    if out.dtype == x.dtype:
        return t * np.sign(x)
    return real(conj(x) * t) / _zero_to_inf(out)


_LOG2, _LOG10 = float(np.log(2.0)), float(np.log(10.0))

add_p = elementwise(
    np.add,
    jvp=_linear(_add_t),
    transpose=lambda ct, inputs, types: (
        unbroadcast(ct, types[0].shape) if inputs[0] is None else None,
        unbroadcast(ct, types[1].shape) if inputs[1] is None else None,
    ),
)
subtract_p = elementwise(
    np.subtract,
    jvp=_linear(_sub_t),
    transpose=lambda ct, inputs, types: (
        unbroadcast(ct, types[0].shape) if inputs[0] is None else None,
        -unbroadcast(ct, types[1].shape) if inputs[1] is None else None,
    ),
)
negative_p = elementwise(
    np.negative,
    jvp=lambda out, tangents, inputs: -tangents[0],
    transpose=lambda ct, inputs, types: (-ct,),
)
multiply_p = elementwise(np.multiply, lambda out, x, y: y, lambda out, x, y: x, transpose=_mul_transpose)
divide_p = elementwise(
    np.true_divide,
    jvp=lambda out, tangents, inputs: match(
        _sub_t(
            None if tangents[0] is None else tangents[0] / inputs[1],
            None if tangents[1] is None else tangents[1] * (out / inputs[1]),
        ),
        type_of(out),
    ),
    transpose=lambda ct, inputs, types: (unbroadcast(ct / inputs[1], types[0].shape), None),
    name="divide",
)
expit_p = Primitive(
    "expit",
    infer=lambda x: ArrayType(x.shape, x.dtype),
    call=lambda x: _expit(x),
    jvp=lambda out, tangents, inputs: tangents[0] * (out * (1.0 - out)),
)


def _expit(x: Any) -> Any:
    from scipy.special import expit

    return expit(x)


relu_p = Primitive(
    "relu",
    infer=lambda x: ArrayType(x.shape, x.dtype),
    call=lambda x: np.maximum(x, 0.0),
    jvp=lambda out, tangents, inputs: tangents[0] * np.sign(out),
    ufunc=lambda x, out: np.maximum(x, 0.0, out=out),
)


ELEMENTWISE: tuple[Primitive, ...] = (
    add_p,
    subtract_p,
    negative_p,
    multiply_p,
    divide_p,
    elementwise(np.positive, lambda out, x: 1.0),
    elementwise(np.absolute, jvp=_absolute),
    elementwise(np.fabs, lambda out, x: np.sign(x)),
    elementwise(np.square, lambda out, x: 2.0 * x),
    elementwise(np.reciprocal, lambda out, x: -(out * out)),
    elementwise(np.power, _power_x, _power_y),
    elementwise(np.float_power, _power_x, _power_y),
    elementwise(np.sqrt, lambda out, x: 0.5 / _zero_to_inf(out)),
    elementwise(np.cbrt, lambda out, x: 1.0 / (3.0 * _zero_to_inf(out * out))),
    elementwise(np.exp, lambda out, x: out),
    elementwise(np.exp2, lambda out, x: out * _LOG2),
    elementwise(np.expm1, lambda out, x: np.exp(x)),
    elementwise(np.log, lambda out, x: 1.0 / x),
    elementwise(np.log2, lambda out, x: 1.0 / (x * _LOG2)),
    elementwise(np.log10, lambda out, x: 1.0 / (x * _LOG10)),
    elementwise(np.log1p, lambda out, x: 1.0 / (1.0 + x)),
    elementwise(np.logaddexp, lambda out, x, y: _share(x, y), lambda out, x, y: _share(y, x)),
    elementwise(
        np.logaddexp2,
        lambda out, x, y: _share(x * _LOG2, y * _LOG2),
        lambda out, x, y: _share(y * _LOG2, x * _LOG2),
    ),
    elementwise(np.sin, lambda out, x: np.cos(x)),
    elementwise(np.cos, lambda out, x: -np.sin(x)),
    elementwise(np.tan, lambda out, x: 1.0 + out * out),
    elementwise(np.arcsin, lambda out, x: 1.0 / np.sqrt((1.0 - x) * (1.0 + x))),
    elementwise(np.arccos, lambda out, x: -1.0 / np.sqrt((1.0 - x) * (1.0 + x))),
    elementwise(np.arctan, lambda out, x: 1.0 / (1.0 + x * x)),
    elementwise(
        np.arctan2,
        lambda out, y, x: x / _nonzero(x * x + y * y),
        lambda out, y, x: -y / _nonzero(x * x + y * y),
    ),
    elementwise(np.sinh, lambda out, x: np.cosh(x)),
    elementwise(np.cosh, lambda out, x: np.sinh(x)),
    elementwise(np.tanh, lambda out, x: 1.0 - out * out),
    elementwise(np.arcsinh, lambda out, x: 1.0 / np.hypot(x, 1.0)),
    elementwise(np.arccosh, lambda out, x: 1.0 / np.sqrt((x - 1.0) * (x + 1.0))),
    elementwise(np.arctanh, lambda out, x: 1.0 / ((1.0 - x) * (1.0 + x))),
    elementwise(np.hypot, lambda out, x, y: _hypot(out, x), lambda out, x, y: _hypot(out, y)),
    elementwise(np.deg2rad, lambda out, x: float(np.pi / 180.0)),
    elementwise(np.radians, lambda out, x: float(np.pi / 180.0)),
    elementwise(np.rad2deg, lambda out, x: float(180.0 / np.pi)),
    elementwise(np.degrees, lambda out, x: float(180.0 / np.pi)),
    elementwise(np.maximum, lambda out, x, y: _tie(x, y), lambda out, x, y: _tie(y, x)),
    elementwise(np.minimum, lambda out, x, y: _tie(y, x), lambda out, x, y: _tie(x, y)),
    elementwise(np.fmax, lambda out, x, y: _tie(x, y), lambda out, x, y: _tie(y, x)),
    elementwise(np.fmin, lambda out, x, y: _tie(y, x), lambda out, x, y: _tie(x, y)),
    elementwise(np.remainder, lambda out, x, y: 1.0, lambda out, x, y: -np.floor_divide(x, y)),
    elementwise(np.fmod, lambda out, x, y: 1.0, lambda out, x, y: -np.trunc(x / y)),
    elementwise(np.copysign, lambda out, x, y: np.sign(x) * np.copysign(1.0, y), None),
    # piecewise constant, logical and integer: derivative zero
    elementwise(np.sign, None),
    elementwise(np.floor, None),
    elementwise(np.ceil, None),
    elementwise(np.trunc, None),
    elementwise(np.rint, None),
    elementwise(np.floor_divide, None, None),
    elementwise(np.heaviside, None, None),
    elementwise(np.less, None, None),
    elementwise(np.less_equal, None, None),
    elementwise(np.greater, None, None),
    elementwise(np.greater_equal, None, None),
    elementwise(np.equal, None, None),
    elementwise(np.not_equal, None, None),
    elementwise(np.logical_and, None, None),
    elementwise(np.logical_or, None, None),
    elementwise(np.logical_xor, None, None),
    elementwise(np.logical_not, None),
    elementwise(np.bitwise_and, None, None),
    elementwise(np.bitwise_or, None, None),
    elementwise(np.bitwise_xor, None, None),
    elementwise(np.invert, None),
    elementwise(np.left_shift, None, None),
    elementwise(np.right_shift, None, None),
    elementwise(np.isfinite, None),
    elementwise(np.isnan, None),
    elementwise(np.isinf, None),
    elementwise(np.signbit, None),
)


def _share(x: Any, y: Any) -> Any:
    """exp(x) / (exp(x) + exp(y)), without overflow."""
    return bind(expit_p, x - y)


_BY_UFUNC = {primitive.ufunc: primitive for primitive in ELEMENTWISE}
_WEAK = {"f": float, "i": int, "c": complex}


def _kind(operand: Any) -> Any:
    """What NumPy's promotion looks at: a dtype, or int and float for what stems from Python numbers."""
    if type(operand) in (int, float, complex):
        return type(operand)
    kind = type_of(operand)
    return _WEAK[kind.dtype.kind] if kind.weak else kind.dtype


def apply(primitive: Primitive, *operands: Any, operator: bool = False) -> Any:
    """`primitive` of the operands under NumPy's promotion rules.

    Conversions become equations of their own, so that each equation's operands have one dtype.

    Args:
        operator: called by a Python operator, where numbers that are both Python's stay weak.
    """
    kinds: list[Any] = []
    values: list[Any] = []
    all_weak = operator
    for operand in operands:
        if not isinstance(operand, Tracer) and type(operand) not in (int, float, complex):
            operand = np.asarray(operand)
            if operand.dtype.kind not in "fiubc":
                raise UnsupportedError(
                    f"{primitive.name}: expected numbers, got an array of {operand.dtype}, at {source_line()}"
                )
        kind = _kind(operand)
        kinds.append(kind)
        all_weak = all_weak and isinstance(kind, type)
        values.append(operand)
    loop = _loop(primitive.ufunc, tuple(kinds))
    if loop is None:
        shown = ", ".join(str(kind) for kind in kinds)
        raise UnsupportedError(f"{primitive.name} is not defined for {shown}, at {source_line()}")
    cast = [
        (value if value.dtype == dtype else convert(value, dtype))
        if isinstance(value, Tracer)
        else np.asarray(value, dtype=dtype)
        for value, dtype in zip(values, loop, strict=False)
    ]
    out = bind(primitive, *cast)
    if all_weak and isinstance(out, Tracer) and out.dtype.kind in "fi":
        out.atom.type = ArrayType(out.shape, out.dtype, weak=True)
    return out


# select: np.where -----------------------------------------------------------------------------------
def _select_jvp(out: Any, tangents: Any, inputs: Any) -> Any:
    _, tx, ty = tangents
    if tx is None and ty is None:
        return None
    zero = np.zeros((), out.dtype)
    return match(
        bind(select_p, inputs[0], zero if tx is None else tx, zero if ty is None else ty), type_of(out)
    )


def _select_transpose(ct: Any, inputs: Any, types: Any) -> tuple[None, Any, Any]:
    condition, x, y = inputs
    zero = np.zeros((), ct.dtype)
    return (
        None,
        unbroadcast(bind(select_p, condition, ct, zero), types[1].shape) if x is None else None,
        unbroadcast(bind(select_p, condition, zero, ct), types[2].shape) if y is None else None,
    )


select_p = Primitive(
    "select",
    infer=lambda c, x, y: ArrayType(broadcast_shape([c.shape, x.shape, y.shape], "where"), x.dtype),
    call=lambda c, x, y: np.where(c, x, y),
    jvp=_select_jvp,
    transpose=_select_transpose,
)


def select(condition: Any, x: Any, y: Any) -> Any:
    """``np.where(condition, x, y)`` under NumPy's promotion rules."""
    kinds = [_kind(v) for v in (x, y)]
    dtype = _loop(np.add, tuple(kinds))[-1] if kinds != [np.dtype(bool)] * 2 else np.dtype(bool)  # type: ignore[index]
    if type_of(condition).dtype != np.bool_:
        condition = apply(_BY_UFUNC[np.not_equal], condition, 0)
    cast = [convert(v, dtype) if isinstance(v, Tracer) else np.asarray(v, dtype=dtype) for v in (x, y)]
    return bind(select_p, condition, *cast)
