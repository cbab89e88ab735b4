"""Importance: against closed forms of known functions, and with everything that trials can bring."""

from __future__ import annotations

import math

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import StudyError
from hypergrad.samplers import Gradient, Random, Sobol

PI = math.pi


def told(space, rows):
    """A study whose trials have these (hparams, value, gradient)."""
    study = hg.Study("s", space, Random())
    for hparams, value, gradient in rows:
        study.enqueue(hparams)
        study.tell(study.ask(), value, gradient)
    return study


def by_name(found, which="parameters"):
    return {entry.name: entry for entry in getattr(found, which)}


def test_a_linear_function():
    """f = Σ w x: ν = w² and S = T = w² / Σ w², and the bound is 12/π² of it, as the variance is Σ w² / 12."""
    w = np.array([1.0, -3.0, 2.0])
    space = hg.Space(a=hg.Float(0.0, 1.0), b=hg.Float(0.0, 1.0), c=hg.Float(0.0, 1.0))

    def f(h):
        x = np.array([h["a"], h["b"], h["c"]])
        return w @ x, dict(zip("abc", w, strict=True))

    found = hg.tune(f, space, trials=64, sampler=Sobol(defaults_first=False)).importance(warped=False)
    assert [entry.name for entry in found.parameters] == ["b", "c", "a"]
    rows = by_name(found)
    for name, weight in zip("abc", w, strict=True):
        entry, exact = rows[name], weight**2 / (w @ w)
        assert entry.trials == 64
        assert entry.dgsm == pytest.approx(weight**2, rel=1e-12)
        assert entry.dgsm_error == pytest.approx(0.0, abs=1e-12)
        assert entry.share == pytest.approx(exact, rel=1e-12)
        assert entry.bound == pytest.approx(exact * 12 / PI**2, rel=0.05)
        assert entry.model_dgsm == pytest.approx(weight**2, rel=0.02)
        assert entry.model_bound == pytest.approx(exact * 12 / PI**2, rel=0.02)
        assert entry.first == pytest.approx(exact, abs=0.01)
        assert entry.total == pytest.approx(exact, abs=0.01)
    assert found.explained > 0.999
    assert found.variance == pytest.approx(w @ w / 12, rel=0.02)
    assert found.notes == ()


def test_ishigami():
    """With 100 trials and gradients, the model knows the function well enough for 0.03."""
    space = hg.Space(x=hg.Float(-PI, PI, shape=(3,)))

    def f(h):
        a, b, c = h["x"]
        slope = [
            np.cos(a) * (1 + 0.1 * c**4),
            7.0 * np.sin(2 * b),
            0.4 * c**3 * np.sin(a),
        ]
        return np.sin(a) + 7.0 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a), {"x": np.array(slope)}

    v1, v2, v13 = 0.5 * (1 + 0.1 * PI**4 / 5) ** 2, 49 / 8, 0.01 * PI**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    found = hg.tune(f, space, trials=100, sampler=Sobol(defaults_first=False)).importance(warped=False)
    rows = by_name(found, "coordinates")
    assert [rows[f"x[{i}]"].first for i in range(3)] == pytest.approx([v1 / v, v2 / v, 0.0], abs=0.03)
    totals = [rows[f"x[{i}]"].total for i in range(3)]
    assert totals == pytest.approx([(v1 + v13) / v, v2 / v, v13 / v], abs=0.03)
    measures = [0.5 * (1 + 0.2 * PI**4 / 5 + 0.01 * PI**8 / 9), 49 / 2, 0.16 * PI**6 / 14]
    exact = np.array(measures) * (2 * PI) ** 2
    assert [rows[f"x[{i}]"].dgsm for i in range(3)] == pytest.approx(exact, rel=0.15)
    assert np.array([rows[f"x[{i}]"].model_dgsm for i in range(3)]) == pytest.approx(exact, rel=0.2)
    assert all(entry.total <= entry.model_bound for entry in rows.values())
    (whole,) = found.parameters
    assert whole.first == pytest.approx(1.0, abs=0.01)
    assert whole.total == pytest.approx(1.0, abs=0.01)
    assert whole.dgsm == pytest.approx(sum(entry.dgsm for entry in rows.values()))


def test_choices_integers_and_conditional_numbers():
    """f = 2 [kind is b] + (z if kind is b) + n / 3, n in 0 ... 3.

    The variance of n / 3 is 5/36; that of the rest 1/2 · 1/12 + 1/4 · 2.5², of which z has 1/48 alone, 1/24 in total.
    """
    space = hg.Space(
        kind=hg.Categorical(["a", "b"]), z=hg.Float(0.0, 1.0, active_if={"kind": "b"}), n=hg.Int(0, 3)
    )

    def f(h):
        there = "z" in h
        return 2.0 * there + h.get("z", 0.0) + h["n"] / 3, {"z": 1.0} if there else {}

    found = hg.tune(f, space, trials=80, sampler=Sobol(defaults_first=False)).importance(warped=False)
    rows = by_name(found)
    v = 5 / 36 + 1 / 24 + 6.25 / 4
    assert rows["n"].first == pytest.approx(5 / 36 / v, abs=0.01)
    assert rows["n"].total == pytest.approx(5 / 36 / v, abs=0.01)
    assert rows["z"].first == pytest.approx(1 / 48 / v, abs=0.01)
    assert rows["z"].total == pytest.approx(1 / 24 / v, abs=0.01)
    assert rows["kind"].first == pytest.approx(6.25 / 4 / v, abs=0.02)
    assert rows["z"].trials == found.gradients  # of the trials without z, none reported a gradient
    assert (rows["n"].trials, rows["kind"].trials) == (0, 0)
    assert math.isnan(rows["n"].dgsm)
    assert math.isnan(rows["kind"].model_dgsm)


