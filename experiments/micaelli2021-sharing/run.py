"""Forward differentiation with sharing (Micaelli & Storkey 2021): a schedule over 1,000 steps, and noise by window."""

import numpy as np
from kit import reference
from training import by_hand, given_batches, judged, task
from windows import errors_by_window

import hypergrad as hg
from hypergrad.experiments import figure, quantities, stage, table


@stage
def learned(seed, rows, hidden, batch, horizon, knots, outer_steps, step_size, repeats):
    """Sign steps from rates and momentum of zero, in forward mode, a new seed each; halved where a sign turns."""
    schedule = hg.optim.PiecewiseLinear("lr")
    problem, test = task(seed, rows, hidden, horizon, schedule, batch_size=batch)
    point = {"lr": np.zeros(knots), "momentum": np.zeros(())}
    high = {"lr": np.inf, "momentum": 0.99}
    size = {name: np.full(np.shape(x), step_size) for name, x in point.items()}
    before = {name: np.zeros(np.shape(x)) for name, x in point.items()}
    path, judgements = [point["lr"]], [judged(problem, test, point, repeats)]
    for k in range(outer_steps):
        found = hg.hypergradient(problem, point, method=hg.Forward(), seed=k, curve=0).hypergradient
        for name, slope in found.items():
            turned = np.sign(slope) * before[name] < 0
            size[name] = np.where(turned, 0.5 * size[name], size[name])
            before[name] = np.sign(slope)
            point = {**point, name: np.clip(point[name] - size[name] * before[name], 0.0, high[name])}
        path.append(point["lr"])
        judgements.append(judged(problem, test, point, repeats))
    return {"path": np.stack(path), "momentum": float(point["momentum"]), "judged": np.array(judgements)}


@stage
def grid(seed, rows, hidden, batch, horizon, repeats, rates):
    """Constant and cosine schedules: rows of (cosine, momentum, rate, validation loss, test errors)."""
    problem, test = task(seed, rows, hidden, horizon, hg.optim.PerStep("lr"), batch_size=batch)
    shapes = np.ones(horizon), 0.5 * (1.0 + np.cos(np.pi * np.arange(horizon) / horizon))
    found = []
    for cosine, shape in enumerate(shapes):
        for momentum in (0.0, 0.9):
            for rate in np.logspace(-3, 0, rates):
                hparams = {"lr": rate * shape, "momentum": momentum}
                found.append([cosine, momentum, rate, *judged(problem, test, hparams, repeats)])
    return np.array(found)


