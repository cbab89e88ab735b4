"""Rules that end a study before its trials are spent: pure functions of what the finished trials say.

A rule sees neither clocks nor running trials, so a study that was interrupted and resumed stops at the same trial as
one that was not; and a study that has stopped does not go on when it is asked for again under the same rules.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypergrad.errors import StudyError
from hypergrad.samplers.base import Record, generator
from hypergrad.space import Space
from hypergrad.study import checks

__all__ = ["ExpectedImprovementBelow", "Patience", "StopRule", "Target", "reason_to_stop", "rules"]


class StopRule(ABC):
    """When a study has seen enough. A frozen dataclass of its settings, without memory of its own."""

    @abstractmethod
    def reason(self, space: Space, history: Sequence[Record]) -> str | None:
        """Why to stop, as a sentence without its full stop; None: go on.

        Args:
            space: of the study.
            history: the finished trials, complete or failed, sorted by number.
        """


@dataclass(frozen=True)
class Target(StopRule):
    """Stop once a trial's value is at most `value`.

    Args:
        value: a finite number, in the unit of the values.

    Raises:
        StudyError: not a finite number.
    """

    value: float

    def __post_init__(self) -> None:
        found = checks.number(self.value, "the value of Target")
        if not math.isfinite(found):
            raise StudyError(f"the value of Target is {found}, expected a finite number")
        object.__setattr__(self, "value", found)

    def reason(self, space: Space, history: Sequence[Record]) -> str | None:
        """The best trial, when it is good enough."""
        best = _best(history)
        if best is None or best.value > self.value:
            return None
        return f"trial {best.number} reached {best.value:.6g}, and the target is {self.value:.6g}"


@dataclass(frozen=True)
class Patience(StopRule):
    """Stop after so many finished trials in a row that did not improve on the best by more than a tolerance.

    What must be improved on is the last value that did count as an improvement, so many small steps count together.
    Trials that failed or diverged improve on nothing.

    Args:
        trials: >= 1.
        tolerance: >= 0, in the unit of the values.

    Raises:
        StudyError: arguments outside their domain.
    """

    trials: int
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if checks.index(self.trials, "trials of Patience") < 1:
            raise StudyError(f"trials of Patience is {self.trials}, expected at least 1")
        object.__setattr__(self, "tolerance", checks.amount(self.tolerance, "tolerance of Patience"))

    def reason(self, space: Space, history: Sequence[Record]) -> str | None:
        """The last trial that improved, when it is long ago."""
        last: Record | None = None
        waited = 0
        for record in history:
            waited += 1
            if _finite(record) and (last is None or record.value < last.value - self.tolerance):
                last, waited = record, 0
        if waited < self.trials:
            return None
        if last is None:
            return f"none of the {waited} trials has a finite value"
        by = f" by more than {self.tolerance:.6g}" if self.tolerance else ""
        none = (
            "the last trial did not improve" if waited == 1 else f"none of the last {waited} trials improved"
        )
        return f"{none} on the value {last.value:.6g} of trial {last.number}{by}"


@dataclass(frozen=True)
class ExpectedImprovementBelow(StopRule):
    """Stop once the Gaussian process of the trials expects next to no improvement, wherever it is asked.

    The rule looks for the largest expected improvement over the best trial (its mean under the model) and stops when it
    is below `tolerance` times the spread of the values: the standard deviation of all values, those above their median
    on a logarithmic scale; see `hypergrad.samplers.warping`. The model is that of `samplers.Bayes`, fitted after each
    trial, whichever sampler runs the study.

    Args:
        tolerance: > 0, a share of the spread.
        trials: finite values without which the rule does not speak, >= 2; fewer tell a model little.
        gradients: whether the model uses hypergradients.
        rows: values and derivatives in the model, at most.

    Raises:
        StudyError: arguments outside their domain.

    Source: Jones et al., Efficient global optimization, J. Global Optimization 13 (1998), section 4.2, who stop when
    the expected improvement is below 1 % of the best value.
    """

    tolerance: float = 1e-3
    trials: int = 10
    gradients: bool = True
    rows: int = 400

    def __post_init__(self) -> None:
        name = "ExpectedImprovementBelow"
        tolerance = checks.amount(self.tolerance, f"tolerance of {name}")
        if not tolerance > 0.0:
            raise StudyError(f"tolerance of {name} is {tolerance}, expected a number > 0")
        object.__setattr__(self, "tolerance", tolerance)
        for field in ("trials", "rows"):
            if checks.index(getattr(self, field), f"{field} of {name}") < 2:
                raise StudyError(f"{field} of {name} is {getattr(self, field)}, expected at least 2")

    def reason(self, space: Space, history: Sequence[Record]) -> str | None:
        """The largest expected improvement, when it is small."""
        values = [record.value for record in history if _finite(record)]
        if len(values) < self.trials or min(values) == max(values):
            return None
        from hypergrad.bayesopt.acquisition import LogEI
        from hypergrad.samplers.surrogate import Surrogate

        surrogate = Surrogate.of(space, history, gradients=self.gradients, rows=self.rows)
        rng = generator(0, len(history))
        _, utility = surrogate.maximum(LogEI(surrogate.best), rng)
        expected = math.exp(utility) / surrogate.scale
        if expected >= self.tolerance:
            return None
        return (
            f"the model of {len(history)} trials expects improvements of {expected:.2g} of the spread of the values "
            f"at most, less than {self.tolerance:.6g}"
        )


def rules(given: StopRule | Iterable[StopRule]) -> tuple[StopRule, ...]:
    """Stop rules as a tuple.

    Raises:
        StudyError: something that is no rule.
    """
    found = (given,) if isinstance(given, StopRule) else given
    if not isinstance(found, Iterable) or isinstance(found, str):
        raise StudyError(f"stop is {given!r}, expected a rule such as hg.Patience(20), or a list of them")
    found = tuple(found)
    for each in found:
        if not isinstance(each, StopRule):
            hint = f"; write {each.__name__}() with its settings" if isinstance(each, type) else ""
            raise StudyError(
                f"stop holds {each!r}, expected rules such as hg.Target(0.1) or hg.Patience(20){hint}"
            )
    return found


def reason_to_stop(given: Iterable[StopRule], space: Space, history: Iterable[Record]) -> str | None:
    """What the first rule with a reason says, of the finished trials of a history; None: go on."""
    finished = [record for record in history if record.state != "running"]
    for rule in given:
        found = rule.reason(space, finished)
        if found is not None:
            return found
    return None


def _finite(record: Record) -> bool:
    return record.state == "complete" and math.isfinite(record.value)


def _best(history: Sequence[Record]) -> Record | None:
    return min(filter(_finite, history), key=lambda record: (record.value, record.number), default=None)
