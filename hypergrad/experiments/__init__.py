"""Experiments: a folder reproduces a result, compares it with what is expected, draws it, and resumes.

An experiment is a folder with README.md, config.toml, run.py and expected.json; ``hypergrad new-experiment`` writes
one, ``hypergrad run`` runs it, wherever it lies.
"""

from hypergrad.experiments.declare import figure, quantities, stage, table
from hypergrad.experiments.experiment import Experiment
from hypergrad.experiments.harness import Outcome, run
from hypergrad.experiments.judge import Verdict

__all__ = ["Experiment", "Outcome", "Verdict", "figure", "quantities", "run", "stage", "table"]
