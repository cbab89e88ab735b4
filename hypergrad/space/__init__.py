"""Search spaces: which hyperparameters exist, and their bijection to the unit cube."""

from hypergrad.parameters import Categorical, Discrete, Fidelity, Float, Int, Ordinal, Parameter
from hypergrad.space.core import LISTED, Space
from hypergrad.space.files import read_space

__all__ = [
    "LISTED",
    "Categorical",
    "Discrete",
    "Fidelity",
    "Float",
    "Int",
    "Ordinal",
    "Parameter",
    "Space",
    "read_space",
]
