"""Inner optimisers as pure steps, and schedules of their rates."""

from hypergrad.optim.adam import Adam
from hypergrad.optim.base import Optimizer
from hypergrad.optim.momentum import Momentum
from hypergrad.optim.nesterov import Nesterov
from hypergrad.optim.penalties import L1, ElasticNet, GroupLasso, NonNegative, Penalty
from hypergrad.optim.proximal import FISTA, ISTA, Proximal
from hypergrad.optim.schedules import PerStep, PiecewiseLinear, Schedule
from hypergrad.optim.sgd import SGD

OPTIMIZERS = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "adam": Adam,
    "ista": ISTA,
    "fista": FISTA,
}
PENALTIES = {"elastic_net": ElasticNet, "group_lasso": GroupLasso, "l1": L1, "non_negative": NonNegative}

__all__ = [
    "FISTA",
    "ISTA",
    "L1",
    "OPTIMIZERS",
    "PENALTIES",
    "SGD",
    "Adam",
    "ElasticNet",
    "GroupLasso",
    "Momentum",
    "Nesterov",
    "NonNegative",
    "Optimizer",
    "Penalty",
    "PerStep",
    "PiecewiseLinear",
    "Proximal",
    "Schedule",
]
