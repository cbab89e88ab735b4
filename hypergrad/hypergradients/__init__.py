"""Methods that compute hypergradients."""

from hypergrad.hypergradients.base import HypergradientResult, Method, hypergradient, train
from hypergrad.hypergradients.reverse import Reverse

METHODS = {"reverse": Reverse}

__all__ = ["METHODS", "HypergradientResult", "Method", "Reverse", "hypergradient", "train"]
