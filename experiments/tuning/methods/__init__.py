"""The methods by name; nothing here imports a peer before its method is run."""

from __future__ import annotations

from methods.base import Method, Session, Spent
from methods.botorch_peer import BOTORCH
from methods.descent import LBFGS
from methods.optuna_peer import OPTUNA
from methods.own import OWN

__all__ = ["METHODS", "PEERS", "Method", "Session", "Spent"]

PEERS: dict[str, Method] = {**OPTUNA, "botorch-logei": BOTORCH, **LBFGS}
METHODS: dict[str, Method] = {**OWN, **PEERS}
