"""Quantities beside their bounds."""

import math

import numpy as np
import pytest
from scipy import stats

from hypergrad.errors import ExperimentError
from hypergrad.experiments.config import Expected
from hypergrad.experiments.judge import gathered, judge, overall


def verdict(values, **entry):
    seeds = tuple(range(len(values))) if len(values) > 1 else None
    (found,) = judge({"q": (values, seeds)}, {"q": Expected(about="x", **entry)}, "full", "e")
    return found


@pytest.mark.parametrize(
    ("values", "entry", "status"),
    [
        ((1.0, 2.0), {"at_most": 2.0}, "accepted"),
        ((1.0, 2.1), {"at_most": 2.0}, "outside"),
        ((1.0, 2.1), {"at_most": 2.0, "judge": "mean"}, "accepted"),
        ((1.0, 2.1), {"at_most": 2.0, "gate": False}, "deviates"),
        ((1.0, math.nan), {"at_most": 2.0, "judge": "mean"}, "outside"),
        ((math.nan,), {"at_most": 2.0}, "outside"),
        ((math.inf, -math.inf), {"at_most": 2.0, "judge": "mean"}, "outside"),
        ((1e308, 1e308), {"at_most": 2.0, "judge": "mean"}, "outside"),
        ((math.nan,), {}, "reported"),
        ((True, True), {"expected": True}, "accepted"),
        ((True, False), {"expected": True}, "outside"),
        ((True, False), {"at_least": 0.5, "judge": "mean"}, "accepted"),
    ],
)
def test_status(values, entry, status):
    assert verdict(values, **entry).status == status


def test_the_interval_is_students(tmp_path):
    values = (1.0, 2.0, 4.0)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    np.testing.assert_allclose(verdict(values).interval, (low, high), rtol=1e-12)
    assert verdict((1.0,)).interval is None
    assert verdict((1.0, math.inf)).interval is None
    assert verdict((True, False)).interval is None


def test_complaints_name_the_seeds_outside():
    assert verdict((1.0, 3.0, 5.0), at_most=2.0, theirs=1.5).complaint == (
        "q is 3 (seed 1), 5 (seed 2), accepted is ≤ 2; the source has 1.5"
    )
    assert verdict((False,), expected=True).complaint == "q is no, accepted is yes"


def test_what_is_not_named_is_reported_and_what_is_missing_is_an_error():
    found = judge({"q": ((1.0,), None)}, {}, "full", "e")
    assert [(v.name, v.status) for v in found] == [("q", "reported")]
    with pytest.raises(ExperimentError, match=r"e: expected\.json names 'p'.*there are q"):
        judge({"q": ((1.0,), None)}, {"p": Expected(about="x")}, "full", "e")


def test_what_is_not_judged_at_the_smoke_scale_may_be_absent_there():
    entries = {"p": Expected(about="x", at_most=1.0, smoke=False), "q": Expected(about="x", at_most=1.0)}
    found = judge({"q": ((1.0,), None)}, entries, "smoke", "e")
    assert [(v.name, v.status) for v in found] == [("q", "accepted")]
    with pytest.raises(ExperimentError, match="'p'"):
        judge({"q": ((1.0,), None)}, entries, "full", "e")


def test_overall_is_the_worst():
    good, bad = verdict((1.0,), at_most=2.0), verdict((3.0,), at_most=2.0)
    odd = verdict((3.0,), at_most=2.0, gate=False)
    assert [overall(v) for v in ([], [good], [good, odd], [good, odd, bad])] == [
        "accepted",
        "accepted",
        "deviates",
        "outside",
    ]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ({None: [1.0]}, ["f()", "list", "dict"]),
        ({0: {"a": "1"}}, ["f() at seed 0", "a is '1'"]),
        ({0: {"a": np.ones(2)}}, ["a is"]),
        ({0: {"a": None}}, ["a is None"]),
        ({0: {"a": 1j}}, ["a is 1j"]),
        ({0: {1: 1.0}}, ["dict"]),
        ({0: {"a": 1.0}, 1: {"b": 1.0}}, ["seed 1", "same quantities"]),
        ({0: {"a": 1.0}, 1: {}}, ["seed 1", "a"]),
        ({0: {"a": 1.0}, 1: {"a": True}}, ["f()", "a is a boolean at some seeds and a number at others"]),
    ],
)
def test_what_is_no_dict_of_numbers_is_a_sentence(results, words):
    with pytest.raises(ExperimentError) as error:
        gathered(results, "f()")
    for word in words:
        assert word in str(error.value)


def test_numpy_numbers_become_plain_ones():
    found = gathered(
        {0: {"a": np.float32(0.5), "b": np.bool_(True), "c": np.int64(3), "d": np.array(2.0)[()]}}, "f"
    )
    assert found == {"a": (0.5,), "b": (True,), "c": (3.0,), "d": (2.0,)}
    assert [type(v[0]) for v in found.values()] == [float, bool, float, float]
