"""Tasks: models of tables, each with its search space, its training problem and its score; and the tables."""

from hypergrad.tasks.base import Task
from hypergrad.tasks.cross_validation import ElasticNetCriterion
from hypergrad.tasks.data import BUNDLED, Dataset, load
from hypergrad.tasks.logistic import Logistic
from hypergrad.tasks.mlp import MLP
from hypergrad.tasks.penalty_search import PenaltySearch, find_penalty
from hypergrad.tasks.ridge import Ridge

__all__ = [
    "BUNDLED",
    "MLP",
    "TASKS",
    "Dataset",
    "ElasticNetCriterion",
    "Logistic",
    "PenaltySearch",
    "Ridge",
    "Task",
    "find_penalty",
    "load",
]

TASKS: dict[str, type[Task]] = {"logistic": Logistic, "mlp": MLP, "ridge": Ridge}
