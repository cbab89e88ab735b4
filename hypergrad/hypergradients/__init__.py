"""Methods that compute hypergradients."""

from hypergrad.hypergradients import online
from hypergrad.hypergradients.auto import Auto
from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.drmad import DrMAD
from hypergrad.hypergradients.evolution import Evolution, EvolutionResult
from hypergrad.hypergradients.forward import Forward
from hypergrad.hypergradients.implicit import Implicit
from hypergrad.hypergradients.plan import Plan
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.reversible import Reversible
from hypergrad.hypergradients.solve import hypergradient, train
from hypergrad.hypergradients.truncated import Truncated

METHODS = {
    "auto": Auto,
    "reverse": Reverse,
    "reversible": Reversible,
    "forward": Forward,
    "implicit": Implicit,
    "truncated": Truncated,
    "drmad": DrMAD,
    "evolution": Evolution,
}

__all__ = [
    "METHODS",
    "Auto",
    "DrMAD",
    "Evolution",
    "EvolutionResult",
    "Forward",
    "HypergradientResult",
    "Implicit",
    "Method",
    "Plan",
    "Reverse",
    "Reversible",
    "Truncated",
    "hypergradient",
    "online",
    "train",
]
