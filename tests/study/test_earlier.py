"""Earlier studies: what of them a new study keeps, what it leaves out, and that they are none of its trials."""

import math

import numpy as np
import pytest

from hypergrad.errors import ExhaustedError, StoreError, StudyError
from hypergrad.samplers import SAMPLERS, Bayes, Random
from hypergrad.samplers.base import Proposal, Sampler
from hypergrad.space import Categorical, Fidelity, Float, Int, Space
from hypergrad.study import Study, load_study

SPACE = Space(lr=Float(1e-3, 1.0, log=True), kind=Categorical(["a", "b"]))


class Watch(Sampler):
    """Keeps what it is told."""

    uses_earlier = uses_fidelity = True

    def __init__(self):
        self.seen = ()

    def ask(self, space, history, *, seed, number):
        self.seen = tuple(history)
        return Proposal(np.full(space.dimension, 0.5), False)


def before(space=SPACE, outcomes=None, name="before", **settings):
    """A study of these (hparams, value, gradient) or of ten random trials."""
    study = Study(name, space, Random(), **settings)
    if outcomes is None:
        study.optimize(
            lambda h: (math.log(h["lr"]) ** 2, {"lr": 2.0 * math.log(h["lr"]) / h["lr"]}), trials=10
        )
    for hparams, value, gradient in outcomes or ():
        study.enqueue(hparams)
        study.tell(study.ask(), value, gradient)
    return study


def records(space, earlier, **settings):
    """What a sampler is told of earlier studies."""
    watch = Watch()
    study = Study("new", space, watch, earlier=earlier, **settings)
    study.ask()
    return study, watch.seen


def test_trials_of_an_earlier_study_reach_samplers_and_are_not_trials():
    old = before()
    study, seen = records(SPACE, [old])
    assert [r.study for r in seen] == [1] * 10
    for record, trial in zip(seen, old.trials, strict=True):
        np.testing.assert_allclose(record.unit, trial.unit, rtol=1e-14)
        assert record.value == trial.value
        np.testing.assert_allclose(record.gradient, trial.unit_gradient, rtol=1e-14)
    assert (study.finished, len(study.trials), study.exhausted) == (0, 1, False)
    with pytest.raises(StudyError, match="no trial with a finite value among its 0 finished"):
        _ = study.best
    (origin,) = study.earlier
    assert (origin.name, origin.trials, origin.left_out, origin.defaulted, origin.ignored) == (
        "before",
        10,
        0,
        (),
        (),
    )


@pytest.mark.parametrize("sampler", [kind() for kind in SAMPLERS.values()], ids=list(SAMPLERS))
def test_every_sampler_starts_at_the_best_of_earlier_studies(sampler):
    old, other = before(), before(name="other", seed=1)
    study = Study("new", SPACE, sampler, earlier=[old, other])
    study.optimize(lambda h: math.log(h["lr"]) ** 2, trials=3)
    assert [t.hparams for t in study.trials[:2]] == [old.best.hparams, other.best.hparams]
    assert study.trials[0].note == {"enqueued": True}


def test_other_spaces():
    """In natural units: a gradient by the new bounds, a missing one at its default, an outside one left out."""
    old = before(
        Space(lr=Float(1e-3, 10.0, log=True), l2=Float(0.0, 1.0), depth=Int(1, 9)),
        [
            ({"lr": 0.1, "l2": 0.5, "depth": 2}, 1.0, {"lr": 3.0, "l2": 4.0}),
            ({"lr": 5.0, "l2": 0.5, "depth": 2}, 0.5, None),
            ({"lr": 0.2, "l2": 0.5, "depth": 9}, 0.4, None),
            ({"lr": 0.3, "l2": 0.1, "depth": 1}, math.nan, None),
        ],
    )
    space = Space(lr=Float(1e-2, 1.0, log=True), depth=Int(1, 4), momentum=Float(0.0, 1.0, default=0.9))
    study, seen = records(space, [old])
    (origin,) = study.earlier
    assert (origin.trials, origin.left_out) == (2, 2)
    assert (origin.defaulted, origin.ignored) == (("momentum",), ("l2",))
    assert [r.number for r in seen] == [0, 3]
    assert space.from_unit(seen[0].unit) == pytest.approx({"lr": 0.1, "depth": 2, "momentum": 0.9}, rel=1e-14)
    column = space.columns["lr"].start
    assert seen[0].gradient[column] == pytest.approx(3.0 * 0.1 * math.log(100.0), rel=1e-12)
    assert np.isnan(np.delete(seen[0].gradient, column)).all()
    assert math.isnan(seen[1].value)
    assert study.trials[0].hparams == {"lr": 0.1, "depth": 2, "momentum": 0.9}


