"""Bertrand et al. (2020, 2021): the weighted lasso, whose penalties, one a feature, are learned on validation rows.

Notation: w = argmin 1/2n |y - X w|^2 + sum_j a_j |w_j|, solved without an intercept; F(a) = mean squared error of w on
the validation rows; S the support of w, s its signs.
"""

import itertools

import numpy as np
from kit import sparse
from kit.outer import adam

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage


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

    def error_of(params, data):
        return np.mean((params["w"] @ data["x"].T - data["y"]) ** 2)

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(train["x"].shape[1])},
        inner_loss=lambda params, hparams, batch: 0.5 * error_of(params, batch),
        outer_loss=lambda params, hparams, data: error_of(params, data),
        train=train,
        valid=valid,
        optimizer=hg.optim.FISTA(
            lr=len(train["y"]) / np.linalg.norm(train["x"], 2) ** 2, penalty=hg.optim.L1("a")
        ),
        steps=steps,
    )


def apart(a, b):
    """The largest difference of two hypergradients, over the largest entry."""
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


@stage
def learned(seed, features, train, valid, test, informative, snr, correlation, outer, lr, steps):
    """The lasso with the best penalty of 100, then Adam from there on the logarithms of all penalties."""
    parts, truth = sample(seed, features, (train, valid, test), informative, snr, correlation)
    top = np.max(np.abs(parts[0]["x"].T @ parts[0]["y"])) / train
    grid = [sparse.weights(parts[0]["x"], parts[0]["y"], a) for a in top * np.geomspace(0.99, 1e-2, 100)]
    choice = int(np.argmin([error(w, parts[1]) for w in grid]))
    start = np.full(features, np.log(top * np.geomspace(0.99, 1e-2, 100)[choice]))
    task, errors = problem(*parts[:2], steps), []

    def value_and_gradient(u, step):
        result = hg.hypergradient(task, {"a": np.exp(u)}, hg.Implicit(), curve=0)
        if step in (0, outer):
            errors.append(apart(result.hypergradient["a"], closed_form(*parts[:2], np.exp(u))))
        return result.value, result.hypergradient["a"] * np.exp(u)

    point, values = adam(value_and_gradient, start, outer, lr)
    found = {"errors": errors, "values": values, "penalties": np.exp(point), "start": np.exp(start[0])}
    for name, w in (("lasso", grid[choice]), ("weighted", exact(parts[0], np.exp(point)))):
        found[name] = {
            "valid": error(w, parts[1]),
            "test": error(w, parts[2]),
            "estimation": float(np.linalg.norm(w - truth)),
            "support": int(np.count_nonzero(w)),
            "w": w,
        }
    return found | {"truth": truth}


@stage
def modes(seed, small, small_steps, informative, snr, correlation):
    """The hypergradient of a small problem by four modes: largest distance of two, and to the closed form."""
    features, count = small
    (train, valid), _ = sample(seed, features, (count, count), informative, snr, correlation)
    task = problem(train, valid, small_steps)
    top = np.max(np.abs(train["x"].T @ train["y"])) / count
    penalties = top * np.random.default_rng([seed, 6]).uniform(0.05, 0.3, features)
    methods = {"forward": hg.Forward(), "reverse": hg.Reverse(), "restricted": hg.Implicit()}
    results = {name: hg.hypergradient(task, {"a": penalties}, m, curve=0) for name, m in methods.items()}
    found = {name: result.hypergradient["a"] for name, result in results.items()}
    eta = count / np.linalg.norm(train["x"], 2) ** 2

    def step(w, a):
        v = w - eta * (w @ train["x"].T - train["y"]) @ train["x"] / count
        return np.where(np.abs(v) > eta * a, v - eta * a * np.sign(v), 0.0)

    # the implicit function theorem with all weights, zeros included: q = (I - step_w)^-T F_w, dF/da = step_a^T q
    w = results["restricted"].params["w"]
    slope = hg.grad(lambda w: np.mean((w @ valid["x"].T - valid["y"]) ** 2))(w)
    q = np.linalg.solve(np.eye(features) - hg.jacobian(step)(w, penalties).T, slope)
    found["implicit"] = hg.vjp(lambda a: step(w, a), penalties)[1](q)[0]
    truth = closed_form(train, valid, penalties)
    pairs = itertools.combinations(found.values(), 2)
    return {
        "apart": max(apart(a, b) for a, b in pairs),
        "error": max(apart(g, truth) for g in found.values()),
    }


@quantities
def summary(seed, learned, modes):
    """For each seed, and number of validation rows."""
    found = {}
    for valid, run in learned.items():
        lasso, weighted = run["lasso"], run["weighted"]
        for name in ("valid", "test", "estimation"):
            found[f"{name}_ratio_{valid}"] = weighted[name] / lasso[name]
        found[f"better_{valid}"] = weighted["test"] < lasso["test"]
        found[f"lasso_support_{valid}"], found[f"weighted_support_{valid}"] = (
            lasso["support"],
            weighted["support"],
        )
    return found | {
        "modes_apart": modes["apart"],
        "modes_error": modes["error"],
        "hypergradient_error": max(max(run["errors"]) for run in learned.values()),
    }


@figure
def curves(canvas, learned):
    """The validation error over the outer steps (lines), and the test error before and after (points)."""
    parts = canvas.subplots(1, 2, sharey=True)
    for axes, valid in zip(parts, next(iter(learned.values())), strict=True):
        for seed, runs in learned.items():
            found = runs[valid]
            (line,) = axes.plot(found["values"], label=f"seed {seed}")
            ends = [found["lasso"]["test"], found["weighted"]["test"]]
            axes.plot([0, len(found["values"]) - 1], ends, "o:", color=line.get_color())
        axes.plot([], [], color="grey", label="validation rows")
        axes.plot([], [], "o:", color="grey", label="test rows, first and last")
        axes.set(xlabel="step on the 1,000 penalties", title=f"{valid} validation rows", ylim=(0.0, None))
    parts[0].set(ylabel="mean squared error (step 0: lasso)")
    parts[1].legend(fontsize="small", loc="lower left")
