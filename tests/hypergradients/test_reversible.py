"""Training run backwards: the hypergradients of Reverse, from the bits that momentum loses."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import DerivativeError
from hypergrad.hypergradients import reversible

EXACT = {"rtol": 1e-10, "atol": 1e-13}
OPTIMIZERS = {"momentum": hg.optim.Momentum, "nesterov": hg.optim.Nesterov}


def quadratic(optimizer, steps, **changes):
    """Inner 0.5 Σ d_i (w_i - c_i)², outer 0.5 Σ (w_i - v_i)²."""
    target = np.array([0.3, -0.2, 0.9])
    return target, hg.BilevelProblem(
        **{
            "init": lambda hparams, rng: {"w": hparams["first"]},
            "inner_loss": lambda p, h, b: 0.5 * np.sum(h["d"] * (p["w"] - h["c"]) ** 2),
            "outer_loss": lambda p, h, v: 0.5 * np.sum((p["w"] - v["target"][0]) ** 2),
            "train": None,
            "valid": {"target": target[None]},
            "optimizer": optimizer,
            "steps": steps,
            **changes,
        }
    )


FIRST, D, C = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.5, 3.0]), np.array([0.1, 0.4, -0.3])


def matrices(kind, lr, mu, d):
    """B with (w - c, m)' = B (w - c, m), and its derivatives by lr and mu."""
    if kind == "momentum":
        return np.array([[1 - lr * d, -lr * mu], [d, mu]]), {
            "lr": np.array([[-d, -mu], [0, 0]]),
            "mu": np.array([[0, -lr], [0, 1]]),
        }
    return np.array([[1 - lr * d * (1 + mu), -lr * mu**2], [d, mu]]), {
        "lr": np.array([[-d * (1 + mu), -(mu**2)], [0, 0]]),
        "mu": np.array([[-lr * d, -2 * lr * mu], [0, 1]]),
    }


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("mu", [0.5, 0.8, 0.9173])
@pytest.mark.parametrize("steps", [1, 2, 30, 200])
def test_a_quadratic_by_its_closed_form(kind, mu, steps):
    """w_T - c = (B^T z_0)_1; d(B^T) = Σ_k B^(T-1-k) dB B^k."""
    lr = 0.1
    target, problem = quadratic(OPTIMIZERS[kind]("lr", "mu"), steps)
    found = hg.hypergradient(
        problem, {"lr": lr, "mu": mu, "first": FIRST, "d": D, "c": C}, method=hg.Reversible()
    )
    slopes, by_first = {"lr": 0.0, "mu": 0.0}, np.zeros(3)
    for i in range(3):
        b, changes = matrices(kind, lr, mu, D[i])
        z = np.array([FIRST[i] - C[i], 0.0])
        powers = [np.linalg.matrix_power(b, k) for k in range(steps + 1)]
        e = C[i] + (powers[steps] @ z)[0] - target[i]
        by_first[i] = e * powers[steps][0, 0]
        for key, change in changes.items():
            slopes[key] += e * (sum(powers[steps - 1 - k] @ change @ powers[k] for k in range(steps)) @ z)[0]
    for key, value in slopes.items():
        np.testing.assert_allclose(found.hypergradient[key], value, err_msg=key, **EXACT)
    np.testing.assert_allclose(found.hypergradient["first"], by_first, **EXACT)


def test_ridge_regression_by_its_forward_recursion():
    """m' = mu m + A w - b, w' = w - lr m', and their derivatives by the penalty of each feature."""
    rng, steps, lr, mu = np.random.default_rng(6), 60, 0.1, 0.9
    x, y, vx, vy = (rng.standard_normal(shape) for shape in ((30, 4), 30, (20, 4), 20))
    penalty = rng.uniform(0.05, 0.5, 4)
    index = rng.integers(0, 30, (steps, 7))
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(4)},
        inner_loss=lambda p, h, b: (
            0.5 * np.mean((b["x"] @ p["w"] - b["y"]) ** 2) + 0.5 * np.sum(h["l2"] * p["w"] ** 2)
        ),
        outer_loss=lambda p, h, v: 0.5 * np.mean((v["x"] @ p["w"] - v["y"]) ** 2),
        train={"x": x, "y": y},
        valid={"x": vx, "y": vy},
        optimizer=hg.optim.Momentum(lr, mu),
        steps=steps,
        batches=index,
    )
    w, m, dw, dm = np.zeros(4), np.zeros(4), np.zeros((4, 4)), np.zeros((4, 4))
    for rows in index:
        a = x[rows].T @ x[rows] / 7 + np.diag(penalty)
        dm = mu * dm + a @ dw + np.diag(w)
        m = mu * m + a @ w - x[rows].T @ y[rows] / 7
        w, dw = w - lr * m, dw - lr * dm
    found = hg.hypergradient(problem, {"l2": penalty}, method=hg.Reversible())
    np.testing.assert_allclose(found.params["w"], w, **EXACT)
    np.testing.assert_allclose(found.hypergradient["l2"], vx.T @ (vx @ w - vy) / 20 @ dw, **EXACT)


