import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import hypergrad.study
from hypergrad.errors import SpaceError, StudyError
from hypergrad.samplers import Bayes, Gradient, Hybrid, Random, Sobol
from hypergrad.samplers.base import Proposal, Sampler
from hypergrad.space import Categorical, Float, Int, Space
from hypergrad.study import Best, Study, Trial, load_study, studies
from hypergrad.study.codec import encode, pack

SPACE = Space(
    lr=Float(1e-4, 1.0, log=True),
    l2=Float(0.0, 1.0, shape=(2, 1)),
    opt={"units": Int(1, 64), "kind": Categorical(["tanh", None, 2])},
)


def bowl(hparams):
    return float(np.sum((hparams["l2"] - 0.25) ** 2) + math.log(hparams["lr"]) ** 2)


def new(**settings):
    return Study("study", SPACE, **{"sampler": Random(), **settings})


def as_text(hparams):
    """Equal texts: equal bits, whatever the order of the keys."""
    return encode(hparams, sort=True)


def point(**changes):
    return {"lr": 0.01, "l2": np.full((2, 1), 0.5), "opt": {"units": 8, "kind": None}, **changes}


def test_public_names():
    assert set(hypergrad.study.__all__) >= {"Best", "Study", "Trial", "load_study", "studies", "tune"}


# --- ask and tell


def test_ask_and_tell():
    study = new()
    trial = study.ask()
    assert isinstance(trial, Trial)
    assert (trial.number, trial.state, trial.wants_gradient) == (0, "running", False)
    assert math.isnan(trial.value)
    assert as_text(trial.hparams) == as_text(SPACE.defaults())
    told = study.tell(
        trial,
        np.float32(0.5),
        {"lr": np.float32(2.0), "l2": [[1], [-3]]},
        curve=[3.0, 2.0],
        metrics={"accuracy": 0.75},
        stats={"steps": 2},
        cost=4,
        seconds=0.25,
    )
    assert (told.state, told.value, told.cost, told.seconds, told.finite) == (
        "complete",
        0.5,
        4.0,
        0.25,
        True,
    )
    assert as_text(told.gradient) == as_text(
        {"lr": 2.0, "l2": np.array([[1.0], [-3.0]]), "opt": {"units": None, "kind": None}}
    )
    slopes = [1.0, -3.0, 2.0 * 0.01 * math.log(1e4), math.nan, math.nan]
    assert SPACE.names == ("l2[0,0]", "l2[1,0]", "lr", "opt/kind", "opt/units")
    np.testing.assert_allclose(told.unit_gradient, slopes, rtol=1e-12)
    assert told.metrics == {"accuracy": 0.75}
    assert told.stats == {"steps": 2, "curve_length": 2}
    assert list(told.curve) == [3.0, 2.0]
    assert set(told.versions) == {"hypergrad", "numpy", "python"}
    assert told.seed == 0
    assert told.started.endswith("+00:00")
    assert study.trials[0] is told
    assert study.best.trial is told


def test_tell_by_number_and_time_since_asked():
    study = new()
    study.ask()
    assert study.tell(0, 1).seconds >= 0.0
    assert study.tell(study.ask().number, np.array([2.0])).value == 2.0


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (7, r"study 'study' in memory has no trial 7; its 2 trials are numbered from 0"),
        (-1, r"has no trial -1"),
        (0, r"trial 0 of study 'study' in memory is already complete; ask for a new one"),
        ("0", r"the number of a trial is '0', expected an integer"),
    ],
)
def test_tell_of_a_trial_that_does_not_run(number, words):
    study = new()
    study.tell(study.ask(), 1.0)
    study.ask()
    with pytest.raises(StudyError, match=words):
        study.tell(number, 2.0)
    assert [t.state for t in study.trials] == ["complete", "running"]


def test_tell_before_any_trial():
    with pytest.raises(StudyError, match="has no trial 0; it has none yet"):
        new().tell(0, 1.0)


@pytest.mark.parametrize(
    "value", [None, "0.5", True, 1j, [1.0, 2.0], [[1.0], [2.0, 3.0]], {"loss": 1.0}, np.array([]), 10**400]
)
def test_a_value_that_is_no_number(value):
    study = new()
    trial = study.ask()
    with pytest.raises(StudyError, match=r"the value of trial 0 is .*, expected one real number"):
        study.tell(trial, value)
    assert study.tell(trial, 1.0).value == 1.0


