"""Samplers: given the trials so far, which point is tried next."""

from hypergrad.samplers.admission import Admission
from hypergrad.samplers.base import Explanation, Proposal, Record, Sampler
from hypergrad.samplers.bayes import Bayes
from hypergrad.samplers.gradient import Gradient
from hypergrad.samplers.random import Random
from hypergrad.samplers.sobol import Sobol

__all__ = [
    "SAMPLERS",
    "Admission",
    "Bayes",
    "Explanation",
    "Gradient",
    "Proposal",
    "Random",
    "Record",
    "Sampler",
    "Sobol",
]

SAMPLERS: dict[str, type[Sampler]] = {"random": Random, "sobol": Sobol, "gradient": Gradient, "bayes": Bayes}
