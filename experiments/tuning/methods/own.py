"""The samplers of hypergrad, driven through `Study.ask` and `Study.tell`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial

import hypergrad as hg
from hypergrad.errors import ExhaustedError
from hypergrad.samplers import SAMPLERS, Sampler
from methods.base import Method, Session

__all__ = ["OWN"]


def search(make: Callable[[], Sampler], session: Session) -> None:
    """Ask, evaluate with a gradient where the sampler wants one, tell."""
    space = session.problem.space
    study = hg.Study(session.problem.name, space, sampler=make(), seed=session.seed)
    while True:
        try:
            trial = study.ask()
        except ExhaustedError:
            session.note("exhausted")
            return
        found = session.evaluate(trial.hparams, trial.wants_gradient)
        # a hypergradient that came with a warning is left out, as `Study.optimize` does
        trusted = found.extras.get("trusted", 1.0) > 0.0
        study.tell(trial, found.value, found.gradient if trusted else None, cost=found.cost)


def _methods() -> dict[str, Method]:
    """Every registered sampler, and those with a switch for gradients with it off as well."""
    found: dict[str, Method] = {}
    for name, kind in SAMPLERS.items():
        found[name] = Method(
            partial(search, kind), f"hypergrad.samplers.{kind.__name__}()", gradients=name == "gradient"
        )
        if any(field.name == "gradients" for field in fields(kind)):  # type: ignore[arg-type]
            plain = partial(kind, gradients=False)  # type: ignore[call-arg]
            found[f"{name}-values"] = Method(
                partial(search, plain), f"hypergrad.samplers.{kind.__name__}(gradients=False)"
            )
    return found


OWN: dict[str, Method] = _methods()
