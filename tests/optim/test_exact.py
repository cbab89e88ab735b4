"""Momentum in integers: each step is undone bit for bit, for log2 1/decay bits a parameter and step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hypergrad as hg
from hypergrad.optim.exact import BitStore, Exact, MomentumForm, OutOfRange, planned_bytes, units

INTEGERS = st.lists(st.integers(-(2**62), 2**62), max_size=40).map(lambda found: np.array(found, np.int64))


class Field:
    """A gradient that is rough in w and t, and has the same bits whenever it is asked for."""

    def __init__(self, n, grid, scale=1.0):
        self.t = 0
        self.grid, self.scale = grid, scale
        self.phase = np.arange(n) * 0.7

    def __call__(self, w):
        return self.scale * np.sin(37.0 * (w / self.grid) + self.t + self.phase)


def form(decay, slope=0.1, direct=None):
    decay = np.asarray(decay, float)
    full = lambda value: None if value is None else np.broadcast_to(np.asarray(value, float), decay.shape)
    return MomentumForm(decay, full(slope), full(direct))


def run(rule, sizes, first, fraction=52, iterations=0, scale=1.0):
    """Forwards through all steps; the states on the way."""
    field = Field(len(first), 2.0**fraction, scale)
    exact = Exact(rule, sizes, first, fraction, field, iterations)
    states = []
    for t in range(len(rule.decay)):
        states.append((exact.w.copy(), exact.v.copy()))
        field.t = t
        assert exact.step(t)
    return exact, field, states


def back(exact, field, states):
    """Backwards through all steps, each state compared."""
    for t in range(len(states) - 1, -1, -1):
        field.t = t
        exact.undo(t)
        np.testing.assert_array_equal(exact.w, states[t][0])
        np.testing.assert_array_equal(exact.v, states[t][1])
    assert exact.store.used == 0


@given(INTEGERS, st.lists(st.integers(0, 30), max_size=6))
def test_bits_that_leave_come_back_in_reverse(x, counts):
    store, now = BitStore(), x.copy()
    for count in counts:
        expected = now >> count
        store.shift_out(now, count)
        np.testing.assert_array_equal(now, expected)
    for count in counts[::-1]:
        store.shift_in(now, count)
    np.testing.assert_array_equal(now, x)
    assert store.used == 0


@given(INTEGERS, st.integers(0, 70))
def test_a_store_takes_the_bytes_that_were_planned(x, count):
    planned = planned_bytes(np.array([[count]]), [x.size])
    store = BitStore(planned)
    store.shift_out(x, count)
    assert store.used == store.nbytes == planned


def test_an_empty_store_says_so():
    with pytest.raises(IndexError, match="holds 0 bytes, not 1"):
        BitStore(5).pop(1)


def test_units_carry_the_product_of_the_decays():
    decay = np.random.default_rng(0).uniform(0.001, 1.0, (50, 3))
    decay[7] = (0.5, 0.25, 1.0)
    unit, halvings = units(decay)
    assert (unit > 0.5).all()
    assert (unit <= 1.0).all()
    logs = np.log2(unit) - np.cumsum(halvings, axis=0)
    np.testing.assert_allclose(logs, np.cumsum(np.log2(decay), axis=0), rtol=1e-13)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    steps=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    fraction=st.integers(8, 55),
    direct=st.booleans(),
    iterations=st.integers(0, 4),
)
def test_a_run_is_undone_bit_for_bit(seed, steps, sizes, fraction, direct, iterations):
    rng = np.random.default_rng(seed)
    shape = steps, len(sizes)
    decay = np.where(
        rng.random(shape) < 0.2, 0.5 ** rng.integers(0, 33, shape), rng.uniform(0.01, 1.0, shape)
    )
    rule = form(decay, rng.uniform(0.0, 0.05, shape), rng.uniform(0.0, 0.05, shape) if direct else None)
    back(*run(rule, sizes, rng.standard_normal(sum(sizes)), fraction, iterations))


@pytest.mark.parametrize("decay", [1.0, 0.999, 0.98, 0.9, 0.5, 0.1, 2.0**-32])
def test_thousands_of_steps_are_undone_bit_for_bit(decay):
    first = np.random.default_rng(1).standard_normal(11)
    back(*run(form(np.full((3000, 1), decay), 0.01 * (1 - decay) + 1e-4), [11], first))


def test_floats_alone_lose_the_start():
    """Why bits are stored: the same rule undone in floating point."""
    w = first = np.random.default_rng(1).standard_normal(11)
    m, field = np.zeros(11), Field(11, 1.0)
    for field.t in range(1000):
        m = 0.9 * m + field(w)
        w = w - 0.01 * m
    for field.t in range(999, -1, -1):
        w = w + 0.01 * m
        m = (m - field(w)) / 0.9
    assert not np.linalg.norm(w - first) < 1e3


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("steps", [400, 2000])
def test_bits_a_parameter_and_step(decay, steps):
    n = 800
    exact, *_ = run(form(np.full((steps, 1), decay)), [n], np.zeros(n))
    bits = 8 * exact.store.nbytes / (n * steps)
    np.testing.assert_allclose(bits, np.log2(1.0 / decay), rtol=0.05)
    assert exact.store.used == exact.store.nbytes
    assert bits <= np.log2(1.0 / decay) + 1e-12


def test_decays_of_layers_and_steps_keep_what_each_loses():
    decay = np.random.default_rng(3).uniform(0.3, 0.99, (500, 2))
    sizes = [80, 240]
    exact, *_ = run(form(decay), sizes, np.zeros(320))
    expected = np.log2(1.0 / decay).sum(axis=0) @ sizes
    np.testing.assert_allclose(8 * exact.store.nbytes, expected, rtol=0.01)


@pytest.mark.parametrize("direct", [None, 0.02], ids=["momentum", "nesterov"])
def test_the_integers_follow_the_rule(direct):
    """Against the rule in floats: they differ by rounding to 2^-52, magnified by the gradient's slope."""
    rng, steps = np.random.default_rng(2), 25
    decay, first = rng.uniform(0.5, 0.99, (steps, 2)), rng.standard_normal(7)
    exact, field, _ = run(form(decay, 0.01, direct), [3, 4], first, scale=0.1)
    w, m = first, np.zeros(7)
    for t in range(steps):
        field.t = t
        g = field(w * 2.0**52)
        m = np.repeat(decay[t], [3, 4]) * m + g
        w = w - 0.01 * m - (direct or 0.0) * g
    found = np.empty(7)
    exact.params(exact.w, found)
    np.testing.assert_allclose(found, w, atol=1e-13)
    exact.momentum(steps, found)
    np.testing.assert_allclose(found, m, atol=1e-12)


