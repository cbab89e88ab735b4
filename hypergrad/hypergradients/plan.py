"""What a method would do and cost, said before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Plan", "size", "times", "total"]


@dataclass(frozen=True)
class Plan:
    """The cost of one value and hypergradient.

    Attributes:
        method: the method, with its arguments.
        what: what is done, one sentence.
        steps: T.
        bytes: kept for the derivative, at its peak.
        forward_steps: training steps that are run.
        linearised_steps: steps that are run together with their vjp, or with their jvp.
        factor: predicted time, in training runs.
        why: why this method and this plan; empty where nothing was chosen.
    """

    method: str
    what: str
    steps: int
    bytes: int
    forward_steps: int
    linearised_steps: int
    factor: float
    why: str = ""

    @property
    def step_evaluations(self) -> int:
        """Training steps run, forwards and linearised."""
        return self.forward_steps + self.linearised_steps

    def __str__(self) -> str:
        lines = [
            f"{self.method}: {self.what}",
            f"  keeps      {size(self.bytes)} ({self.bytes:,} bytes)",
            f"  runs       {self.step_evaluations:,} step evaluations for T = {self.steps:,}: "
            f"{self.forward_steps:,} forward, {self.linearised_steps:,} linearised",
            f"  takes      about {times(self.factor)} training runs",
            *([f"  because    {self.why}"] if self.why else []),
        ]
        return "\n".join(lines)


def total(plans: Sequence[tuple[Plan, int]]) -> Plan:
    """What several runs cost: (plan, how many runs are made together by it), one after the other."""
    first = plans[0][0]
    runs = sum(count for _, count in plans)
    if runs == 1:
        return first
    together = max(count for _, count in plans)
    how = f"{together} together" if together > 1 else "one after the other"
    return replace(
        first,
        what=f"{first.what}, in each of {runs} runs, {how}",
        bytes=max(plan.bytes for plan, _ in plans),
        forward_steps=sum(plan.forward_steps * count for plan, count in plans),
        linearised_steps=sum(plan.linearised_steps * count for plan, count in plans),
        factor=sum(plan.factor * count for plan, count in plans) / runs,
    )


def times(factor: float) -> str:
    """A factor for people: ``2.3``, ``570``."""
    return f"{factor:.2g}" if factor < 10 else f"{factor:,.0f}"


def size(count: int) -> str:
    """Bytes for people, to three digits: ``12.3 MiB``."""
    if count < 1024:
        return f"{count} bytes"
    number, unit = count / 1024, "KiB"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.3g} {unit}"
