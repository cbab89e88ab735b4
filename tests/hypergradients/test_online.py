"""Hyperparameters adapted during training follow the recursions of the papers, written out in NumPy."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import hypergrad as hg

SGD, MOMENTUM, ADAM = hg.optim.SGD, hg.optim.Momentum, hg.optim.Adam
RNG = np.random.default_rng(3)
ROWS, FEATURES, CLASSES, STEPS, BATCH = 60, 5, 3, 40, 12
X, Y = RNG.standard_normal((ROWS, FEATURES)), RNG.integers(0, CLASSES, ROWS)
VALID_X, VALID_Y = RNG.standard_normal((30, FEATURES)), RNG.integers(0, CLASSES, 30)
FIRST = {"b": np.zeros(CLASSES), "w": 0.1 * RNG.standard_normal((FEATURES, CLASSES))}
EXACT = {"rtol": 1e-12, "atol": 1e-15}


def cross_entropy(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(batch["x"] @ params["w"] + params["b"], batch["y"]).mean()


def penalised(params, hparams, batch):
    return cross_entropy(params, hparams, batch) + 0.5 * np.sum(hparams["l2"] * params["w"] ** 2)


def softmax(optimizer, **options):
    return hg.BilevelProblem(
        **{
            "init": lambda hparams, rng: FIRST,
            "inner_loss": cross_entropy,
            "outer_loss": cross_entropy,
            "train": {"x": X, "y": Y},
            "valid": {"x": VALID_X, "y": VALID_Y},
            "optimizer": optimizer,
            "steps": STEPS,
            "batch_size": BATCH,
            **options,
        }
    )


def gradient(w, x, y):
    """Of the mean cross entropy, by the vector (b, w)."""
    b, weight = w[:CLASSES], w[CLASSES:].reshape(FEATURES, CLASSES)
    z = x @ weight + b
    p = np.exp(z - z.max(1, keepdims=True))
    d = (p / p.sum(1, keepdims=True) - np.eye(CLASSES)[y]) / len(y)
    return np.concatenate([d.sum(0), (x.T @ d).ravel()])


def first():
    return np.concatenate([FIRST["b"], FIRST["w"].ravel()])


def batch(problem, t, seed=0):
    rows = problem.batches.at(seed, t)
    return X[rows], Y[rows]


def check(result, w, trace, exact=EXACT):
    np.testing.assert_allclose(result.trace["lr"], trace, **exact)
    np.testing.assert_allclose(result.params["b"], w[:CLASSES], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(result.params["w"].ravel(), w[CLASSES:], rtol=1e-11, atol=1e-14)


def test_sgd_as_in_algorithm_4():
    """Baydin et al. (2018): h_t = g_t · (-g_{t-1}), α_t = α_{t-1} - β h_t, u_t = -α_t g_t."""
    problem, beta, lr = softmax(SGD("lr")), 0.02, 0.05
    w, slope, trace = first(), np.zeros(len(first())), []
    for t in range(STEPS):
        g = gradient(w, *batch(problem, t))
        lr -= beta * (g @ slope)
        trace.append(lr)
        w, slope = w - lr * g, -g
    result = hg.online.adapt(problem, {"lr": 0.05}, hg.online.HypergradientDescent(beta))
    check(result, w, trace)
    assert result.hparams == {"lr": pytest.approx(lr, rel=1e-12)}
    assert type(result.hparams["lr"]) is float
    assert np.ptp(trace) > 0.01


def test_nesterov_as_in_algorithm_5():
    """v_t = μ v_{t-1} + g_t, u_t = -α_t (g_t + μ v_t), ∇_α u_t = -g_t - μ v_t."""
    problem, beta, lr, mu = softmax(hg.optim.Nesterov("lr", 0.8)), 0.005, 0.03, 0.8
    w, v, slope, trace = first(), 0.0, np.zeros(len(first())), []
    for t in range(STEPS):
        g = gradient(w, *batch(problem, t))
        lr -= beta * (g @ slope)
        trace.append(lr)
        v = mu * v + g
        slope = -g - mu * v
        w = w + lr * slope
    check(hg.online.adapt(problem, {"lr": 0.03}, hg.online.HypergradientDescent(beta)), w, trace)


@pytest.mark.parametrize("start", [0.0, 0.01])
def test_adam_as_in_algorithm_6(start):
    """u_t = -α_t m̂ / (sqrt(v̂) + ε), ∇_α u_t = -m̂ / (sqrt(v̂) + ε)."""
    problem, beta, lr = softmax(ADAM("lr")), 1e-4, start
    w, m, v, slope, trace = first(), 0.0, 0.0, np.zeros(len(first())), []
    for t in range(1, STEPS + 1):
        g = gradient(w, *batch(problem, t - 1))
        lr -= beta * (g @ slope)
        trace.append(lr)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        slope = -(m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        w = w + lr * slope
    result = hg.online.adapt(problem, {"lr": start}, hg.online.HypergradientDescent(beta))
    check(result, w, trace, {"rtol": 1e-10, "atol": 1e-13})


def test_the_multiplicative_rule():
    """α_t = α_{t-1} (1 + β cos(g_t, g_{t-1}))."""
    problem, lr = softmax(SGD("lr")), 0.05
    w, before, trace = first(), None, []
    for t in range(STEPS):
        g = gradient(w, *batch(problem, t))
        if before is not None:
            lr *= 1.0 + 0.1 * (g @ before) / (np.linalg.norm(g) * np.linalg.norm(before))
        trace.append(lr)
        w, before = w - lr * g, g
    method = hg.online.HypergradientDescent(0.1, multiplicative=True)
    check(hg.online.adapt(problem, {"lr": 0.05}, method), w, trace)


def test_all_tensors_see_one_rate_and_layers_see_theirs():
    """One rate a layer: each moves by the gradients of its own tensor."""
    problem, beta = softmax(SGD("lr")), 0.02
    lr, w, before = {"b": 0.05, "w": 0.08}, first(), np.zeros(len(first()))
    parts = {"b": slice(0, CLASSES), "w": slice(CLASSES, None)}
    for t in range(STEPS):
        g = gradient(w, *batch(problem, t))
        for key, part in parts.items():
            lr[key] += beta * (g[part] @ before[part])
        w = w - np.concatenate([lr["b"] * g[parts["b"]], lr["w"] * g[parts["w"]]])
        before = g
    result = hg.online.adapt(problem, {"lr": {"b": 0.05, "w": 0.08}}, hg.online.HypergradientDescent(beta))
    assert set(result.trace) == {"lr/b", "lr/w"}
    for key in lr:
        np.testing.assert_allclose(result.hparams["lr"][key], lr[key], **EXACT)


def test_any_hyperparameter_of_a_step_has_its_one_step_derivative():
    """z = ∂w_{t+1}/∂(lr, mu, l2) = (-m', -lr m, -lr w on the weights)."""
    problem = softmax(MOMENTUM("lr", "mu"), inner_loss=penalised)
    beta, a = 0.01, np.array([0.02, 0.05, 0.5])  # l2, lr, mu: the order of the leaves
    w, m, z = first(), np.zeros(len(first())), np.zeros((3, len(first())))
    mask = np.concatenate([np.zeros(CLASSES), np.ones(FEATURES * CLASSES)])
    for t in range(STEPS):
        x, y = batch(problem, t)
        a = a - beta * z @ (gradient(w, x, y) + a[0] * mask * w)
        g, before = gradient(w, x, y) + a[0] * mask * w, m
        m = a[2] * m + g
        z = np.stack([-a[1] * mask * w, -m, -a[1] * before])
        w = w - a[1] * m
    hparams = {"lr": 0.05, "mu": 0.5, "l2": 0.02}
    result = hg.online.adapt(problem, hparams, hg.online.HypergradientDescent(beta), wrt=("lr", "mu", "l2"))
    np.testing.assert_allclose([result.hparams[k] for k in ("l2", "lr", "mu")], a, rtol=1e-11)


def test_a_tower_of_one_level_is_hypergradient_descent():
    problem = softmax(ADAM("lr"))
    one = hg.online.adapt(problem, {"lr": 0.01}, hg.online.Tower((SGD(1e-4),)))
    descent = hg.online.adapt(problem, {"lr": 0.01}, hg.online.HypergradientDescent(1e-4))
    np.testing.assert_array_equal(one.trace["lr"], descent.trace["lr"])
    assert one.value == descent.value


def test_a_tower_of_three_levels_by_hand():
    """G1 = -g_t g_{t-1}; G2 = -G1 G1'; G3 = -G2 G2' (primes: the step before); each rate moves by its own G."""
    problem, top = softmax(SGD("lr")), 1e-3
    lr, one, two = 0.05, 0.01, 0.005
    w, before, before1, before2, trace = first(), np.zeros(len(first())), 0.0, 0.0, []
    for t in range(STEPS):
        g = gradient(w, *batch(problem, t))
        g1 = -(g @ before)
        g2 = -g1 * before1
        g3 = -g2 * before2
        two -= top * g3
        one -= two * g2
        lr -= one * g1
        trace.append(lr)
        w, before, before1, before2 = w - lr * g, g, g1, g2
    method = hg.online.Tower((SGD(0.01), SGD(0.005), SGD(1e-3)))
    result = hg.online.adapt(problem, {"lr": 0.05}, method)
    check(result, w, trace)
    np.testing.assert_allclose(result.stats["level_rates"], [one, two, top], rtol=1e-12)


def test_taller_towers_care_less_where_they_start():
    """Chandra et al. (2022): the spread of the final loss over first rates 1e-6 .. 1 falls with each level."""
    learnable = {"x": X, "y": np.argmax(X[:, :CLASSES], axis=1)}
    problem = softmax(SGD("lr"), steps=300, train=learnable, valid=learnable)
    spreads = []
    for height in range(4):
        values = []
        for lr in 10.0 ** np.arange(-6, 1):
            method = hg.online.Tower((SGD(1e-3),) * height) if height else hg.online.HypergradientDescent(0.0)
            values.append(hg.online.adapt(problem, {"lr": lr}, method).value)
        spreads.append(np.ptp(values))
    assert all(np.diff(spreads) < 0)
    assert spreads[2] < spreads[0] / 3


def test_hypergradient_descent_needs_no_tuned_rate_on_digits():
    """Baydin et al. (2018), sec. 5: from any first rate, near the best of a grid of constant ones."""
    data = hg.tasks.load("digits")
    n = data.train["x"].shape[1]
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros((n, 10)), "b": np.zeros(10)},
        inner_loss=cross_entropy,
        outer_loss=cross_entropy,
        train=data.train,
        valid=data.valid,
        optimizer=MOMENTUM("lr", 0.9),
        steps=110,
        batch_size=64,
    )
    best = min(hg.train(problem, {"lr": lr}, curve=0).value for lr in np.logspace(-5, 0.5, 12))
    for lr in (0.0, 1e-4, 1e-3, 1e-2):
        assert hg.train(problem, {"lr": lr}, curve=0).value > 1.5 * best
        result = hg.online.adapt(problem, {"lr": lr}, hg.online.HypergradientDescent(1e-3))
        assert result.value < 1.1 * best


