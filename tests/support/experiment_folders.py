"""Small experiment folders, whose stages take no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = """
title = "Small"
paper = "Nobody 2000"
claim = "sums are sums"
headline = ["total"]
seeds = [0, 1]
data = ["numbers.csv"]

[axes]
power = [1, 2]

[parameters]
rows = 3
scale = 0.5

[smoke]
seeds = [0]

[smoke.parameters]
rows = 2
"""

RUN = '''"""A small experiment."""

from pathlib import Path

import numpy as np
from helper import noise

from hypergrad.experiments import figure, quantities, stage, table

FACTOR = 2.0


def factor():
    return FACTOR


def unused():
    return 1


@stage
def drawn(seed, rows):
    return {"x": noise(seed, rows), "data": float(np.loadtxt(Path(__file__).parent / "numbers.csv").sum())}


@stage
def powers(seed, power, drawn):
    return float(np.sum(drawn["x"] ** power)) * factor()


@stage
def constant(scale):
    return scale


@quantities
def sums(seed, powers, drawn):
    return {"total": powers[1] + powers[2], "data": drawn["data"], "finite": True}


@quantities
def scales(constant):
    return {"scale": constant}


@table
def rows_of(powers):
    return [{"seed": seed, "power": power, "sum": value} for seed, f in powers.items() for power, value in f.items()]


@figure
def drawing(canvas, powers):
    axes = canvas.add_subplot()
    for seed, found in powers.items():
        axes.plot(list(found), list(found.values()), label=f"seed {seed}")
    axes.legend()
'''

HELPER = '''"""Beside run.py."""

import numpy as np


def noise(seed, rows):
    """Normal numbers."""
    return np.random.default_rng(seed).standard_normal(rows)
'''

EXPECTED: dict[str, Any] = {
    "total": {"about": "sum of sums", "theirs": 3, "at_least": -100.0},
    "scale": {"about": "the parameter", "expected": 0.5, "smoke": False},
}


def write(folder: Path, **files: Any) -> Path:
    """An experiment folder; ``run``, ``config``, ``expected``, ``helper`` replace its files, None leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"run": RUN, "config": CONFIG, "expected": EXPECTED, "helper": HELPER, **files}
    names = {"run": "run.py", "config": "config.toml", "expected": "expected.json", "helper": "helper.py"}
    for key, name in names.items():
        text = content[key]
        if text is not None:
            (folder / name).write_text(text if isinstance(text, str) else json.dumps(text))
    (folder / "numbers.csv").write_text("1\n2\n")
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def results(folder: Path) -> dict[str, bytes]:
    """Content of what a run wrote, but for the times."""
    kinds = (".svg", ".png", ".csv", ".md")
    return {
        file.name: file.read_bytes()
        for file in folder.iterdir()
        if file.name == "results.json" or (file.suffix in kinds and file.name != "numbers.csv")
    }
