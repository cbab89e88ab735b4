"""Plain arrays that a traced function changes between its uses: each use keeps the numbers of its moment."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.constants import _COPIED
from hypergrad.ad.trace import trace, type_of
from hypergrad.errors import TracingError

X = np.arange(1.0, 4.0)


@pytest.mark.parametrize("size", [3, 300])
def test_a_mask_in_a_loop(size):
    x = np.linspace(1.0, 2.0, size)

    def f(x):
        mask, scale = np.zeros(size), np.zeros(())
        total = 0.0
        for i in range(3):
            mask[:] = 0
            mask[i] = i + 1
            scale[...] = i
            total = total + mask * x + scale * np.sum(hg.grad(lambda y: np.sum(y**2 * mask))(x))
        return total

    np.testing.assert_allclose(hg.compile(f)(x), f(x), rtol=1e-13)
    hg.check_grads(f, (x,))


def test_an_index_array_in_a_loop():
    def f(x):
        index, total = np.array([0, 1]), 0.0
        for _ in range(2):
            total = total + x[index] * index
            index += 1
        return total

    np.testing.assert_array_equal(hg.compile(f)(X), f(X))


def test_what_is_closed_over_is_constant_after_the_first_call():
    scale = np.ones(100)
    f = hg.compile(lambda x: np.sum(x) * scale)
    first = f(X)
    scale[:] = 7.0
    np.testing.assert_array_equal(f(X), first)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.__imul__(2.0), lambda a: a.__setitem__((5, 7), 0.5), lambda a: a.__setitem__(0, a[1].copy()),
        lambda a: a.T[3].fill(1.0), lambda a: a.__setitem__(slice(None), a[::-1].copy()),
    ],
)  # fmt: skip
def test_a_change_to_a_large_array_is_refused(change):
    start = np.random.default_rng(0).standard_normal((400, _COPIED // 8 // 400 + 1))
    width, large = start.shape[1], start.copy()

    def f(x):
        before = np.sum(large @ (x[0] * np.ones(width)))
        change(large)
        return before + np.sum(large * x[1])

    for transform in (hg.grad(f), hg.compile(f), lambda x: hg.grad(lambda y: np.sum(hg.grad(f)(y)))(x)):
        with pytest.raises(TracingError, match=r"changed in place .*test_constants\.py.*copy\(\)"):
            transform(X)
        large[...] = start
    hg.grad(lambda x: np.sum(large * x[1]))(X)  # nothing stays broken
    wide = np.broadcast_to(X, (_COPIED // 8, 3))
    hg.grad(lambda x: np.sum(wide @ x))(X)


def test_constants_used_twice_are_one():
    """The same array unchanged is one constant, which the optimiser can share."""
    a = np.arange(300.0)
    program = trace(lambda x: [x[0] * a + a], [type_of(X)])
    found = [
        atom.value
        for eq in program.equations
        for atom in eq.inputs
        if getattr(atom, "value", None) is not None
    ]
    assert len({id(value) for value in found if value.size == 300}) == 1
    assert all(value is not a for value in found)
