"""What holds for every optimiser in OPTIMIZERS; one without a row of examples fails."""

from __future__ import annotations

import numpy as np
import pytest
from optimizer_rows import CASES, ROWS

import hypergrad as hg

NAMES = list(hg.optim.OPTIMIZERS)


def build(optimizer, start, steps=7):
    """A valley of one softplus a coordinate: parameters u (3,) = start and v (2,) = 2 start; bottom at 0."""

    def loss(params, hparams, batch):
        w = np.concatenate([params["u"], params["v"]])
        a = hparams.get("a", 1.0) * np.arange(1.0, 6.0)
        return np.sum(np.logaddexp(a * w, -a * w)) / 5.0

    def outer(params, hparams, valid):
        return np.sum((np.concatenate([params["u"], params["v"]]) - 1.0) ** 2)

    return hg.BilevelProblem(
        init=lambda hparams, rng: {
            "u": start * np.array([1.0, -0.5, 0.7]),
            "v": start * np.array([-1.4, 0.9]),
        },
        inner_loss=loss,
        outer_loss=outer,
        train=None,
        valid=None,
        optimizer=optimizer,
        steps=steps,
    )


@pytest.fixture
def agree(differences):
    """``agree(found, problem, hparams, path)``: the central difference, to seven digits."""

    def check(found, problem, hparams, path, step=1e-4):
        expected = differences(problem, hparams, path, step=step, order=4)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=2e-14 / step, err_msg=path)

    return check


def test_every_optimiser_has_examples():
    assert set(ROWS) == set(NAMES)
    for name, kind in hg.optim.OPTIMIZERS.items():
        assert {"all", "defaults"} <= set(ROWS[name])
        assert all(type(row.optimizer) is kind for row in ROWS[name].values())
        numbers = [v for v in ROWS[name]["all"].optimizer.rates().values() if not isinstance(v, str)]
        assert not numbers, f"the example 'all' of {name} must read each rate from hparams"
        assert getattr(hg.optim, kind.__name__) is kind


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_hypergradient_is_the_central_difference(agree, name, case):
    row = ROWS[name][case]
    hparams = {**row.hparams, "a": 0.8}
    problem = build(row.optimizer, row.start)
    result = hg.hypergradient(problem, hparams)
    assert result.disconnected == ()
    for key, found in result.hypergradient.items():
        agree(found, problem, hparams, key)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_hypergradient_a_layer_is_the_central_difference(agree, name, case):
    row = ROWS[name][case]
    hparams = {key: {"u": value, "v": 0.7 * value} for key, value in row.hparams.items()}
    problem = build(row.optimizer, row.start, steps=3)
    result = hg.hypergradient(problem, hparams)
    for path in hg.tree.paths(hparams):
        key, layer = path.split("/")
        agree(result.hypergradient[key][layer], problem, hparams, path)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_forward_mode_agrees(name, case):
    row = ROWS[name][case]
    hparams = {**row.hparams, "a": 0.8}
    problem = build(row.optimizer, row.start)
    reverse = hg.hypergradient(problem, hparams).hypergradient
    forward = hg.hypergradient(problem, hparams, method=hg.Forward()).hypergradient
    for key, found in forward.items():
        np.testing.assert_allclose(found, reverse[key], rtol=1e-9, atol=1e-13, err_msg=key)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_gradient_zero_has_a_finite_derivative(name, case):
    row = ROWS[name][case]
    hparams = {**row.hparams, "a": 1.0}
    result = hg.hypergradient(build(row.optimizer, 0.0), hparams)
    assert result.stats["finite"]
    assert result.value == 5.0  # at the bottom nothing moves
    np.testing.assert_array_equal(result.params["u"], 0.0)
    # nor does any hyperparameter move it
    assert all(found == 0.0 for found in result.hypergradient.values())


@pytest.mark.parametrize("name", NAMES)
def test_lr_zero_is_differentiable(agree, name):
    row = ROWS[name]["all"]
    hparams = {**row.hparams, "lr": 0.0, "a": 0.8}
    problem = build(row.optimizer, row.start)
    result = hg.hypergradient(problem, hparams)
    assert result.stats["finite"]
    step = 5e-7 if name == "lbfgs" else 1e-4  # longer steps are remembered, with a kink where that begins
    for key, found in result.hypergradient.items():
        agree(found, problem, hparams, key, step)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_lr_zero_of_the_defaults_is_finite(name, start):
    problem = build(hg.optim.OPTIMIZERS[name]("lr"), start)
    result = hg.hypergradient(problem, {"lr": 0.0, "a": 1.0})
    assert result.stats["finite"]
    assert result.hypergradient["a"] == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_of_number_zero_costs_nothing(name):
    """The step of a rule whose optional rates are 0 is shorter than when they are hyperparameters of value 0."""
    optional = [
        key
        for key, value in hg.optim.OPTIMIZERS[name]().rates().items()
        if value == 0.0 and key != "initial_accumulator_value"
    ]
    if not optional:
        return

    def length(**rates):
        problem = build(hg.optim.OPTIMIZERS[name](**rates), 0.7, steps=2)
        hg.train(problem, dict.fromkeys(optional, 0.0))
        (code,) = problem.compiled.values()
        return len(code.step.equations), code.layout.size

    equations, size = length()
    more, bigger = length(**{key: key for key in optional})
    assert equations < more or name == "adagrad"
    assert size <= bigger


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_stays_single(name):
    row = ROWS[name]["all"]
    problem = build(row.optimizer, np.float32(0.7))
    first = np.full(5, np.float32(row.start))
    problem.init = lambda hparams, rng: {"u": first[:3], "v": first[3:]}
    hparams = {key: np.array(value) for key, value in row.hparams.items()}
    result = hg.hypergradient(problem, hparams)
    assert all(leaf.dtype == np.float32 for leaf in result.params.values())
    assert all(leaf.dtype == np.float64 for leaf in result.hypergradient.values())
    assert result.stats["finite"]


def test_rmsprop_remembers_only_what_it_needs():
    rms = hg.optim.RMSProp
    assert rms().slots == ("square",)
    assert rms(centered=True).slots == ("square", "mean")
    assert rms(momentum=0.5).slots == ("square", "momentum")
    assert rms(momentum="mu", centered=True).slots == ("square", "mean", "momentum")


@pytest.mark.parametrize("value", [3.0, "v"])
def test_adagrad_starts_at_its_accumulator(value):
    problem = build(hg.optim.Adagrad(0.5, initial_accumulator_value=value, eps=0.0), 0.7, steps=1)
    found = hg.train(problem, {"v": 3.0, "a": 1.0}).params
    u = 0.7 * np.array([1.0, -0.5, 0.7])
    a = np.arange(1.0, 4.0)
    g = a * np.tanh(a * u) / 5.0
    np.testing.assert_allclose(found["u"], u - 0.5 * g / np.sqrt(3.0 + g * g), rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hg.optim.Adagrad(initial_accumulator_value=hg.optim.PerStep("v")),
            r"read once, before the first step; write a number or a key of hparams, not PerStep",
        ),
        (lambda: hg.optim.RMSProp(centered=1.0), r"RMSProp\(centered=\.\.\.\) takes True or False, got 1\.0"),
        (lambda: hg.optim.AdamW(betas=0.9), r"AdamW\(betas=\.\.\.\) takes a pair"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        make()
