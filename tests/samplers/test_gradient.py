"""The sampler as a whole: how far it gets on known functions, and how it survives hostile ones."""

import numpy as np
import pytest
from scipy.optimize import minimize

from hypergrad.errors import SpaceError
from hypergrad.samplers import Gradient, Random, Record
from hypergrad.space import Categorical, Float, Int, Space

SEEDS = range(3)
FLOOR = 1e-6


def gaps(function, values, at):
    """log10 of what is left of the way from the first value to the minimum, after each of `at` trials."""
    best = np.fmin.accumulate(np.where(np.isfinite(values), values, np.inf))
    first = values[0] - function.least
    return [np.log10(max((best[n - 1] - function.least) / first, FLOOR)) for n in at]


def reached(drive, make, at, sampler=None, seeds=SEEDS):
    """The median over functions and seeds of `gaps`."""
    rows = []
    for seed in seeds:
        function = make(seed)
        records = drive(sampler or Gradient(), function.space, function, max(at), seed=seed)
        rows.append(gaps(function, [record.value for record in records], at))
    return np.median(rows, axis=0)


def reached_by_scipy(make, at, seeds=SEEDS):
    """The same for L-BFGS-B, restarted at random points until the trials are spent."""
    rows = []
    for seed in seeds:
        function, values, rng = make(seed), [], np.random.default_rng(seed)

        def spent(unit, function=function, values=values):
            if len(values) >= max(at):
                raise StopIteration
            value, gradient = function(unit)
            values.append(value)
            return value, gradient

        unit = np.full(function.dimension, 0.5)
        bounds = [(0, 1)] * function.dimension
        while len(values) < max(at):
            try:
                minimize(spent, unit, jac=True, method="L-BFGS-B", bounds=bounds)
            except StopIteration:
                break
            unit = rng.random(function.dimension)
        rows.append(gaps(function, values, at))
    return np.median(rows, axis=0)


SMOOTH = {
    "rosenbrock 4": lambda f, seed: f["rosenbrock"](4, seed),
    "rosenbrock 10": lambda f, seed: f["rosenbrock"](10, seed),
    "hartmann 6": lambda f, seed: f["hartmann"](seed),
    "levy 8": lambda f, seed: f["levy"](8, seed),
    "quadratic 30": lambda f, seed: f["quadratic"](30, seed),
    "quadratic 100": lambda f, seed: f["quadratic"](100, seed),
    "axes 30": lambda f, seed: f["quadratic"](30, seed, rotated=False),
    "faces 30": lambda f, seed: f["quadratic"](30, seed, inside=False),
}


@pytest.mark.parametrize("make", SMOOTH.values(), ids=SMOOTH)
def test_smooth_functions_fall_as_fast_as_by_lbfgs(make, functions, drive):
    """At most 5 times further from the minimum than L-BFGS-B (or within 1e-4), and far below random."""
    found = reached(drive, lambda seed: make(functions, seed), (20, 60))
    peer = reached_by_scipy(lambda seed: make(functions, seed), (20, 60))
    assert (found <= np.maximum(peer + np.log10(5.0), -4.0)).all(), (found, peer)
    random = reached(drive, lambda seed: make(functions, seed), (20, 60), Random())
    assert (found <= random - 0.5).all()


@pytest.mark.parametrize(
    ("make", "at_20", "at_60"),
    [
        (lambda f, s: f["rosenbrock"](10, s), -3.5, -4.0),
        (lambda f, s: f["hartmann"](s), -3.0, -5.0),
        (lambda f, s: f["quadratic"](30, s, condition=100.0), -2.5, -5.0),
        (lambda f, s: f["quadratic"](30, s, rotated=False), -4.0, -5.0),
    ],
    ids=["rosenbrock", "hartmann", "quadratic", "axes"],
)
def test_few_trials_go_far(make, at_20, at_60, functions, drive):
    assert (reached(drive, lambda s: make(functions, s), (20, 60)) <= [at_20, at_60]).all()


