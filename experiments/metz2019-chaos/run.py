"""Gradients of the smoothed outer loss: Metz et al. 2019, sections 3 and 4, on the chaotic training of `kit.chaos`.

Notation: psi = log alpha, F(psi) the training loss at the end, G(psi) = E F(psi + sigma eps), eps ~ N(0, 1). Of P
pairs +-eps_i:  path_i = (F'(psi + sigma eps_i) + F'(psi - sigma eps_i)) / 2,
                score_i = (F(psi + sigma eps_i) - F(psi - sigma eps_i)) eps_i / (2 sigma);
the means of both estimate G'(psi).
"""

import numpy as np
from estimators import drawn, error_of, excess, slope_at
from kit import chaos, outer

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage


@stage
def estimates(seed, rows, batch_size, steps, log_alphas, sigma, pairs):
    """At each log alpha: reverse mode, both estimators from pairs run one by one, and hg.Evolution's."""
    task = chaos.problem(seed, rows, batch_size, steps)
    names = ("loss", "reverse", "path", "path_error", "score", "score_error")
    names = (*names, "smoothed", "smoothed_error", "mixture", "mixture_error", "excess")
    found = {name: [] for name in names}
    for log_alpha in log_alphas:
        rate = chaos.lr(log_alpha)
        loss, reverse, _ = slope_at(task, log_alpha, seed)
        smoothed, mixture = (
            slope_at(task, log_alpha, seed, hg.Evolution(sigma=sigma, pairs=pairs, combine=other))
            for other in (None, hg.Reverse())
        )
        path, score = [], []
        for eps in drawn(rate, seed, pairs):
            (up, slope_up, _), (down, slope_down, _) = (
                slope_at(task, log_alpha + sign * sigma * eps, seed) for sign in (1.0, -1.0)
            )
            path.append(0.5 * (slope_up + slope_down))
            score.append((up - down) * eps / (2.0 * sigma))
        path, score = np.array(path), np.array(score)
        row = (
            *(loss, reverse, path.mean(), error_of(path), score.mean(), error_of(score)),
            *(x for _, g, r in (smoothed, mixture) for x in (g, float(r.standard_error["lr"]) * rate)),
            excess(path, score),
        )
        for name, value in zip(names, row, strict=True):
            found[name].append(float(value))
    return {name: np.array(column) for name, column in found.items()}


@stage
def descents(seed, rows, batch_size, steps, sigma, start, iterations, outer_lr):
    """Adam on log alpha from the chaotic side, by reverse mode and by evolution strategies: the losses on the way."""
    task = chaos.problem(seed, rows, batch_size, steps)
    methods = {"reverse": hg.Reverse(), "evolution": hg.Evolution(sigma=sigma, pairs=4)}
    found = {}
    for name, method in methods.items():
        last, values = outer.adam(
            lambda at, t, method=method: slope_at(task, float(at), seed, method)[:2],
            start,
            iterations,
            outer_lr,
        )
        found[name] = {"log_alpha": float(last), "losses": values}
    return found


@stage
def checked(seed, rows, batch_size, steps):
    """Value and hypergradient at log alpha = 1 in float64 against training written by hand."""
    return chaos.agreement(chaos.problem(seed, rows, batch_size, steps, "float64"), 1.0, seed)


@quantities
def summary(seed, log_alphas, estimates, descents, checked):
    """For each seed."""
    e = estimates
    exploded = np.abs(e["reverse"]) > 1e3
    best = np.minimum(e["path_error"], e["score_error"])
    last = {name: float(np.mean(found["losses"][-5:])) for name, found in descents.items()}
    return {
        "explosion": np.abs(e["reverse"]).max(),
        "exploded": int(exploded.sum()),
        "smoothed_there": np.abs(e["smoothed"][exploded]).max(initial=0.0),
        "noise_reverse": (e["path_error"] / np.abs(e["smoothed"]))[-1],
        "noise_smoothed": (e["smoothed_error"] / np.abs(e["smoothed"]))[-1],
        "smooth_gain": e["score_error"][0] / e["mixture_error"][0],
        "mixture_worst": float(np.max(e["mixture_error"] / best)),
        "mixture_excess": float(e["excess"].max()),
        "descent_evolution": last["evolution"] / descents["evolution"]["losses"][0],
        "descent_reverse": last["reverse"] / descents["reverse"]["losses"][0],
        "score_difference": float(np.max(np.abs(e["smoothed"] - e["score"]) / np.abs(e["score"]))),
        **checked,
    }


@figure
def standard_errors(canvas, log_alphas, estimates):
    """The standard errors of the three estimates, median over the seeds."""
    axes = canvas.add_subplot()
    labels = {
        "path_error": "reverse mode, perturbed",
        "smoothed_error": "evolution strategies",
        "mixture_error": "mixture",
    }
    for (name, label), line in zip(labels.items(), ("C1o-", "C0s-", "k--"), strict=True):
        median = np.median([found[name] for found in estimates.values()], axis=0)
        axes.semilogy(log_alphas, median, line, label=label)
    axes.set(xlabel="log learning rate, log α", ylabel="standard error of dG/d log α, nats")
    axes.legend()


@figure
def descending(canvas, descents):
    """The loss along the descents."""
    axes = canvas.add_subplot()
    for name, colour, label in (
        ("reverse", "C1", "reverse mode"),
        ("evolution", "C0", "evolution strategies"),
    ):
        for number, found in enumerate(descents.values()):
            axes.semilogy(found[name]["losses"], color=colour, label=None if number else label)
    axes.set(xlabel="step on log α", ylabel="training loss, nats")
    axes.legend()
