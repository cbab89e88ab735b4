"""Training run backwards, bit for bit, and what it has to keep (Maclaurin, Duvenaud & Adams 2015, Section 2.4)."""

import numpy as np
from backwards import flat, there_and_back
from kit import data, networks, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

PAPER = {0.9: 32.0 / 200.0, 0.98: 0.029}  # bits a parameter and step: the first from "200 times less than 32"
FLOAT32 = 32.0


def start_params(seed, hidden):
    """A tanh network with one hidden layer."""
    return networks.dense((64, hidden, 10), np.random.default_rng([seed, 2]))


@stage
def hypergradients(seed, momentum, sizes, hidden, batch, steps, rate, l2):
    """A learning rate for each step and a penalty for each layer: hg.Reversible against hg.Reverse and by hand."""
    train, valid = data.digits(seed, *sizes)
    rows = data.epochs(seed, sizes[0], batch, steps)

    def penalty(params, hparams):
        squares = {name: sum(np.sum(leaf**2) for leaf in layer.values()) for name, layer in params.items()}
        return sum(0.5 * hparams["l2"][name] * square for name, square in squares.items())

    start, optimizer = start_params(seed, hidden), hg.optim.Momentum(hg.optim.PerStep("lr"), momentum)
    problem = networks.problem(start, train, valid, optimizer, steps, penalty, batches=rows)
    hparams = {"lr": np.full(steps, rate * (1.0 - momentum)), "l2": {"layer1": l2, "layer2": l2}}
    backwards = hg.hypergradient(problem, hparams, method=hg.Reversible(), seed=seed, curve=0)
    stored = hg.hypergradient(problem, hparams, method=hg.Reverse(), seed=seed, curve=0)

    def by_hand(point):
        strength = lambda layer, leaf: point["l2"][layer]
        return reference.trained_loss(start, train, valid, rows, point["lr"], momentum, strength)

    ours, theirs = (flat(result.hypergradient) for result in (backwards, stored))
    return {
        "bits": backwards.stats["bits_per_parameter_step"],
        "bytes_kept": backwards.stats["bytes_store"],
        "bytes_states": 2 * 8 * steps * flat(start_params(seed, hidden)).size,
        "from_reverse": float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)),
        **reference.agreement(backwards.hypergradient, backwards.value, by_hand, hparams, seed),
    }


@stage
def reversal(seed, momentum, sizes, hidden, batch, steps, rate):
    """Training there and back, in exact numbers and in float64, without the penalty."""
    train, _ = data.digits(seed, *sizes)
    rows = data.epochs(seed, sizes[0], batch, steps)
    return there_and_back(start_params(seed, hidden), train, rows, momentum, rate * (1.0 - momentum))


@quantities
def summary(seed, hypergradients, reversal):
    """For each seed, over all momenta."""
    shares = [found["bits"] / np.log2(1.0 / momentum) for momentum, found in hypergradients.items()]
    return {
        "start_regained": all(found["regained"] for found in reversal.values()),
        "same_count": all(reversal[g]["bits"] == found["bits"] for g, found in hypergradients.items()),
        "bits_at_0.9": hypergradients[0.9]["bits"],
        "bits_at_0.98": hypergradients[0.98]["bits"],
        "saving_at_0.9": FLOAT32 / hypergradients[0.9]["bits"],
        "saving_at_0.98": FLOAT32 / hypergradients[0.98]["bits"],
        "least_share": min(shares),
        "largest_share": max(shares),
        "moved": min(found["moved"] for found in reversal.values()),
        "from_floats": max(found["from_floats"] for found in reversal.values()),
        "float_error_at_0.9": float(reversal[0.9]["drift"][-1]),
        "float_error_at_0.98": float(reversal[0.98]["drift"][-1]),
        "from_reverse": max(found["from_reverse"] for found in hypergradients.values()),
        "value_error": max(found["value_error"] for found in hypergradients.values()),
        "slope_error": max(found["slope_error"] for found in hypergradients.values()),
    }


@table
def bits(hypergradients, reversal):
    """Of the first seed, for each momentum."""
    return [
        {
            "momentum": momentum,
            "bits": found["bits"],
            "log2(1/momentum)": np.log2(1.0 / momentum),
            "times less than float32": FLOAT32 / found["bits"],
            "bytes kept": found["bytes_kept"],
            "bytes of all states": found["bytes_states"],
            "error of reversal in float64": f"{reversal[seed][momentum]['drift'][-1]:.0e}",
        }
        for seed, each in list(hypergradients.items())[:1]
        for momentum, found in each.items()
    ]


@figure
def information(canvas, hypergradients):
    """Bits a parameter and step over 1 - momentum."""
    axes = canvas.add_subplot()
    found = next(iter(hypergradients.values()))
    grid = np.geomspace(1.0 - max(found), 1.0 - min(found), 100)
    axes.plot(grid, np.log2(1.0 / (1.0 - grid)), color="0.6", label="log2(1/momentum)")
    axes.plot(
        [1.0 - g for g in found], [each["bits"] for each in found.values()], "o", label="hg.Reversible, kept"
    )
    axes.plot([1.0 - g for g in PAPER], list(PAPER.values()), "x", color="C3", label="Maclaurin et al.")
    axes.axhline(FLOAT32, linestyle="--", color="0.3", label="parameters in float32")
    axes.set(xscale="log", yscale="log", xlabel="1 - momentum", ylabel="bits a parameter and step")
    axes.legend(fontsize=8)


@figure
def errors(canvas, reversal):
    """Where reversal in float64 leads, of the first seed; exact reversal has no error to show."""
    axes = canvas.add_subplot()
    for momentum, found in next(iter(reversal.values())).items():
        axes.plot(np.arange(1, len(found["drift"]) + 1), found["drift"], label=f"momentum {momentum:g}")
    axes.set(yscale="log", ylim=(1e-17, 1e23), xlabel="steps undone in float64")
    axes.set(ylabel="relative distance from the path of training")
    axes.legend(fontsize=7, loc="upper right")
