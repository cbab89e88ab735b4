"""Methods that compute hypergradients."""

from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.solve import hypergradient, train

METHODS = {"reverse": Reverse}

__all__ = ["METHODS", "HypergradientResult", "Method", "Reverse", "hypergradient", "train"]