HOSTILE = {
    "exploded quadratic": lambda f, s: f["corrupted"](f["quadratic"](30, s), s, exploded=0.04),
    "exploded rosenbrock": lambda f, s: f["corrupted"](f["rosenbrock"](10, s), s, exploded=0.04),
    "flipped quadratic": lambda f, s: f["corrupted"](f["quadratic"](30, s), s, flipped=0.1),
    "flipped rosenbrock": lambda f, s: f["corrupted"](f["rosenbrock"](10, s), s, flipped=0.1),
    "missing entries": lambda f, s: f["corrupted"](f["quadratic"](30, s), s, missing=0.1),
    "all at once": lambda f, s: f["corrupted"](f["rosenbrock"](10, s), s, 0.04, 0.1, 0.1),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_bad_gradients_cost_little(make, functions, drive):
    found = reached(drive, lambda s: make(functions, s), (20, 60))
    assert (found <= [-1.3, -2.0]).all(), found


@pytest.mark.parametrize("kind", [np.nan, np.inf, 1e30])
def test_a_diverging_half_space_costs_little(kind, functions, drive):
    """The best value is near the best that the healthy half holds."""

    def make(seed):
        return functions["forbidden"](functions["rosenbrock"](10, seed), kind)

    assert (reached(drive, make, (20, 60)) <= [-2.5, -3.5]).all()


def test_a_minimum_on_the_edge_of_divergence_is_approached(functions, drive):
    """The slope leads into the half space where training diverges; its edge is a face that nobody told of."""
    for seed in range(3):
        function = functions["edge"](20, seed)
        values = [record.value for record in drive(Gradient(), function.space, function, 60, seed=seed)]
        assert gaps(function, values, (60,))[0] < -1.5


def test_an_exploding_loss_is_approached_from_the_safe_side(functions, drive):
    for seed in SEEDS:
        function = functions["cliff"](20, seed)
        records = drive(Gradient(), function.space, function, 30, seed=seed)
        random = drive(Random(), function.space, function, 30, seed=seed)
        fall = records[0].value - min(record.value for record in records)
        assert fall > 2.0 * (random[0].value - min(record.value for record in random))
        assert np.median([record.value for record in records]) < records[0].value


def test_a_ripple_does_not_stop_the_search(functions, drive):
    found = reached(drive, lambda seed: functions["rippled"](10, seed), (20, 60))
    assert (found <= [-0.2, -0.25]).all()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_scale_of_the_value_does_not_matter(factor, functions, drive):
    found = reached(drive, lambda s: functions["scaled"](functions["rosenbrock"](4, s), factor), (20, 60))
    assert (found <= [-3.5, -4.5]).all()


def test_several_minima_are_searched(functions, drive):
    """Restarts: on Levy 4 more trials find better minima."""
    found = reached(drive, lambda seed: functions["levy"](4, seed), (20, 200))
    assert found[1] < min(found[0], -2.0)


def test_a_minimum_in_a_corner_is_reached_exactly(drive):
    space = Space(x=Float(0.0, 1.0, shape=(6,)))
    records = drive(Gradient(), space, lambda u: (float(u.sum()), np.ones(6)), 12)
    assert min(record.value for record in records) == 0.0


def test_integers_choices_and_slopes_are_searched_together(drive):
    space = Space(x=Float(0.0, 1.0, shape=(4,)), k=Int(1, 5), c=Categorical(["a", "b", "c"]))

    def objective(unit):
        h = space.from_unit(unit)
        z = unit[space.columns["x"]] - 0.3
        gradient = np.full(space.dimension, np.nan)
        gradient[space.columns["x"]] = 2.0 * z
        return float(z @ z) + 0.1 * abs(h["k"] - 4) + 0.3 * (h["c"] != "b"), gradient

    for seed in range(3):
        records = drive(Gradient(), space, objective, 60, seed=seed)
        best = min(records, key=lambda record: record.value)
        assert best.value < 1e-3
        assert {space.from_unit(r.unit)["c"] for r in records} == {"a", "b", "c"}
        assert {space.from_unit(r.unit)["k"] for r in records} == {1, 2, 3, 4, 5}


def test_without_gradients_the_search_is_still_better_than_random(drive):
    space = Space(x=Float(0.0, 1.0, shape=(4,)))

    def objective(unit):
        return float(((unit - 0.8) ** 2).sum()), None

    def best(sampler, seed):
        return min(record.value for record in drive(sampler, space, objective, 100, seed=seed))

    assert np.median([best(Gradient(), s) for s in SEEDS]) < np.median([best(Random(), s) for s in SEEDS])


def test_a_diverging_default_is_left(functions, drive):
    """No value and no slope at the start: other starts are tried until one is healthy, then descended from."""
    bowl = functions["quadratic"](10, 0, condition=10.0)

    def objective(unit):
        return (np.nan, None) if np.all(unit == 0.5) or unit[3] > 0.7 else bowl(unit)

    records = drive(Gradient(), bowl.space, objective, 30)
    assert min(record.value for record in records if np.isfinite(record.value)) < 1e-2


def test_the_notes_tell_the_way(functions, drive):
    function = functions["rosenbrock"](4, 0)
    records = drive(Gradient(), function.space, function, 30)
    assert records[0].note == {"phase": "start", "start": 0}
    for record in records[1:]:
        if record.note["phase"] == "descent":
            parent = records[record.note["parent"]]
            assert parent.number < record.number
            assert np.abs(record.unit - parent.unit).max() == pytest.approx(record.note["step"])
            assert record.note["predicted"] > 0.0
        else:
            assert record.note["phase"] == "start"


def test_every_trial_asks_for_the_gradient():
    space = Space(x=Float(0.0, 1.0))
    assert Gradient().ask(space, (), seed=0, number=0).wants_gradient


# enqueued trials


def enqueued(number, unit, function, known=True):
    value, gradient = function(unit)
    return Record(number, unit, "complete", value, gradient if known else None, {"enqueued": True})


def test_the_first_descent_starts_at_a_better_enqueued_trial(functions, drive):
    function = functions["quadratic"](6, 1)
    good = function.space.to_unit({"x": np.full(6, 0.5)})
    value = function(good)[0]
    for weight in np.linspace(0.1, 1.0, 10):  # towards the minimum
        slope = function(np.full(6, 0.5))[1]
        candidate = np.clip(np.full(6, 0.5) - weight * slope, 0.0, 1.0)
        if function(candidate)[0] < value:
            good, value = candidate, function(candidate)[0]
    history = [enqueued(0, good, function), enqueued(1, np.full(6, 0.02), function)]
    records = drive(Gradient(), function.space, function, 6, history=history)
    assert records[2].unit.tolist() == [0.5] * 6
    assert records[3].note["parent"] == 0


def test_a_better_trial_enqueued_midway_is_taken_up(functions, drive):
    function = functions["levy"](8, 3)
    better = min(drive(Gradient(), function.space, function, 40), key=lambda record: record.value).unit
    history = drive(Gradient(), function.space, function, 5)
    assert function(better)[0] < min(record.value for record in history)
    history.append(enqueued(5, better, function))
    records = drive(Gradient(), function.space, function, 12, history=history)
    assert any(record.note.get("parent") == 5 for record in records)


def test_an_enqueued_trial_without_a_slope_is_run_again_for_it(functions, drive):
    """Better than all else, but no descent can start there; the sampler asks for its gradient."""
    function = functions["quadratic"](4, 0, condition=10.0)
    good = min(drive(Gradient(), function.space, function, 30), key=lambda record: record.value).unit
    history = [enqueued(0, good, function, known=False)]
    records = drive(Gradient(), function.space, function, 40, history=history)
    assert any(np.array_equal(record.unit, good) for record in records[1:])


def test_the_defaults_are_not_run_twice(functions, drive):
    function = functions["rosenbrock"](4, 2)
    history = [enqueued(0, np.full(4, 0.5), function)]
    records = drive(Gradient(), function.space, function, 10, history=history)
    assert sum(record.unit.tolist() == [0.5] * 4 for record in records) == 1
    assert records[1].note["base"] == records[1].note["parent"] == 0


# several workers


def test_four_workers_make_progress(functions):
    """Trials that run beside one another: the values of four rounds beat those of four trials in a row."""
    function = functions["quadratic"](20, 0)
    history = {}
    for turn in range(25):
        for worker in range(4):
            number = 4 * turn + worker
            proposal = Gradient().ask(function.space, tuple(history.values()), seed=0, number=number)
            history[number] = Record(number, proposal.unit, "running", note=proposal.note)
        for number in range(4 * turn, 4 * turn + 4):
            value, gradient = function(history[number].unit)
            done = history[number]
            history[number] = Record(number, done.unit, "complete", value, gradient, done.note)
    values = [record.value for record in history.values()]
    assert min(values) < 1e-2 * values[0]
    assert min(values[:40]) < 0.2 * values[0]


@pytest.mark.parametrize("radius", [0.0, -1.0, 0.6, float("nan")])
def test_a_senseless_radius_is_refused(radius):
    with pytest.raises(SpaceError, match="radius of Gradient"):
        Gradient(radius=radius)
