"""Inner optimisers as pure steps, and schedules of their rates."""

from hypergrad.optim.adagrad import Adagrad
from hypergrad.optim.adam import Adam
from hypergrad.optim.adamw import AdamW
from hypergrad.optim.base import Optimizer
from hypergrad.optim.lbfgs import LBFGS
from hypergrad.optim.momentum import Momentum
from hypergrad.optim.nesterov import Nesterov
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
}

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Exponential",
    "Momentum",
    "Nesterov",
    "OneCycle",
    "Optimizer",
    "PerStep",
    "PiecewiseCubic",
    "PiecewiseLinear",
    "RMSProp",
    "Schedule",
    "WarmUp",
    "Windows",
]
