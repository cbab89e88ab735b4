"""The weighted lasso: data, exact fits and hypergradients in closed form.

Notation: w = argmin 1/2n |y - X w|^2 + sum_j a_j |w_j|, solved without an intercept; F(a) = mean squared error of w on
the validation rows; S the support of w, s its signs.
"""

import numpy as np
from kit import sparse

import hypergrad as hg


def sample(seed, features, rows, informative, snr, correlation):
    """Parts of rows with correlated features of which a few matter: ([{"x", "y"}, ...], w*)."""
    rng, total = np.random.default_rng([seed, 5]), sum(rows)
    x = rng.standard_normal((total, features))
    for j in range(1, features):  # corr(x_i, x_j) = correlation^|i - j|
        x[:, j] = correlation * x[:, j - 1] + np.sqrt(1.0 - correlation**2) * x[:, j]
    truth = np.zeros(features)
    truth[rng.choice(features, informative, replace=False)] = 1.0
    signal, noise = x @ truth, rng.standard_normal(total)
    y = signal + noise * np.linalg.norm(signal) / (np.linalg.norm(noise) * snr)
    cuts = np.cumsum(rows)[:-1]
    return [{"x": a, "y": b} for a, b in zip(np.split(x, cuts), np.split(y, cuts), strict=True)], truth


def error(w, data):
    """Mean squared error."""
    return float(np.mean((data["x"] @ w - data["y"]) ** 2))


def exact(train, penalties):
    """The minimiser, solved without hypergrad: a lasso on x_j / a_j."""
    return sparse.weights(train["x"] / penalties, train["y"], 1.0) / penalties


def closed_form(train, valid, penalties):
    """dF/da_j = -2/m (X_v w - y_v)^T X_v,S K^-1 e_j s_j on the support, K = X_S^T X_S / n; 0 elsewhere."""
    w, found = exact(train, penalties), np.zeros(len(penalties))
    on = w != 0.0
    part = train["x"][:, on]
    pull = 2.0 * valid["x"][:, on].T @ (valid["x"] @ w - valid["y"]) / len(valid["y"])
    found[on] = -np.sign(w[on]) * np.linalg.solve(part.T @ part / len(part), pull)
    return found


def problem(train, valid, steps):
    """Training by FISTA from zero."""
    lr = len(train["y"]) / np.linalg.norm(train["x"], 2) ** 2
    return sparse.fista(train, valid, hg.optim.L1("a"), steps, lr)


def by_all_weights(train, valid, penalties, w):
    """dF/da = step_a^T q, q = (I - step_w)^-T F_w: the implicit function theorem with all weights, zeros included.

    step is the one of ISTA, at w.
    """
    count = len(train["y"])
    eta = count / np.linalg.norm(train["x"], 2) ** 2

    def step(w, a):
        v = w - eta * (w @ train["x"].T - train["y"]) @ train["x"] / count
        return np.where(np.abs(v) > eta * a, v - eta * a * np.sign(v), 0.0)

    slope = hg.grad(lambda w: np.mean((w @ valid["x"].T - valid["y"]) ** 2))(w)
    q = np.linalg.solve(np.eye(len(w)) - hg.jacobian(step)(w, penalties).T, slope)
    return hg.vjp(lambda a: step(w, a), penalties)[1](q)[0]
