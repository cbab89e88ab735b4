"""Learned sharing of the layers of related tasks (Maclaurin, Duvenaud & Adams 2015, Figure 9)."""

import numpy as np
from kit import outer, reference
from network import ONE, by_hand, correlations, equalised, made, shared
from tasks import ALPHABETS, TASKS, images, part

import hypergrad as hg
from hypergrad import tree
from hypergrad.experiments import figure, quantities, stage

SAME_TURN = np.equal.outer(np.arange(TASKS) // len(ALPHABETS), np.arange(TASKS) // len(ALPHABETS))
SAME_ALPHABET = np.equal.outer(np.arange(TASKS) % len(ALPHABETS), np.arange(TASKS) % len(ALPHABETS))


def splits(seed, known, held, unseen):
    """Pixels, and the rows of each class for training and validation: as many splits as parts of `held` rows."""
    order = np.random.default_rng([seed, 1]).permutation(known)
    turned = [np.roll(order, held * k) for k in range(known // held)]
    return images(seed, known + unseen), [(rows[held:], rows[:held]) for rows in turned]


@stage
def learned(
    seed,
    known,
    held,
    unseen,
    sizes,
    steps,
    lr,
    momentum,
    scale,
    log_l2,
    start,
    outer_lr,
    outer_steps,
    control_steps,
):
    """The matrices after gradient descent: free; the same for all tasks; diagonal, which share nothing."""
    pixels, rows = splits(seed, known, held, unseen)
    rates = (sizes, steps, lr, momentum, scale, log_l2)
    problems = [made(seed, part(pixels, a), part(pixels, b), *rates) for a, b in rows]

    def descend(amount, project, count):
        def value_and_gradient(sharing, step):
            result = hg.hypergradient(problems[step % len(problems)], sharing, seed=seed, curve=0)
            return result.value, tree.map(project, result.hypergradient)

        return outer.gradient_descent(value_and_gradient, shared(*[amount] * layers), count, outer_lr)[0]

    layers = len(sizes) - 1
    return {
        "sharing": descend(start, lambda slope: slope, outer_steps),
        "equal": descend(start, equalised, outer_steps),
        "scales": descend(0.0, lambda slope: slope * ONE, control_steps),
    }


@stage
def compared(seed, known, held, unseen, sizes, steps, lr, momentum, scale, log_l2, start, learned):
    """Training on all known rows: losses on them and on the unseen ones."""
    pixels = images(seed, known + unseen)
    data = part(pixels, np.arange(known)), part(pixels, np.arange(known, known + unseen))
    problem = made(seed, *data, sizes, steps, lr, momentum, scale, log_l2)
    above = len(sizes) - 2
    points = {
        "separate": shared(*[0.0] * (above + 1)),
        "tied": shared(1.0, *[0.0] * above),
        "start": shared(*[start] * (above + 1)),
        "learned scales": learned["scales"],
        "learned equal sharing": learned["equal"],
        "learned sharing": learned["sharing"],
    }
    runs = {name: hg.train(problem, sharing, seed=seed, curve=0) for name, sharing in points.items()}
    return {name: {"train": run.metrics["train"]["loss"], "test": run.value} for name, run in runs.items()}


@stage
def checked(seed, known, held, unseen, sizes, steps, lr, momentum, scale, log_l2, learned):
    """Value and hypergradient at the learned matrices against training written by hand."""
    pixels, rows = splits(seed, known, held, unseen)
    train, valid = (part(pixels, chosen) for chosen in rows[0])
    setting = (seed, train, valid, sizes, steps, lr, momentum, scale, log_l2)
    result = hg.hypergradient(made(*setting), learned["sharing"], seed=seed, curve=0)
    hand = lambda sharing: by_hand(sharing, *setting)
    return reference.agreement(result.hypergradient, result.value, hand, learned["sharing"], seed)


@quantities
def summary(seed, learned, compared, checked):
    """For each seed."""
    test = {name: each["test"] for name, each in compared.items()}
    bottom, *_, top = (correlations(matrix) for matrix in learned["sharing"].values())
    neither = ~SAME_TURN & ~SAME_ALPHABET
    return {
        "learned_over_tied": test["learned sharing"] / test["tied"],
        "learned_over_separate": test["learned sharing"] / test["separate"],
        "learned_over_scales": test["learned sharing"] / test["learned scales"],
        "learned_over_equal": test["learned sharing"] / test["learned equal sharing"],
        "tied_over_separate": test["tied"] / test["separate"],
        **{f"test_{name.replace(' ', '_')}": loss for name, loss in test.items()},
        "top_alphabet": float(top[SAME_ALPHABET & ~SAME_TURN].mean() - top[neither].mean()),
        "bottom_turn": float(bottom[SAME_TURN & ~SAME_ALPHABET].mean() - bottom[neither].mean()),
        **checked,
    }


@figure
def sharing(canvas, learned):
    """Correlations between the tasks' weights by layer, the mean over seeds."""
    names = list(next(iter(learned.values()))["sharing"])
    grid = canvas.subplots(1, len(names))
    for axes, name in zip(grid, names, strict=True):
        mean = np.mean([correlations(each["sharing"][name]) for each in learned.values()], axis=0)
        drawn = axes.imshow(mean, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
        axes.set_title(f"layer {name.removeprefix('layer')}", fontsize=9)
        ticks = [len(ALPHABETS) / 2 - 0.5, 1.5 * len(ALPHABETS) - 0.5]
        axes.set_xticks(ticks, ["upright", "turned"])
        axes.set_yticks(ticks, ["upright", "turned"], rotation=90, va="center")
        axes.tick_params(length=0, labelsize=8)
        for at in (axes.axhline, axes.axvline):
            at(len(ALPHABETS) - 0.5, color="k", linewidth=0.8)
    canvas.colorbar(drawn, ax=grid, label="correlation of tasks' weights", shrink=0.5)


@figure
def losses(canvas, compared):
    """Test losses of each seed."""
    axes = canvas.add_subplot()
    names = ["separate", "tied", "learned scales", "learned equal sharing", "learned sharing"]
    for seed, each in compared.items():
        axes.plot(names, [each[name]["test"] for name in names], "o-", label=f"seed {seed}")
    below = ["", "bottom layer", "scales only", "equal sharing", "sharing"]
    axes.set_xticks(range(5), [f"{name.split()[0]}\n{more}" for name, more in zip(names, below, strict=True)])
    axes.set(ylabel="test cross-entropy (nats)", ylim=(0.0, None))
    axes.legend(fontsize=8)
