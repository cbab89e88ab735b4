"""hypergrad: hyperparameter optimisation whose trials return a value and its hypergradient."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypergrad import errors, nn, optim, samplers, tasks, testing, tree
    from hypergrad.ad.api import grad, hessian, hvp, jacobian, jvp, stop_gradient, value_and_grad, vjp
    from hypergrad.ad.batching import vmap
    from hypergrad.ad.check import check_grads
    from hypergrad.ad.compiled import compile
    from hypergrad.ad.control import cond, scan
    from hypergrad.ad.custom import custom_rule
    from hypergrad.ad.debug import debug
    from hypergrad.ad.numpy_creation import array, asarray, empty, full, ones, zeros
    from hypergrad.hypergradients import (
        Auto,
        DrMAD,
        Evolution,
        Forward,
        HypergradientCheck,
        HypergradientResult,
        Implicit,
        Reverse,
        Reversible,
        Truncated,
        check_hypergradient,
        hypergradient,
        online,
        train,
    )
    from hypergrad.space import Categorical, Fidelity, Float, Int, Ordinal, Space
    from hypergrad.study import (
        ExpectedImprovementBelow,
        Outcome,
        Patience,
        StopRule,
        Study,
        Target,
        Trial,
        tune,
    )
    from hypergrad.unroll.problem import BilevelProblem, UnrolledProblem
    from hypergrad.unroll.stopping import EarlyStopping

__all__ = [
    "Auto",
    "BilevelProblem",
    "Categorical",
    "DrMAD",
    "EarlyStopping",
    "Evolution",
    "ExpectedImprovementBelow",
    "Fidelity",
    "Float",
    "Forward",
    "HypergradientCheck",
    "HypergradientResult",
    "Implicit",
    "Int",
    "Ordinal",
    "Outcome",
    "Patience",
    "Reverse",
    "Reversible",
    "Space",
    "StopRule",
    "Study",
    "Target",
    "Trial",
    "Truncated",
    "UnrolledProblem",
    "array",
    "asarray",
    "check_grads",
    "check_hypergradient",
    "compile",
    "cond",
    "custom_rule",
    "debug",
    "empty",
    "errors",
    "full",
    "grad",
    "hessian",
    "hvp",
    "hypergradient",
    "jacobian",
    "jvp",
    "nn",
    "ones",
    "online",
    "optim",
    "samplers",
    "scan",
    "stop_gradient",
    "tasks",
    "testing",
    "train",
    "tree",
    "tune",
    "value_and_grad",
    "vjp",
    "vmap",
    "zeros",
]

__version__ = "0.1.0"

# Where each public name lives. It is loaded when first used, so that importing hypergrad costs next to nothing.
_HOMES = {
    "hypergrad": ("errors", "nn", "optim", "samplers", "tasks", "testing", "tree"),
    "hypergrad.ad.api": (
        "grad",
        "hessian",
        "hvp",
        "jacobian",
        "jvp",
        "stop_gradient",
        "value_and_grad",
        "vjp",
    ),
    "hypergrad.ad.control": ("cond", "scan"),
    "hypergrad.ad.custom": ("custom_rule",),
    "hypergrad.ad.batching": ("vmap",),
    "hypergrad.ad.debug": ("debug",),
    "hypergrad.ad.check": ("check_grads",),
    "hypergrad.ad.compiled": ("compile",),
    "hypergrad.ad.numpy_creation": ("array", "asarray", "empty", "full", "ones", "zeros"),
    "hypergrad.hypergradients": (
        "Auto",
        "DrMAD",
        "Evolution",
        "Forward",
        "HypergradientCheck",
        "HypergradientResult",
        "Implicit",
        "Reverse",
        "Reversible",
        "Truncated",
        "check_hypergradient",
        "hypergradient",
        "online",
        "train",
    ),
    "hypergrad.space": ("Categorical", "Fidelity", "Float", "Int", "Ordinal", "Space"),
    "hypergrad.study": (
        "ExpectedImprovementBelow",
        "Outcome",
        "Patience",
        "StopRule",
        "Study",
        "Target",
        "Trial",
        "tune",
    ),
    "hypergrad.unroll.problem": ("BilevelProblem", "UnrolledProblem"),
    "hypergrad.unroll.stopping": ("EarlyStopping",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'hypergrad' has no attribute {name!r}")
    value = (
        importlib.import_module(f"hypergrad.{name}")
        if home == "hypergrad"
        else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
