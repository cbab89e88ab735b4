"""Chaos in training: Maclaurin, Duvenaud & Adams 2015, section 4.3, Figure 10."""

import numpy as np
from kit import chaos

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage
from hypergrad.hypergradients.trust import CHAOS

LARGE = 0.5  # |dF / d log alpha| from which the paper's figure leaves its axis


@stage
def sweep(seed, rows, batch_size, steps, points):
    """Loss, slope by log alpha, the monitor's growth and whether it warned, for each log alpha."""
    task = chaos.problem(seed, rows, batch_size, steps)
    log_alpha = np.linspace(0.5, 2.5, points)
    found = {"log_alpha": log_alpha, "loss": [], "slope": [], "growth": [], "warned": []}
    for at in log_alpha:
        rate = chaos.lr(at)
        result = hg.hypergradient(task, {"lr": rate}, seed=seed, curve=0)
        found["loss"].append(result.value)
        found["slope"].append(float(result.hypergradient["lr"]) * rate)
        found["growth"].append(result.stats["growth"])
        found["warned"].append(any("chaotic" in sentence for sentence in result.warnings))
    return {name: np.array(column) for name, column in found.items()}


@stage
def checked(seed, rows, batch_size, steps):
    """Value and hypergradient at log alpha = 1 in float64 against training written by hand."""
    return chaos.agreement(chaos.problem(seed, rows, batch_size, steps, "float64"), 1.0, seed)


def first(log_alpha, which):
    """The least log alpha of which something holds; nan where it holds of none."""
    return float(log_alpha[np.argmax(which)]) if which.any() else float("nan")


@quantities
def summary(seed, sweep, checked):
    """For each seed."""
    log_alpha, slope = sweep["log_alpha"], np.abs(sweep["slope"])
    lost = ~np.isfinite(slope)  # beyond float32, 3e38
    onset, warned = first(log_alpha, lost | (slope > LARGE)), first(log_alpha, sweep["warned"])
    largest = slope[~lost].max()
    one = int(np.argmin(np.abs(log_alpha - 1.0)))
    smooth = slope[log_alpha <= 1.0 + 1e-9].max()
    return {
        "onset": onset,
        "largest": largest,
        "explosion": largest / smooth,
        "overflowed": float(lost.mean()),
        "loss_at_1": sweep["loss"][one],
        "slope_at_1": sweep["slope"][one],
        "least_loss": sweep["loss"][log_alpha <= onset].min(),
        "warned_from": warned,
        "warning_gap": abs(warned - onset),
        "warning_lead": onset - warned,
        **checked,
    }


@figure
def chaos_sets_in(canvas, sweep):
    """Loss, size of the slope and the monitor, for the first seed; what overflowed is left out."""
    axes = canvas.subplots(3, 1, sharex=True)
    found = next(iter(sweep.values()))
    x = found["log_alpha"]
    axes[0].plot(x, found["loss"], color="C0")
    axes[0].set(ylabel="loss, nats", ylim=(0.0, 0.1))
    axes[1].semilogy(x, np.abs(found["slope"]), color="C1")
    axes[1].axhline(LARGE, color="0.5", linestyle=":")
    axes[1].set_ylabel("|dF/d log α|, nats")
    axes[2].semilogy(x, found["growth"], color="C2")
    axes[2].axhline(CHAOS, color="0.5", linestyle=":", label="warned above")
    axes[2].set(xlabel="log learning rate, log α", ylabel="growth")
    for panel in axes:
        panel.axvline(
            1.483, color="black", linestyle="--", label="paper's onset" if panel is axes[2] else None
        )
    axes[2].legend(fontsize="small", loc="upper left")
    canvas.align_ylabels()