@pytest.mark.parametrize(
    ("gradient", "words"),
    [
        ({"lrr": 1.0}, "the gradient of trial 0 names no hyperparameter 'lrr'; did you mean 'lr'"),
        ({"opt": {"unit": 1.0}}, "no hyperparameter 'opt/unit'; did you mean 'opt/units'"),
        (
            {"opt": 1.0},
            "the gradient of trial 0 at 'opt' is a float, expected a dict with some of the keys kind, units",
        ),
        (1.0, "the gradient of trial 0 is a float, expected a dict"),
        ({"lr": [1.0]}, r"the gradient of trial 0 at 'lr' has the shape \(1,\), expected \(\)"),
        ({"l2": np.zeros(2)}, r"the gradient of trial 0 at 'l2' has the shape \(2,\), expected \(2, 1\)"),
        ({"lr": "steep"}, "at 'lr' is 'steep', expected real numbers"),
        ({"lr": 1j}, "at 'lr' is 1j, expected real numbers"),
        ({"l2": [[1.0], [1.0, 2.0]]}, "at 'l2' is .*, expected real numbers"),
    ],
)
def test_a_gradient_that_does_not_fit(gradient, words):
    study = new()
    trial = study.ask()
    with pytest.raises(StudyError, match=words):
        study.tell(trial, 1.0, gradient)
    assert study.trials[0].state == "running"


@pytest.mark.parametrize("gradient", [None, {}, {"lr": None}, {"opt": None}, {"opt": {"units": 1.0}}])
def test_a_gradient_of_which_nothing_is_known(gradient):
    study = new()
    told = study.tell(study.ask(), 1.0, gradient)
    assert told.gradient is None
    assert told.unit_gradient is None


def test_an_exploded_gradient_is_kept():
    study = new()
    told = study.tell(study.ask(), 1.0, {"lr": 1e308, "l2": [[math.inf], [math.nan]]})
    assert told.gradient["lr"] == 1e308
    assert told.unit_gradient[0] == math.inf
    assert np.isnan(told.unit_gradient[1])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_diverged_trial_is_complete_but_never_the_best(value):
    study = new()
    told = study.tell(study.ask(), value)
    assert (told.state, told.finite) == ("complete", False)
    assert encode(told.value) == encode(value)
    with pytest.raises(StudyError, match="no trial with a finite value among its 1 finished ones"):
        _ = study.best
    study.tell(study.ask(), 5.0)
    assert study.best.number == 1


@settings(deadline=None, max_examples=20)
@given(
    st.floats(),
    hnp.arrays(np.float64, (2, 1), elements=st.floats()),
    st.floats(),
    st.dictionaries(st.text(max_size=5), st.floats(), max_size=3),
)
def test_what_is_told_survives_bit_for_bit(value, l2, lr, metrics):
    study = new()
    told = study.tell(study.ask(), value, {"l2": l2, "lr": lr}, metrics=metrics, curve=l2[:, 0])
    study._history.revision = -1
    (read,) = study.trials
    assert encode(told.value) == encode(read.value) == encode(value)
    assert pack(read.gradient["l2"]) == pack(l2)
    assert pack(read.gradient["lr"]) == pack(lr)
    assert pack(read.unit_gradient) == pack(told.unit_gradient)
    assert encode(read.metrics) == encode(metrics)
    assert pack(read.curve) == pack(l2)


def test_what_users_change_is_not_what_is_stored():
    study = new()
    trial = study.ask()
    trial.hparams["lr"] = 77.0
    trial.hparams["l2"][:] = 5.0
    assert as_text(study.tell(trial, 1.0).hparams) == as_text(SPACE.defaults())