def test_without_a_rate_nothing_moves():
    for optimizer in (SGD("lr"), ADAM("lr")):
        problem = softmax(optimizer)
        plain = hg.train(problem, {"lr": 0.05}, seed=4)
        for method in (hg.online.HypergradientDescent(0.0), hg.online.RealTimeForward(SGD(0.0), log=True)):
            result = hg.online.adapt(problem, {"lr": 0.05}, method, seed=4)
            assert result.value == pytest.approx(plain.value, rel=1e-13)
            np.testing.assert_array_equal(result.trace["lr"], np.full(STEPS, 0.05))
            np.testing.assert_allclose(result.curve, plain.curve, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD("lr"), MOMENTUM("lr", "mu"), ADAM("lr", ("mu", 0.99))])
def test_forward_over_the_whole_run_is_reverse(optimizer):
    problem = softmax(
        optimizer,
        inner_loss=penalised,
        outer_loss=lambda p, h, v: cross_entropy(p, h, v) + np.sum(h["l2"] ** 2) + h["lr"] ** 2,
        init=lambda h, rng: {"b": FIRST["b"], "w": FIRST["w"] * (1.0 + np.sum(h["l2"]))},
    )
    hparams = {"lr": 0.05, "mu": 0.6, "l2": np.full((FEATURES, 1), 0.02), "n": 3}
    exact = hg.hypergradient(problem, hparams)
    names = [key for key in ("l2", "lr", "mu") if key not in exact.disconnected]
    method = hg.online.RealTimeForward(SGD(0.0), period=STEPS)
    result = hg.online.adapt(problem, hparams, method)
    expected = np.concatenate([np.ravel(exact.hypergradient[key]) for key in names])
    found = np.array(result.stats["hypergradient"])
    assert np.linalg.norm(found - expected) <= 1e-10 * np.linalg.norm(expected)
    assert result.value == pytest.approx(exact.value, rel=1e-13)
    assert result.stats["updates"] == 1


