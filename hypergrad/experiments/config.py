"""config.toml and expected.json of an experiment, read and validated."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hypergrad.errors import ExperimentError, StudyError
from hypergrad.study.codec import encode

__all__ = ["SCALES", "Config", "Expected", "Setting", "read_config", "read_expected"]

SCALES = ("full", "smoke")
Number = bool | int | float
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Setting:
    """A config at one scale: the axes, ``seed`` first, and the parameters."""

    axes: dict[str, list[Any]]
    parameters: dict[str, Any]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Smoke(_Strict):
    """What the smoke scale changes."""

    seeds: list[int] | None = None
    axes: dict[str, list[Any]] = {}
    parameters: dict[str, Any] = {}


class Config(_Strict):
    """config.toml.

    Attributes:
        title: one line.
        paper: authors, year, figure or table; for a benchmark, what it is measured against.
        claim: what is reproduced, in a sentence.
        headline: quantities shown in the table of all experiments, the most telling first.
        seeds: of the runs.
        needs: importable names of what has to be installed beside hypergrad.
        data: files (globs, relative to the folder) whose content the results depend on.
        axes: further axes than ``seed``: name -> values.
        parameters: name -> value, passed to the functions that ask for them.
        smoke: what differs at the smoke scale.
    """

    title: str
    paper: str
    claim: str
    headline: list[str] = []
    seeds: list[int] = Field(default=[0], min_length=1)
    needs: list[str] = []
    data: list[str] = []
    axes: dict[str, list[Any]] = {}
    parameters: dict[str, Any] = {}
    smoke: Smoke = Smoke()

    @model_validator(mode="after")
    def _names(self) -> Config:
        for part, known in (("axes", self.axes), ("parameters", self.parameters)):
            for name in getattr(self.smoke, part):
                if name not in known:
                    raise ValueError(f"smoke.{part} sets {name!r}, which [{part}] does not have")
        clash = {"seed", *self.axes} & set(self.parameters) or {"seed"} & set(self.axes)
        if clash:
            raise ValueError(f"{sorted(clash)[0]!r} is both an axis and a parameter, or an axis twice")
        lists = [*self.axes.items(), ("seeds", self.seeds)]
        lists += [(f"smoke.axes.{name}", values) for name, values in self.smoke.axes.items()]
        lists += [] if self.smoke.seeds is None else [("smoke.seeds", self.smoke.seeds)]
        for name, values in lists:
            odd = [v for v in values if not isinstance(v, str | bool | int | float) or v != v]
            if odd:
                raise ValueError(f"{name} has the value {odd[0]!r}; use numbers, strings and booleans")
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} is {values!r}, expected one or more distinct values")
        for name, given in (("parameters", self.parameters), ("smoke.parameters", self.smoke.parameters)):
            try:
                encode(given, name)
            except StudyError as error:
                raise ValueError(str(error)) from None
        for name in self.needs:
            if not all(map(str.isidentifier, name.split("."))):
                raise ValueError(f"needs has {name!r}; use the name that is imported, as 'sklearn'")
        return self

    def at(self, scale: str) -> Setting:
        """The axes and parameters at a scale of `SCALES`."""
        if scale == "full":
            return Setting({"seed": self.seeds, **self.axes}, self.parameters)
        seeds = self.seeds if self.smoke.seeds is None else self.smoke.seeds
        axes = {"seed": seeds, **self.axes, **self.smoke.axes}
        return Setting(axes, {**self.parameters, **self.smoke.parameters})


class Bound(_Strict):
    """What is accepted of a quantity: within `tolerance` of `expected`, and between the other two."""

    expected: Number | None = None
    tolerance: float = Field(default=0.0, ge=0.0)
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _together(self) -> Bound:
        if self.tolerance and self.expected is None:
            raise ValueError("tolerance is given without expected")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least is {self.at_least:g}, above at_most, {self.at_most:g}")
        return self

    @property
    def some(self) -> bool:
        """Whether anything is asked."""
        return self.expected is not None or self.at_least is not None or self.at_most is not None

    def accepts(self, value: float) -> bool:
        """Whether a value is accepted; nan never is."""
        near = self.expected is None or abs(value - float(self.expected)) <= self.tolerance
        above = self.at_least is None or value >= self.at_least
        return near and above and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        parts = []
        if isinstance(self.expected, bool):
            parts.append("yes" if self.expected else "no")
        elif self.expected is not None:
            parts.append(f"{self.expected:g}" + (f" ± {self.tolerance:g}" if self.tolerance else ""))
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:g}")
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:g}")
        return ", ".join(parts)


class Expected(Bound):
    """An entry of expected.json: a quantity, what the source says of it, and what is accepted here.

    Attributes:
        about: what the quantity is, with its unit.
        theirs: the source's number, or the ordering that it found, as text or number.
        expected: the number or truth value expected.
        tolerance: largest accepted distance from it; 0: equal.
        at_least: least accepted value.
        at_most: greatest accepted value.
        gate: whether a value outside fails the experiment; else it is reported as deviating.
        judge: ``"each"``: the value of each seed has to be accepted; ``"mean"``: their mean.
        smoke: other bounds for the smoke scale; ``false``: not judged there, where it may be absent. None: the same
            bounds.
    """

    about: str
    theirs: str | float | None = None
    gate: bool = True
    judge: Literal["each", "mean"] = "each"
    smoke: Bound | Literal[False] | None = None

    @field_validator("smoke", mode="before")
    @classmethod
    def _not_true(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("smoke is true, expected false or an object of bounds")
        return value

    def at(self, scale: str) -> Bound:
        """The bounds at a scale; of none, everything is accepted."""
        if scale == "full" or self.smoke is None:
            return self
        return Bound() if self.smoke is False else self.smoke


def read_config(path: Path) -> Config:
    """config.toml.

    Raises:
        ExperimentError: it is missing, no TOML, or not as `Config` says.
    """
    text = _text(path)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of too many digits, and too deep nesting
        raise ExperimentError(f"{path} is not valid TOML: {error}") from None
    return _validated(Config, content, path)


def read_expected(path: Path) -> dict[str, Expected]:
    """expected.json: quantity -> `Expected`.

    Raises:
        ExperimentError: it is missing, no JSON, or not as `Expected` says.
    """
    text = _text(path)
    try:
        content = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except ExperimentError:
        raise
    except (ValueError, RecursionError) as error:
        raise ExperimentError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ExperimentError(
            f"{path} holds a {type(content).__name__}, expected an object: quantity -> entry"
        )
    return {name: _validated(Expected, entry, path, name) for name, entry in content.items()}


def _once(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """A JSON object; the second of two entries of one name would hide the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ExperimentError(f"{path} has {twice!r} twice; remove one")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ExperimentError(
            f"{path.parent} has no {path.name}, so it is no experiment; 'hypergrad new-experiment' makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path} cannot be read: {error}") from None


def _validated(model: type[Model], content: Any, path: Path, entry: str = "") -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        first = next(
            (e for e in found if e["type"] == "extra_forbidden"), found[0]
        )  # a misspelt name explains more
        loc = [part for part in first["loc"] if not str(part).startswith(_VALIDATORS)]
        what = first["msg"].removeprefix("Value error, ").partition(" or instance of ")[0]
        if loc and loc[-1] in _KINDS:
            loc = loc[:-1]
            kinds = [e["msg"].removeprefix("Input should be ") for e in found if [*e["loc"][:-1]] == loc]
            what = f"Input should be {' or '.join(kinds)}"
        place = ".".join(map(str, (*([entry] if entry else []), *loc)))
        where = f"{path}: {place}: " if place else f"{path}: "
        inner = _SMOKE[model] if first["loc"][:-1] else model
        hint = f"; it may have {', '.join(inner.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise ExperimentError(f"{where}{what}{hint}") from None


_KINDS = ("bool", "int", "float", "str")  # of a key that may be one of several
_VALIDATORS = ("function-after[", "literal[")
_SMOKE: dict[Any, type[BaseModel]] = {Config: Smoke, Expected: Bound}  # of a model: that of its key ``smoke``
