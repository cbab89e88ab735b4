"""Inner optimisers as pure steps, and schedules of their rates."""

from hypergrad.optim.adam import Adam
from hypergrad.optim.base import Optimizer
from hypergrad.optim.momentum import Momentum
from hypergrad.optim.nesterov import Nesterov
from hypergrad.optim.schedules import PerStep, PiecewiseLinear, Schedule
from hypergrad.optim.sgd import SGD

OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adam": Adam}

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "PerStep",
    "PiecewiseLinear",
    "Schedule",
]
