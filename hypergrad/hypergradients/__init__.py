"""Methods that compute hypergradients."""

from hypergrad.hypergradients import online
from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.drmad import DrMAD
from hypergrad.hypergradients.evolution import Evolution, EvolutionResult
from hypergrad.hypergradients.forward import Forward
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.solve import hypergradient, train
from hypergrad.hypergradients.truncated import Truncated

METHODS = {
    "reverse": Reverse,
    "forward": Forward,
    "truncated": Truncated,
    "drmad": DrMAD,
    "evolution": Evolution,
}

__all__ = [
    "METHODS",
    "DrMAD",
    "Evolution",
    "EvolutionResult",
    "Forward",
    "HypergradientResult",
    "Method",
    "Plan",
    "Reverse",
    "Truncated",
    "hypergradient",
    "online",
    "train",
]
