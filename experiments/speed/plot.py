"""Draw results.json: how many times faster (or slower) hypergrad is than each peer, as ratios.svg and ratios.png.

python experiments/speed/plot.py [results.json]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

HERE = Path(__file__).parent


def best(rows: list[dict], peer: str) -> float:
    """Hypergradient time of a peer's better variant, in µs a step."""
    return min(
        (row["hypergradient_us_per_step"] for row in rows if row["peer"] == peer), default=float("nan")
    )


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results.json"
    results = json.loads(path.read_text())["rows"]
    cases = list(dict.fromkeys((row["workload"], row["dtype"]) for row in results))
    figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
    width = 0.27
    for number, peer in enumerate(("jax", "torch", "autograd")):
        ratios = []
        for case in cases:
            rows = [row for row in results if (row["workload"], row["dtype"]) == case]
            ratios.append(best(rows, peer) / best(rows, "hypergrad"))
        bars = axes.bar(np.arange(len(cases)) + (number - 1) * width, ratios, width, label=peer)
        axes.bar_label(bars, [f"{r:.2g}" for r in ratios], fontsize=6)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xticks(np.arange(len(cases)), [f"{w}\n{d[5:]} bit" for w, d in cases])
    axes.set_ylabel("time of the peer / time of hypergrad")
    axes.set_title("One hypergradient, one thread: above the line hypergrad is faster")
    axes.legend()
    for suffix in ("svg", "png"):
        figure.savefig(path.with_name(f"ratios.{suffix}"), dpi=150)


if __name__ == "__main__":
    main()