@pytest.mark.parametrize(("memory", "period"), [(1.0, 1), (1.0, 7), (0.9, 3), (0.0, 1)])
@pytest.mark.parametrize("log", [False, True])
def test_real_time_forward_on_a_quadratic(memory, period, log):
    """w' = w - a d (w - c): z' = μ (1 - a d) z - d (w - c); a moves by (w - v) z (Franceschi 2017, algorithm 2)."""
    d, c, v = np.array([0.5, 1.0, 2.0]), np.array([0.1, -0.4, 0.3]), np.array([0.2, 0.1, 0.0])
    problem = hg.UnrolledProblem(
        init=lambda hparams, rng: np.ones(3),
        step=lambda w, h, b, t: w - h["a"] * d * (w - c),
        outer_loss=lambda w, h, valid: 0.5 * np.sum((w - v) ** 2) + 0.1 * h["a"] ** 2,
        steps=30,
    )
    a, w, z, trace = 0.2, np.ones(3), np.zeros(3), []
    for t in range(1, 31):
        trace.append(a)
        w, z = w - a * d * (w - c), memory * (1.0 - a * d) * z - d * (w - c)
        if t % period == 0:
            slope = (w - v) @ z + 0.2 * a
            a = a * np.exp(-0.05 * a * slope) if log else a - 0.05 * slope
    method = hg.online.RealTimeForward(SGD(0.05), period=period, memory=memory, log=log)
    result = hg.online.adapt(problem, {"a": 0.2}, method)
    np.testing.assert_allclose(result.trace["a"], trace, rtol=1e-12)
    np.testing.assert_allclose(result.params, w, rtol=1e-12)
    assert result.hparams["a"] == pytest.approx(a, rel=1e-12)
    assert np.isnan(result.curve).all()


