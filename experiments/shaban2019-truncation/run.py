"""Truncated back-propagation (Shaban et al. 2019): bias on a quadratic, and data hyper-cleaning with fewer steps."""

import numpy as np
from kit import cleaning, data, outer, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage


@stage
def quadratic(seed, dimensions, curvatures, quadratic_lr, quadratic_steps):
    """Bias of the hypergradient by K, for min_w (w - h)' A (w - h) / 2, beside its closed form.

    With M = I - lr A and e the slope of the outer loss, the hypergradient through K steps is (I - M^K) e, all of it
    (I - M^T) e.
    """
    rng = np.random.default_rng([seed, 4])
    basis, _ = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))
    spectrum = np.linspace(*curvatures, dimensions)
    a = basis * spectrum @ basis.T
    target, center, begin = rng.standard_normal((3, dimensions))
    task = hg.BilevelProblem(
        init=lambda hparams, rng: {"w": begin},
        inner_loss=lambda params, hparams, batch: (
            0.5 * (params["w"] - hparams["center"]) @ a @ (params["w"] - hparams["center"])
        ),
        outer_loss=lambda params, hparams, batch: 0.5 * np.sum((params["w"] - batch["target"]) ** 2),
        train=None,
        valid={"target": target[None]},
        optimizer=hg.optim.SGD(lr=quadratic_lr),
        steps=quadratic_steps,
    )

    def power(k):
        return basis * (1.0 - quadratic_lr * spectrum) ** k @ basis.T

    slope = center + power(quadratic_steps) @ (begin - center) - target
    exact = slope - power(quadratic_steps) @ slope
    full = hg.hypergradient(task, {"center": center}).hypergradient["center"]
    kept = list(range(1, quadratic_steps // 2))
    found = [
        hg.hypergradient(task, {"center": center}, method=hg.Truncated(steps=k)).hypergradient["center"]
        for k in kept
    ]
    closed = [slope - power(k) @ slope for k in kept]
    scale = np.linalg.norm(exact)
    return {
        "kept": kept,
        "bias": [float(np.linalg.norm(g - exact) / scale) for g in found],
        "error": float(max(np.linalg.norm(g - c) for g, c in zip(found, closed, strict=True)) / scale),
        "full_error": float(np.linalg.norm(full - exact) / scale),
    }


def noisy_digits(seed, rows, wrong_share):
    """MNIST at 14 x 14 pixels with wrong training labels."""
    train, valid = (data.halved(part) for part in data.mnist(seed, *rows))
    return cleaning.noisy([train, valid, valid], wrong_share, seed)


@stage
def cleaned(seed, kept, rows, wrong_share, radius, steps, lr, momentum, iterations, outer_lr):
    """Data hyper-cleaning with hypergradients through the last `kept` of the steps."""
    task, ball = noisy_digits(seed, rows, wrong_share), radius * rows[0]
    problem = task.problem(steps, lr, momentum)

    def differentiated(point, step):
        result = hg.hypergradient(problem, point, seed=seed, method=hg.Truncated(steps=kept))
        return result.value, result.hypergradient

    def project(point):
        return {"weights": cleaning.project(point["weights"], ball)}

    begin = {"weights": np.full(rows[0], radius)}
    point, curve = outer.adam(differentiated, begin, iterations, outer_lr, project=project)
    dropped = point["weights"] == 0.0
    hits, named = np.sum(dropped & task.wrong), np.sum(dropped) + np.sum(task.wrong)
    first = differentiated(begin, 0)[1]["weights"]
    return {"curve": curve, "f1": float(2.0 * hits / named), "first": first}


@stage
def checked(seed, cleaned, rows, wrong_share, radius, steps, lr, momentum):
    """The hypergradient through all steps against training written by hand, and those through fewer beside it."""
    task, begin = noisy_digits(seed, rows, wrong_share), {"weights": np.full(rows[0], radius)}
    full = cleaned[steps]
    errors = reference.agreement(
        {"weights": full["first"]},
        full["curve"][0],
        lambda h: task.by_hand(h["weights"], steps, lr, momentum),
        begin,
        seed,
    )

    def cosine(g):
        return float(g @ full["first"] / np.linalg.norm(g) / np.linalg.norm(full["first"]))

    return {**errors, "cosine": [cosine(found["first"]) for found in cleaned.values()]}


@quantities
def summary(seed, quadratic, cleaned, checked, curvatures, quadratic_lr, steps):
    """The bias on the quadratic, and the final loss of cleaning over that with all steps."""
    bias, (one, five, quarter, full) = np.array(quadratic["bias"]), cleaned.values()
    bound = 1.0 - quadratic_lr * curvatures[0]

    def gap(found):
        return found["curve"][-1] / full["curve"][-1] - 1.0

    return {
        "value_error": checked["value_error"],
        "slope_error": checked["slope_error"],
        "closed_form_error": max(quadratic["error"], quadratic["full_error"]),
        "bias_rate_over_bound": float(np.max(bias[1:] / bias[:-1])) / bound,
        "bias_last": float(bias[-1]),
        "loss_gap_quarter": gap(quarter),
        "loss_gap_1": gap(one),
        "loss_gap_5": gap(five),
        "loss_drop": full["curve"][-1] / full["curve"][0],
        "f1_1": one["f1"],
        "f1_5": five["f1"],
        "f1_quarter": quarter["f1"],
        "f1_full": full["f1"],
        "cosine_1": checked["cosine"][0],
        "cosine_5": checked["cosine"][1],
        "cosine_quarter": checked["cosine"][2],
    }


@figure
def truncation(canvas, quadratic, cleaned, curvatures, quadratic_lr):
    """The bias on the quadratic by K, and the validation loss of cleaning; the first seed."""
    left, right = canvas.subplots(1, 2)
    first = next(iter(quadratic.values()))
    kept = np.array(first["kept"])
    for seed, found in quadratic.items():
        left.semilogy(kept, found["bias"], label=f"seed {seed}")
    rate = 1.0 - quadratic_lr * curvatures[0]
    left.semilogy(kept, first["bias"][0] * rate ** (kept - 1.0), "k--", label="paper: $(1 - lr\\,\\mu)^K$")
    left.set(xlabel="K, steps differentiated", ylabel="bias, relative", title="quadratic")
    left.legend(loc="lower left")
    for steps, found in next(iter(cleaned.values())).items():
        right.semilogy(found["curve"], label=f"K = {steps}")
    right.set(xlabel="step on the weights", ylabel="validation loss, nats", title="data hyper-cleaning")
    right.legend()
