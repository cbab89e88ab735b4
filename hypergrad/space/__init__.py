"""Search spaces: which hyperparameters exist, and their bijection to the unit cube."""

from hypergrad.parameters import Categorical, Discrete, Fidelity, Float, Int, Ordinal, Parameter
from hypergrad.space.core import LISTED, Space

__all__ = ["LISTED", "Categorical", "Discrete", "Fidelity", "Float", "Int", "Ordinal", "Parameter", "Space"]