def test_curves_are_thinned_to_200_points():
    study = new()
    curve = np.arange(1001.0) ** 2
    told = study.tell(study.ask(), 1.0, curve=curve)
    assert told.curve.size == 200
    np.testing.assert_array_equal(told.curve, curve[told.curve_steps])
    assert (told.curve_steps[0], told.curve_steps[-1]) == (0, 1000)
    assert set(np.diff(told.curve_steps)) <= {5, 6}
    assert study.tell(study.ask(), 1.0, curve=curve[:200]).curve.size == 200
    with pytest.raises(StudyError, match=r"the curve of trial 2 has the shape \(1, 2\)"):
        study.tell(study.ask(), 1.0, curve=[[1.0, 2.0]])


@pytest.mark.parametrize("amount", [-1.0, math.nan, math.inf, "1"])
def test_costs_and_times_are_amounts(amount):
    study = new()
    trial = study.ask()
    with pytest.raises(StudyError, match=r"the cost of trial 0 is .*, expected"):
        study.tell(trial, 1.0, cost=amount)
    with pytest.raises(StudyError, match=r"seconds is .*, expected"):
        study.tell(trial, 1.0, seconds=amount)


def test_metrics_that_cannot_be_stored_leave_the_trial_running():
    study = new()
    trial = study.ask()
    with pytest.raises(StudyError, match="metrics/model is a object, which cannot be stored"):
        study.tell(trial, 1.0, metrics={"model": object()})
    study.tell(trial, 1.0)


def test_fail():
    study = new()
    failed = study.fail(study.ask(), "the cluster ate it")
    assert (failed.state, failed.error, failed.finite) == ("failed", "the cluster ate it", False)
    assert study.finished == 1
    assert math.isnan(study.trials[0].value)


def test_best_is_the_earliest_of_equals():
    study = new()
    for value in (3.0, 1.0, 1.0, math.nan, 2.0):
        study.tell(study.ask(), value)
    best = study.best
    assert isinstance(best, Best)
    assert (best.value, best.number) == (1.0, 1)
    assert as_text(best.hparams) == as_text(study.trials[1].hparams)


def test_best_of_parallel_trials_is_the_earliest_asked():
    study = new()
    first, second = study.ask(), study.ask()
    study.tell(second, 1.0)
    study.tell(first, 1.0)
    assert study.best.number == 0
    study._history.revision = -1
    assert study.best.number == 0


# --- enqueue


def test_enqueued_points_come_first_and_once(tmp_path):
    for _ in range(2):  # a script that is run twice
        study = new(store=tmp_path / "runs.db")
        study.enqueue(point())
        study.enqueue(point(lr=0.02))
        study.enqueue(point())
        study.optimize(bowl, trials=4)
        study.close()
    trials = load_study(tmp_path / "runs.db").trials
    assert [t.hparams["lr"] for t in trials[:2]] == [0.01, 0.02]
    assert [t.note for t in trials] == [{"enqueued": True}, {"enqueued": True}, {}, {}]
    assert as_text(trials[2].hparams) == as_text(SPACE.defaults())
    assert len({as_text(t.hparams) for t in trials}) == 4


@pytest.mark.parametrize(
    ("sampler", "wants"),
    [(Random(), False), (Sobol(), False), (Gradient(), True), (Bayes(), True), (Bayes(gradients=False), False),
     (Hybrid(), True)],
)  # fmt: skip
def test_an_enqueued_point_costs_no_model(sampler, wants, monkeypatch):
    monkeypatch.setattr(type(sampler), "ask", None)
    study = Study("s", Space(x=Float(0.0, 1.0, shape=2)), sampler)
    for x in np.linspace(0.0, 1.0, 8):
        study.enqueue({"x": np.full(2, x)})
        trial = study.ask()
        assert trial.wants_gradient is wants
        study.tell(trial, float(x), {"x": np.ones(2)} if wants else None)


def test_hybrid_wants_the_gradient_of_an_enqueued_point_until_that_was_in_vain():
    study = Study("s", Space(x=Float(0.0, 1.0, shape=2)), Hybrid())
    asked = []
    for number in range(8):
        if number:
            study.enqueue({"x": np.full(2, 0.12 * number)})
        trial = study.ask()
        asked.append(trial.wants_gradient)
        study.tell(trial, float(number))
    assert asked == [True] + 7 * [False]


