"""A new experiment folder, which runs as it is."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from string import Template

from hypergrad.errors import ExperimentError
from hypergrad.experiments.cache import write

__all__ = ["FILES", "new_experiment"]

FILES = ("README.md", "config.toml", "run.py", "expected.json")
IGNORED = ".cache/\nsmoke/\n"


def new_experiment(folder: Path) -> Path:
    """Write a folder with a small experiment to change.

    Args:
        folder: does not exist yet, or is empty; its name is that of the experiment.

    Raises:
        ExperimentError: it holds something, its name has other signs than letters, digits, ``-``, ``_`` and ``.``, or
            it cannot be written.
    """
    folder = folder.resolve()
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", folder.name, re.ASCII):
        raise ExperimentError(
            f"{folder.name!r} is no name for an experiment; use letters, digits, '-', '_' and '.'"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExperimentError(f"{folder} exists and is not empty; choose another name")
    values = {"name": folder.name, "title": folder.name.replace("-", " ").replace("_", " ").capitalize()}
    for name in FILES:
        text = (resources.files("hypergrad.experiments") / "template" / f"{name}.in").read_text(
            encoding="utf-8"
        )
        write(folder / name, Template(text).substitute(values))
    write(folder / ".gitignore", IGNORED)
    return folder