def test_an_iteration_that_converges_stores_next_to_nothing():
    n, steps = 80, 200
    rule = form(np.full((steps, 1), 0.9), 0.0009, 0.001)
    sizes = {}
    for iterations in (0, 3, 40):
        exact, field, states = run(rule, [n], np.zeros(n), iterations=iterations)
        sizes[iterations] = exact.store.used
        back(exact, field, states)
    assert sizes[40] < sizes[3] < sizes[0]
    assert 8 * sizes[40] / (n * steps) < 2.0


def test_a_gradient_that_is_not_finite_changes_nothing():
    exact, field, _ = run(form(np.full((3, 1), 0.9)), [4], np.ones(4))
    w, v, used = exact.w.copy(), exact.v.copy(), exact.store.used
    field.scale = np.nan
    assert exact.step(2) is False
    np.testing.assert_array_equal(exact.w, w)
    np.testing.assert_array_equal(exact.v, v)
    assert exact.store.used == used


def test_the_range_is_watched():
    with pytest.raises(OutOfRange, match="parameter 2 is 2e\\+03"):
        run(form([[0.9]]), [3], np.array([0.0, 1.0, -2000.0]))
    with pytest.raises(OutOfRange) as caught:
        run(form([[0.9]]), [3], np.ones(3), scale=1e200)
    assert caught.value.momentum
    assert caught.value.size > 1e199


@pytest.mark.parametrize(("slope", "momentum"), [(100.0, False), (0.0, True)])
def test_a_drift_out_of_the_range_is_caught_at_its_step(slope, momentum):
    """m_t = 40 t, w_t = -slope Σ m: below 1024, then beyond."""
    steps = 60
    drift = lambda w: np.full(2, 40.0)
    exact = Exact(form(np.ones((steps, 1)), slope), [2], np.zeros(2), 52, drift)
    last = 25 if momentum else 0
    for t in range(last):
        assert exact.step(t)
    assert max(np.abs(exact.w).max(), np.abs(exact.v).max()) < 2**62
    with pytest.raises(OutOfRange) as caught:
        exact.step(last)
    assert caught.value.momentum is momentum
    assert caught.value.size >= 1024.0


@pytest.mark.parametrize("name", hg.optim.OPTIMIZERS)
def test_what_an_optimiser_tells_of_itself_is_its_update(name):
    optimizer, rng = hg.optim.OPTIMIZERS[name](), np.random.default_rng(4)
    rate = {key: float(rng.uniform(0.1, 0.9)) for key in optimizer.rates()}
    told = optimizer.reversal({key: np.full((1, 1), value) for key, value in rate.items()})
    assert (told is not None) == (name in ("momentum", "nesterov"))
    if told is not None:
        w, m, g = rng.standard_normal((3, 6))
        decay = rate["weight_decay"]
        new, (moved,) = optimizer.update(w, g, (m,), rate)
        g = g + decay * w  # what a step from (w, 0) calls the gradient
        direct = 0.0 if told.direct is None else told.direct[0]
        np.testing.assert_allclose(moved, told.decay[0] * m + g, rtol=1e-14)
        np.testing.assert_allclose(new, w - told.slope[0] * moved - direct * g, rtol=1e-12)
