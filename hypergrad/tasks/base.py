"""What every task has in common: its search space, its training problem, and the judgement of a trained model.

Notation: rows x of p features, outputs f(x; w) of K classes (1 for regression), row loss ℓ, penalties
Ω(w, h) >= 0. Training minimises mean ℓ + Ω by momentum; the outer loss is the mean ℓ on validation rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from hypergrad import nn
from hypergrad.optim import Momentum, PiecewiseLinear
from hypergrad.space import Float, Space
from hypergrad.tasks.data import Dataset
from hypergrad.unroll.problem import BilevelProblem

__all__ = ["Task", "cross_entropy", "half_squared_error"]

# Both rates are customary with momentum 0.9 (0.1 with decay 1e-4: He et al. 2016, sec. 3.4). Which one is the default
# where, and the ends of the ranges, were chosen by comparing results on the bundled sets, not derived: a fixed 0.01
# does about as well as tuning on breast_cancer, and so does a fixed 0.1 with logistic on digits.
LR, LR_CAREFUL, LR_LOW, MOMENTUM, L2 = 0.1, 0.01, 0.001, 0.9, 1e-4


def cross_entropy(outputs: Any, y: Any) -> Any:
    """-log softmax(outputs)_y, a number a row."""
    return nn.softmax_cross_entropy(outputs, y)


def half_squared_error(outputs: Any, y: Any) -> Any:
    """½ |outputs - y|² with y (n, K), a number a row."""
    return 0.5 * nn.squared_error(outputs, y)


@dataclass(frozen=True)
class Task(ABC):
    """A model of tables whose learning rate, momentum, initial scale and penalties are searched.

    The space, common to all tasks: ``lr_knots`` (the learning rate at `knots` equally spaced moments,
    geometric in between), ``momentum``, and ``l2_group``, a factor on the penalty of the weights that read
    one source column. Tens of hyperparameters can fit the validation rows as well as the training rows can
    be fitted, so the ranges are chosen to leave little room for that:

    - rates and momentum end at the customary values (0.1 and 0.9), since at the edge of stability a
      schedule can steer the last steps towards single validation rows; the default rate is 0.1, or 0.01
      on batches and for regression (chosen on the bundled sets; other customary rates can do better).
      All rates are lowered where the largest eigenvalue λ of xᵀx / n is
      above 15, so that 0.1 becomes 1.5 / λ and the defaults do not diverge;
    - the fewer validation rows there are a source column, the nearer its factor stays to 1: it lies
      between 1/r and r, r = n_valid / (8 groups) clipped to [1.5, 10].

    Attributes:
        name: of the task, as in the registry.
        steps: training steps.
        batch_size: rows a step; all, where there are fewer than twice as many training rows.
        knots: of the learning rate.
    """

    steps: int = 300
    batch_size: int = 128
    knots: int = 16

    name: ClassVar[str]

    # What a task says about itself -----------------------------------------------------------------
    @abstractmethod
    def parameters(self, dataset: Dataset) -> dict[str, Float]:
        """Initial scales and penalties of its layers, by the name of the hyperparameter."""

    @abstractmethod
    def initial(self, features: int, outputs: int, hparams: Mapping[str, Any], rng: Any) -> dict[str, Any]:
        """Weights and biases before training."""

    @abstractmethod
    def outputs(self, params: Mapping[str, Any], x: Any) -> Any:
        """f(x; params), of shape (n, K)."""

    @abstractmethod
    def penalty(self, params: Mapping[str, Any], hparams: Mapping[str, Any], factor: Any) -> Any:
        """Ω; `factor` (p, 1) holds the factor of the group of each feature."""

    @abstractmethod
    def row_loss(self, dataset: Dataset) -> Any:
        """ℓ: a function of outputs (n, K) and targets.

        Raises:
            DataError: the task cannot learn a target of this kind.
        """

    def targets(self, dataset: Dataset, y: np.ndarray) -> np.ndarray:
        """y as the row loss wants it: labels (n,), or numbers (n, 1)."""
        return y if dataset.kind == "classification" else y[:, None]

    # What callers ask of a task --------------------------------------------------------------------
    def space(self, dataset: Dataset) -> Space:
        """The search space of the task on these data; its defaults are the baseline that tuning has to beat.

        Raises:
            DataError: the task cannot learn a target of this kind.
        """
        self.row_loss(dataset)
        groups = len(dataset.groups)
        reach = float(np.clip(round(len(dataset.valid["y"]) / (8 * groups), 1), 1.5, 10.0))
        high = _stable_rate(dataset.train["x"])
        bold = dataset.kind == "classification" and self._batch_size(dataset) is None
        default = high if bold else high * (LR_CAREFUL / LR)
        knobs: dict[str, Any] = dict(
            lr_knots=Float(high * (LR_LOW / LR), high, log=True, default=default, shape=(self.knots,)),
            momentum=Float(0.5, MOMENTUM, default=MOMENTUM),
            l2_group=Float(1 / reach, reach, log=True, default=1.0, shape=(groups, 1)),
            **self.parameters(dataset),
        )
        return Space(knobs)

    def problem(self, dataset: Dataset, hparams: Any = None) -> BilevelProblem:
        """The training problem on these data; the same object each time, so that it is compiled once.

        Args:
            dataset: of `hypergrad.tasks.load`.
            hparams: taken for uniformity with tasks whose problem depends on them; not read.

        Raises:
            DataError: the task cannot learn a target of this kind.
        """
        return _problem(self, dataset)

    def score(self, dataset: Dataset, params: Any, hparams: Any = None) -> dict[str, dict[str, float]]:
        """Loss and accuracy (or RMSE in the target's own unit) of trained parameters on the three parts.

        Args:
            dataset: that the parameters were trained on.
            params: as in `HypergradientResult.params`.
            hparams: not read: the loss is without its penalty.

        Returns:
            ``{"train": {"loss": ..., "accuracy": ...}, "valid": ..., "test": ...}``; ``"rmse"`` in the place
            of ``"accuracy"`` for regression.
        """
        parts = {"train": dataset.train, "valid": dataset.valid, "test": dataset.test}
        with np.errstate(all="ignore"):
            return {part: self._judge(dataset, params, data) for part, data in parts.items()}

    def _batch_size(self, dataset: Dataset) -> int | None:
        return self.batch_size if len(dataset.train["y"]) >= 2 * self.batch_size else None

    def _judge(self, dataset: Dataset, params: Any, data: Mapping[str, np.ndarray]) -> dict[str, float]:
        outputs = np.asarray(self.outputs(params, data["x"]))
        loss = float(np.mean(self.row_loss(dataset)(outputs, self.targets(dataset, data["y"]))))
        if dataset.kind == "classification":
            return {"loss": loss, "accuracy": float(np.mean(outputs.argmax(axis=1) == data["y"]))}
        error = (outputs[:, 0] - data["y"]) * dataset.target_scale[1]
        return {"loss": loss, "rmse": float(np.sqrt(np.mean(error**2)))}


def _stable_rate(x: np.ndarray) -> float:
    """`LR`, or 1.5 / λ where that is less, λ the largest eigenvalue of xᵀx / n; one significant digit."""
    gram = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
    largest = float(np.linalg.eigvalsh(gram)[-1]) / len(x)
    return min(LR, float(f"{1.5 / largest:.0e}")) if largest > 0 else LR


@lru_cache(maxsize=8)
def _problem(task: Task, dataset: Dataset) -> BilevelProblem:
    row_loss, group_of = task.row_loss(dataset), dataset.group_of
    features, outputs = len(dataset.features), dataset.outputs

    def init(hparams: Any, rng: Any) -> Any:
        return task.initial(features, outputs, hparams, rng)

    def inner_loss(params: Any, hparams: Any, batch: Any) -> Any:
        factor = hparams["l2_group"][group_of]
        loss = np.mean(row_loss(task.outputs(params, batch["x"]), batch["y"]))
        return loss + task.penalty(params, hparams, factor)

    def outer_loss(params: Any, hparams: Any, batch: Any) -> Any:
        return np.mean(row_loss(task.outputs(params, batch["x"]), batch["y"]))

    def part(data: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"x": data["x"], "y": task.targets(dataset, data["y"])}

    return BilevelProblem(
        init=init,
        inner_loss=inner_loss,
        outer_loss=outer_loss,
        train=part(dataset.train),
        valid=part(dataset.valid),
        test=part(dataset.test),
        optimizer=Momentum(lr=PiecewiseLinear("lr_knots", log=True), momentum="momentum"),
        steps=task.steps,
        batch_size=task._batch_size(dataset),
    )