def test_an_enqueued_point_survives_its_process(tmp_path):
    study = new(store=tmp_path / "runs.db")
    study.enqueue(point())
    study.close()
    study = new(store=tmp_path / "runs.db")
    assert as_text(study.ask().hparams) == as_text(point())
    study.close()


def test_enqueued_hparams_get_the_types_of_the_space():
    study = new()
    study.enqueue({"lr": 1, "l2": [[0], [1]], "opt": {"units": np.int32(3), "kind": 2.0}})
    hparams = study.ask().hparams
    assert as_text(hparams) == as_text(
        {"lr": 1.0, "l2": np.array([[0.0], [1.0]]), "opt": {"units": 3, "kind": 2}}
    )


def test_enqueued_numbers_are_kept_to_the_bit():
    study = new()
    study.enqueue(point(lr=0.1234567890123456))
    trial = study.ask()
    assert trial.hparams["lr"] == 0.1234567890123456
    np.testing.assert_array_equal(trial.unit, SPACE.to_unit(point(lr=0.1234567890123456)))


def test_enqueue_refuses_what_is_not_in_the_space():
    study = new()
    with pytest.raises(SpaceError, match="lr"):
        study.enqueue(point(lr=2.0))
    with pytest.raises(SpaceError, match="l2"):
        study.enqueue({"lr": 0.1})
    assert study.ask().note == {}


# --- reopening


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, r"the study 'study' in .*runs\.db has the seed 0, not 1; give this one another name"),
        (
            {"sampler": Sobol()},
            r"has the sampler Random\(defaults_first=True\), not Sobol\(defaults_first=True\)",
        ),
        (
            {"sampler": Random(defaults_first=False)},
            r"has the sampler .*True\), not Random\(defaults_first=False\)",
        ),
    ],
)
def test_reopening_with_other_settings(tmp_path, changes, words):
    new(store=tmp_path / "runs.db").close()
    with pytest.raises(StudyError, match=words):
        new(store=tmp_path / "runs.db", **changes)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"lr": Float(1e-4, 1.0, log=True)},
            "has a space with the hyperparameter 'n', which is not in the space given",
        ),
        (
            {"lr": Float(1e-4, 1.0, log=True), "n": Int(1, 9), "x": Int(1, 2)},
            "has a space without the hyperparameter 'x'",
        ),
        ({"lr": Float(1e-3, 1.0, log=True), "n": Int(1, 9)}, "has low=0.0001 of 'lr', not 0.001"),
        ({"lr": Float(1e-4, 1.0, log=True), "n": Float(1, 9)}, "has 'n' as Int, not Float"),
    ],
)
def test_reopening_with_another_space(tmp_path, space, words):
    Study(
        "s", Space(lr=Float(1e-4, 1.0, log=True), n=Int(1, 9)), Random(), store=tmp_path / "runs.db"
    ).close()
    with pytest.raises(StudyError, match=words):
        Study("s", Space(space), Random(), store=tmp_path / "runs.db")


def test_another_key_is_another_study(tmp_path):
    path = tmp_path / "runs.db"
    new(store=path, key="abc1", info={"task": "mlp"}).close()
    new(store=path, key="abd2", seed=5).close()
    new(store=path, key="abc1", info={"task": "ignored"}).close()
    first, second = studies(path)
    assert (first.key, first.name, first.info, first.seed) == ("abc1", "study", {"task": "mlp"}, 0)
    assert (second.key, second.seed, second.best, second.sampler, second.dimension) == (
        "abd2",
        5,
        None,
        "Random",
        5,
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": -1}, "the seed is -1, expected an integer from 0"),
        ({"seed": 2**63}, "the seed is 9223372036854775808, expected"),
        ({"seed": 1.0}, "the seed is 1.0, expected an integer"),
        ({"seed": True}, "the seed is True, expected an integer"),
        (
            {"sampler": "random"},
            r"the sampler of study 'study' is 'random', expected one such as samplers.Random\(\)",
        ),
        ({"key": ""}, "the key of the study is ''"),
        ({"info": {"x": object()}}, "info/x is a object, which cannot be stored"),
    ],
)
def test_arguments_of_a_study(settings, words):
    with pytest.raises(StudyError, match=words):
        new(**settings)


