"""Hyperparameters adapted during one training run, by hypergradients on the way."""

from hypergrad.hypergradients.online.base import Online, OnlineResult, adapt
from hypergrad.hypergradients.online.descent import HypergradientDescent, Tower
from hypergrad.hypergradients.online.forward import RealTimeForward

ONLINE = {
    "hypergradient-descent": HypergradientDescent,
    "real-time-forward": RealTimeForward,
    "tower": Tower,
}

__all__ = ["ONLINE", "HypergradientDescent", "Online", "OnlineResult", "RealTimeForward", "Tower", "adapt"]