@stage
def agreement(seed, rows, hidden, batch, knots, windows):
    """Forward mode against reverse mode, training by hand in NumPy, and windows against sums over their steps."""
    steps = 250
    batches = given_batches(seed, rows[0], batch, steps)
    problem, _ = task(seed, rows, hidden, steps, hg.optim.PiecewiseLinear("lr"), batches=batches)
    hparams = {"lr": np.linspace(0.1, 0.02, knots), "momentum": 0.5}
    forward = hg.hypergradient(problem, hparams, method=hg.Forward(), seed=seed)
    reverse = hg.hypergradient(problem, hparams, method=hg.Reverse(), seed=seed)
    start = hg.train(problem, {"lr": np.zeros(knots), "momentum": 0.0}, seed=seed).params
    hand = lambda at: by_hand(problem, start, batches, at)
    found = reference.agreement(forward.hypergradient, forward.value, hand, hparams, seed)
    a, b = (np.append(r.hypergradient["lr"], r.hypergradient["momentum"]) for r in (forward, reverse))
    found["reverse"] = float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
    width = windows[len(windows) // 2]
    each, shared = (
        hg.hypergradient(
            task(seed, rows, hidden, steps, lr, batches=batches)[0], {"lr": np.full(n, 0.05), "momentum": 0.5}
        ).hypergradient["lr"]
        for lr, n in ((hg.optim.PerStep("lr"), steps), (hg.optim.Windows("lr", width), steps // width))
    )
    found["windows"] = float(
        np.max(np.abs(each.reshape(-1, width).sum(axis=1) - shared)) / np.max(np.abs(shared))
    )
    return found


@stage
def noise(seed, peak, rows, hidden, batch, noise_horizon, noise_runs):
    """Hypergradients of the rate of each step (runs, T), at a cosine schedule and momentum .9, a new seed each."""
    problem, _ = task(seed, rows, hidden, noise_horizon, hg.optim.PerStep("lr"), batch_size=batch)
    lr = peak * 0.5 * (1.0 + np.cos(np.pi * np.arange(noise_horizon) / noise_horizon))
    hparams = {"lr": lr, "momentum": 0.9}
    runs = [hg.hypergradient(problem, hparams, seed=k, wrt="lr", curve=0) for k in range(noise_runs)]
    return np.stack([run.hypergradient["lr"] for run in runs])


@quantities
def summary(seed, learned, grid, agreement, noise, windows):
    """For each seed."""
    best = grid[np.argmin(grid[:, 3])]
    loss, errors = learned["judged"][-1]
    found = {"value": loss, "grid_value": best[3], "value_over_grid": loss / best[3], "errors": errors}
    found |= {"grid_errors": best[4], "behind_grid": errors - best[4], "momentum": learned["momentum"]}
    for peak, name in ((0.01, ""), (0.05, "_5")):
        mse, bound = (
            errors_by_window(noise[peak], windows) if peak in noise else (np.full(len(windows), np.nan),) * 2
        )
        found[f"best_window{name}"] = windows[int(np.argmin(mse))]
        found[f"gain{name}"], found[f"all_shared{name}"] = mse.min() / mse[0], mse[-1] / mse[0]
        found[f"over_bound{name}"] = np.max(mse[1:] / bound[1:])
    return {**{name: float(x) for name, x in found.items()}, **agreement}


@table
def schedules(learned, grid):
    """Validation loss and test errors of the learned schedule, and of the grid's best, each seed."""
    rows = []
    for seed, of in learned.items():
        best = grid[seed][np.argmin(grid[seed][:, 3])]
        rows.append(
            {
                "seed": seed,
                "knots": ", ".join(f"{x:.2g}" for x in of["path"][-1]),
                "momentum": round(of["momentum"], 3),
                "loss": round(of["judged"][-1, 0], 4),
                "errors %": round(of["judged"][-1, 1], 2),
                "best of grid": f"{('constant', 'cosine')[int(best[0])]} {best[2]:.2g}, momentum {best[1]:g}",
                "its loss": round(best[3], 4),
                "its errors %": round(best[4], 2),
            }
        )
    return rows


@figure
def steps(canvas, learned, grid):
    """Test errors after each outer step, and those of the best of the grid."""
    axes = canvas.add_subplot()
    for number, (seed, of) in enumerate(learned.items()):
        axes.plot(of["judged"][:, 1], f"C{number}o-", label=f"learned, seed {seed}")
        best = grid[seed][np.argmin(grid[seed][:, 3]), 4]
        axes.axhline(best, color=f"C{number}", ls="--", lw=1, label=f"best of the grid, seed {seed}")
    axes.axvline(10, color="0.7", ls=":", label="paper: about 10 steps")
    axes.set(xlabel="outer steps from a learning rate of 0", ylabel="test errors [%]", yscale="log")
    axes.set_yticks([7, 10, 20, 50, 90], ["7", "10", "20", "50", "90"])
    axes.minorticks_off()
    axes.legend(fontsize=8)


@figure
def sharing(canvas, noise, windows):
    """Error of shared hypergradients over the window, and the bound of the theorem (first seed)."""
    axes, first = canvas.add_subplot(), noise[min(noise)]
    for number, (peak, found) in enumerate(first.items()):
        mse, bound = errors_by_window(found, windows)
        axes.plot(windows, mse / mse[0], f"C{number}o-", label=f"cosine from {peak:g}")
        axes.plot(windows, bound / mse[0], f"C{number}--", label=f"bound of theorem 4.1, from {peak:g}")
    axes.set(xlabel="window [steps]", ylabel="mean squared error, by that of one step", ylim=(0.05, 100))
    axes.set(xscale="log", yscale="log")
    axes.legend(fontsize=8)