def test_an_inactive_coordinate_has_the_slope_0_where_others_have_theirs():
    space = hg.Space(
        kind=hg.Categorical(["a", "b"]), z=hg.Float(0.0, 1.0, active_if={"kind": "b"}), w=hg.Float(0.0, 1.0)
    )
    rows = [({"kind": "b", "z": 0.1 * i, "w": 0.5}, 4.0 + 0.1 * i, {"z": 1.0, "w": 2.0}) for i in range(3)]
    rows += [({"kind": "a", "w": 0.2 + 0.1 * i}, 1.0 + 0.1 * i, {"w": 2.0}) for i in range(3)]
    found = by_name(told(space, rows).importance(warped=False))
    assert found["w"].dgsm == pytest.approx(4.0)
    assert found["z"].dgsm == pytest.approx(0.5)
    assert (found["w"].trials, found["z"].trials) == (6, 3)


def test_exploded_gradients_are_left_out():
    """4 % of gradients of norm 1e6 and more, infinite and missing ones change nothing but the counts."""
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    rng = np.random.default_rng(0)
    points = rng.random((100, 2))

    def rows(broken):
        found = []
        for i, (x, y) in enumerate(points):
            gradient = {"x": 2.0 * x, "y": 0.5}
            found.append(({"x": x, "y": y}, x * x + 0.5 * y, broken.get(i, gradient)))
        return found

    clean = by_name(told(space, rows({})).importance())
    broken = {
        7: {"x": 3e6, "y": 1.0},
        30: {"x": 1.0, "y": -2e9},
        55: {"x": np.inf, "y": 1.0},
        80: {"y": 1e308},
    }
    found = told(space, rows({**broken, 90: {"x": np.nan, "y": np.nan}, 91: None})).importance()
    assert (found.gradients, found.exploded) == (94, 5)
    assert "5 of 99 gradients exploded and were left out" in found.notes[0]
    for name, entry in by_name(found).items():
        assert entry.dgsm == pytest.approx(clean[name].dgsm, rel=0.1)
        assert entry.total == pytest.approx(clean[name].total, abs=0.05)


def test_a_partly_known_gradient_counts_where_it_is_known():
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    rows = [
        ({"x": 0.1 * i, "y": 0.5}, 0.3 * i, {"x": 3.0} if i % 2 else {"x": 3.0, "y": 1.0}) for i in range(8)
    ]
    found = by_name(told(space, rows).importance(warped=False))
    assert (found["x"].trials, found["y"].trials) == (8, 4)
    assert (found["x"].dgsm, found["y"].dgsm) == pytest.approx((9.0, 1.0))


def test_a_bad_trial_outweighs_the_others_only_without_the_warp():
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    rng = np.random.default_rng(1)
    rows = [({"x": x, "y": y}, x, {"x": 1.0, "y": 0.0}) for x, y in rng.random((40, 2))]
    rows.append(({"x": 0.5, "y": 1.0}, 10.0, {"x": 0.0, "y": 20.0}))
    study = told(space, rows)
    plain, warped = (by_name(study.importance(warped=which)) for which in (False, True))
    assert plain["y"].dgsm > 5.0 * plain["x"].dgsm
    assert warped["y"].dgsm < warped["x"].dgsm


def test_only_gradients_where_values_are_equal_and_only_the_model_where_there_are_none():
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    found = told(space, [({"x": 0.2, "y": 0.4}, 1.0, {"x": 2.0, "y": 1.0})]).importance()
    assert [(entry.name, entry.dgsm) for entry in found.parameters] == [("x", 4.0), ("y", 1.0)]
    assert math.isnan(found.parameters[0].total)
    assert found.notes == ("all values are equal, so only the gradients speak",)
    rows = [({"x": x, "y": 0.5}, x, None) for x in (0.1, 0.4, 0.9)]
    found = told(space, rows).importance()
    assert found.notes[0] == "no trial reported a gradient, so only the model speaks"
    assert found.gradients == 0
    assert math.isnan(found.parameters[0].dgsm)
    assert found.parameters[0].name == "x"


def test_diverged_failed_and_running_trials_do_not_matter_much():
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    rows = [
        ({"x": x, "y": 0.1 + 0.8 * (7 * x % 1)}, x, {"x": 1.0, "y": 0.0}) for x in np.linspace(0, 0.9, 12)
    ]
    study = told(space, [*rows, ({"x": 1.0, "y": 1.0}, math.inf, {"x": 1e300, "y": math.nan})])
    study.fail(study.ask(), "power cut")
    study.ask()
    found = study.importance()
    assert (found.values, found.gradients, found.exploded) == (12, 12, 0)
    assert found.parameters[0].name == "x"


