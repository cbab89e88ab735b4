"""The guards of one descent, each alone."""

import numpy as np
import pytest

from hypergrad.samplers import Record
from hypergrad.samplers.descent import advance, begin, converged, hopeless, propose
from hypergrad.samplers.walls import LASTS, fence, wall

H = np.array([1.0, 0.1, 2.0, 0.5])
CENTER = np.array([0.7, 0.2, 0.4, 0.55])


def bowl(unit):
    z = unit - CENTER
    return float(0.5 * z @ (H * z)), H * z


def start(gradient=None, radius=0.1):
    unit = np.full(4, 0.5)
    value, slope = bowl(unit)
    return begin(Record(0, unit, "complete", value, slope if gradient is None else gradient), radius)


def trial(descent, number, value=None, gradient="true", unit=None):
    """The record of the descent's next step, with what it is to report."""
    proposed, predicted = propose(descent)
    unit = proposed if unit is None else unit
    true, slope = bowl(unit)
    gradient = slope if isinstance(gradient, str) else gradient
    note = {"parent": descent.incumbent.number, "predicted": predicted}
    return Record(number, unit, "complete", true if value is None else value, gradient, note)


def after(descent, steps, first=1):
    for number in range(first, first + steps):
        descent = advance(descent, trial(descent, number))
    return descent


def test_the_first_step_moves_every_coordinate_alike():
    """Down each slope by Δ, though the slopes differ by a factor of ten."""
    unit, predicted = propose(start(np.array([1.0, -0.1, 0.5, -0.2])))
    np.testing.assert_allclose(unit, [0.4, 0.6, 0.4, 0.6])
    assert predicted > 0.0


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12])
def test_the_scale_of_the_value_does_not_matter(factor):
    def run(scale):
        descent = None
        unit = np.full(4, 0.5)
        value, slope = bowl(unit)
        descent = begin(Record(0, unit, "complete", scale * value, scale * slope), 0.1)
        for number in range(1, 7):
            proposed = trial(descent, number)
            value, slope = bowl(proposed.unit)
            note = {"parent": descent.incumbent.number, "predicted": propose(descent)[1]}
            descent = advance(
                descent, Record(number, proposed.unit, "complete", scale * value, scale * slope, note)
            )
        return descent.incumbent.unit

    np.testing.assert_allclose(run(factor), run(1.0), atol=1e-6)


def test_success_doubles_the_radius():
    descent = start()
    assert advance(descent, trial(descent, 1)).radius == 0.2


def test_a_bowl_is_solved_in_a_few_steps():
    descent = after(start(), 12)
    np.testing.assert_allclose(descent.incumbent.unit, CENTER, atol=1e-3)


def test_a_step_ends_at_the_face_of_the_cube():
    descent = begin(Record(0, np.array([0.02, 0.99]), "complete", 0.0, np.array([1.0, -1.0])), 0.1)
    assert propose(descent)[0].tolist() == [0.0, 1.0]
    ended = begin(Record(0, np.array([0.0, 1.0]), "complete", 0.0, np.array([1.0, -1.0])), 0.1)
    unit, predicted = propose(ended)
    assert converged(ended, float(np.abs(unit - ended.incumbent.unit).max()), predicted)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_divergence_keeps_the_incumbent_and_shrinks(value):
    descent = start()
    found = advance(descent, trial(descent, 1, value, np.full(4, np.nan)))
    assert found.incumbent is descent.incumbent
    assert found.radius <= 0.5 * descent.radius
    assert not found.pairs
    assert found.failures == 1


def test_a_rejected_trial_teaches_the_model():
    descent = after(start(), 2)
    far = np.clip(descent.incumbent.unit + 0.3, 0.0, 1.0)
    found = advance(descent, trial(descent, 3, unit=far))
    assert found.incumbent is descent.incumbent
    assert len(found.pairs) == len(descent.pairs) + 1


