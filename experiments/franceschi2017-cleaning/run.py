"""Data hyper-cleaning (Franceschi et al. 2017, table 1): a weight an example, half of the labels wrong."""

import numpy as np
from kit import cleaning, data, networks, outer, reference

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table

PAPER = {"baseline": 87.74, "oracle": 90.46}  # table 1, test accuracy, %
PAPER_CLEANER = {0.2: (90.07, 0.9137), 0.3: (90.06, 0.9244), 0.4: (90.00, 0.9211), 0.5: (90.09, 0.9217)}


def noisy_digits(seed, rows, wrong_share):
    """MNIST at 14 x 14 pixels with wrong training labels."""
    parts = [data.halved(part) for part in data.mnist(seed, *rows)]
    return cleaning.noisy(parts, wrong_share, seed)


def accuracy(rows, test, steps, lr, momentum):
    """Test accuracy, %, after training on rows of equal weight."""
    params = cleaning.fit(rows, steps, lr, momentum)
    return 100.0 * (1.0 - networks.error_rate(params, test))


@stage
def bounds(seed, rows, wrong_share, final_steps, lr, momentum):
    """Test accuracies without hyper-cleaning."""
    task = noisy_digits(seed, rows, wrong_share)
    right = {key: value[~task.wrong] for key, value in task.train.items()}
    sets = {
        "baseline": cleaning.joined(task.train, task.valid),
        "validation_only": task.valid,
        "oracle": cleaning.joined(right, task.valid),
    }
    return {name: accuracy(rows, task.test, final_steps, lr, momentum) for name, rows in sets.items()}


@stage
def learned(seed, radius, rows, wrong_share, steps, lr, momentum, iterations, outer_lr):
    """The weights after projected Adam on their hypergradients, and how these agree with training by hand."""
    task = noisy_digits(seed, rows, wrong_share)
    problem = task.problem(steps, lr, momentum)
    ball = radius * len(task.wrong)

    def differentiated(point, step):
        result = hg.hypergradient(problem, point, seed=seed)
        return result.value, result.hypergradient

    def project(point):
        return {"weights": cleaning.project(point["weights"], ball)}

    begin = {"weights": np.full(len(task.wrong), radius)}
    point, curve = outer.adam(differentiated, begin, iterations, outer_lr, project=project)
    value, gradient = differentiated(point, iterations)
    errors = reference.agreement(
        gradient, value, lambda h: task.by_hand(h["weights"], steps, lr, momentum), point, seed
    )
    return {"weights": point["weights"], "curve": curve, "wrong": task.wrong, **errors}


@stage
def cleaned(seed, learned, rows, wrong_share, final_steps, lr, momentum):
    """Test accuracy without the examples of weight 0, and the F1 of finding the wrong ones, by radius."""
    task, found = noisy_digits(seed, rows, wrong_share), {}
    for radius, result in learned.items():
        dropped = result["weights"] == 0.0
        hits, named = np.sum(dropped & task.wrong), np.sum(dropped) + np.sum(task.wrong)
        kept = {key: value[~dropped] for key, value in task.train.items()}
        joined = cleaning.joined(kept, task.valid)
        found[str(radius)] = {
            "accuracy": accuracy(joined, task.test, final_steps, lr, momentum),
            "f1": float(2.0 * hits / named),
        }
    return found


@quantities
def summary(seed, learned, bounds, cleaned):
    """Of the widest ball, whose radius is the number of right labels; F1 also over all."""
    widest = cleaned[str(max(learned))]
    gap = bounds["oracle"] - bounds["baseline"]
    return {
        "value_error": max(result["value_error"] for result in learned.values()),
        "slope_error": max(result["slope_error"] for result in learned.values()),
        "f1": widest["f1"],
        "gap_closed": (widest["accuracy"] - bounds["baseline"]) / gap,
        "cleaner_over_baseline": widest["accuracy"] - bounds["baseline"],
        "cleaner_over_oracle": widest["accuracy"] - bounds["oracle"],
        "cleaner_over_validation_only": widest["accuracy"] - bounds["validation_only"],
        "cleaner_accuracy": widest["accuracy"],
        **{f"{name}_accuracy": value for name, value in bounds.items()},
        "f1_best": max(found["f1"] for found in cleaned.values()),
        "f1_worst": min(found["f1"] for found in cleaned.values()),
    }


@table
def accuracies(bounds, cleaned):
    """Means over the seeds beside the paper's."""

    def mean(values):
        return float(np.mean(list(values)))

    rows = [
        {
            "training set": name.replace("_", " "),
            "test accuracy, %": mean(found[name] for found in bounds.values()),
            "paper, %": PAPER.get(name),
        }
        for name in next(iter(bounds.values()))
    ]
    for radius in next(iter(cleaned.values())):
        theirs = PAPER_CLEANER[float(radius)]
        rows.append(
            {
                "training set": f"cleaned, radius {radius} n",
                "test accuracy, %": mean(found[radius]["accuracy"] for found in cleaned.values()),
                "paper, %": theirs[0],
                "F1": mean(found[radius]["f1"] for found in cleaned.values()),
                "paper, F1": theirs[1],
            }
        )
    return rows


@figure
def weights(canvas, learned, cleaned):
    """Histogram of the learned weights of right and wrong labels, and F1 by radius beside the paper's."""
    left, right = canvas.subplots(1, 2)
    radius = max(next(iter(learned.values())))
    widest = [found[radius] for found in learned.values()]
    for wrong, name in ((False, "right label"), (True, "wrong label")):
        chosen = np.concatenate([found["weights"][found["wrong"] == wrong] for found in widest])
        left.hist(chosen, bins=np.linspace(0.0, 1.0, 21), histtype="step", linewidth=1.8, label=name)
    left.set(
        xlabel="learned weight",
        ylabel=f"training examples of {len(widest)} seeds",
        yscale="log",
        ylim=(0.7, None),
    )
    left.set_title(f"radius {radius} n")
    left.legend(loc="upper center")
    radii = list(next(iter(cleaned.values())))
    for seed, found in cleaned.items():
        right.plot(radii, [found[r]["f1"] for r in radii], "o", alpha=0.6, label=f"seed {seed}")
    right.plot(radii, [PAPER_CLEANER[float(r)][1] for r in radii], "k--", label="paper, table 1")
    right.set(xlabel="radius / n", ylabel="F1 of the wrong labels", ylim=(None, 1.0))
    right.legend()
