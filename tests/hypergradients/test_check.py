"""`check_hypergradient`: right ones are confirmed, wrong ones contradicted, else it says that it cannot tell."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError, UnknownNameError
from hypergrad.hypergradients.differences import differentiate


@dataclass(frozen=True)
class Scaled(hg.Reverse):
    """Reverse mode times a factor: wrong unless it is 1."""

    factor: float = 1.0

    def solve(self, trajectory, wrt, curve):
        found = super().solve(trajectory, wrt, curve)
        slopes = hg.tree.map(lambda leaf: None if leaf is None else self.factor * leaf, found.hypergradient)
        return replace(found, hypergradient=slopes)


def logistic_map(steps):
    """x' = r x (1 - x): chaotic for r = 3.9, a cycle of two for r = 3.2, unbounded for r > 4."""
    return hg.UnrolledProblem(
        init=lambda h, rng: {"x": np.array(0.3)},
        step=lambda s, h, b, t: {"x": h["r"] * s["x"] * (1.0 - s["x"])},
        outer_loss=lambda s, h, v: 1.0 * s["x"],
        steps=steps,
    )


@pytest.mark.parametrize("method", [None, hg.Forward(), hg.Reverse(checkpoints=2)])
def test_exact_methods_agree(classifier, hparams, method):
    check = hg.check_hypergradient(classifier(), hparams, method=method)
    assert check.agrees, str(check)
    assert check.verdict == "agrees"
    assert check.digits > 9.0
    assert check.worst < 1e-9
    assert [leaf.path for leaf in check.leaves] == ["l2", "lr", "mu", "scale"]
    assert [name for name, _, _ in check.rows][:3] == ["l2[0,0]", "l2[1,0]", "l2 random"]
    assert check.value == check.result.value == hg.train(classifier(), hparams).value


def test_it_sees_the_v_shape(classifier, hparams):
    check = hg.check_hypergradient(classifier(), hparams, wrt="lr")
    ((_, leaf, row),) = check.rows
    errors = [abs(entry.central - row.hypergradient) / leaf.norm for entry in row.table]
    assert len(errors) == len(check.steps) == 7
    assert errors[0] > 1e3 * min(errors)
    assert errors[-1] > 10.0 * min(errors)
    assert row.relative <= 2.0 * min(errors)
    assert row.noise < 1e-8


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.0])
def test_a_wrong_hypergradient_is_contradicted(classifier, hparams, factor):
    check = hg.check_hypergradient(classifier(), hparams, method=Scaled(factor=factor))
    assert check.verdict == "differs"
    assert not check.agrees
    assert "finite differences contradict the hypergradient at l2[" in str(check)
    with pytest.raises(DerivativeError, match="finite differences do not confirm the hypergradient"):
        hg.check_hypergradient(
            classifier(), hparams, method=Scaled(factor=factor), wrt="lr", raise_on_failure=True
        )


def test_one_that_is_nan_is_contradicted(classifier, hparams):
    check = hg.check_hypergradient(classifier(), hparams, method=Scaled(factor=np.nan), wrt="lr")
    assert check.verdict == "differs"
    assert check.worst == np.inf


def test_a_truncated_one_is_as_far_off_as_it_is(classifier, hparams):
    check = hg.check_hypergradient(classifier(), hparams, method=hg.Truncated(steps=3), wrt="lr")
    exact = hg.hypergradient(classifier(), hparams).hypergradient["lr"]
    short = hg.hypergradient(classifier(), hparams, method=hg.Truncated(steps=3)).hypergradient["lr"]
    assert check.worst == pytest.approx(abs(short - exact) / abs(short), rel=1e-6)
    assert check.verdict == "differs"
    assert check.ok(tolerance=1.1 * check.worst)


def test_of_a_chaotic_loss_nothing_can_be_told():
    check = hg.check_hypergradient(logistic_map(200), {"r": 3.9})
    assert abs(check.result.hypergradient["r"]) > 1e20
    assert check.verdict == "unclear"
    assert not check.agrees
    assert "unclear at r: finite differences of neighbouring step sizes disagree" in str(check)
    assert hg.check_hypergradient(logistic_map(200), {"r": 3.2}).agrees
    assert hg.check_hypergradient(logistic_map(10), {"r": 3.9}).agrees


def test_where_the_value_is_not_finite_there_is_nothing_to_compare():
    check = hg.check_hypergradient(logistic_map(200), {"r": 4.5})
    assert check.leaves == ()
    assert check.verdict == "unclear"
    assert np.isnan(check.digits)
    assert "nothing to compare: the outer loss is -inf here; try a smaller learning rate" in str(check)


