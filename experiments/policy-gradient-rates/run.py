"""Rates, entropy bonus and discount learned through exact softmax policy gradient (processes in decisions.py)."""

import decisions
import numpy as np
from kit.reference import agreement
from learning import best_constants, constants, learn, problem

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

PROCESSES = {"chain": decisions.chain, "grid": decisions.grid}
LEVELS = {
    "rates": ("lr",),
    "rates_entropy": ("lr", "entropy"),
    "rates_entropy_discount": ("lr", "entropy", "discount"),
}
BONUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@stage
def learned(seed, steps, iterations, points):
    """For each process: the best constants, what is learned from them at each level, and the check of slopes."""
    made = {}
    for name, build in PROCESSES.items():
        task = build(seed)
        rate, both = (best_constants(task, steps, points, bonuses) for bonuses in (BONUSES[:1], BONUSES))
        levels = {}
        for level, names in LEVELS.items():
            _, lr, bonus = rate if level == "rates" else both
            start = constants(steps, lr, bonus, task.discount)
            levels[level] = learn(task, steps, start, names, iterations)
        at, best = constants(steps, 1.0, 0.05, 0.9), decisions.optimum(task)
        result = hg.hypergradient(problem(task, steps), at, curve=0)

        def by_hand(h, task=task, best=best):
            return 1.0 - decisions.returned(task, decisions.by_hand(task, steps, h)) / best

        check = agreement(result.hypergradient, result.value, by_hand, at, seed)
        made[name] = {"rate": rate, "both": both, "levels": levels, **check}
    return made


@quantities
def summary(seed, learned):
    """For each seed."""
    found, more = {}, []
    for name, part in learned.items():
        regrets = [part["levels"][level]["regret"] for level in LEVELS]
        found |= {
            f"{name}_{level}": regret / part["rate"][0] for level, regret in zip(LEVELS, regrets, strict=True)
        }
        found |= {
            f"{name}_to_pair": regrets[1] / part["both"][0],
            f"{name}_best_rate": part["rate"][0],
            f"{name}_best_pair": part["both"][0],
            f"{name}_least": min(regrets),
        }
        more += [regrets[1] <= regrets[0], regrets[2] <= regrets[1]]
    return {
        "slope_error": max(part["slope_error"] for part in learned.values()),
        "value_error": max(part["value_error"] for part in learned.values()),
        "entropy_helps": bool(more[0] and more[2]),
        "more_is_better": bool(all(more)),
        **found,
    }


@table
def regrets(learned):
    """Regrets of the constants and of what was learned."""
    return [
        {
            "process": name,
            "seed": seed,
            "best rate": part["rate"][0],
            "best rate and bonus": part["both"][0],
            **{level.replace("_", ", "): part["levels"][level]["regret"] for level in LEVELS},
            "discount": float(part["levels"]["rates_entropy_discount"]["point"]["discount"]),
        }
        for seed, found in learned.items()
        for name, part in found.items()
    ]


@figure
def descents(canvas, learned):
    """The regret in each iteration of the first seed, and the best constants."""
    for number, (name, part) in enumerate(next(iter(learned.values())).items()):
        axes = canvas.add_subplot(1, 2, number + 1)
        for level, found in part["levels"].items():
            axes.semilogy(np.maximum(found["curve"], 1e-10), lw=1.0, label=level.replace("_", ", "))
        axes.axhline(part["rate"][0], color="0.2", ls="--", lw=0.9, label="best constant rate")
        axes.axhline(part["both"][0], color="0.6", ls="--", lw=0.9, label="best constant rate and bonus")
        axes.set(title=name, xlabel="meta-gradient step", ylabel="1 - J / J*" if number == 0 else None)
    axes.legend(fontsize=6, loc="best")
