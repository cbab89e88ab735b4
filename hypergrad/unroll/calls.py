"""How a problem's functions are called: arguments checked when the problem is made, draws on request."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from hypergrad.errors import ProblemError

__all__ = ["check_call", "drawing"]


def check_call(name: str, function: Any, arguments: tuple[str, ...], rng: str = "") -> None:
    """Raise ProblemError unless `function` can be called with as many positional arguments.

    Args:
        name: of the function, as the user knows it.
        arguments: their names.
        rng: "" (no draws), "keyword" or "positional": how random draws are passed after them.
    """
    if not callable(function):
        raise ProblemError(f"{name} must be a function, got {type(function).__name__}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # a built-in that tells nothing of itself
        return
    extra = ("rng",) if rng == "positional" else ()
    try:
        signature.bind(*arguments, *extra, **({"rng": "rng"} if rng == "keyword" else {}))
    except TypeError:
        raise ProblemError(
            f"{name} is called with the arguments ({', '.join(arguments)}), but it takes {signature}"
        ) from None


def drawing(name: str, function: Any, arguments: tuple[str, ...]) -> Callable[..., Any]:
    """``f(rng, *arguments)``, which passes rng to a function that asks for it.

    A function asks by an argument called rng, or by one positional argument more than `arguments`.

    Raises:
        ProblemError: `function` cannot be called so.
    """
    how = _how(function, len(arguments))
    check_call(name, function, arguments, how)
    return functools.partial(_call, function, how)


def _call(function: Callable[..., Any], how: str, rng: Any, *args: Any) -> Any:
    if how == "keyword":
        return function(*args, rng=rng)
    return function(*args, rng) if how == "positional" else function(*args)


def _how(function: Any, count: int) -> str:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return ""
    named = parameters.get("rng")
    if named is not None and named.kind in (named.POSITIONAL_OR_KEYWORD, named.KEYWORD_ONLY):
        return "keyword"
    required = [
        p
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return "positional" if len(required) > count else ""