def test_fidelities_of_earlier_studies():
    space = Space(lr=Float(1e-3, 1.0, log=True), steps=Fidelity(10, 100))
    old = before(space, [({"lr": 0.1, "steps": 10}, 1.0, None), ({"lr": 0.2, "steps": 100}, 2.0, None)])
    study, seen = records(space, [old])
    assert [space.from_unit(r.unit)["steps"] for r in seen] == [10, 100]
    assert study.trials[0].hparams == {"lr": 0.2, "steps": 100}  # the better one was not at full fidelity
    study, seen = records(Space(lr=Float(1e-3, 1.0, log=True)), [old])
    assert [r.number for r in seen] == [1]
    study, seen = records(space, [before(Space(lr=Float(1e-3, 1.0, log=True)), [({"lr": 0.1}, 1.0, None)])])
    assert space.from_unit(seen[0].unit) == pytest.approx({"lr": 0.1, "steps": 100}, rel=1e-14)


def test_constraints_of_earlier_studies():
    old = Study("before", SPACE, Random(), constraints={"size": 1.0})
    for value, size in ((1.0, 3.0), (2.0, 1.5)):
        old.tell(old.ask(), value, constraints={"size": size}, constraint_gradients={"size": {"lr": 1.0}})
    study, seen = records(SPACE, [old], constraints={"size": 2.0, "time": 0.0})
    np.testing.assert_array_equal(np.stack([r.constraints for r in seen]), [[1.0, np.nan], [-0.5, np.nan]])
    assert np.isfinite(seen[0].constraint_gradients[0, SPACE.columns["lr"].start])
    assert study.trials[0].hparams == old.trials[1].hparams  # the other one is too large


def test_a_snapshot_is_taken_once(tmp_path):
    path = tmp_path / "runs.db"
    old = before(store=path)
    new = Study("new", SPACE, Random(), store=path, earlier=[old])
    assert new.earlier[0].trials == 10
    new.close()
    old.optimize(lambda h: 1.0, trials=15)
    again = Study("new", SPACE, Random(), store=path, earlier=[old])
    assert again.earlier[0].trials == 10
    assert len(again._store.queue(again._id)) == 1
    again.close()
    assert Study("new", SPACE, Random(), store=path).earlier[0].trials == 10  # those it was made with
    assert load_study(path, "new").earlier == again.earlier
    with pytest.raises(StudyError, match=r"has the earlier studies before, not none"):
        Study("new", SPACE, Random(), store=path, earlier=[])
    with pytest.raises(StudyError, match=r"has the earlier studies none, not new"):
        Study("before", SPACE, Random(), store=path, earlier=[(path, "new")])


def test_paths(tmp_path):
    path = tmp_path / "runs.db"
    before(store=path).close()
    assert Study("new", SPACE, Random(), earlier=[path]).earlier[0].trials == 10
    assert Study("new", SPACE, Random(), earlier=[str(path)]).earlier[0].trials == 10
    before(store=path, name="second").close()
    assert Study("new", SPACE, Random(), earlier=[(path, "second")]).earlier[0].name == "second"
    with pytest.raises(
        StudyError, match=r"has 2 such studies; choose one by its key: before \(before\), second"
    ):
        Study("new", SPACE, Random(), earlier=[path])
    with pytest.raises(StudyError, match=r"no study 'secnd'; did you mean 'second'\?"):
        Study("new", SPACE, Random(), earlier=[(path, "secnd")])
    with pytest.raises(StoreError, match="there is no file of studies"):
        Study("new", SPACE, Random(), earlier=[tmp_path / "absent.db"])


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ("runs.db", r"earlier of study 'new' is 'runs\.db', expected a list of studies or of paths"),
        ([3], r"earlier of study 'new' holds 3, expected a study, a path, or a pair"),
        (
            [before(Space(z=Float(0.0, 1.0)), [])],
            r"'before' has no hyperparameter of study 'new': its own are z",
        ),
        ([before(), before()], r"holds the study 'before' twice; name it once"),
    ],
)
def test_what_is_no_earlier_study(earlier, words):
    with pytest.raises(StudyError, match=words):
        Study("new", SPACE, Random(), earlier=earlier)


def test_an_earlier_study_without_trials_says_nothing():
    study = Study("new", SPACE, Bayes(initial=2), earlier=[before(outcomes=[])])
    study.optimize(lambda h: h["lr"], trials=4)
    assert study.earlier[0].trials == 0
    assert study.trials[0].hparams == SPACE.defaults()


def test_a_finite_space_is_tried_whole_whatever_was_tried_before():
    space = Space(kind=Categorical(["a", "b", "c"]), k=Int(1, 3))
    old = Study("before", space, Random())
    old.optimize(lambda h: float(h["k"]), trials=9)
    for sampler in (Random(), Bayes()):
        study = Study("new", space, sampler, earlier=[old])
        study.optimize(lambda h: float(h["k"]), trials=20)
        assert len({(t.hparams["kind"], t.hparams["k"]) for t in study.trials}) == study.finished == 9
        with pytest.raises(ExhaustedError):
            study.ask()
