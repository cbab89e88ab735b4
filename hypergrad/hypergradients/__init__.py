"""Methods that compute hypergradients."""

from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.implicit import Implicit
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.solve import hypergradient, train

METHODS = {"implicit": Implicit, "reverse": Reverse}

__all__ = ["METHODS", "HypergradientResult", "Implicit", "Method", "Reverse", "hypergradient", "train"]
