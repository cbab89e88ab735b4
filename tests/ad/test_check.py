"""check_grads accepts right derivatives and names wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.primitives.linear import reshape_p
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import bind
from hypergrad.errors import DerivativeError

X = np.array([0.5, -1.5, 2.5])


def cube(jvp_factor, transpose_factor):
    """A primitive for x³ whose rules are scaled."""
    scale_p = Primitive(
        "scale",
        infer=lambda x: ArrayType(x.shape, x.dtype),
        call=lambda x: x.copy(),
        jvp=lambda out, tangents, inputs: bind(scale_p, tangents[0]),
        transpose=lambda ct, inputs, types: (transpose_factor * ct,),
    )
    cube_p = Primitive(
        "cube",
        infer=lambda x: ArrayType(x.shape, x.dtype),
        call=lambda x: x**3,
        jvp=lambda out, tangents, inputs: bind(scale_p, tangents[0] * (jvp_factor * 3.0 * inputs[0] ** 2)),
    )
    return lambda x: bind(cube_p, x)


def test_right_derivatives_pass():
    hg.check_grads(cube(1.0, 1.0), (X,), order=3)
    hg.check_grads(
        lambda p, n, i: {"a": np.sin(p["w"]) ** n, "b": p["w"][i], "n": n},
        ({"w": X, "k": 1}, 2, np.array([0, 2])),
    )
    hg.check_grads(np.exp, (X.astype(np.float32),))
    hg.check_grads(np.exp, [X], order=1, modes="forward")
    hg.check_grads(lambda x: x * 1e6, (X * 1e6,))
    hg.check_grads(np.sin, (0.5,))


@pytest.mark.parametrize(
    ("factors", "modes", "message"),
    [
        ((1.01, 1.0), ("forward",), "derivative of order 1 of <lambda> is wrong in forward mode"),
        ((1.0, 1.01), ("forward", "reverse"), "derivative of order 1 of <lambda> is wrong in reverse mode"),
        ((np.nan, 1.0), ("forward",), "forward mode: .* is nan"),
        ((1.01, 1.0), "reverse", "reverse mode: .* expected"),
    ],
)
def test_wrong_derivatives_are_named(factors, modes, message):
    with pytest.raises(DerivativeError, match=message):
        hg.check_grads(cube(*factors), (X,), modes=modes)


def test_wrong_second_derivative():
    """Right to first order, wrong to second: the order is named."""
    f = lambda x: np.where(x > 0, x**2, hg.stop_gradient(x) * (2 * x - hg.stop_gradient(x)))
    hg.check_grads(f, (X,), order=1)
    with pytest.raises(DerivativeError, match="order 2"):
        hg.check_grads(f, (X,), order=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hg.check_grads(np.sin, X), r"takes a tuple of arguments, got ndarray; write \(x,\)"),
        (lambda: hg.check_grads(np.sin, (X,), modes=("backward",)), "got 'backward'"),
        (lambda: hg.check_grads(np.sin, (X,), order=0), "order=0"),
        (lambda: hg.check_grads(np.sin, (3,)), "at least one float"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(DerivativeError, match=message):
        call()


def test_missing_transpose_is_named():
    broken = Primitive(
        "broken",
        infer=lambda x: ArrayType((x.size,), x.dtype),
        call=np.ravel,
        jvp=lambda out, tangents, inputs: bind(no_rule, tangents[0]),
    )
    no_rule = Primitive(
        "no_rule",
        infer=broken.infer,
        call=np.ravel,
        jvp=lambda out, t, x: bind(reshape_p, t[0], shape=out.shape),
    )
    assert hg.jvp(lambda x: bind(broken, x), (X,), (X,))[1].tolist() == X.tolist()
    with pytest.raises(DerivativeError, match="no_rule has no transpose rule"):
        hg.grad(lambda x: np.sum(bind(broken, x)))(X)