def test_real_time_forward_lowers_the_outer_loss():
    problem = softmax(SGD("lr"), inner_loss=penalised, steps=400)
    hparams = {"lr": 0.01, "l2": 0.5}
    method = hg.online.RealTimeForward(ADAM(0.05), period=5, log=True)
    result = hg.online.adapt(problem, hparams, method)
    assert result.value < hg.train(problem, hparams).value
    assert result.trace["l2"][-1] != 0.5
    assert result.hparams["lr"] > 0


def test_draws_and_schedules():
    """The losses draw the same noise twice: for the hypergradient and for the step."""

    def noisy(params, hparams, batch, rng):
        x = batch["x"] + 0.3 * rng.normal(0.0, 1.0, batch["x"].shape)
        return cross_entropy(params, hparams, {"x": x, "y": batch["y"]})

    problem = softmax(SGD("lr"), inner_loss=noisy)
    plain = hg.train(problem, {"lr": 0.05}, seed=1)
    still = hg.online.adapt(problem, {"lr": 0.05}, hg.online.HypergradientDescent(0.0), seed=1)
    np.testing.assert_allclose(still.curve, plain.curve, rtol=1e-12)
    moved = [
        hg.online.adapt(problem, {"lr": 0.05}, hg.online.HypergradientDescent(0.02), seed=s)
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(moved[0].trace["lr"], moved[1].trace["lr"])
    assert moved[0].value != moved[2].value
    scheduled = softmax(MOMENTUM(hg.optim.PiecewiseLinear("lr"), "mu"))
    knots = {"lr": np.array([0.1, 0.05]), "mu": 0.5}
    exact = hg.hypergradient(scheduled, knots).hypergradient
    method = hg.online.RealTimeForward(SGD(0.0), period=STEPS)
    found = hg.online.adapt(scheduled, knots, method).stats["hypergradient"]
    np.testing.assert_allclose(found, [*exact["lr"], exact["mu"]], rtol=1e-10)


def test_bounds_hold_and_are_counted():
    problem = softmax(SGD("lr"), steps=200)
    wild = hg.online.HypergradientDescent(50.0, bounds=(0.01, 0.3))
    result = hg.online.adapt(problem, {"lr": 0.05}, wild)
    assert result.stats["projected"] > 0
    assert result.trace["lr"].min() >= 0.01
    assert result.trace["lr"].max() <= 0.3
    free = hg.online.HypergradientDescent(50.0, bounds=None)
    assert hg.online.adapt(problem, {"lr": 0.05}, free).trace["lr"].min() < 0
    named = hg.online.RealTimeForward(SGD(100.0), bounds={"lr": (0.0, 0.2)})
    assert hg.online.adapt(problem, {"lr": 0.05}, named).trace["lr"].max() <= 0.2


def test_a_run_that_diverges_is_a_result():
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.ones(2),
        inner_loss=lambda w, h, b: np.sum(w**4),
        outer_loss=lambda w, h, v: np.sum(w**2),
        train=None,
        valid=None,
        optimizer=SGD("lr"),
        steps=30,
    )
    for method in (hg.online.HypergradientDescent(1.0), hg.online.RealTimeForward()):
        result = hg.online.adapt(problem, {"lr": 10.0}, method)
        assert not np.isfinite(result.value)
        assert result.stats["finite"] is False
        assert "diverged" in result.warnings[0]


