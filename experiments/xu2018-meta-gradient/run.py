"""Xu, van Hasselt & Silver 2018: meta-gradients of discount and trace decay through TD(lambda) (temporal.py)."""

import numpy as np
import processes
import temporal
from cases import CHAINS, HALF, walk
from kit.reference import agreement

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage


@stage
def expected_updates(iterations):
    """Learning from expected updates of the random walk; exact where rate, discount and trace decay are 1."""
    task, by_hand = temporal.expected(processes.random_walk(), 3)
    start = {"rate": 0.3, "discount": 0.9, "trace": 0.5}
    result = hg.hypergradient(task, start, curve=0)
    found, curve = temporal.descend(task, start, tuple(start), 4 * iterations)
    return {
        "found": found,
        "ratio": curve[-1] / curve[0],
        **agreement(result.hypergradient, result.value, by_hand, start),
    }


@stage
def walked(seed, runs, test_runs, episodes, iterations, points):
    """Rate and trace decay without discount, then all three; and a grid of rates and trace decays."""
    case, fresh = walk(seed, 0, runs, episodes), walk(seed, 1, test_runs, episodes)
    start = {"rate": 0.2, "discount": 1.0, "trace": 0.5}
    two, curve = temporal.learn(case, start, ("rate", "trace"), iterations)
    three, longer = temporal.learn(case, two, ("rate", "discount", "trace"), iterations)
    rates, traces = np.linspace(0.05, 1.0, points), np.linspace(0.0, 1.0, points)
    errors = temporal.grid(case, lambda a, b: {"rate": a, "discount": 1.0, "trace": b}, rates, traces)
    a, b = np.unravel_index(np.argmin(errors), errors.shape)
    best = {"rate": rates[a], "discount": 1.0, "trace": traces[b]}
    return {
        "two": two,
        "three": three,
        "curve": [*curve, *longer[1:]],
        "joint": len(curve),
        "errors": errors,
        "tests": [temporal.error(fresh, h) for h in (best, two, three)],
        **temporal.independent(case, {"rate": 0.2, "discount": 0.9, "trace": 0.5}),
    }


@stage
def chained(seed, runs, test_runs, chain_episodes, iterations, points):
    """A discount for each state of the one chain, a trace decay for each state of the other."""
    made, axis = {}, np.linspace(0.0, 1.0, points)
    for name, chain in CHAINS.items():
        case, fresh = (chain.build(seed, part, n, chain_episodes) for part, n in enumerate((runs, test_runs)))
        found, curve = temporal.learn(case, chain.start, (chain.learned,), iterations)
        errors = temporal.grid(case, chain.pair, axis, axis)
        one = axis[int(np.argmin(np.diag(errors)))]
        made[name] = {
            "found": found[chain.learned][:-1],
            "kinds": chain.kinds[:-1],
            "curve": curve,
            "errors": errors,
            "tests": [temporal.error(fresh, h) for h in (chain.pair(one, one), found)],
            **temporal.independent(case, chain.start),
        }
    return made


@quantities
def of_expected_updates(expected_updates):
    """Where the optimum is known."""
    found = expected_updates["found"]
    return {
        "expected_slope_error": expected_updates["slope_error"],
        "expected_ratio": expected_updates["ratio"],
        "expected_discount": found["discount"],
        "expected_trace": found["trace"],
        "expected_rate": found["rate"],
    }


@quantities
def of_samples(seed, walked, chained):
    """For each seed."""
    one, other = chained["signal"], chained["aliased"]
    errors, parts = walked["errors"], (walked, one, other)
    best = np.unravel_index(np.argmin(errors), errors.shape)[1]

    def kind(part, number):
        return float(np.mean(part["found"][1:][part["kinds"][1:] == number]))

    return {
        "slope_error": max(part["slope_error"] for part in parts),
        "value_error": max(part["value_error"] for part in parts),
        "walk_to_grid": walked["curve"][walked["joint"] - 1] / errors.min(),
        "walk_error": walked["curve"][walked["joint"] - 1],
        "walk_interior": bool(0 < best < errors.shape[1] - 1),
        "walk_trace": walked["two"]["trace"],
        "walk_rate": walked["two"]["rate"],
        "walk_discount": walked["three"]["discount"],
        "walk_discounted": walked["tests"][2] / walked["tests"][1],
        "walk_test": walked["tests"][1] / walked["tests"][0],
        "signal_to_grid": one["curve"][-1] / one["errors"].min(),
        "signal_test": one["tests"][1] / one["tests"][0],
        "discount_signal": kind(one, 0),
        "discount_noise": float(one["found"][HALF]),
        "aliased_to_grid": other["curve"][-1] / other["errors"].min(),
        "aliased_test": other["tests"][1] / other["tests"][0],
        "trace_aliased": kind(other, 1),
        "trace_seen": kind(other, 0),
        "trace_contrast": kind(other, 1) - kind(other, 0),
    }


@figure
def states(canvas, chained):
    """What was learned for each state."""
    for number, (name, label) in enumerate((("signal", "discount"), ("aliased", "trace decay"))):
        axes = canvas.add_subplot(2, 1, number + 1)
        kinds = next(iter(chained.values()))[name]["kinds"]
        for seed, found in chained.items():
            at, learned = np.arange(1, len(kinds)), found[name]["found"][1:]
            axes.plot(at, learned, "o-", ms=4, lw=0.8, label=f"seed {seed}")
        for state in np.flatnonzero(kinds)[kinds[0] :]:
            axes.axvspan(state - 0.5, state + 0.5, color="0.9", zorder=0)
        grey = "noise" if name == "signal" else "aliased"
        axes.set(ylabel=label, xlabel=f"state; grey: {grey}", ylim=(-0.05, 1.05))
    axes.legend(fontsize=7)


@figure
def random_walk(canvas, walked):
    """Descent on the error, and the best of the grid."""
    axes = canvas.add_subplot()
    for number, (seed, found) in enumerate(walked.items()):
        axes.plot(found["curve"], color=f"C{number}", label=f"seed {seed}")
        axes.axhline(found["errors"].min(), color=f"C{number}", ls="--", lw=0.8)
    axes.axvline(found["joint"], color="0.7", lw=0.8)
    axes.plot([], color="0.3", ls="--", label="best of the grid, no discount")
    axes.set_xlabel("step on rate and trace decay; behind the grey line on the discount too")
    axes.set_ylabel("RMS error of values")
    axes.legend()