def test_a_slope_that_steepens_lengthens_the_next_step():
    """Down a valley floor that is convex at first and concave from x = 0.4 on."""

    def record(number, x, note=None):
        slope = -1.0 + 2.0 * min(x - 0.2, 0.2) - 2.0 * max(x - 0.4, 0.0)
        value = -x + min(x - 0.2, 0.2) ** 2 + (0.4 * (x - 0.4) - (x - 0.4) ** 2 if x > 0.4 else 0.0)
        return Record(
            number, np.array([x]), "complete", value, np.array([slope]), note or {"predicted": 0.01}
        )

    descent = advance(begin(record(0, 0.2), 0.2), record(1, 0.4))
    before = float(descent.model().times(np.ones(1))[0])
    descent = advance(descent, record(2, 0.6))
    after_ = float(descent.model().times(np.ones(1))[0])
    assert len(descent.pairs) == 2
    assert 0.0 < after_ < 0.5 * before


@pytest.mark.parametrize("size", [1e8, 1e16, 1e300])
def test_an_exploded_gradient_is_replaced_and_not_remembered(size):
    descent = after(start(), 3)
    proposed = trial(descent, 4)
    found = advance(descent, trial(descent, 4, gradient=size * proposed.gradient))
    assert found.incumbent.number == 4
    assert found.pairs == descent.pairs
    assert np.abs(found.gradient).max() < 1.0
    np.testing.assert_allclose(found.sensitivity, descent.sensitivity)
    again = advance(found, trial(found, 5))
    assert again.pairs == descent.pairs  # its slope was a prediction
    assert len(after(again, 3, 6).pairs) > len(again.pairs)


def test_a_descent_recovers_from_an_exploded_start():
    slope = bowl(np.full(4, 0.5))[1]
    descent = after(start(1e16 * slope), 14)
    np.testing.assert_allclose(descent.incumbent.unit, CENTER, atol=5e-3)


def test_missing_entries_are_predicted():
    descent = after(start(), 4)
    expected = bowl(trial(descent, 5).unit)[1]
    partial = expected.copy()
    partial[[0, 2]] = np.nan
    found = advance(descent, trial(descent, 5, gradient=partial))
    assert np.isfinite(found.gradient).all()
    np.testing.assert_allclose(found.gradient[[1, 3]], expected[[1, 3]])


def test_unknown_coordinates_stay_until_they_are_known():
    slope = bowl(np.full(4, 0.5))[1]
    slope[1] = np.nan
    descent = start(slope)
    for number in range(1, 4):
        found = trial(descent, number)
        gradient = found.gradient.copy()
        gradient[1] = np.nan
        descent = advance(descent, Record(number, found.unit, "complete", found.value, gradient, found.note))
        assert descent.incumbent.unit[1] == 0.5
    descent = advance(descent, trial(descent, 4))
    assert descent.known.all()
    assert propose(descent)[0][1] < 0.5


def test_a_gradient_of_the_wrong_sign_is_replaced():
    descent = after(start(), 1)
    proposed = trial(descent, 2)
    descent = advance(descent, trial(descent, 2, gradient=-proposed.gradient))
    assert descent.incumbent.number == 2
    wrong = descent.gradient
    steps = 0
    while descent.incumbent.number == 2 and steps < 6:
        descent = advance(descent, trial(descent, 3 + steps))
        steps += 1
    assert steps <= 4
    assert descent.gradient @ wrong < 0.0


def test_a_gradient_is_replaced_only_once():
    """Where every trial fails, the steps go on shrinking and the descent ends."""
    descent, lengths = start(), []
    for number in range(1, 8):
        proposed = trial(descent, number)
        lengths.append(float(np.abs(proposed.unit - 0.5).max()))
        value = descent.incumbent.value + 0.01
        descent = advance(descent, trial(descent, number, value=value, gradient=-proposed.gradient))
    assert lengths[-1] < 0.1 * lengths[0]
    assert converged(descent, lengths[-1], 1.0)