def test_single_precision_metrics_and_early_stopping():
    problem = softmax(
        ADAM("lr"),
        init=lambda h, rng: {k: v.astype(np.float32) for k, v in FIRST.items()},
        metrics={"loss": cross_entropy},
        stop=hg.EarlyStopping(patience=1, every=5),
        steps=500,
    )
    for method in (hg.online.HypergradientDescent(1e-5), hg.online.RealTimeForward(ADAM(0.01), log=True)):
        result = hg.online.adapt(problem, {"lr": np.float32(0.05), "name": "x"}, method)
        assert result.params["w"].dtype == np.float32
        assert result.hparams["lr"].dtype == np.float32
        assert result.hparams["name"] == "x"
        assert result.stats["steps"] < 500
        assert result.trace["lr"].shape == result.curve.shape == (result.stats["steps"],)
        assert result.metrics["valid"]["loss"] == pytest.approx(result.value, rel=1e-5)


def test_tangents_together_are_tangents_one_after_the_other(monkeypatch):
    hparams = {"lr": 0.05, "mu": 0.5, "l2": np.full((FEATURES, 1), 0.02)}
    methods = hg.online.HypergradientDescent(1e-3), hg.online.RealTimeForward(SGD(1e-3), memory=0.9)
    found = []
    for room in (1 << 18, 0):
        monkeypatch.setattr(hg.online.base, "_CACHE", room)
        problem = softmax(MOMENTUM("lr", "mu"), inner_loss=penalised)
        found.append([hg.online.adapt(problem, hparams, m, wrt=("lr", "mu", "l2")) for m in methods])
    for together, apart in zip(*found, strict=True):
        assert np.ptp(apart.trace["l2"]) > 0
        for key in hparams:
            np.testing.assert_allclose(apart.trace[key], together.trace[key], rtol=1e-12)


