"""Studies: trials asked, run, told and kept in a store."""

from hypergrad.study.catalog import Summary, load_study, studies
from hypergrad.study.earlier import Origin
from hypergrad.study.runner import is_problem
from hypergrad.study.study import Study
from hypergrad.study.told import Outcome
from hypergrad.study.trial import Best, Trial
from hypergrad.study.tuning import tune

__all__ = [
    "Best",
    "Origin",
    "Outcome",
    "Study",
    "Summary",
    "Trial",
    "is_problem",
    "load_study",
    "studies",
    "tune",
]