def both(problem, hparams, method=hg.Reversible(), **options):  # noqa: B008 - a frozen value
    return [hg.hypergradient(problem, hparams, method=m, **options) for m in (method, hg.Reverse())]


def agree(found, expected, rtol, close):
    np.testing.assert_allclose(found.value, expected.value, rtol=rtol)
    for a, b in zip(hg.tree.leaves(found.hypergradient), hg.tree.leaves(expected.hypergradient), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        close(a, b, rtol)


RATES = {
    "numbers": (("lr", "mu"), {}),
    "a step": ((hg.optim.PerStep("lr"), hg.optim.PerStep("mu")), {"lr": (0.1, 0.3), "mu": (0.3, 0.99)}),
    "a layer": (("lr", "mu"), {"lr": {"w": 0.2, "b": 0.1}, "mu": {"w": 0.6, "b": 0.95}}),
    "one of them a layer": (("lr", "mu"), {"mu": {"w": 0.6, "b": 0.95}}),
    "a layer and step": ((hg.optim.PerStep("lr"), 0.9), {"lr": {"w": (0.1, 0.3), "b": (0.2, 0.1)}}),
    "constants": ((0.1, 0.8), {}),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("rates", RATES)
def test_a_classifier_as_by_reverse(classifier, hparams, close, kind, rates):
    steps = 40
    arguments, changes = RATES[rates]
    filled = {
        key: {k: np.linspace(*v, steps) if isinstance(v, tuple) else v for k, v in value.items()}
        if isinstance(value, dict)
        else np.linspace(*value, steps)
        for key, value in changes.items()
    }
    problem = classifier(optimizer=OPTIMIZERS[kind](*arguments), steps=steps)
    found, expected = both(problem, {**hparams, **filled}, seed=3)
    agree(found, expected, 1e-11, close)
    np.testing.assert_array_equal(np.isnan(found.curve), np.isnan(expected.curve))
    np.testing.assert_allclose(found.curve, expected.curve, rtol=1e-12)
    assert found.disconnected == expected.disconnected


def network(steps, optimizer, dtype=float):
    """8-12-4 tanh with weight decay and noise on its inputs."""
    rng = np.random.default_rng(11)
    data = {
        name: {"x": rng.standard_normal((60, 8)), "y": rng.integers(0, 4, 60)} for name in ("train", "valid")
    }

    def init(hparams, rng):
        shapes = {"a": (8, 12), "b": (12,), "c": (12, 4), "d": (4,)}
        return {k: (0.4 * rng.standard_normal(s)).astype(dtype) for k, s in shapes.items()}

    def loss(p, x, y):
        z = np.tanh(x @ p["a"] + p["b"]) @ p["c"] + p["d"]
        return hg.nn.softmax_cross_entropy(z, y).mean()

    def inner(p, h, batch, rng):
        x = batch["x"] + h["noise"] * rng.standard_normal(batch["x"].shape)
        return loss(p, x, batch["y"]) + h["l2"] * (np.sum(p["a"] ** 2) + np.sum(p["c"] ** 2))

    return hg.BilevelProblem(
        init=init,
        inner_loss=inner,
        outer_loss=lambda p, h, b: loss(p, b["x"], b["y"]),
        train=data["train"],
        valid=data["valid"],
        optimizer=optimizer,
        steps=steps,
        batch_size=20,
    )


NETWORK = {"lr": 0.1, "mu": 0.9, "noise": 0.1, "l2": 1e-3}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_network_with_minibatches_and_draws_as_by_reverse(close, kind):
    found, expected = both(network(300, OPTIMIZERS[kind]("lr", "mu")), NETWORK, seed=5)
    agree(found, expected, 1e-10, close)
    np.testing.assert_allclose(found.stats["growth"], expected.stats["growth"], rtol=1e-10)
    assert found.stats["trusted"]


def test_a_network_in_single_precision(close):
    found, expected = both(network(100, hg.optim.Momentum("lr", "mu"), np.float32), NETWORK)
    assert found.params["a"].dtype == np.float32
    agree(found, expected, 1e-3, close)


def test_the_fraction_bits_are_the_precision(close):
    problem = network(60, hg.optim.Momentum("lr", "mu"))
    errors = []
    for bits in (24, 36, 48):
        found, expected = both(problem, NETWORK, hg.Reversible(fraction_bits=bits))
        errors.append(abs(found.hypergradient["l2"] - expected.hypergradient["l2"]))
        agree(found, expected, 2.0 ** (14 - bits), close)
    assert errors[0] > 100 * errors[1] > 10_000 * errors[2]


def test_the_store_is_200_times_smaller_than_states():
    steps = 1000
    problem = network(steps, hg.optim.Momentum("lr", 0.9))
    found = hg.hypergradient(problem, NETWORK, method=hg.Reversible())
    count = sum(leaf.size for leaf in hg.tree.leaves(found.params))
    np.testing.assert_allclose(found.stats["bits_per_parameter_step"], np.log2(1 / 0.9), rtol=0.05)
    assert found.stats["bytes_store"] * 8 == found.stats["bits_per_parameter_step"] * count * steps
    assert 200 * found.stats["bytes_store"] < 4 * count * steps  # one float32 a parameter and step
    assert found.stats["forward_steps"] == 2 * steps
    assert found.stats["linearised_steps"] == steps


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_plan_is_what_happens(kind):
    problem = network(80, OPTIMIZERS[kind]("lr", "mu"))
    method = hg.Reversible(iterations=2)
    plan = method.explain(problem, NETWORK)
    found = hg.hypergradient(problem, NETWORK, method=method)
    assert plan.linearised_steps == found.stats["linearised_steps"] == 80
    assert found.stats["forward_steps"] == plan.forward_steps == (160 if kind == "momentum" else 480)
    if kind == "momentum":
        assert plan.bytes == found.stats["bytes"]
        assert "keeps 0.15 bits a parameter and step" in str(plan)
    assert plan.factor > 2.0
    assert plan.method == found.stats["method"] == str(method)


def test_iterations_trade_memory_for_gradients(close):
    problem = network(60, hg.optim.Nesterov("lr", "mu"))
    used = []
    for iterations in (0, 4, 30):
        found, expected = both(problem, NETWORK, hg.Reversible(iterations=iterations))
        agree(found, expected, 1e-11, close)
        used.append((found.stats["bytes_store"], -found.stats["forward_steps"]))
    assert used == sorted(used, reverse=True)
    assert used[2][0] < used[0][0] / 10


def test_training_that_stops_early(classifier, hparams, close):
    problem = classifier(steps=40, stop=lambda params, hparams, t: t == 17)
    found, expected = both(problem, hparams)
    assert found.stats["steps"] == expected.stats["steps"] == 17
    agree(found, expected, 1e-12, close)


def test_names_that_are_asked_for(classifier, hparams):
    found = hg.hypergradient(classifier(), hparams, method=hg.Reversible(), wrt=["lr"])
    assert found.hypergradient["l2"] is None
    assert np.isfinite(found.hypergradient["lr"])


@pytest.mark.parametrize("what", ["gradient", "store"])
def test_a_start_that_is_not_regained_is_an_error(classifier, hparams, monkeypatch, what):
    if what == "gradient":
        clean = reversible._Run.gradient

        def other_bits(self, w):
            g = clean(self, w)
            if not self.learn and self.t == 5:
                g[3] = np.nextafter(g[3], 1.0) + 1e-15
            return g

        monkeypatch.setattr(reversible._Run, "gradient", other_bits)
    else:
        clean_pop = reversible.Exact.undo

        def flipped(self, t):
            clean_pop(self, t)
            if t == 7:
                self.v[0] ^= 1

        monkeypatch.setattr(reversible.Exact, "undo", flipped)
    with pytest.raises(DerivativeError, match="did not regain its start"):
        hg.hypergradient(classifier(), hparams, method=hg.Reversible())


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [(hg.optim.SGD("lr"), "SGD"), (hg.optim.Adam("lr"), "Adam")],
)
def test_other_optimisers_are_refused(classifier, hparams, optimizer, name):
    problem = classifier(optimizer=optimizer)
    for call in (hg.Reversible().explain, lambda p, h: hg.hypergradient(p, h, method=hg.Reversible())):
        with pytest.raises(DerivativeError, match=f"not of {name}; use hg.Reverse"):
            call(problem, hparams)


def test_other_problems_are_refused():
    problem = hg.UnrolledProblem(
        init=lambda h, rng: np.ones(2),
        step=lambda s, h, b, t: s * h["a"],
        outer_loss=lambda s, h, v: np.sum(s),
        steps=2,
    )
    with pytest.raises(DerivativeError, match=r"needs an hg.BilevelProblem .* got an UnrolledProblem"):
        hg.hypergradient(problem, {"a": 0.5}, method=hg.Reversible())


@pytest.mark.parametrize("mu", [0.0, 1e-12, 1.0001, -0.5, np.nan, np.inf])
def test_a_momentum_that_cannot_be_undone_is_refused(classifier, hparams, mu):
    row = np.full(12, 0.5)
    row[4] = mu
    problem = classifier(optimizer=hg.optim.Momentum("lr", hg.optim.PerStep("mu")))
    with pytest.raises(DerivativeError, match=r"must lie in \[2\^-32, 1\], but it is .* at step 4"):
        hg.hypergradient(problem, {**hparams, "mu": row}, method=hg.Reversible())


def test_momentum_one_keeps_no_bits(classifier, hparams, close):
    found, expected = both(classifier(), {**hparams, "mu": 1.0})
    agree(found, expected, 1e-11, close)
    assert found.stats["bytes_store"] == 0


@pytest.mark.parametrize(
    "arguments", [{"fraction_bits": 61}, {"fraction_bits": 52.0}, {"iterations": -1}, {"iterations": True}]
)
def test_arguments_out_of_their_domain(arguments):
    with pytest.raises(DerivativeError, match=r"Reversible\(\w+=...\) takes an int from"):
        hg.Reversible(**arguments)


def test_leaving_the_range_is_an_error_that_says_how_to_go_on(close):
    _, problem = quadratic(hg.optim.Momentum("lr", "mu"), 20)
    hparams = {"lr": 0.1, "mu": 0.9, "first": 3000.0 * FIRST, "d": D, "c": C}
    with pytest.raises(DerivativeError, match=r"starts params\['w'\] at 6e\+03 at step 0.*below 1024 only"):
        hg.hypergradient(problem, hparams, method=hg.Reversible())
    with pytest.raises(DerivativeError, match=r"hg.Reversible\(fraction_bits=45\)"):
        hg.hypergradient(problem, hparams, method=hg.Reversible())
    found, expected = both(problem, hparams, hg.Reversible(fraction_bits=45))
    agree(found, expected, 1e-11, close)
    with pytest.raises(DerivativeError, match=r"takes params\['w'\] to .* at step \d+"):
        hg.hypergradient(problem, {**hparams, "first": FIRST, "lr": 100.0}, method=hg.Reversible())
    with pytest.raises(
        DerivativeError, match=r"the momentum of params\['w'\] to 3.6e\+20 at step 0.*rate, or use hg.Reverse"
    ):
        hg.hypergradient(problem, {**hparams, "first": FIRST, "d": 1e20 * D, "c": C}, method=hg.Reversible())


@pytest.mark.parametrize("case", ["rate", "start", "gradient", "later"])
def test_a_run_that_diverges_is_a_result(case):
    changes = {}
    if case in ("gradient", "later"):
        changes["inner_loss"] = lambda p, h, b: -np.sum(h["d"] * np.sqrt(p["w"] + h["c"]))
    _, problem = quadratic(hg.optim.Momentum("lr", "mu"), 20, **changes)
    hparams = {"lr": 0.1, "mu": 0.9, "first": FIRST, "d": D, "c": C}
    if case == "rate":
        hparams["lr"] = np.inf
    if case == "start":
        hparams["first"] = np.array([1.0, np.nan, 0.0])
    if case == "later":
        hparams |= {"first": np.ones(3), "c": np.zeros(3), "d": -D}
    found, expected = both(problem, hparams)
    assert np.isnan(found.value)
    assert not np.isfinite(expected.value)
    assert found.stats["finite"] is False
    assert np.isnan(found.hypergradient["first"]).all()
    assert np.isnan(found.params["w"]).all()
    assert np.isnan(found.curve[-1])


def test_parameters_that_are_one_array():
    problem = hg.BilevelProblem(
        init=lambda h, rng: np.array([1.0, -0.5]),
        inner_loss=lambda w, h, b: 0.5 * np.sum(h["d"] * w**2),
        outer_loss=lambda w, h, v: np.sum(w**2),
        train=None,
        valid=None,
        optimizer=hg.optim.Momentum("lr", 0.9),
        steps=30,
    )
    point = {"lr": 0.1, "d": np.array([1.0, 2.0])}
    exact = hg.hypergradient(problem, point).hypergradient
    found = hg.hypergradient(problem, point, method=hg.Reversible()).hypergradient
    np.testing.assert_allclose(found["d"], exact["d"], rtol=1e-10)
    np.testing.assert_allclose(found["lr"], exact["lr"], rtol=1e-10)
