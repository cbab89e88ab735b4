"""The suite for methods finds each flaw and says which."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.hypergradients import Method
from hypergrad.testing import MethodSuite


@dataclass(frozen=True)
class Good(hg.Reverse):
    """Reverse mode, handed through."""

    def solve(self, *arguments, **named):
        return self.changed(super().solve(*arguments, **named))

    def changed(self, result):
        return result


class TestGood(MethodSuite):
    method = staticmethod(Good)
    exact = True


def scaled(result, factor):
    changed = {k: leaf if leaf is None else leaf * factor for k, leaf in result.hypergradient.items()}
    return replace(result, hypergradient=changed)


@dataclass(frozen=True)
class Off(Good):
    def changed(self, result):
        return scaled(result, 1.0 + 1e-4)


@dataclass(frozen=True)
class Noisy(Good):
    def changed(self, result):
        return scaled(result, 1.0 + 1e-9 * np.random.default_rng().random())


@dataclass(frozen=True)
class Untrained(Good):
    def changed(self, result):
        return replace(result, value=result.value * 1.01)


@dataclass(frozen=True)
class Silent(Good):
    def changed(self, result):
        return replace(result, stats={}, disconnected=())


@dataclass(frozen=True)
class Wide(Good):
    def changed(self, result):
        return replace(
            result,
            hypergradient={k: v if v is None else np.float64(v) for k, v in result.hypergradient.items()},
        )


@dataclass(frozen=True)
class Generous(Good):
    """Answers more than it is asked."""

    def solve(self, trajectory, *arguments, **named):
        found = super().solve(trajectory, *arguments, **named)
        return replace(
            found, hypergradient={k: 0.0 if v is None else v for k, v in found.hypergradient.items()}
        )


FLAWS = [
    (
        Off,
        "test_it_is_the_derivative_where_training_has_converged",
        "within 1e-06 of differences, got 1.0e-04",
    ),
    (Off, "test_it_is_the_derivative_of_a_few_steps", "within 1e-06 of differences"),
    (Noisy, "test_the_same_question_has_the_same_answer", "the same bits of d/d l2"),
    (Untrained, "test_value_and_params_are_those_of_training", "beside plain training"),
    (Silent, "test_the_result_has_the_form_of_hparams", "('unused',) in disconnected"),
    (Wide, "test_float32_stays_float32", "a float32 hypergradient, got float64"),
    (Generous, "test_only_what_is_asked_for_is_returned", "d/d direct alone"),
    (Generous, "test_the_result_has_the_form_of_hparams", "None at a word"),
]


@pytest.mark.parametrize(("kind", "test", "says"), FLAWS, ids=[f"{k.__name__}-{t}" for k, t, _ in FLAWS])
def test_a_flaw_is_found_and_named(kind, test, says):
    assert issubclass(kind, Method)
    suite = type("Suite", (MethodSuite,), {"method": staticmethod(kind), "exact": True})()
    with pytest.raises(AssertionError) as found:
        getattr(suite, test)()
    assert str(found.value).startswith(kind.__name__)
    assert says in str(found.value)
