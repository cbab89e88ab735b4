"""Hyperparameters adapted during one training run, by hypergradients on the way.

>>> import numpy as np
>>> import hypergrad as hg
>>> problem = hg.BilevelProblem(
...     init=lambda hparams, rng: np.ones(2),
...     inner_loss=lambda w, hparams, batch: 0.5 * np.sum(w**2),
...     outer_loss=lambda w, hparams, valid: 0.5 * np.sum(w**2),
...     train=None, valid=None, optimizer=hg.optim.SGD("lr"), steps=20,
... )
>>> round(hg.train(problem, {"lr": 0.01}).value, 3)
0.669
>>> result = hg.online.adapt(problem, {"lr": 0.01}, hg.online.HypergradientDescent(rate=0.01))
>>> round(result.value, 3), round(result.hparams["lr"], 2), result.trace["lr"].shape
(0.009, 0.14, (20,))
"""

from hypergrad.hypergradients.online.base import Online, OnlineResult, adapt
from hypergrad.hypergradients.online.descent import HypergradientDescent, Tower
from hypergrad.hypergradients.online.forward import RealTimeForward

ONLINE = {
    "hypergradient-descent": HypergradientDescent,
    "real-time-forward": RealTimeForward,
    "tower": Tower,
}

__all__ = ["ONLINE", "HypergradientDescent", "Online", "OnlineResult", "RealTimeForward", "Tower", "adapt"]