def test_one_dimension_and_a_single_value():
    found = hg.tune(lambda h: h["x"], hg.Space(x=hg.Float(0.0, 1.0)), trials=8, sampler=Random()).importance()
    assert found.parameters[0].total == pytest.approx(1.0, abs=1e-6)
    space = hg.Space(x=hg.Float(0.0, 1.0), kind=hg.Categorical(["only"]))
    rows = by_name(hg.tune(lambda h: h["x"], space, trials=8, sampler=Random()).importance())
    assert rows["kind"].total == 0.0


def test_many_coordinates_leave_the_indices_to_the_derivatives():
    d = 60
    w = np.linspace(0.0, 1.0, d)
    space = hg.Space(x=hg.Float(0.0, 1.0, shape=(d,)), y=hg.Float(0.0, 1.0))

    def f(h):
        return float(w @ h["x"]) + h["y"], {"x": w, "y": 1.0}

    found = hg.tune(f, space, trials=30, sampler=Random()).importance(warped=False)
    assert [len(found.parameters), len(found.coordinates)] == [2, d + 1]
    assert found.parameters[0].total > found.parameters[1].total > 0.0
    assert {entry.name for entry in found.coordinates[:2]} == {"y", "x[59]"}
    rows = by_name(found, "coordinates")
    assert rows["x[30]"].model_dgsm / rows["x[59]"].model_dgsm == pytest.approx(w[30] ** 2, rel=0.05)
    assert "look at model_dgsm" in found.notes[0]
    wide = hg.Space(x=hg.Float(0.0, 1.0, shape=(1000,)))
    found = hg.tune(lambda h: (h["x"].sum(), {"x": np.ones(1000)}), wide, trials=5).importance()
    assert math.isnan(found.variance)
    assert found.coordinates[0].dgsm > 0.0
    assert "only the gradients speak" in found.notes[0]


def test_the_frame_and_the_same_bits_again(tmp_path):
    space = hg.Space(lr=hg.Float(1e-3, 1.0, log=True), l2=hg.Float(0.0, 1.0, shape=(2,)))
    f = lambda h: (
        np.log(h["lr"]) ** 2 + h["l2"].sum(),
        {"lr": 2 * np.log(h["lr"]) / h["lr"], "l2": np.ones(2)},
    )
    study = hg.tune(f, space, trials=12, sampler=Gradient(), store=tmp_path / "runs.db")
    found = study.importance()
    frame = found.dataframe()
    assert list(frame["name"]) == ["lr", "l2"]
    assert list(found.dataframe("coordinate")["name"][:1]) == ["lr"]
    assert len(found.dataframe("coordinate")) == 3
    assert set(frame) >= {"dgsm", "share", "bound", "model_bound", "first", "total", "total_error", "trials"}
    study.close()
    again = hg.Study("tune", space, Gradient(), store=tmp_path / "runs.db").importance()
    assert repr(again) == repr(found)
    with pytest.raises(StudyError, match="by is 'name', expected 'parameter' or 'coordinate'"):
        found.dataframe("name")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "has no trial of finite value yet"),
        ([math.nan, math.inf], "has no trial of finite value yet"),
        ([1.0], "has one trial and no gradient"),
        ([1.0, 1.0, 1.0], "has 3 trials of the same value and no gradient"),
    ],
)
def test_nothing_to_tell_is_one_sentence(values, message):
    space = hg.Space(x=hg.Float(0.0, 1.0))
    study = told(space, [({"x": 0.1 * i}, value, None) for i, value in enumerate(values)])
    with pytest.raises(StudyError, match=message) as caught:
        study.importance()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("unit", [1e308, 1e160, 1e-200])
def test_enormous_and_tiny_values(unit):
    """Indices and bounds have no unit; what has one may be infinite."""
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))

    def importance(unit, warped):
        f = lambda h: (unit * (h["x"] + 0.1 * h["y"]), {"x": unit, "y": 0.1 * unit})
        return hg.tune(f, space, trials=12, sampler=Random()).importance(warped=warped)

    for warped in (True, False):
        found, plain = importance(unit, warped), importance(1.0, warped)
        assert [entry.name for entry in found.parameters] == ["x", "y"]
        for mine, other in zip(found.parameters, plain.parameters, strict=True):
            assert mine.total == pytest.approx(other.total, abs=0.02)
            assert mine.bound == pytest.approx(other.bound, rel=1e-6)


def test_a_model_that_predicts_badly_says_so():
    space = hg.Space(x=hg.Float(0.0, 1.0), y=hg.Float(0.0, 1.0))
    noise = iter(np.random.default_rng(0).standard_normal(20))
    found = hg.tune(lambda h: float(next(noise)), space, trials=20, sampler=Random()).importance()
    assert found.explained < 0.3
    assert "doubt what it says of the hyperparameters" in found.notes[-1]
