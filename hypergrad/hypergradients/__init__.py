"""Methods that compute hypergradients; each is loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypergrad.hypergradients import online
    from hypergrad.hypergradients.auto import Auto
    from hypergrad.hypergradients.base import HypergradientResult, Method
    from hypergrad.hypergradients.check import HypergradientCheck, check_hypergradient
    from hypergrad.hypergradients.drmad import DrMAD
    from hypergrad.hypergradients.evolution import Evolution, EvolutionResult
    from hypergrad.hypergradients.forward import Forward
    from hypergrad.hypergradients.implicit import Implicit
    from hypergrad.hypergradients.plan import Plan
    from hypergrad.hypergradients.reverse import Reverse
    from hypergrad.hypergradients.reversible import Reversible
    from hypergrad.hypergradients.solve import hypergradient, train
    from hypergrad.hypergradients.truncated import Truncated

    METHODS: dict[str, Any]

__all__ = [
    "METHODS",
    "Auto",
    "DrMAD",
    "Evolution",
    "EvolutionResult",
    "Forward",
    "HypergradientCheck",
    "HypergradientResult",
    "Implicit",
    "Method",
    "Plan",
    "Reverse",
    "Reversible",
    "Truncated",
    "check_hypergradient",
    "hypergradient",
    "online",
    "train",
]

# The registry: what --method calls a method, and its class.
_METHODS = {
    "auto": "Auto",
    "reverse": "Reverse",
    "reversible": "Reversible",
    "forward": "Forward",
    "implicit": "Implicit",
    "truncated": "Truncated",
    "drmad": "DrMAD",
    "evolution": "Evolution",
}
_HOMES = {
    **{kind: name for name, kind in _METHODS.items()},
    "EvolutionResult": "evolution",
    "HypergradientCheck": "check",
    "HypergradientResult": "base",
    "Method": "base",
    "Plan": "plan",
    "check_hypergradient": "check",
    "hypergradient": "solve",
    "train": "solve",
}


def __getattr__(name: str) -> Any:
    value: Any
    if name == "METHODS":
        value = {key: __getattr__(kind) for key, kind in _METHODS.items()}
    elif name == "online":
        value = importlib.import_module(f"{__name__}.online")
    elif name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
