"""Inverse-Hessian approximations in the implicit hypergradient (Lorraine et al. 2020), per-weight L2 penalties."""

import numpy as np
from kit import data, networks, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage

ZOOM = 30.0  # differences over steps so much shorter, because the minimum bends where its Hessian is nearly singular


def flat(gradient):
    """All entries, one after the other."""
    return np.concatenate([np.ravel(leaf) for leaf in gradient.values()])


def cosine(a, b):
    """Of the angle."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def solved(task, h, exact, terms):
    """Cosines with the exact hypergradient: K terms of the Neumann series, K products of conjugate gradients."""

    def by(**solver):
        method = hg.Implicit(estimate=False, **solver)
        return flat(hg.hypergradient(task, h, method=method).hypergradient)

    return {
        "neumann": [cosine(by(solver="neumann", terms=k), exact) for k in terms],
        "cg": [cosine(by(solver="cg", max_iterations=k), exact) for k in terms],
    }


@stage
def linear(seed, rows, terms, l2, linear_steps, linear_lr, momentum):
    """Least squares on the digits: what the solvers give against the normal equations in NumPy.

    H = X'X/n + diag(λ), w* = H^-1 X'y/n, λ = exp(h): dE/dh = -λ w* (H^-1 dE/dw).
    """
    train, valid = data.digits(seed, *rows)
    sets = [{"x": part["x"], "y": part["y"] / 9.0} for part in (train, valid)]
    features = sets[0]["x"].shape[1]
    h = {"w": np.log(l2) + np.random.default_rng([seed, 3]).uniform(-1.0, 1.0, features)}

    def error(params, hparams, batch):
        return 0.5 * np.mean((params["w"] @ batch["x"].T - batch["y"]) ** 2)

    task = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(features)},
        inner_loss=lambda params, hparams, batch: (
            error(params, hparams, batch) + 0.5 * np.sum(np.exp(hparams["w"]) * params["w"] ** 2)
        ),
        outer_loss=error,
        train=sets[0],
        valid=sets[1],
        optimizer=hg.optim.Momentum(lr=linear_lr, momentum=momentum),
        steps=linear_steps,
    )
    (x, y), (x_valid, y_valid) = ((part["x"], part["y"]) for part in sets)
    hessian = x.T @ x / len(x) + np.diag(np.exp(h["w"]))
    w = np.linalg.solve(hessian, x.T @ y / len(x))
    slope = x_valid.T @ (x_valid @ w - y_valid) / len(x_valid)
    exact = -np.exp(h["w"]) * w * np.linalg.solve(hessian, slope)
    errors = []
    for solver in ("cg", "dense"):
        found = hg.hypergradient(task, h, method=hg.Implicit(solver=solver)).hypergradient["w"]
        errors.append(float(np.linalg.norm(found - exact) / np.linalg.norm(exact)))
    return {"error": max(errors), **solved(task, h, exact, terms)}


@stage
def network(seed, rows, terms, hidden, l2, network_steps, network_lr, momentum):
    """A tanh network on the digits: solvers against the dense Hessian, and that against training by hand."""
    train, valid = data.digits(seed, *rows)
    begin = networks.dense((train["x"].shape[1], hidden, 10), np.random.default_rng([seed, 2]))
    rng = np.random.default_rng([seed, 3])
    h = {name: np.log(l2) + rng.uniform(-1.0, 1.0, layer["w"].shape) for name, layer in begin.items()}

    def penalty(params, hparams):
        weights = sum(np.sum(np.exp(hparams[name]) * layer["w"] ** 2) for name, layer in params.items())
        return 0.5 * (weights + l2 * sum(np.sum(layer["b"] ** 2) for layer in params.values()))

    optimizer = hg.optim.Momentum(lr=network_lr, momentum=momentum)
    task = networks.problem(begin, train, valid, optimizer, network_steps, penalty)
    batches = np.broadcast_to(np.arange(rows[0]), (network_steps, rows[0]))

    def by_hand(penalties):
        strength = lambda name, leaf: penalties[name] if leaf == "w" else l2
        return reference.trained_loss(begin, train, valid, batches, network_lr, momentum, strength)

    dense = hg.hypergradient(task, h, method=hg.Implicit(solver="dense", estimate=False))
    penalties = {name: np.exp(leaf) for name, leaf in h.items()}
    natural = {name: leaf / penalties[name] / ZOOM for name, leaf in dense.hypergradient.items()}

    def near(point):
        return by_hand({name: leaf + (point[name] - leaf) / ZOOM for name, leaf in penalties.items()})

    errors = reference.agreement(natural, dense.value, near, penalties, seed)
    gradient = dense.stats["inner_gradient_norm"]
    return {**errors, "inner_gradient": gradient, **solved(task, h, flat(dense.hypergradient), terms)}


@quantities
def summary(seed, linear, network, terms):
    """Cosines at each number of terms."""
    found = {
        "linear_exact_error": linear["error"],
        "value_error": network["value_error"],
        "slope_error": network["slope_error"],
        "inner_gradient": network["inner_gradient"],
    }
    for name, result in (("linear", linear), ("network", network)):
        found[f"{name}_least_gain"] = float(np.min(np.diff(result["neumann"])))
        found[f"{name}_cosine_identity"] = result["neumann"][0]
        found[f"{name}_cosine_20"] = result["neumann"][terms.index(20)]
        found[f"{name}_cosine_200"] = result["neumann"][-1]
        found[f"{name}_cg_cosine_20"] = result["cg"][terms.index(20)]
        found[f"{name}_cg_cosine_200"] = result["cg"][-1]
    return found


@figure
def quality(canvas, linear, network, terms):
    """Distance of the cosine from 1, by products with the Hessian; one line a seed."""
    for axes, results, title in zip(
        canvas.subplots(1, 2, sharey=True), (linear, network), ("linear", "network"), strict=True
    ):
        for solver, style in (("neumann", "o-"), ("cg", "s--")):
            for number, found in enumerate(results.values()):
                gap = np.maximum(1.0 - np.array(found[solver]), 1e-15)
                label = {"neumann": "Neumann series", "cg": "conjugate gradients"}[solver]
                color = {"neumann": "C0", "cg": "C1"}[solver]
                axes.loglog(terms, gap, style, color=color, label=None if number else label, alpha=0.7)
        axes.set(xlabel="terms K (1: identity)", title=title)
    canvas.axes[0].set_ylabel("1 - cosine with the exact hypergradient")
    canvas.axes[1].legend(loc="lower left")
