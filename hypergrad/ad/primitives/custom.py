"""A function with a derivative rule of its own.

Notation: y = f(x). A jvp rule gives (y, dy) from (x, dx), linear in dx. A vjp rule gives y and the pullback c -> x̄,
linear in c, whose transpose is the jvp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad.ad.primitives.control import Body
from hypergrad.ad.program import ArrayType, Primitive
from hypergrad.ad.trace import type_of

__all__ = ["custom_p"]


def _joint(
    inputs: Sequence[Any], tangents: Sequence[Any], body: Body, rule: Callable[..., Any]
) -> tuple[Any, Sequence[Any]]:
    kinds = [type_of(x) for x in inputs]
    filled = [
        (np.zeros(kind.shape, kind.dtype) if t is None else t) if kind.differentiable else None
        for t, kind in zip(tangents, kinds, strict=True)
    ]
    return rule(list(inputs), filled)


def _infer(*types: ArrayType, body: Body, rule: Callable[..., Any]) -> tuple[ArrayType, ...]:
    return tuple(body.types)


custom_p: Primitive = Primitive(
    "custom",
    infer=_infer,
    call=lambda *arrays, body, rule: tuple(body(arrays)),
    multiple=True,
    joint=_joint,
)
