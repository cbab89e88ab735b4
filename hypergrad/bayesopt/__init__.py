"""The Gaussian-process model of a study: values and derivatives in, mean and variance out."""

from hypergrad.bayesopt.fit import Fit, Priors, fit, standardise
from hypergrad.bayesopt.gp import Hyperparameters, Likelihood, Moments, Posterior, condition
from hypergrad.bayesopt.kernels import COORDINATES, KERNELS, Kernel, Rows, make_kernel
from hypergrad.bayesopt.marginal import Marginal
from hypergrad.bayesopt.observations import Observations, observe

__all__ = [
    "COORDINATES",
    "KERNELS",
    "Fit",
    "Hyperparameters",
    "Kernel",
    "Likelihood",
    "Marginal",
    "Moments",
    "Observations",
    "Posterior",
    "Priors",
    "Rows",
    "condition",
    "fit",
    "make_kernel",
    "observe",
    "standardise",
]
