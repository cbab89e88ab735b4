"""The posterior: finite differences, permutations, duplicates, small and bad inputs."""

from __future__ import annotations

import numpy as np
import pytest

from hypergrad.bayesopt import KERNELS, Hyperparameters, Likelihood, Rows, condition, make_kernel, observe
from hypergrad.errors import DataError, ShapeError

MIXED = ["continuous", "hamming", "conditional", "continuous"]
NUMBERS = np.array([1.0, 0.0, 1.0, 1.0])


def mixed(profile="matern52", n=8, seed=0):
    rng = np.random.default_rng(seed)
    kernel = make_kernel(profile, MIXED)
    x = rng.random((n, 4))
    x[:, 1] = rng.integers(0, 3, n)
    active = np.ones((n, 4), dtype=bool)
    active[::3, 2] = False
    active[1, 1] = False
    return kernel, {
        "x": x,
        "values": rng.normal(size=n),
        "gradients": rng.normal(size=(n, 4)),
        "known": rng.random((n, 4)) < 0.7,
        "active": active,
        "value_noise": 0.1 * rng.random(n),
        "gradient_noise": 0.2 * rng.random((n, 4)),
    }


VECTOR = np.array([-0.3, 0.2, -0.5, 0.1, -0.2, 0.2, -3.0, -1.0, 0.3])


