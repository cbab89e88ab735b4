"""Schedules are the rows that their formulas say, also per layer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

import hypergrad as hg


@pytest.mark.parametrize(
    ("knots", "steps"), [(1, 5), (2, 5), (3, 5), (5, 5), (7, 5), (4, 1), (4, 2), (5, 97)]
)
@pytest.mark.parametrize("log", [False, True])
def test_piecewise_linear_interpolates_equally_spaced_knots(knots, steps, log):
    value = np.random.default_rng(knots).uniform(0.1, 2.0, knots)
    rows = hg.optim.PiecewiseLinear("lr", log=log).rows({"key": value}, steps)
    expected = []
    for t in range(steps):
        position = t * (knots - 1) / (steps - 1) if steps > 1 else 0.0
        i = min(int(position), max(knots - 2, 0))
        a, low, high = position - i, value[i], value[min(i + 1, knots - 1)]
        expected.append(low ** (1 - a) * high**a if log else (1 - a) * low + a * high)
    np.testing.assert_allclose(rows, expected, rtol=1e-13)


def test_per_step_is_the_hyperparameter_itself():
    value = np.arange(4.0)
    assert hg.optim.PerStep("lr").rows({"key": value}, 4) is value


@pytest.mark.parametrize(
    ("schedule", "shape", "message"),
    [
        (
            hg.optim.PerStep("lr"),
            (4,),
            r"one entry for each of the 5 steps, got hparams\['lr'\] of shape \(4,\)",
        ),
        (hg.optim.PerStep("lr"), (5, 1), r"of shape \(5, 1\)"),
        (hg.optim.PerStep("lr"), (), r"of shape \(\)"),
        (hg.optim.PiecewiseLinear("lr"), (), r"knots of shape \(K,\) with K >= 1, .* of shape \(\)"),
        (hg.optim.PiecewiseLinear("lr"), (0,), r"of shape \(0,\)"),
        (hg.optim.PiecewiseLinear("lr"), (2, 2), r"of shape \(2, 2\)"),
    ],
)
def test_a_wrong_shape_is_named(regression, schedule, shape, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        hg.train(regression.problem(hg.optim.SGD(schedule), 5), {"lr": np.ones(shape)})


def test_logarithmic_knots_must_be_positive(regression):
    problem = regression.problem(hg.optim.SGD(hg.optim.PiecewiseLinear("lr", log=True)), 5)
    with pytest.raises(hg.errors.ProblemError, match=r"positive knots, got hparams\['lr'\] = -0\.5"):
        hg.hypergradient(problem, {"lr": np.array([0.1, -0.5])})
    with pytest.raises(hg.errors.ProblemError, match=r"got hparams\['lr/v'\] = 0\.0"):
        hg.train(problem, {"lr": {"u": np.array([0.1, 0.5]), "v": np.array([0.1, 0.0])}})


@pytest.mark.parametrize("make", [hg.optim.PerStep, hg.optim.PiecewiseLinear])
def test_a_schedule_takes_a_key(make):
    with pytest.raises(hg.errors.ProblemError, match=r"takes a key of hparams, got 0\.1"):
        make(0.1)


def test_a_list_of_knots_is_one_array(regression):
    problem = regression.problem(hg.optim.SGD(hg.optim.PiecewiseLinear("lr")), 6)
    listed = hg.hypergradient(problem, {"lr": [0.1, 0.2, 0.05]})
    array = hg.hypergradient(problem, {"lr": np.array([0.1, 0.2, 0.05])})
    assert listed.value == array.value
    np.testing.assert_array_equal(listed.hypergradient["lr"], array.hypergradient["lr"])


@pytest.mark.parametrize("kind", ["number", "per step", "knots"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_rate_a_layer(regression, loop, kind, name):
    steps = 100
    numbers = {"u": 0.02, "v": 0.11}
    if kind == "number":
        lr, value, rows = "lr", numbers, {k: np.full(steps, v) for k, v in numbers.items()}
    elif kind == "per step":
        value = rows = {k: np.linspace(v, v / 3, steps) for k, v in numbers.items()}
        lr = hg.optim.PerStep("lr")
    else:
        value = {k: np.array([v, v / 3]) for k, v in numbers.items()}
        rows = {k: np.linspace(v, v / 3, steps) for k, v in numbers.items()}
        lr = hg.optim.PiecewiseLinear("lr")
    layers = np.concatenate([np.tile(rows["u"], (3, 1)), np.tile(rows["v"], (2, 1))]).T  # (steps, 5)

    def rule(w, g, slots, t):
        if name == "sgd":
            return w - layers[t - 1] * g, []
        if name == "momentum":
            m = 0.9 * slots[0] + g
            return w - layers[t - 1] * m, [m]
        m, v = 0.9 * slots[0] + 0.1 * g, 0.999 * slots[1] + 0.001 * g**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return w - layers[t - 1] * step, [m, v]

    expected = loop(rule, {"sgd": 0, "momentum": 1, "adam": 2}[name], steps)
    found = regression.train(hg.optim.OPTIMIZERS[name](lr), {"lr": value}, steps)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_every_rate_may_be_a_layers(regression, loop):
    value = {"mu": {"u": 0.5, "v": 0.9}, "lr": {"u": np.full(20, 0.1), "v": np.full(20, 0.03)}}
    optimizer = hg.optim.Momentum(hg.optim.PerStep("lr"), "mu")
    mu, lr = np.repeat([0.5, 0.9], [3, 2]), np.repeat([0.1, 0.03], [3, 2])

    def rule(w, g, slots, t):
        m = mu * slots[0] + g
        return w - lr * m, [m]

    np.testing.assert_allclose(regression.train(optimizer, value, 20), loop(rule, 1, 20), rtol=1e-12)


KNOTS = np.array([0.3, 0.05, 0.2, 0.1])
o = hg.optim
# name: (schedule, the hyperparameters that it reads, its row)
ROWS = {
    "constant": (o.Constant("lr"), {"lr": 0.2}, lambda t, n: 0.2 + 0 * t),
    "a constant number": (o.Constant(0.2), {}, lambda t, n: 0.2 + 0 * t),
    "per step": (o.PerStep("lr"), {"lr": np.linspace(0.1, 0.2, 11)}, lambda t, n: 0.1 + 0.01 * t),
    "windows": (
        o.Windows("lr", 4),
        {"lr": np.array([0.3, 0.2, 0.1])},
        lambda t, n: np.array([0.3] * 4 + [0.2] * 4 + [0.1] * 3),
    ),
    "linear": (
        o.PiecewiseLinear("lr"),
        {"lr": np.array([0.3, 0.1])},
        lambda t, n: 0.3 - 0.2 * t / 10,
    ),
    "cosine": (
        o.Cosine("lr", "end", period=8),
        {"lr": 0.3, "end": 0.05},
        lambda t, n: 0.05 + 0.25 * (1 + np.cos(np.pi * t / 8)) / 2,
    ),
    "cosine over all steps": (
        o.Cosine("lr"),
        {"lr": 0.3},
        lambda t, n: 0.3 * (1 + np.cos(np.pi * t / n)) / 2,
    ),
    "exponential": (
        o.Exponential("lr", "decay"),
        {"lr": 0.3, "decay": 0.8},
        lambda t, n: 0.3 * 0.8**t,
    ),
    "warm-up": (
        o.WarmUp("lr", 4, "first"),
        {"lr": 0.3, "first": 0.1},
        lambda t, n: 0.3 * (0.1 + 0.9 * np.minimum(t / 4, 1)),
    ),
    "warm-up of a cosine": (
        o.WarmUp(o.Cosine("lr", "end"), 4),
        {"lr": 0.3, "end": 0.1},
        lambda t, n: np.minimum(t / 4, 1) * (0.1 + 0.2 * (1 + np.cos(np.pi * t / n)) / 2),
    ),
    "a cosine from knots": (
        o.Cosine(o.PiecewiseLinear("lr"), "end"),
        {"lr": np.array([0.3, 0.1]), "end": 0.1},
        lambda t, n: 0.1 + (0.2 - 0.2 * t / 10) * (1 + np.cos(np.pi * t / n)) / 2,
    ),
    "one cycle": (
        o.OneCycle("lr", "div", "final", pct_start=0.5),
        {"lr": 0.3, "div": 3.0, "final": 2.0},
        lambda t, n: np.where(
            t <= 4.5,
            0.3 - 0.2 * (1 + np.cos(np.pi * t / 4.5)) / 2,
            0.05 + 0.25 * (1 + np.cos(np.pi * (t - 4.5) / 5.5)) / 2,
        ),
    ),
    "cubic": (
        o.PiecewiseCubic("lr"),
        {"lr": KNOTS},
        lambda t, n: CubicSpline(np.linspace(0, n - 1, 4), KNOTS, bc_type="natural")(t),
    ),
    "logarithmic cubic": (
        o.PiecewiseCubic("lr", log=True),
        {"lr": KNOTS},
        lambda t, n: np.exp(CubicSpline(np.linspace(0, n - 1, 4), np.log(KNOTS), bc_type="natural")(t)),
    ),
}


def rates(schedule, hparams, steps):
    """The rates as training reads them, and the problem: SGD of slope 1 from 0 moves entry t by -rate_t."""
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(steps)},
        inner_loss=lambda params, hparams, batch: np.sum(params["w"] * batch["row"]),
        outer_loss=lambda params, hparams, valid: np.sum(params["w"] ** 2 * np.arange(1.0, steps + 1.0)),
        train={"row": np.eye(steps)},
        valid=None,
        optimizer=hg.optim.SGD(schedule),
        steps=steps,
        batches=np.arange(steps)[:, None],
    )
    return -hg.train(problem, hparams).params["w"], problem


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_its_formula_and_each_of_its_rates_has_a_derivative(differences, close, name):
    schedule, hparams, row = ROWS[name]
    found, problem = rates(schedule, hparams, 11)
    np.testing.assert_allclose(found, row(np.arange(11.0), 11), rtol=1e-13, atol=1e-15)
    result = hg.hypergradient(problem, hparams)
    assert result.disconnected == ()
    for key, gradient in result.hypergradient.items():
        close(gradient, differences(problem, hparams, key, step=1e-4, order=4), 1e-9)


@pytest.mark.parametrize("name", ROWS)
def test_one_step_is_enough(name):
    schedule, hparams, _ = ROWS[name]
    sizes = {"per step": 1, "windows": 1}
    hparams = {key: np.resize(v, sizes[name]) if name in sizes else v for key, v in hparams.items()}
    found, _ = rates(schedule, hparams, 1)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("knots", "steps"), [(1, 4), (2, 5), (3, 5), (6, 4), (5, 41), (9, 3)])
def test_a_cubic_is_the_natural_spline(knots, steps):
    value = np.random.default_rng(knots).uniform(0.1, 1.0, knots)
    found = hg.optim.PiecewiseCubic("lr").rows({"key": value}, steps)
    t = np.linspace(0.0, 1.0, steps)
    if knots == 1:
        expected = np.full(steps, value[0])
    elif knots == 2:
        expected = value[0] + (value[1] - value[0]) * t
    else:
        expected = CubicSpline(np.linspace(0.0, 1.0, knots), value, bc_type="natural")(t)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("schedule", "hparams"),
    [
        (o.Cosine("lr", "end"), {"lr": {"u": 0.3, "v": 0.1}, "end": 0.05}),
        (o.Cosine("lr", "end"), {"lr": {"u": 0.3, "v": 0.1}, "end": {"v": 0.05, "u": 0.01}}),
        (o.WarmUp(o.Exponential(0.2, "decay"), 5), {"decay": {"u": 0.9, "v": 1.0}}),
        (o.Windows("lr", 3), {"lr": {"u": np.full(4, 0.1), "v": np.full(4, 0.2)}}),
        (
            o.PiecewiseCubic("lr", log=True),
            {"lr": {"u": np.array([0.1, 0.2, 0.1]), "v": np.array([0.3, 0.1])}},
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad"])
def test_a_schedule_a_layer(regression, differences, name, schedule, hparams):
    problem = regression.problem(hg.optim.OPTIMIZERS[name](schedule), 11)
    result = hg.hypergradient(problem, hparams)
    for path, found in zip(hg.tree.paths(hparams), hg.tree.leaves(result.hypergradient), strict=True):
        expected = differences(problem, hparams, path, step=1e-4, order=4)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)


def test_a_schedule_of_another_rate_than_lr(regression, differences, close):
    optimizer = o.AdamW("lr", (o.OneCycle("b1", 0.9, 1.0), 0.99), 0.01, o.Cosine("decay"))
    problem = regression.problem(optimizer, 8)
    hparams = {"lr": 0.1, "b1": 0.8, "decay": 0.3}
    result = hg.hypergradient(problem, hparams)
    for key, found in result.hypergradient.items():
        close(found, differences(problem, hparams, key, step=1e-4, order=4), 1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: o.Windows("lr", 0), r"Windows\(size=\.\.\.\) takes a positive int, got 0"),
        (lambda: o.Windows(0.1, 5), r"Windows takes a key of hparams, got 0\.1"),
        (lambda: o.WarmUp("lr", 2.5), r"WarmUp\(steps=\.\.\.\) takes a positive int, got 2\.5"),
        (lambda: o.WarmUp(None, 2), r"WarmUp\(rate=\.\.\.\) takes a number, a key of hparams or a schedule"),
        (lambda: o.Cosine("lr", period=True), r"takes a positive int or None, got True"),
        (lambda: o.Exponential("lr", -0.9), r"Exponential\(.*\) needs positive decay, got decay = -0\.9"),
        (lambda: o.OneCycle("lr", 0), r"needs positive div_factor, got div_factor = 0\.0"),
        (lambda: o.OneCycle("lr", pct_start=1.2), r"takes a number in \[0, 1\], got 1\.2"),
        (lambda: o.PiecewiseCubic(0.1), r"PiecewiseCubic takes a key of hparams"),
    ],
)
def test_a_schedule_checks_its_arguments(make, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        make()


@pytest.mark.parametrize(
    ("schedule", "hparams", "message"),
    [
        (
            o.WarmUp(o.Exponential("lr", "decay"), 3),
            {"lr": 0.1, "decay": 0.0},
            r"Exponential\(start='lr', decay='decay'\) needs positive decay, got hparams\['decay'\] = 0\.0",
        ),
        (
            o.Exponential("lr", "decay"),
            {"lr": 0.1, "decay": {"u": 0.9, "v": -1.0}},
            r"got hparams\['decay/v'\] = -1\.0",
        ),
        (o.PiecewiseCubic("lr", log=True), {"lr": np.array([0.1, -0.1])}, "needs positive knots"),
        (
            o.Windows("lr", 2),
            {"lr": np.ones(5)},
            r"needs one entry for each of the 3 windows of 5 steps, got hparams\['lr'\] of shape \(5,\)",
        ),
        (o.PiecewiseCubic("lr"), {"lr": np.ones((2, 2))}, r"needs knots of shape \(K,\) with K >= 1"),
        (
            o.Cosine("lr"),
            {"lr": np.ones(5)},
            r"must be one number, got shape \(5,\); write hg\.optim\.PerStep",
        ),
        (o.Cosine("lr"), {"lr": 1}, r"which is the int 1 and has no derivative; write 1\.0"),
        (o.Cosine("lr", "end"), {"lr": 0.1}, r"reads hparams\['end'\], which hparams lacks"),
        (
            o.Cosine("lr", "end"),
            {"lr": {"u": 0.1, "v": 0.2}, "end": {"u": 0.1, "w": 0.1}},
            r"SGD reads its rate lr/start for the layers 'u', 'v', but lr/end for 'u', 'w'",
        ),
    ],
)
def test_what_a_schedule_reads_is_checked(regression, schedule, hparams, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        hg.train(regression.problem(hg.optim.SGD(schedule), 5), hparams)


def test_every_schedule_has_examples():
    kinds = {kind for kind in vars(hg.optim).values() if isinstance(kind, type)}
    kinds = {k for k in kinds if issubclass(k, hg.optim.Schedule) and k is not hg.optim.Schedule}
    assert {type(schedule) for schedule, _, _ in ROWS.values()} == kinds
