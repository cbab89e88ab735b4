"""Methods that compute hypergradients."""

from hypergrad.hypergradients import online
from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.evolution import Evolution, EvolutionResult
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.solve import hypergradient, train

METHODS = {"evolution": Evolution, "reverse": Reverse}

__all__ = [
    "METHODS",
    "Evolution",
    "EvolutionResult",
    "HypergradientResult",
    "Method",
    "Reverse",
    "hypergradient",
    "online",
    "train",
]
