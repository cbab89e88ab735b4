"""What every sampler of the registry must do."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from hypergrad.samplers import SAMPLERS, Proposal, Record, Sampler
from hypergrad.space import Categorical, Float, Int, Space

SPACES = {
    "one": Space(x=Float(0.0, 1.0)),
    "shaped": Space(lr=Float(1e-4, 1.0, log=True, shape=(12,)), l2=Float(1e-8, 1.0, log=True, shape=(3, 2))),
    "mixed": Space(x=Float(-1.0, 1.0, shape=(3,)), k=Int(1, 6), deep={"c": Categorical(["a", "b", "c"])}),
    "discrete": Space(k=Int(1, 40, log=True), c=Categorical(["a", "b"])),
}
samplers = pytest.mark.parametrize("sampler", [kind() for kind in SAMPLERS.values()], ids=list(SAMPLERS))
everywhere = pytest.mark.parametrize("space", list(SPACES.values()), ids=list(SPACES))


def bowl(space):
    """A smooth objective with a known gradient in the continuous coordinates."""

    def value(unit):
        z = unit - 0.3
        return float(z @ z), np.where(space.continuous, 2.0 * z, np.nan)

    return value


def same(one, two):
    return all(
        a.unit.tobytes() == b.unit.tobytes() and dict(a.note) == dict(b.note) and a.value == b.value
        for a, b in zip(one, two, strict=True)
    )


@samplers
def test_settings_are_a_frozen_dataclass_with_defaults(sampler):
    assert isinstance(sampler, Sampler)
    assert type(sampler)() == sampler
    assert hash(type(sampler)()) == hash(sampler)
    for field in dataclasses.fields(sampler):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(sampler, field.name, None)
        json.dumps(getattr(sampler, field.name))


@samplers
@everywhere
def test_points_stay_in_the_cube(sampler, space, drive):
    for record in drive(sampler, space, bowl(space), 40):
        assert record.unit.shape == (space.dimension,)
        assert record.unit.dtype == np.float64
        assert ((record.unit >= 0.0) & (record.unit <= 1.0)).all()
        space.from_unit(record.unit)


@samplers
@everywhere
def test_the_first_point_is_the_defaults(sampler, space):
    proposal = sampler.ask(space, (), seed=3, number=0)
    assert isinstance(proposal, Proposal)
    np.testing.assert_array_equal(proposal.unit, space.to_unit(space.defaults()))


@samplers
def test_an_enqueued_trial_does_not_displace_the_defaults(sampler):
    space = SPACES["shaped"]
    enqueued = Record(0, np.full(18, 0.9), "complete", 1.0, None, {"enqueued": True})
    proposal = sampler.ask(space, (enqueued,), seed=3, number=1)
    np.testing.assert_array_equal(proposal.unit, space.to_unit(space.defaults()))


@samplers
@everywhere
def test_asking_is_pure(sampler, space, drive):
    history = tuple(drive(sampler, space, bowl(space), 15))
    for record in history:
        record.unit.flags.writeable = False
    first = sampler.ask(space, history, seed=0, number=15)
    sampler.ask(space, history[:7], seed=1, number=7)
    again = sampler.ask(space, list(history), seed=0, number=15)
    assert first.unit.tobytes() == again.unit.tobytes()
    assert dict(first.note) == dict(again.note)


@samplers
@everywhere
def test_a_resumed_study_goes_on_with_the_same_bits(sampler, space, drive):
    whole = drive(sampler, space, bowl(space), 24)
    half = drive(sampler, space, bowl(space), 12)
    assert same(drive(sampler, space, bowl(space), 24, history=half), whole)


@samplers
def test_a_trial_that_died_while_running_is_asked_again_alike(sampler, drive):
    space = SPACES["mixed"]
    history = drive(sampler, space, bowl(space), 9)
    before = sampler.ask(space, tuple(history), seed=0, number=9)
    dead = Record(9, before.unit, "running", note=before.note)
    again = sampler.ask(space, (*history, dead), seed=0, number=9)
    assert again.unit.tobytes() == before.unit.tobytes()


@samplers
def test_seeds_differ(sampler, drive):
    space = SPACES["mixed"]
    flat = [drive(sampler, space, lambda unit: (1.0, None), 8, seed=seed) for seed in (0, 1)]
    assert not same(*flat)


@samplers
@everywhere
@pytest.mark.parametrize(
    "objective",
    [
        lambda unit: (np.nan, None),
        lambda unit: (np.inf, np.full(unit.shape, np.inf)),
        lambda unit: (-np.inf, np.full(unit.shape, np.nan)),
        lambda unit: (1.0, np.zeros(unit.shape)),
        lambda unit: (1e308, np.full(unit.shape, -1e308)),
        lambda unit: (float(unit.sum()), np.full(unit.shape, np.nan)),
    ],
    ids=["nan", "inf", "-inf", "constant", "enormous", "no gradient"],
)
def test_hostile_objectives_are_survived(sampler, space, objective, drive):
    records = drive(sampler, space, objective, 25)
    assert len({record.unit.tobytes() for record in records}) >= (25 if space.continuous.any() else 4)


@samplers
def test_failed_trials_are_survived(sampler, drive):
    space = SPACES["mixed"]
    history = []
    for number in range(12):
        unit = sampler.ask(space, tuple(history), seed=0, number=number)
        history.append(Record(number, unit.unit, "failed" if number % 2 else "complete", note=unit.note))
    assert len({record.unit.tobytes() for record in history}) == 12


@samplers
def test_workers_beside_one_another_get_different_points(sampler):
    """Four workers; the trials end in an order of their own."""
    space = SPACES["shaped"]
    objective, rng = bowl(space), np.random.default_rng(0)
    history = {}
    for number in range(60):
        running = [n for n, record in history.items() if record.state == "running"]
        if len(running) == 4:
            ends = history[running[rng.integers(4)]]
            value, gradient = objective(ends.unit)
            history[ends.number] = Record(ends.number, ends.unit, "complete", value, gradient, ends.note)
        proposal = sampler.ask(space, tuple(history.values()), seed=0, number=number)
        history[number] = Record(number, proposal.unit, "running", note=proposal.note)
    assert len({record.unit.tobytes() for record in history.values()}) == 60


@samplers
def test_a_thousand_trials(sampler):
    """Histories of any origin are read whole; the point proposed is still a point."""
    space, rng = SPACES["shaped"], np.random.default_rng(0)
    objective, history = bowl(space), []
    for number in range(1000):
        unit = rng.random(space.dimension)
        history.append(Record(number, unit, "complete", *objective(unit), {"enqueued": True}))
    proposal = sampler.ask(space, tuple(history), seed=0, number=1000)
    assert ((proposal.unit >= 0.0) & (proposal.unit <= 1.0)).all()


def test_importing_samplers_does_not_import_scipy():
    code = "import sys, hypergrad.samplers; sys.exit(any(m.split('.')[0] == 'scipy' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