def test_programs_are_kept_between_runs():
    problem = softmax(SGD("lr"))
    runs = [
        hg.online.adapt(problem, {"lr": lr}, hg.online.HypergradientDescent(b))
        for lr, b in ((0.1, 0.1), (0.1, 0.0), (0.1, 0.1))
    ]
    np.testing.assert_array_equal(runs[0].trace["lr"], runs[2].trace["lr"])
    assert np.ptp(runs[1].trace["lr"]) == 0.0


def test_the_example_of_the_module():
    assert doctest.testmod(hg.online) == doctest.TestResults(failed=0, attempted=6)


HD, RTF = hg.online.HypergradientDescent, hg.online.RealTimeForward


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: HD(-1.0), "a rate of 0 or more"),
        (lambda: hg.online.Tower(()), "one or more optimizers"),
        (lambda: hg.online.Tower((SGD("lr"),)), "whose rates are numbers"),
        (lambda: RTF(hg.optim.ISTA(0.1, hg.optim.L1(0.1))), "without a penalty"),
        (lambda: RTF(period=0), "a period of 1 step"),
        (lambda: RTF(memory=1.5), "a memory from 0 to 1"),
    ],
)
def test_arguments_outside_their_domain(make, match):
    with pytest.raises(hg.errors.DerivativeError, match=match):
        make()


def test_what_cannot_be_adapted():
    adapt, error = hg.online.adapt, hg.errors.DerivativeError
    with pytest.raises(error, match="reads no learning rate from hparams"):
        adapt(softmax(SGD(0.1)), {"lr": 0.1}, HD())
    scaled = softmax(SGD("lr"), init=lambda h, rng: {k: h["s"] * v for k, v in FIRST.items()})
    with pytest.raises(error, match="no training step reads"):
        adapt(scaled, {"lr": 0.1, "s": 1.0}, HD(), wrt=("lr", "s"))
    assert set(adapt(scaled, {"lr": 0.1, "s": 1.0}, RTF()).trace) == {"lr"}
    with pytest.raises(error, match="outside its bounds"):
        adapt(softmax(SGD("lr")), {"lr": -0.1}, HD())
    with pytest.raises(hg.errors.UnknownNameError, match="did you mean 'lr'"):
        adapt(softmax(SGD("lr")), {"lr": 0.1}, RTF(bounds={"l": (0.0, 1.0)}))
    with pytest.raises(error, match="low < high"):
        adapt(softmax(SGD("lr")), {"lr": 0.1}, RTF(bounds=(1.0, 0.0)))
    with pytest.raises(error, match="has no logarithm"):
        adapt(softmax(SGD("lr")), {"lr": 0.0}, RTF(log=True))
    iteration = hg.UnrolledProblem(
        init=lambda h, rng: np.ones(1),
        step=lambda w, h, b, t: w * h["a"],
        outer_loss=lambda w, h, v: w[0],
        steps=2,
    )
    for wrt in ("a", None):
        with pytest.raises(error, match="which an UnrolledProblem has not"):
            adapt(iteration, {"a": 0.5}, HD(), wrt=wrt)
    with pytest.raises(error, match="FISTA takes it ahead of them"):
        adapt(softmax(hg.optim.FISTA("lr")), {"lr": 0.1}, HD())
    assert adapt(softmax(hg.optim.FISTA("lr")), {"lr": 0.1}, RTF()).stats["finite"]
    with pytest.raises(error, match="nothing to adapt"):
        adapt(softmax(SGD(0.1)), {"n": 3}, RTF())
    with pytest.raises(hg.errors.ProblemError, match=r"one of hg\.online"):
        adapt(softmax(SGD("lr")), {"lr": 0.1}, hg.Reverse())
