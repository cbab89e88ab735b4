"""Studies: trials asked, run, told and kept in a store."""

from hypergrad.study.catalog import Summary, load_study, studies
from hypergrad.study.earlier import Origin
from hypergrad.study.importance import Importance, Influence
from hypergrad.study.runner import is_problem
from hypergrad.study.slices import Slice
from hypergrad.study.stopping import ExpectedImprovementBelow, Patience, StopRule, Target
from hypergrad.study.study import Study
from hypergrad.study.told import Outcome
from hypergrad.study.trial import Best, Trial
from hypergrad.study.tuning import tune
from hypergrad.study.why import Why

__all__ = [
    "Best",
    "ExpectedImprovementBelow",
    "Importance",
    "Influence",
    "Origin",
    "Outcome",
    "Patience",
    "Slice",
    "StopRule",
    "Study",
    "Summary",
    "Target",
    "Trial",
    "Why",
    "is_problem",
    "load_study",
    "studies",
    "tune",
]