def test_steps_that_diverge_are_left_out():
    check = hg.check_hypergradient(
        logistic_map(30), {"r": 4.0 - 1e-3}, steps=(1e-2, 1e-5, 1e-8, 1e-10, 1e-11)
    )
    ((_, _, row),) = check.rows
    assert np.isnan(row.table[0].central)
    assert np.isfinite(row.table[-1].central)


def test_float32_is_told_by_larger_steps(classifier, hparams):
    def init(h, rng):
        return {"w": rng.standard_normal((3, 3)).astype(np.float32), "b": np.zeros(3, np.float32)}

    given = {**hparams, "l2": hparams["l2"].astype(np.float32)}
    del given["scale"]
    check = hg.check_hypergradient(classifier(init=init), given)
    assert check.dtype == "float32"
    assert check.agrees, str(check)
    assert check.digits > 2.0
    assert check.steps[0] == 0.1
    assert "finite differences hold two to four digits" in str(check)
    wrong = hg.check_hypergradient(classifier(init=init), given, method=Scaled(factor=1.2))
    assert wrong.verdict == "differs"


def test_a_hyperparameter_that_nothing_reads_agrees(classifier, hparams):
    check = hg.check_hypergradient(classifier(), {**hparams, "idle": 1.0, "n": 3}, wrt=None)
    assert "idle" in [leaf.path for leaf in check.leaves]
    assert check.agrees, str(check)


def test_a_step_beyond_the_domain_is_left_out_and_said(classifier, hparams):
    class Bounded(hg.BilevelProblem):
        def check(self, h):
            if h["mu"] > 0.6005:
                raise hg.errors.ProblemError("mu is too large")

    problem = classifier()
    problem.__class__ = Bounded
    check = hg.check_hypergradient(problem, hparams, wrt="mu")
    assert check.agrees, str(check)
    assert np.isnan(check.rows[0][2].table[0].central)
    assert check.notes == ("a step was left out: mu is too large",)


@pytest.mark.parametrize("steps", [(), (1e-3,), (1e-3, 0.0), (1e-3, -1e-4), (1e-3, np.nan), (1e-3, 1e-3)])
def test_steps_are_positive_and_several(classifier, hparams, steps):
    with pytest.raises(DerivativeError, match="steps "):
        hg.check_hypergradient(classifier(), hparams, steps=steps)


def test_wrt_is_that_of_hypergradient(classifier, hparams):
    with pytest.raises(UnknownNameError, match="did you mean 'lr'"):
        hg.check_hypergradient(classifier(), hparams, wrt="lrr")


def test_the_same_call_gives_the_same_table(classifier, hparams):
    first, second = (str(hg.check_hypergradient(classifier(), hparams)) for _ in range(2))
    assert first == second
    assert len(first.splitlines()) == 2 + 6 + 2 + 6 + 1


def test_a_kink_within_the_steps_is_seen_past():
    table = differentiate(lambda h: abs(h - 1e-4) - h, 1.0, (1e-2, 1e-3, 1e-5, 1e-6, 1e-7), 0.0)
    best = min(table, key=lambda row: row.noise)
    assert best.h < 1e-4
    assert best.extrapolated == pytest.approx(-2.0, abs=1e-8)


def test_a_float32_hyperparameter_of_float64_training_is_compared_at_numbers_that_it_can_be():
    """h is a multiple of the spacing of float32 around the hyperparameter; before, this held 5 digits only."""
    problem = hg.BilevelProblem(
        init=lambda h, rng: {"w": np.ones(3) * h["scale"]},
        inner_loss=lambda p, h, b: 0.5 * np.sum((p["w"] - h["target"]) ** 2),
        outer_loss=lambda p, h, v: np.sum(p["w"] ** 2),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=4,
    )
    hparams = {
        "lr": np.float32(0.1),
        "scale": np.float32(0.7),
        "target": np.array([0.3, -2.0, 1e-3], np.float32),
    }
    check = hg.check_hypergradient(problem, hparams)
    assert check.ok()
    assert check.digits > 6.5  # the hypergradient itself is rounded to float32


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": "x"},
        {"tolerance": -1.0},
        {"tolerance": "x"},
        {"tolerance": float("nan")},
        {"coordinates": 0},
        {"coordinates": 1.5},
        {"directions_seed": -1},
        {"directions_seed": "x"},
    ],
    ids=str,
)
def test_arguments_outside_their_domains(wrong):
    with pytest.raises(DerivativeError, match=next(iter(wrong))):
        hg.check_hypergradient(logistic_map(3), {"r": 2.5}, **wrong)
