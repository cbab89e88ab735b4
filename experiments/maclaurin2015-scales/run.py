"""Learned scales of the first weights and biases: Maclaurin, Duvenaud & Adams 2015, section 3.1, Figure 5."""

import numpy as np
from kit import schedules

from hypergrad.experiments import figure, quantities, stage, table

PAPER = {"w1": -3.1, "w2": -1.4, "w3": -1.8, "w4": -2.1, "b1": -0.35}  # read off the figure


@stage
def learned(seed, rows, steps, batch_size, iterations, outer_lr):
    """The log scales after each iteration of Adam on all 1,608 hyperparameters, and the outer loss."""
    task = schedules.problem(seed, rows, steps, batch_size, centred=True)
    z, scales, values = schedules.learn(task, schedules.start(steps), iterations, outer_lr, 1000 * (seed + 1))
    return {
        "scales": {name: [each[name] for each in scales] for name in schedules.GROUPS},
        "values": values,
        **schedules.agreement(task, z, seed),
    }


@quantities
def summary(seed, learned):
    """For each seed."""
    last = {name: row[-1] for name, row in learned["scales"].items()}
    start = learned["scales"]["b1"][0]
    return {
        "first_bias_lead": last["b1"] - max(last["b2"], last["b3"], last["b4"]),
        "first_bias_rise": last["b1"] - start,
        "first_weight_lead": min(last["w2"], last["w3"], last["w4"]) - last["w1"],
        "all_weights_rise": min(last[name] - start for name in ("w1", "w2", "w3", "w4")),
        "distance_deeper": max(abs(last[name] - PAPER[name]) for name in ("w2", "w3", "w4")),
        **{f"log_{name}": last[name] for name in schedules.GROUPS},
        "train_ratio": learned["values"][-1] / learned["values"][0],
        "value_error": learned["value_error"],
        "slope_error": learned["slope_error"],
    }


@table
def log_scales(learned):
    """The learned log scales of each seed, and the paper's."""
    rows = [
        {"seed": str(seed)} | {k: f"{v[-1]:.2f}" for k, v in found["scales"].items()}
        for seed, found in learned.items()
    ]
    return [*rows, {"seed": "paper"} | {k: str(PAPER.get(k, "")) for k in schedules.GROUPS}]


@figure
def scales(canvas, learned):
    """The log scales by outer iteration, mean over the seeds."""
    panels = canvas.subplots(1, 2, sharey=True)
    for panel, kind, title in zip(panels, "wb", ("weights", "biases"), strict=True):
        for number in schedules.LAYERS:
            name = f"{kind}{number}"
            mean = np.mean([found["scales"][name] for found in learned.values()], axis=0)
            (line,) = panel.plot(mean, label=f"layer {number}")
            if name in PAPER:
                panel.axhline(PAPER[name], color=line.get_color(), linestyle="--", linewidth=1)
        panel.set(xlabel="outer iteration", title=title)
    panels[0].set_ylabel("log initial scale (dashed: the paper, at the end)")
    panels[1].legend(fontsize="small")
