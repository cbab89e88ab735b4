"""Methods that compute hypergradients."""

from hypergrad.hypergradients.base import HypergradientResult, Method
from hypergrad.hypergradients.check import HypergradientCheck, check_hypergradient
from hypergrad.hypergradients.reverse import Reverse
from hypergrad.hypergradients.solve import hypergradient, train

METHODS = {"reverse": Reverse}

__all__ = [
    "METHODS",
    "HypergradientCheck",
    "HypergradientResult",
    "Method",
    "Reverse",
    "check_hypergradient",
    "hypergradient",
    "train",
]