def test_no_start_without_a_value_and_a_slope():
    unit = np.full(2, 0.5)
    assert begin(Record(0, unit, "complete", 1.0, None), 0.1) is None
    assert begin(Record(0, unit, "complete", np.nan, np.ones(2)), 0.1) is None
    assert begin(Record(0, unit, "complete", 1.0, np.full(2, np.inf)), 0.1) is None
    assert begin(Record(0, unit, "complete", 1.0, np.array([1.0, np.nan])), 0.1) is not None


def test_a_descent_without_progress_ends():
    descent = after(start(), 30)
    unit, predicted = propose(descent)
    assert converged(descent, float(np.abs(unit - descent.incumbent.unit).max()), predicted)


def test_a_descent_that_reaches_the_best_minimum_again_ends():
    descent = after(start(), 6)
    near = Record(99, descent.incumbent.unit + 1e-3, "complete", descent.incumbent.value - 1e-12)
    assert hopeless(descent, near, 1.0)
    far = Record(99, 1.0 - descent.incumbent.unit, "complete", descent.incumbent.value - 1e-12)
    assert not hopeless(descent, far, 1.0)
    assert hopeless(descent, Record(99, far.unit, "complete", -1e6), 1.0)


# walls

EVEN = np.array([4.0, 3.0, 2.0, 1.0])  # sensitivities


def test_a_fence_stands_where_all_diverged_trials_went_too_far():
    low, high = np.array([0.2, 0.2, 0.2, 0.2]), np.array([0.4, 0.6, 0.6, 0.6])
    walls = (
        wall(np.array([0.8, 0.5, 0.9, 0.1]), np.ones(4), None, 3),
        wall(np.array([0.6, 0.5, 0.5, 0.7]), np.ones(4), None, 5),
    )
    bottom, top = fence(walls, low, high, EVEN, 6)
    assert bottom.tolist() == [0.0] * 4
    np.testing.assert_allclose(top, [0.45, 1.0, 1.0, 1.0])
    assert fence(walls, low, np.full(4, 0.9), EVEN, 6) is None
    assert fence(walls, low, high, EVEN, 6 + LASTS) is None
    assert fence((), low, high, EVEN, 6) is None


def test_a_fence_is_not_crept_up_to_for_ever():
    walls = (wall(np.array([0.5005]), np.ones(1), None, 3),)
    assert fence(walls, np.array([0.2]), np.array([0.5]), np.ones(1), 4)[1].tolist() == [0.5]


def test_a_single_diverged_trial_fences_nothing():
    """Every coordinate may have been the culprit, and a smaller step is the answer."""
    only = (wall(np.full(4, 0.9), np.full(4, 0.4), None, 1),)
    assert fence(only, np.full(4, 0.5), np.full(4, 0.5), EVEN, 1) is None


@pytest.mark.parametrize("culprit", range(4))
def test_a_culprit_is_found_by_halving(culprit):
    """The others move on, beyond where they were when trials diverged; the culprit does not."""
    low = high = np.full(4, 0.5)
    walls = tuple(wall(np.full(4, 0.5 + width), np.full(4, width), None, 1) for width in (0.3, 0.2))
    for time in range(2, 14):
        _, top = fence(walls, low, high, EVEN, time) or (None, np.ones(4))
        unit = np.minimum(0.72, top)
        if unit[culprit] > 0.65:
            walls = (*walls, wall(unit, unit - high, None, time))
        else:
            high = np.maximum(high, unit)
    assert (np.delete(high, culprit) > 0.7).all()
    assert 0.5 < high[culprit] <= 0.65


def test_the_gradient_of_a_diverged_trial_tells_the_culprit():
    """A finite but enormous loss: only what drove it up is fenced off."""
    gradient = np.array([1e9, -1e9, 1.0, np.nan])
    only = (wall(np.full(4, 0.9), np.full(4, 0.4), gradient, 1),)
    bottom, top = fence(only, np.full(4, 0.5), np.full(4, 0.5), EVEN, 2)
    np.testing.assert_allclose(top, [0.6, 1.0, 1.0, 1.0])
    assert not bottom.any()
