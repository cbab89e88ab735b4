"""hypergrad: hyperparameter optimisation whose trials return a value and its hypergradient."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hypergrad import errors, nn, tree
from hypergrad.ad.api import grad, hessian, hvp, jacobian, jvp, stop_gradient, value_and_grad, vjp
from hypergrad.ad.check import check_grads
from hypergrad.ad.compiled import compile

if TYPE_CHECKING:
    from hypergrad import optim, samplers, tasks
    from hypergrad.hypergradients import HypergradientResult, Reverse, hypergradient, train
    from hypergrad.space import Categorical, Float, Int, Space
    from hypergrad.study import Study, Trial, tune
    from hypergrad.unroll.problem import BilevelProblem, UnrolledProblem

__all__ = [
    "BilevelProblem",
    "Categorical",
    "Float",
    "HypergradientResult",
    "Int",
    "Reverse",
    "Space",
    "Study",
    "Trial",
    "UnrolledProblem",
    "check_grads",
    "compile",
    "errors",
    "grad",
    "hessian",
    "hvp",
    "hypergradient",
    "jacobian",
    "jvp",
    "nn",
    "optim",
    "samplers",
    "stop_gradient",
    "tasks",
    "train",
    "tree",
    "tune",
    "value_and_grad",
    "vjp",
]

__version__ = "0.1.0"

# Loaded when first used, so that importing hypergrad costs little more than importing NumPy.
_LAZY = {
    "BilevelProblem": "hypergrad.unroll.problem",
    "HypergradientResult": "hypergrad.hypergradients",
    "Reverse": "hypergrad.hypergradients",
    "UnrolledProblem": "hypergrad.unroll.problem",
    "hypergradient": "hypergrad.hypergradients",
    "optim": "hypergrad.optim",
    "train": "hypergrad.hypergradients",
    "Categorical": "hypergrad.space",
    "Float": "hypergrad.space",
    "Int": "hypergrad.space",
    "Space": "hypergrad.space",
    "Study": "hypergrad.study",
    "Trial": "hypergrad.study",
    "tune": "hypergrad.study",
    "samplers": "hypergrad.samplers",
    "tasks": "hypergrad.tasks",
}


def __getattr__(name: str) -> Any:
    home = _LAZY.get(name)
    if home is None:
        raise AttributeError(f"module 'hypergrad' has no attribute {name!r}")
    module = importlib.import_module(home)
    value = module if home == f"hypergrad.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