def test_name_and_space_of_a_study():
    with pytest.raises(StudyError, match="the name of the study is 3"):
        Study(3, SPACE, Random())
    with pytest.raises(StudyError, match=r"the space of study 'x' is .*, expected a Space"):
        Study("x", {"lr": Float(0, 1)}, Random())


# --- reading


def test_load_study_by_name_key_or_beginning(tmp_path):
    path = tmp_path / "runs.db"
    study = new(store=path, key="abc123")
    study.optimize(bowl, trials=3)
    study.close()
    for which in (None, "study", "abc123", "abc"):
        loaded = load_study(path, which)
        assert (loaded.name, loaded.space, loaded.sampler) == ("study", SPACE, Random())
        assert as_text(loaded.best.hparams) == as_text(loaded.trials[loaded.best.number].hparams)
    new(store=path, key="abd").close()
    with pytest.raises(StudyError, match=r"has 2 such studies; choose one by its key: abc123 \(study\), abd"):
        load_study(path, "study")
    with pytest.raises(StudyError, match="has 2 such studies"):
        load_study(path)
    with pytest.raises(StudyError, match="has no study 'stdy'; did you mean 'study'"):
        load_study(path, "stdy")


def test_a_loaded_study_goes_on_as_the_one_that_made_it(tmp_path):
    whole = new()
    whole.optimize(bowl, trials=5)
    study = new(store=tmp_path / "runs.db")
    study.optimize(bowl, trials=2)
    study.close()
    loaded = load_study(tmp_path / "runs.db")
    loaded.optimize(bowl, trials=5)
    assert [as_text(t.hparams) for t in loaded.trials] == [as_text(t.hparams) for t in whole.trials]
    loaded.close()


class Mine(Sampler):
    def ask(self, space, history, *, seed, number):
        return Proposal(np.full(space.dimension, 1 / (number + 2)), False, {"nested": (1, {"$x": math.inf})})


def test_a_sampler_of_ones_own(tmp_path):
    study = new(sampler=Mine(), store=tmp_path / "runs.db")
    study.optimize(bowl, trials=2)
    assert study.trials[1].note == {"nested": (1, {"$x": math.inf})}
    study.close()
    loaded = load_study(tmp_path / "runs.db")
    assert len(loaded.trials) == 2
    with pytest.raises(
        StudyError, match=r"was made with a sampler of your own; open it with Study\(..., sampler=\)"
    ):
        loaded.ask()


def test_history_that_samplers_see():
    seen = []

    class Watch(Sampler):
        def ask(self, space, history, *, seed, number):
            seen.append((number, seed, [(r.number, r.state, r.value, r.cost) for r in history]))
            return Proposal(np.full(space.dimension, 0.5), True)

    study = new(sampler=Watch(), seed=3)
    study.tell(study.ask(), 1.0, cost=7)
    study.fail(study.ask(), "no")
    study.ask()
    study.ask()
    assert [(number, seed) for number, seed, _ in seen] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert str(seen[-1][2]) == str(
        [(0, "complete", 1.0, 7.0), (1, "failed", math.nan, 0.0), (2, "running", math.nan, 0.0)]
    )


def test_dataframe():
    study = new()
    assert list(study.dataframe().columns) == ["number", "state", "value"]
    study.tell(study.ask(), 2.0, {"lr": 3.0}, metrics={"accuracy": 0.5, "by": {"class": [1, 2]}})
    study.fail(study.ask(), "no")
    table = study.dataframe()
    assert list(table["number"]) == [0, 1]
    assert list(table["state"]) == ["complete", "failed"]
    assert table["value"][0] == 2.0
    assert table["hparams/l2[1,0]"][0] == 0.5
    assert table["hparams/opt/units"][0] == SPACE.defaults()["opt"]["units"]
    assert table["gradient/lr"][0] == 3.0
    assert table["metrics/accuracy"][0] == 0.5
    assert table["metrics/by/class/1"][0] == 2
    assert table["error"][1] == "no"


def test_repr_says_what_it_is(tmp_path):
    study = new(store=tmp_path / "runs.db")
    assert repr(study) == f"<study 'study' in {tmp_path / 'runs.db'}>"
    assert study.store == tmp_path / "runs.db"
    study.close()
