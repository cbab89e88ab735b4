"""Descents along known constraints: against quadratic programmes solved by SciPy, and from end to end."""

import numpy as np
import pytest
from scipy.optimize import minimize

import hypergrad as hg
from hypergrad.samplers import Gradient, Hybrid
from hypergrad.samplers.base import Record
from hypergrad.samplers.descent import begin, propose
from hypergrad.samplers.sliding import slide


def programme(descent, space):
    """The step of least model value in the trust box and the cube that keeps the margins, by SLSQP."""
    x, g, model = descent.incumbent.unit, descent.gradient, descent.model()
    value, slope = space.margins(x)
    size = np.where(descent.known, descent.radius, 0.0)
    found = minimize(
        lambda s: g @ s + 0.5 * (s @ model.times(s)),
        np.zeros_like(x),
        jac=lambda s: g + model.times(s),
        bounds=list(zip(np.maximum(-x, -size), np.minimum(1.0 - x, size), strict=True)),
        constraints=[{"type": "ineq", "fun": lambda s: -value - slope @ s, "jac": lambda s: -slope}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 300},
    )
    return found.x, -found.fun


@pytest.mark.parametrize("seed", range(12))
def test_the_step_solves_the_quadratic_programme(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 7))
    slopes = rng.standard_normal((int(rng.integers(1, 4)), d)).round(3)
    x = 0.3 + 0.4 * rng.random(d)
    room = rng.choice([0.0, 0.02], len(slopes))  # at the constraint, or near it
    texts = [
        " + ".join(f"{c} * x[{i}]" for i, c in enumerate(row)) + f" <= {row @ x + more + 1e-9}"
        for row, more in zip(slopes, room, strict=True)
    ]
    space = hg.Space(x=hg.Float(0.0, 1.0, shape=d), constraints=texts)
    gradient = rng.standard_normal(d)
    descent = begin(Record(0, x, "complete", 1.0, gradient), 0.1)
    _, fall = programme(descent, space)
    found = slide(descent, space)
    broken = (space.margins(propose(descent)[0])[0] > 0.0).any()
    if found is None:
        assert not broken or fall < 1e-6
        return
    unit, predicted = found
    assert space.violated(space.from_unit(unit)) is None
    assert np.abs(unit - x).max() <= 0.1 + 1e-12
    assert predicted >= 0.95 * fall - 1e-8


def test_margins_are_by_the_unit_coordinates():
    space = hg.Space(
        lr=hg.Float(1e-3, 1.0, log=True),
        m=hg.Float(0.1, 0.9, logit=True),
        mix=hg.Float(0.0, 2.0, shape=3),
        n=hg.Int(1, 5),
        kind=hg.Categorical(["a", "b"]),
        only=hg.Float(0.0, 1.0, active_if={"kind": "b"}),
        constraints=[
            "lr * n <= 0.5 * m ** 2 < 3 and sum(2 * mix - mix[1] / 3) + lr >= 0.1",
            "mix <= 1.5 - lr / m",
            "2 ** lr < 1.5 or only <= 0.3",
            "kind == 'a' or kind == 'b'",
            "only <= 0.7 * lr ** m",
        ],
    )
    rng = np.random.default_rng(0)
    sizes = set()
    for _ in range(20):
        unit = space.snap(rng.random(space.dimension))
        value, slope = space.margins(unit)
        sizes.add(len(value))
        kept = space.violated(space.from_unit(unit)) is None
        assert not kept or (value <= 0.0).all()
        for i in np.flatnonzero(space.continuous & space.active(unit)):
            h = 1e-6 * np.eye(space.dimension)[i] * (1.0 if unit[i] < 0.5 else -1.0)
            difference = (space.margins(unit + h)[0] - value) / h[i]
            np.testing.assert_allclose(slope[:, i], difference, rtol=1e-3, atol=1e-4)
    assert sizes == {6, 7, 8}  # with `only`, without, and where an inactive one is what holds


def test_functions_have_no_margins():
    space = hg.Space(x=hg.Float(0.0, 1.0), constraints=[lambda h: h["x"] < 0.5])
    value, slope = space.margins(np.array([0.2]))
    assert value.shape == (0,)
    assert slope.shape == (0, 1)


WEIGHTS, TARGET = np.array([6.0, 2.0, 3.0, 4.0, 5.0]), np.array([0.9, 0.7, 0.1, 0.4, 0.05])


def bowl(hparams):
    away = hparams["mix"] - TARGET
    return float(WEIGHTS @ away**2), {"mix": 2.0 * WEIGHTS * away}


@pytest.mark.parametrize(("sampler", "trials"), [(Gradient(), 8), (Hybrid(), 20)], ids=["gradient", "hybrid"])
def test_an_optimum_on_two_constraints_is_found_in_few_trials(sampler, trials):
    space = hg.Space(
        mix=hg.Float(0.0, 1.0, shape=5, default=0.1), constraints=["sum(mix) <= 1", "mix[0] <= 0.5"]
    )
    study = hg.Study("s", space, sampler)
    study.optimize(bowl, trials=trials)
    # Lagrange: x_i = t_i − ν / (2 w_i) where nothing else binds, Σ x = 1, and x_0 = 1/2 and x_4, x_2 >= 0
    free = np.array([False, True, True, True, True])
    while True:
        nu = 2.0 * (TARGET[free].sum() + 0.5 - 1.0) / (1.0 / WEIGHTS[free]).sum()
        best = np.where(free, TARGET - nu / (2.0 * WEIGHTS), [0.5, 0.0, 0.0, 0.0, 0.0])
        if (best >= 0.0).all():
            break
        free &= best > 0.0
    value, _ = bowl({"mix": best})
    assert nu > 0.0
    assert study.best.value == pytest.approx(value, abs=1e-6)
    np.testing.assert_allclose(study.best.hparams["mix"], best, atol=1e-3)
    assert all(trial.hparams in space for trial in study.trials)


def test_along_a_constraint_that_is_curved_in_the_cube():
    scale = {"log": True, "default": 1e-3}
    space = hg.Space(
        lr=hg.Float(1e-4, 1.0, **scale), l2=hg.Float(1e-4, 1.0, **scale), constraints=["lr + l2 <= 0.1"]
    )

    def valley(h):
        one, two = np.log(h["lr"] / 0.5), np.log(h["l2"] / 0.3)
        return one**2 + two**2, {"lr": 2.0 * one / h["lr"], "l2": 2.0 * two / h["l2"]}

    study = hg.Study("s", space, Gradient())
    study.optimize(valley, trials=25)
    lr = np.linspace(1e-4, 0.0999, 100001)
    assert study.best.value <= (np.log(lr / 0.5) ** 2 + np.log((0.1 - lr) / 0.3) ** 2).min() * 1.01
