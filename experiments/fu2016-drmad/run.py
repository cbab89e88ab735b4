"""DrMAD: reverse mode along a straight line in place of the path of training (Fu et al. 2016)."""

import numpy as np
from kit import outer, reference, timing
from network import by_hand, first, made

import hypergrad as hg
from hypergrad import tree
from hypergrad.experiments import figure, quantities, stage, table

NAMES = {"exact": hg.Reverse(), "drmad": hg.DrMAD()}
REGIMES = {0.2: "gentle", 1.0: "fast"}


def cosine(a, b):
    """Of the angle between two trees."""
    a, b = (np.concatenate([np.ravel(leaf) for leaf in tree.flatten(x)[0]]) for x in (a, b))
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@stage
def searches(seed, rate, sizes, hidden, batch, steps, momentum, start, outer_lr, outer_steps):
    """Sign descent, as in their code, along exact hypergradients and along DrMAD's, and the angle between the two."""
    problem = made(seed, rate, sizes, hidden, batch, steps, momentum)
    found = {}
    for name, method in NAMES.items():
        test, cosines = [], []

        def value_and_gradient(hparams, step, method=method, test=test, cosines=cosines):
            result = hg.hypergradient(problem, hparams, method=method, seed=seed, curve=0)
            test.append(result.metrics["test"]["loss"])
            if method is NAMES["drmad"]:
                exact = hg.hypergradient(problem, hparams, method=NAMES["exact"], seed=seed, curve=0)
                cosines.append(cosine(exact.hypergradient, result.hypergradient))
            return result.value, tree.map(np.sign, result.hypergradient)

        at, valid = outer.gradient_descent(value_and_gradient, first(hidden, start), outer_steps, outer_lr)
        found[name] = {"valid": valid, "test": test, "cosines": cosines, "hparams": at}
    return found


@stage
def refined(seed, rate, sizes, hidden, batch, steps, momentum, start, knots):
    """Cosine with the exact hypergradient at the start, by the number of states that are kept."""
    problem, at = made(seed, rate, sizes, hidden, batch, steps, momentum), first(hidden, start)
    exact = hg.hypergradient(problem, at, seed=seed, curve=0).hypergradient
    found = []
    for count in [*knots, steps + 1]:
        result = hg.hypergradient(problem, at, method=hg.DrMAD(knots=count), seed=seed, curve=0)
        found.append(cosine(exact, result.hypergradient))
    return found


@stage
def checked(seed, rate, sizes, hidden, batch, steps, momentum, searches):
    """The exact hypergradient, at the end of its search, against training written by hand."""
    setting, at = (seed, rate, sizes, hidden, batch, steps, momentum), searches["exact"]["hparams"]
    result = hg.hypergradient(made(*setting), at, seed=seed, curve=0)
    hand = lambda point: by_hand(point, *setting)
    return reference.agreement(result.hypergradient, result.value, hand, at, seed)


@stage(alone=True)
def costs(sizes, hidden, batch, steps, momentum, start):
    """Processor seconds, the least of three, and bytes of one hypergradient."""
    problem, at = made(0, 0.2, sizes, hidden, batch, steps, momentum), first(hidden, start)
    budget = hg.hypergradient(problem, at, method=hg.DrMAD(), curve=0).stats["bytes"]
    methods = [hg.Reverse(), hg.Reverse(memory=int(1.25 * budget)), hg.Reversible(), hg.DrMAD()]
    found = {}
    for name, method in zip(["stored", "checkpointed", "reversible", "drmad"], methods, strict=True):
        call = lambda method=method: hg.hypergradient(problem, at, method=method, curve=0)
        seconds, result = timing.fastest(call, 3)
        found[name] = {"seconds": seconds, "bytes": result.stats["bytes"], "method": str(method)}
    return found


@quantities
def summary(seed, searches, refined, checked):
    """For each seed."""
    found = {}
    for rate, name in REGIMES.items():
        exact, drmad = searches[rate]["exact"], searches[rate]["drmad"]
        gained, gainable = (of["test"][0] - of["test"][-1] for of in (drmad, exact))
        found |= {
            f"test_ratio_{name}": drmad["test"][-1] / exact["test"][-1],
            f"gain_share_{name}": gained / gainable,
            f"cosine_{name}": float(np.mean(drmad["cosines"])),
            f"first_cosine_{name}": drmad["cosines"][0],
            f"last_cosine_{name}": drmad["cosines"][-1],
        }
    return {
        **found,
        "all_states": max(abs(1.0 - cosines[-1]) for cosines in refined.values()),
        **{key: max(each[key] for each in checked.values()) for key in ("value_error", "slope_error")},
    }


@quantities
def savings(costs):
    """Other methods over DrMAD, measured."""
    drmad = costs["drmad"]
    return {
        "speedup_reversible": costs["reversible"]["seconds"] / drmad["seconds"],
        "memory_reversible": costs["reversible"]["bytes"] / drmad["bytes"],
        "speedup_stored": costs["stored"]["seconds"] / drmad["seconds"],
        "memory_stored": costs["stored"]["bytes"] / drmad["bytes"],
        "speedup_checkpointed": costs["checkpointed"]["seconds"] / drmad["seconds"],
    }


@table
def cost(costs):
    """Time and memory of one hypergradient."""
    return [
        {
            "method": each["method"],
            "core seconds": each["seconds"],
            "MB": each["bytes"] / 1e6,
            "exact": name != "drmad",
        }
        for name, each in costs.items()
    ]


@figure
def search(canvas, searches):
    """Test losses, and the cosine along DrMAD's search, of all seeds."""
    losses, angles = canvas.subplots(1, 2)
    for number, each in enumerate(searches.values()):
        for (rate, name), colour in zip(REGIMES.items(), ("C0", "C1"), strict=True):
            for label, method, line in (("exact", "exact", "-"), ("DrMAD", "drmad", "--")):
                once = None if number else f"{label}, {name}"
                losses.plot(each[rate][method]["test"], color=colour, linestyle=line, label=once)
            once = None if number else f"{name} (alpha = {rate:g})"
            angles.plot(each[rate]["drmad"]["cosines"], color=colour, label=once)
    losses.set(xlabel="step on the penalties", ylabel="test cross-entropy (nats)")
    angles.set(xlabel="step on the penalties", ylabel="cosine of DrMAD's and the exact hypergradient")
    angles.axhline(0.0, color="0.7", linewidth=0.8)
    for axes in (losses, angles):
        axes.legend(fontsize=7)


@figure
def states(canvas, refined, knots):
    """What keeping more states of the path gives, at the start, of all seeds."""
    axes = canvas.add_subplot()
    for number, each in enumerate(refined.values()):
        for (rate, name), colour in zip(REGIMES.items(), ("C0", "C1"), strict=True):
            label = f"{name} (alpha = {rate:g})" if number == 0 else None
            axes.plot(knots, 1.0 - np.array(each[rate][:-1]), "o-", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="states kept (2: as published)", ylabel="1 - cosine")
    axes.set_xticks(knots, [str(count) for count in knots])
    axes.minorticks_off()
    axes.legend(fontsize=8)
