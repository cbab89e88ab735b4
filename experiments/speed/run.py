"""Time of one hypergradient beside JAX, PyTorch and HIPS/autograd, on six workloads in two dtypes."""

import numpy as np
from compare import best, compare
from floor import floor
from kit.workloads import load

from hypergrad.experiments import figure, quantities, stage, table

COMPARED = ("jax", "torch", "autograd")


@stage(alone=True)
def measured(workload, dtype, steps, repeats, seconds):
    """Rows of all installed peers; raises where they disagree."""
    return compare(load(workload, dtype, steps or None), dtype, repeats, seconds)


@stage(alone=True)
def least(workload, dtype):
    """The time of the matrix products alone."""
    return floor(workload, dtype)


def over(rows, peer):
    """hypergrad's time over a peer's; nan where the peer is not installed."""
    theirs = best(rows, peer)
    return best(rows, "hypergrad")["hypergradient_us"] / theirs["hypergradient_us"] if theirs else np.nan


def cases(found):
    """((workload, dtype), result) of nested results."""
    return [((workload, dtype), result) for workload, by in found.items() for dtype, result in by.items()]


@quantities
def ratios(measured):
    """Agreement, and geometric means over the workloads."""
    found = {}
    for dtype in next(iter(measured.values())):
        rows = [by[dtype] for by in measured.values()]
        found[f"error_{dtype}"] = max(row["relative_error"] for case in rows for row in case)
        for peer in ("jax", "autograd"):
            found[f"over_{peer}_{dtype}"] = float(
                np.exp(np.mean(np.log([over(case, peer) for case in rows])))
            )
    return found


@table
def times(measured, least):
    """Microseconds a step, seconds of the first call, megabytes; of each peer the faster variant."""
    return [
        {
            "workload": workload,
            "dtype": dtype,
            "peer": row["peer"],
            "training µs": row["training_us"],
            "hypergradient µs": row["hypergradient_us"],
            "their ratio": row["ratio"],
            "hypergrad over it": over(rows, row["peer"]),
            "first call s": row["first_seconds"],
            "extra MB": row["extra_mb"],
            "floor µs": least[workload][dtype]["hypergradient_us"],
        }
        for (workload, dtype), rows in cases(measured)
        for row in (best(rows, peer) for peer in ("hypergrad", *COMPARED))
        if row
    ]


@figure
def peers(canvas, measured):
    """How many times longer each peer takes."""
    canvas.set_size_inches(9, 4)
    axes = canvas.add_subplot()
    every = cases(measured)
    for number, peer in enumerate(COMPARED):
        heights = [1.0 / over(rows, peer) for _, rows in every]
        if not np.isnan(heights).all():
            bars = axes.bar(np.arange(len(every)) + (number - 1) * 0.27, heights, 0.27, label=peer)
            axes.bar_label(bars, [f"{height:.2g}" for height in heights], fontsize=6)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(np.arange(len(every)), [f"{workload}\n{dtype[5:]} bit" for (workload, dtype), _ in every])
    axes.set(
        ylabel="time of the peer / time of hypergrad",
        title="One hypergradient, one thread: above the line hypergrad is faster",
    )
    axes.legend()
