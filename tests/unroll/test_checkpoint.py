"""Revolve's schedules: right, optimal, and never more states than slots."""

from functools import lru_cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypergrad.unroll.checkpoint import OnlineStore, forward_runs, repetitions, revolve


@lru_cache(None)
def least(units, slots):
    """t(n, s) by dynamic programming."""
    if units == 1:
        return 0
    if slots == 1:
        return units * (units - 1) // 2
    return min(j + least(units - j, slots - 1) + least(j, slots) for j in range(1, units))


def follow(units, slots, kept=()):
    """Play a schedule; the forward runs that it takes."""
    held = {point.slot: point.unit for point in kept}
    at = None if kept else 0
    runs, expected = 0, units - 1
    for action in revolve(units, slots, kept):
        if action.kind == "store":
            assert at == action.unit
            assert action.slot in range(slots)
            held[action.slot] = at
        elif action.kind == "restore":
            assert held[action.slot] == action.unit
            at = action.unit
        elif action.kind == "advance":
            assert at == action.unit < action.stop
            runs += action.stop - at
            at = action.stop
        else:
            assert at == action.unit == expected
            expected -= 1
            at = None
        assert len(held) <= slots
    assert expected == -1
    return runs


@pytest.mark.parametrize("slots", range(1, 8))
def test_the_formula_is_the_least_number_of_runs_and_the_schedule_takes_it(slots):
    for units in range(1, 70):
        assert forward_runs(units, slots) == least(units, slots) == follow(units, slots)


@given(st.integers(1, 2000), st.integers(1, 20))
def test_long_schedules_take_as_many_runs_as_the_formula(units, slots):
    if slots > 1 or units < 300:
        assert follow(units, slots) == forward_runs(units, slots)


@pytest.mark.parametrize(("units", "slots", "r"), [(286, 10, 3), (1001, 10, 4), (5456, 30, 3), (231, 20, 2)])
def test_repetitions_reach_binomially_many_units(units, slots, r):
    assert repetitions(units, slots) == r
    assert repetitions(units + 1, slots) == r + 1


@given(st.integers(1, 300), st.integers(1, 12))
def test_states_kept_online_reverse_any_length(units, slots):
    store = OnlineStore(slots)
    for unit in range(1, units):
        where = store.offer(unit)
        assert where is None or where.slot in range(slots)
        assert len(store.kept) <= slots
        assert [point.unit for point in store.kept] == sorted({point.unit for point in store.kept})
    runs = units - 1 + follow(units, slots, store.kept)
    assert forward_runs(units, slots) <= runs
    if slots > 1:
        assert runs <= 1.5 * forward_runs(units, slots) or units <= 2
