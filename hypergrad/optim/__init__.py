"""Inner optimisers as pure steps, and schedules of their rates."""

from hypergrad.optim.adagrad import Adagrad
from hypergrad.optim.adam import Adam
from hypergrad.optim.adamw import AdamW
from hypergrad.optim.base import Optimizer
from hypergrad.optim.coordinate_descent import CoordinateDescent
from hypergrad.optim.lbfgs import LBFGS
from hypergrad.optim.momentum import Momentum
from hypergrad.optim.nesterov import Nesterov
from hypergrad.optim.penalties import L1, ElasticNet, GroupLasso, NonNegative, Penalty
from hypergrad.optim.proximal import FISTA, ISTA, Proximal
from hypergrad.optim.rmsprop import RMSProp
from hypergrad.optim.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    PerStep,
    PiecewiseCubic,
    PiecewiseLinear,
    Schedule,
    WarmUp,
    Windows,
)
from hypergrad.optim.sgd import SGD

OPTIMIZERS = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSProp,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
    "lbfgs": LBFGS,
    "ista": ISTA,
    "fista": FISTA,
    "coordinate_descent": CoordinateDescent,
}
PENALTIES = {"elastic_net": ElasticNet, "group_lasso": GroupLasso, "l1": L1, "non_negative": NonNegative}

__all__ = [
    "FISTA",
    "ISTA",
    "L1",
    "LBFGS",
    "OPTIMIZERS",
    "PENALTIES",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "CoordinateDescent",
    "Cosine",
    "ElasticNet",
    "Exponential",
    "GroupLasso",
    "Momentum",
    "Nesterov",
    "NonNegative",
    "OneCycle",
    "Optimizer",
    "Penalty",
    "PerStep",
    "PiecewiseCubic",
    "PiecewiseLinear",
    "Proximal",
    "RMSProp",
    "Schedule",
    "WarmUp",
    "Windows",
]
