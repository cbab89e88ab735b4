"""What the tests of the engine share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hypergrad.ad import dispatch  # noqa: F401 - fills the tables of the tracer
from hypergrad.ad.program import Program
from hypergrad.ad.trace import trace, type_of


@pytest.fixture(scope="session")
def program_of() -> Callable[..., Program]:
    """``program_of(f, args)``: the Program of a function of arrays that returns one array."""
    return lambda f, args: trace(lambda *xs: [f(*xs)], [type_of(x) for x in args], "f")


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    """``same(got, expected, exactly)``: equal dtype and shape, equal entries (to rounding unless exactly)."""

    def check(got: Any, expected: Any, exactly: bool = False) -> None:
        got, expected = np.asarray(got), np.asarray(expected)
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        if exactly or expected.dtype.kind != "f":
            np.testing.assert_array_equal(got, expected)
        else:
            eps = np.finfo(expected.dtype).eps
            np.testing.assert_allclose(got, expected, rtol=64 * eps, atol=64 * eps)

    return check
