"""What a tuning run leaves behind, as data: the keys of ``hypergrad tune --json``."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Baseline", "Best", "TuneSummary", "dumps"]

Figures = dict[str, dict[str, float]]
FIGURES = "train, valid and test, each with loss and accuracy (classification) or rmse (regression)"


class Frozen(BaseModel):
    """A model whose fields are fixed once it is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Best(Frozen):
    """The trial of the lowest validation loss."""

    trial: int = Field(description="number of the trial of the lowest validation loss, from 0")
    value: float = Field(description="its validation loss")
    hparams: dict[str, Any] = Field(description="its hyperparameters in natural units; vectors in full")


class Baseline(Frozen):
    """The same figures for the default hyperparameters."""

    value: float = Field(description="validation loss of the default hyperparameters")
    metrics: Figures = Field(description="their figures, with the same keys as metrics")


class TuneSummary(Frozen):
    """The result of one tuning run."""

    task: str = Field(description="name of the task")
    data: str = Field(description="name or path of the data")
    target: str = Field(description="name of the target column")
    study: str = Field(description="name of the study in the store")
    store: str = Field(description="path of the store")
    seed: int = Field(description="seed of the split, the batches and the sampler")
    sampler: str = Field(description="name of the sampler")
    trials: int = Field(description="finished trials that the study holds")
    step_evaluations: int = Field(description="training steps run by all trials, forwards and backwards")
    seconds: float = Field(description="wall time of this command, in seconds")
    best: Best
    groups: list[str] = Field(description="names of the source columns, in the order of l2_group")
    metrics: Figures = Field(description=f"the tuned model: {FIGURES}")
    baseline: Baseline
    stopped: str | None = Field(
        description="why the run ended before its trials were spent; null: it did not"
    )
    notes: list[str] = Field(description="sentences on anything unusual, such as a budget that ran out")
    version: str = Field(description="version of hypergrad")

    def to_json(self) -> str:
        """One JSON object; numbers that are not finite are null."""
        return dumps(self.model_dump())

    @classmethod
    def documented_keys(cls) -> dict[str, str]:
        """Every documented key with its meaning; nested keys are dotted."""
        found: dict[str, str] = {}
        for name, field in cls.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= {f"{name}.{key}": f.description or "" for key, f in inner.model_fields.items()}
            else:
                found[name] = field.description or ""
        return found


def dumps(value: Any) -> str:
    """`value` as strict JSON in ASCII: a key a line, a vector on one line; nan and infinities are null."""
    return _lines(plain(value), "\n")


def _lines(value: Any, margin: str) -> str:
    inner = margin + "  "
    if isinstance(value, dict) and value:
        items = (f"{json.dumps(key)}: {_lines(item, inner)}" for key, item in value.items())
        return "{" + inner + f",{inner}".join(items) + margin + "}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[" + inner + f",{inner}".join(_lines(item, inner) for item in value) + margin + "]"
    return json.dumps(value, allow_nan=False)


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays as lists, NumPy scalars as numbers, nan and infinities as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
