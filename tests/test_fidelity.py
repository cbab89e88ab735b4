"""The fidelity of a space: its values and coordinates, and what counts as full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hypergrad as hg
from hypergrad.errors import SpaceError, StudyError
from hypergrad.samplers import Bayes, Random
from hypergrad.space import Categorical, Fidelity, Float, Int, Space

SPACE = Space(a=Float(0.0, 1.0), steps=Fidelity(100, 2000), z=Categorical(["p", "q"]))


def test_values():
    assert SPACE.fidelity == "steps"
    assert SPACE.defaults()["steps"] == 2000
    assert [Fidelity(100, 2000).from_unit(np.array([u])) for u in (0.0, 0.5, 1.0)] == [100, 447, 2000]
    assert type(Fidelity(100, 2000).from_unit(np.array([0.3]))) is int
    assert Fidelity(0.1, 1.0, log=False).from_unit(np.array([0.5])) == pytest.approx(0.55)
    assert Fidelity(1, 1.5).from_unit(np.array([0.5])) == pytest.approx(np.sqrt(1.5))
    assert hg.Fidelity is Fidelity


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(), st.floats(0.0, 1.0))
def test_every_int_has_a_coordinate_of_its_own(low, more, log, share):
    fidelity = Fidelity(low, low + more, log)
    value = low + round(share * more)
    unit = fidelity.to_unit(value)
    assert fidelity.from_unit(unit) == value
    assert 0.0 <= unit[0] <= 1.0
    snapped = fidelity.snap(np.array([share]))
    np.testing.assert_array_equal(fidelity.snap(snapped), snapped)
    assert fidelity.from_unit(snapped) == fidelity.from_unit(np.array([share]))
    assert (fidelity.to_unit(low)[0], fidelity.to_unit(low + more)[0]) == (0.0, 1.0)
    assert fidelity.share(np.ones(1))[0] == 1.0


def test_only_the_end_is_full():
    points = np.array([[0.2, 1.0, 0.25], [0.2, 0.999, 0.25]])
    assert SPACE.at_full(points).tolist() == [True, False]
    assert SPACE.at_full(SPACE.full(points)).all()
    assert not SPACE.continuous[SPACE.columns["steps"]].any()
    plain = Space(a=Float(0.0, 1.0))
    assert plain.target is plain
    assert plain.at_full(np.zeros((2, 1))).all()
    assert SPACE.target == Space(a=Float(0.0, 1.0), steps=2000, z=Categorical(["p", "q"]))


def test_a_fidelity_does_not_multiply_configurations():
    space = Space(k=Int(1, 3), c=Categorical(["p", "q"]), steps=Fidelity(1, 50))
    assert space.size == 6
    assert space.at_full(space.configurations).all()
    for sampler in (Random(), Bayes(initial=2)):
        study = hg.Study("s", space, sampler)
        study.optimize(lambda h: h["k"] + 1.0 / h["steps"], trials=100)
        full = [t for t in study.trials if t.hparams["steps"] == 50]
        assert len({(t.hparams["k"], t.hparams["c"]) for t in full}) == 6
        assert study.exhausted
        assert study.best.hparams["k"] == 1


def test_it_has_no_derivative_and_survives_json():
    space = Space.from_json(SPACE.to_json())
    assert space == SPACE
    assert Space.from_json(Space(a=Float(0.0, 1.0), share=Fidelity(0.25, 1.0)).to_json()).parameters[
        "share"
    ] == Fidelity(0.25, 1.0)
    gradient = SPACE.gradient_to_unit(SPACE.defaults(), {"a": 1.0, "steps": 2.0})
    assert np.isnan(gradient[SPACE.columns["steps"]]).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Fidelity(0, 10), r"Fidelity needs 0 < low < high, got low=0 and high=10"),
        (lambda: Fidelity(10, 10), r"needs 0 < low < high"),
        (lambda: Fidelity("1", 2), r"low of a Fidelity is '1', expected a number"),
        (lambda: Fidelity(1, 2, log=3), r"log of a Fidelity is 3, expected True or False"),
        (
            lambda: Space(s=Fidelity(1, 2)),
            r"has the fidelity 's' alone, expected something to tune beside it",
        ),
        (
            lambda: Space(a=Float(0, 1), s=Fidelity(1, 2), t=Fidelity(1, 2)),
            r"the fidelities s, t, expected at most one",
        ),
        (
            lambda: Space(a=Float(0, 1, active_if={"s": 2}), s=Fidelity(1, 2)),
            r"active_if of 'a' names 's', a Fidelity; a condition needs",
        ),
        (
            lambda: SPACE.to_unit({"a": 0.5, "steps": 5000, "z": "p"}),
            r"'steps' is 5000, outside its bounds \[100, 2000\]",
        ),
        (
            lambda: SPACE.to_unit({"a": 0.5, "steps": 500.5, "z": "p"}),
            r"'steps' is 500\.5, expected an integer",
        ),
    ],
)
def test_what_is_no_fidelity(make, words):
    with pytest.raises(SpaceError, match=words):
        make()


def test_there_is_no_best_below_full_fidelity():
    study = hg.Study("s", SPACE, Random())
    study.enqueue({"a": 0.5, "steps": 100, "z": "p"})
    study.tell(study.ask(), 1.0)
    with pytest.raises(
        StudyError, match=r"no trial at full fidelity yet, steps=2000, among its 1 finished ones"
    ):
        _ = study.best
    study.tell(study.ask(), 5.0)
    assert study.best.value == 5.0


def test_a_float_fidelity_keeps_the_very_number():
    space = Space(a=Float(0.0, 1.0), share=Fidelity(0.1, 1.0))
    study = hg.Study("s", space, Random())
    study.enqueue({"a": 0.5, "share": 0.3})
    assert study.ask().hparams["share"] == 0.3
