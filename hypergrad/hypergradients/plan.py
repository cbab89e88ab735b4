"""What a method would do and cost, said before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Plan", "total"]


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
            f"  keeps      {size(self.bytes)}",
            f"  runs       {self.step_evaluations:,} step evaluations for T = {self.steps:,}: "
            f"{self.forward_steps:,} forward, {self.linearised_steps:,} linearised",
            f"  takes      about {self.factor:.2g} training runs",
            *([f"  because    {self.why}"] if self.why else []),
        ]
        return "\n".join(lines)


def total(plans: Sequence[Plan]) -> Plan:
    """What several runs cost one after the other: their steps together, the bytes of the largest."""
    first = plans[0]
    if len(plans) == 1:
        return first
    forward = sum(plan.forward_steps for plan in plans)
    linearised = sum(plan.linearised_steps for plan in plans)
    return replace(
        first,
        what=f"{first.what}, in each of {len(plans)} runs",
        bytes=max(plan.bytes for plan in plans),
        forward_steps=forward,
        linearised_steps=linearised,
        factor=sum(plan.factor for plan in plans) / len(plans),
    )


def size(count: int) -> str:
    """Bytes for people: ``12.3 MiB``."""
    if count < 1024:
        return f"{count} bytes"
    number, unit = count / 1024, "KiB"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.3g} {unit} ({count:,} bytes)"