@pytest.mark.parametrize("profile", KERNELS)
def test_likelihood_gradient_is_finite_differences_to_seven_digits(profile):
    kernel, told = mixed(profile)
    likelihood = Likelihood(kernel, observe(kernel, **told))
    density, gradient = likelihood(VECTOR)
    assert density == likelihood.log_density(Hyperparameters.of(VECTOR))
    h = 1e-4

    def central(i, h):
        step = h * np.eye(len(VECTOR))[i]
        return (likelihood(VECTOR + step)[0] - likelihood(VECTOR - step)[0]) / (2 * h)

    # Richardson's extrapolation of central differences.
    exact = [(4 * central(i, h / 2) - central(i, h)) / 3 for i in range(len(VECTOR))]
    np.testing.assert_allclose(gradient, exact, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("profile", KERNELS)
@pytest.mark.parametrize("d", range(1, 11))
def test_gradients_and_derivative_predictions_are_finite_differences(profile, d):
    rng = np.random.default_rng(d)
    kernel = make_kernel(profile, d)
    x = rng.random((6, d))
    data = observe(kernel, x, np.sin(x).sum(axis=1), np.cos(x), known=rng.random((6, d)) < 0.6)
    theta = Hyperparameters(rng.uniform(0.5, 1.5, d), 1.4, 1e-2, 1e-2, 0.2)
    posterior = condition(kernel, theta, data)
    queries = rng.random((3, d))
    moments = posterior.moments(queries)
    mean, variance = posterior.predict(queries)
    np.testing.assert_allclose(moments.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(moments.variance, variance, rtol=1e-10)
    joint_mean, joint = posterior.joint(queries)
    np.testing.assert_allclose(joint_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(np.diag(joint), variance, rtol=1e-9)
    h = 1e-5
    for i in range(d):
        step = h * np.eye(d)[i]
        up, down = posterior.predict(queries + step), posterior.predict(queries - step)
        np.testing.assert_allclose(moments.mean_gradient[:, i], (up[0] - down[0]) / (2 * h), atol=1e-8)
        np.testing.assert_allclose(moments.variance_gradient[:, i], (up[1] - down[1]) / (2 * h), atol=1e-8)
        slopes, spread = posterior.joint(queries, rows=Rows.of([0], [(0, i), (1, i), (2, i)]))
        np.testing.assert_allclose(slopes[1:], moments.mean_gradient[:, i], rtol=1e-9, atol=1e-12)
        # cov(f, ∂f/∂x_i) at one point is half the slope of the variance there.
        assert 2.0 * spread[0, 1] == pytest.approx(moments.variance_gradient[0, i], abs=1e-10)


def test_gradients_at_mixed_points():
    kernel, told = mixed()
    posterior = condition(kernel, Hyperparameters.of(VECTOR), observe(kernel, **told))
    x, active = told["x"][1:4] + 0.1 * NUMBERS, told["active"][1:4]
    moments = posterior.moments(x, active)
    assert not moments.mean_gradient[:, 1].any()
    assert not moments.variance_gradient[~active].any()
    h = 1e-5
    for i in (0, 2, 3):
        step = h * np.eye(4)[i]
        up, down = posterior.predict(x + step, active), posterior.predict(x - step, active)
        np.testing.assert_allclose(moments.mean_gradient[:, i], (up[0] - down[0]) / (2 * h), atol=1e-8)
        np.testing.assert_allclose(moments.variance_gradient[:, i], (up[1] - down[1]) / (2 * h), atol=1e-8)


def test_joint_covariance_is_that_of_conditioning():
    """f(a) given f(b) by the joint covariance is f(a) with b observed."""
    kernel = make_kernel("matern52", 2)
    rng = np.random.default_rng(0)
    x = rng.random((6, 2))
    theta = Hyperparameters(np.array([0.5, 0.8]), 1.0, 1e-3, 1e-3)
    values, gradients = np.sin(4 * x).sum(axis=1), 4 * np.cos(4 * x)
    known = np.ones((6, 2), dtype=bool)
    known[5] = False
    before = condition(kernel, theta, observe(kernel, x[:5], values[:5], gradients[:5]))
    after = condition(kernel, theta, observe(kernel, x, values, gradients, known=known))
    query = rng.random((1, 2))
    mean, joint = before.joint(np.vstack([query, x[5:]]))
    gain = joint[0, 1] / (joint[1, 1] + 1e-3)
    found = after.predict(query)
    assert found[0][0] == pytest.approx(mean[0] + gain * (values[5] - mean[1]), rel=1e-9)
    assert found[1][0] == pytest.approx(joint[0, 0] - gain * joint[0, 1], rel=1e-7)


def test_known_derivatives_of_a_line_are_recovered_and_far_away_is_the_prior():
    kernel = make_kernel("squared_exponential", 2)
    theta = Hyperparameters(np.array([3.0, 3.0]), 100.0, 1e-10, 1e-10)
    data = observe(kernel, [[0.5, 0.5]], [1.0], [[2.0, -1.0]])
    posterior = condition(kernel, theta, data)
    mean, variance = posterior.predict([[0.52, 0.5], [0.5, 0.52], [90.0, 90.0]])
    np.testing.assert_allclose(mean, [1.04, 0.98, 0.0], atol=1e-3)
    assert variance[2] == pytest.approx(100.0)
    slopes, spread = posterior.joint([[0.5, 0.5]], rows=Rows.of([], [(0, 0), (0, 1)]))
    np.testing.assert_allclose(slopes, [2.0, -1.0], atol=1e-8)
    assert np.diag(spread).max() < 1e-9


def test_order_of_points_does_not_matter():
    kernel, told = mixed()
    order = np.random.default_rng(1).permutation(8)
    turned = {key: value[order] for key, value in told.items()}
    theta = Hyperparameters.of(VECTOR)
    data = observe(kernel, **told)
    one, two = condition(kernel, theta, data), condition(kernel, theta, observe(kernel, **turned))
    three = condition(kernel, theta, data.take(order))
    query = told["x"][:3] + 0.05 * NUMBERS
    for other in (two, three):
        np.testing.assert_allclose(one.predict(query), other.predict(query), rtol=1e-11, atol=1e-13)
        assert one.log_density == pytest.approx(other.log_density, rel=1e-12)
    np.testing.assert_array_equal(two.predict(query), three.predict(query))
    np.testing.assert_allclose(one.leave_out()[0][order], two.leave_out()[0], rtol=1e-10)


def test_leaving_a_point_out_is_conditioning_on_the_others():
    kernel, told = mixed()
    data, theta = observe(kernel, **told), Hyperparameters.of(VECTOR)
    mean, variance = condition(kernel, theta, data).leave_out()
    for p in range(8):
        others = condition(kernel, theta, data.take(np.delete(np.arange(8), p)))
        expected = others.predict(told["x"][p : p + 1], told["active"][p : p + 1])
        assert mean[p] == pytest.approx(expected[0][0], rel=1e-10)
        assert variance[p] == pytest.approx(expected[1][0] + theta.noise + told["value_noise"][p], rel=1e-10)


def test_duplicates_need_a_jitter_which_is_reported():
    kernel = make_kernel("squared_exponential", 2)
    x = np.array([[0.2, 0.4], [0.2, 0.4], [0.8, 0.1]])
    theta = Hyperparameters(np.array([0.5, 0.5]))
    data = observe(kernel, x, [1.0, 1.0, 2.0], np.ones((3, 2)))
    posterior = condition(kernel, theta, data)
    assert 0.0 < posterior.jitter <= 1e-10
    mean, variance = posterior.predict(x)
    np.testing.assert_allclose(mean, [1.0, 1.0, 2.0], atol=1e-5)
    assert (variance >= 0.0).all()
    noisy = condition(kernel, Hyperparameters(np.array([0.5, 0.5]), 1.0, 1e-4, 1e-4), data)
    assert noisy.jitter == 0.0


def test_one_point():
    kernel = make_kernel("matern52", 1)
    posterior = condition(
        kernel, Hyperparameters(np.array([0.3]), 2.0, 0.5, mean=1.0), observe(kernel, [[0.4]], [3.0])
    )
    mean, variance = posterior.predict([[0.4]])
    assert mean[0] == pytest.approx(1.0 + 2.0 / 2.5 * 2.0)
    assert variance[0] == pytest.approx(2.0 - 4.0 / 2.5)
    assert posterior.leave_out()[0][0] == pytest.approx(1.0)
    assert posterior.predict(np.zeros((0, 1)))[0].shape == (0,)


def test_what_is_unknown_is_ignored_whatever_it_holds():
    kernel = make_kernel("matern52", ["continuous", "hamming"])
    known = np.array([[True, True], [False, False]])
    held = np.array([[1.0, np.nan], [np.nan, np.inf]])
    data = observe(kernel, [[0.1, 0], [0.2, 1]], [1.0, 2.0], held, known=known)
    assert data.rows.points.tolist() == [0]
    assert data.rows.coordinates.tolist() == [0]
    assert data.derivatives.tolist() == [1.0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": [[0.1, np.inf]]}, DataError, r"x\[0, 1\] is inf"),
        ({"x": [0.1, 0.2]}, ShapeError, r"x must have the shape \(n, 2\), and has \(2,\)"),
        ({"x": np.zeros((0, 2)), "values": [], "gradients": None}, DataError, "there is no observation"),
        ({"values": [np.nan]}, DataError, r"values\[0\] is nan, not a finite number; leave that point out"),
        ({"values": [1.0, 2.0]}, ShapeError, r"values must have the shape \(1,\)"),
        ({"values": ["a"]}, DataError, "values must be an array of real numbers"),
        ({"gradients": [[np.nan, 0.0]]}, DataError, r"gradients\[0, 0\] is nan, .* mark it False in known"),
        ({"gradients": [1.0, 2.0]}, ShapeError, r"gradients must have the shape \(1, 2\)"),
        ({"known": [[1, 0]]}, ShapeError, "known must be bool of the shape"),
        ({"gradients": None, "known": [[True, True]]}, ShapeError, "gradients is None; give both or neither"),
        ({"value_noise": -1.0}, DataError, "value_noise must be variances"),
        ({"value_noise": [0.1, 0.2]}, ShapeError, "value_noise must be one number or have the shape"),
        ({"gradient_noise": np.nan}, DataError, "gradient_noise must be variances"),
    ],
)
def test_bad_observations_are_one_clear_sentence(change, error, message):
    told = {"x": [[0.1, 0.2]], "values": [1.0], "gradients": [[1.0, 2.0]], **change}
    with pytest.raises(error, match=message) as caught:
        observe(make_kernel("matern52", 2), **told)
    assert "\n" not in str(caught.value)


def test_bad_hyperparameters_and_queries_are_one_clear_sentence():
    kernel = make_kernel("matern52", ["continuous", "hamming"])
    data = observe(kernel, [[0.1, 0.0]], [1.0])
    with pytest.raises(ShapeError, match="2 length-scales"):
        condition(kernel, Hyperparameters(np.ones(3)), data)
    with pytest.raises(DataError, match="finite and positive"):
        condition(kernel, Hyperparameters(np.array([1.0, 0.0])), data)
    with pytest.raises(DataError, match="not negative"):
        condition(kernel, Hyperparameters(np.ones(2), noise=-1.0), data)
    with pytest.raises(DataError, match="the mean must be a finite number"):
        condition(kernel, Hyperparameters(np.ones(2), mean=np.nan), data)
    posterior = condition(kernel, Hyperparameters(np.ones(2)), data)
    with pytest.raises(ShapeError, match=r"x must have the shape \(n, 2\)"):
        posterior.predict([[0.1]])
    with pytest.raises(DataError, match="coordinate 1 is 'hamming' and has no derivative"):
        posterior.joint([[0.1, 0.0]], rows=Rows.of([], [(0, 1)]))
    loud = observe(kernel, [[0.1, 0.0]], [1.0], value_noise=1e308)
    assert np.isfinite(condition(kernel, Hyperparameters(np.ones(2)), loud).predict([[0.1, 0.0]])[0]).all()
