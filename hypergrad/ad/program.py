"""Program: a typed Wengert list, checked whenever one is built, printable.

A Program is a straight line of equations ``outputs = primitive(inputs; params)`` over variables
of known shape and dtype. Every transformation of the engine (jvp, linearize, transpose,
optimisation, compilation) maps Programs to Programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hypergrad.errors import TracingError

__all__ = ["ArrayType", "Atom", "Const", "Equation", "Primitive", "Program", "Var"]

_SHORT = {"float": "f", "int": "i", "uint": "u", "complex": "c"}


@dataclass(frozen=True, slots=True)
class ArrayType:
    """Shape and dtype of a value.

    Attributes:
        weak: the value came from a Python number, whose dtype yields to that of arrays (NEP 50).
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    weak: bool = False

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def differentiable(self) -> bool:
        return self.dtype.kind in "fc"

    def __str__(self) -> str:
        name = self.dtype.name
        stem = name.rstrip("0123456789")
        short = _SHORT[stem] + str(8 * self.dtype.itemsize) if stem in _SHORT else name
        return f"{short}[{','.join(map(str, self.shape))}]"


class Var:
    """A variable of a Program; equal only to itself."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type


class Const:
    """A constant operand: an ndarray, or a tracer of an enclosing trace."""

    __slots__ = ("type", "value")

    def __init__(self, value: Any, type: ArrayType) -> None:
        self.value = value
        self.type = type


Atom = Var | Const


@dataclass(frozen=True)
class Primitive:
    """One operation and all of its rules.

    Attributes:
        name: shown in printed Programs.
        infer: ``infer(*types, **params) -> ArrayType`` (a tuple of them when `multiple`).
        call: the NumPy call ``call(*arrays, **params) -> array`` (a tuple when `multiple`).
        jvp: ``jvp(out, tangents, inputs, **params) -> tangent``; a zero tangent is None; emits
            equations that are linear in the tangents. None: the derivative is zero everywhere.
        transpose: for an operation linear in some operands,
            ``transpose(ct, inputs, types, **params) -> cotangent of each input``; `inputs` holds None in
            the linear places, and only those places of the answer are read.
        multiple: the primitive has several outputs; `out`, `tangent` and `ct` are then tuples.
        ufunc: the elementwise ufunc that `call` is, when it is one: ``ufunc(*arrays, out)`` may write in place.
        view: the NumPy result is a view of the first operand where its memory layout allows.
        joint: in the place of `jvp`, ``joint(inputs, tangents, **params) -> (out, tangent)``, for an operation whose
            value and derivative are computed together; linear in the tangents as well.
    """

    name: str
    infer: Callable[..., Any]
    call: Callable[..., Any]
    jvp: Callable[..., Any] | None = None
    transpose: Callable[..., Any] | None = None
    multiple: bool = False
    ufunc: Any = None
    view: bool = False
    joint: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        return self.name

    def types(self, types: Sequence[ArrayType], params: dict[str, Any]) -> tuple[ArrayType, ...]:
        """The output types of one equation."""
        found = self.infer(*types, **params)
        return found if self.multiple else (found,)


@dataclass(frozen=True, slots=True)
class Equation:
    """``outputs = primitive(inputs; params)``; `where` names the user's source line."""

    primitive: Primitive
    inputs: tuple[Atom, ...]
    outputs: tuple[Var, ...]
    params: dict[str, Any] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True)
class Program:
    """A checked straight-line program from `inputs` to `outputs`."""

    inputs: tuple[Var, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Atom, ...]
    name: str = "program"

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise TracingError unless every variable is defined once, before use, with the type that its rule infers."""
        known = set(self.inputs)
        if len(known) != len(self.inputs):
            raise TracingError(f"{self.name}: an input is listed twice")
        for number, eq in enumerate(self.equations):
            for atom in eq.inputs:
                if isinstance(atom, Var) and atom not in known:
                    raise TracingError(
                        f"{self.name}: equation {number} ({eq.primitive.name}) reads an undefined variable"
                    )
            types = eq.primitive.types([atom.type for atom in eq.inputs], eq.params)
            if len(types) != len(eq.outputs):
                raise TracingError(
                    f"{self.name}: equation {number} ({eq.primitive.name}) has {len(eq.outputs)} outputs, "
                    f"its rule gives {len(types)}"
                )
            for var, expected in zip(eq.outputs, types, strict=True):
                if var.type.shape != expected.shape or var.type.dtype != expected.dtype:
                    raise TracingError(
                        f"{self.name}: equation {number} ({eq.primitive.name}) gives {expected}, "
                        f"its variable has type {var.type}"
                    )
                if var in known:
                    raise TracingError(f"{self.name}: equation {number} redefines a variable")
                known.add(var)
        for atom in self.outputs:
            if isinstance(atom, Var) and atom not in known:
                raise TracingError(f"{self.name}: an output is never defined")

    def __str__(self) -> str:
        names: dict[Var, str] = {}
        fresh = map(_letters, itertools.count())

        def show(atom: Atom) -> str:
            if isinstance(atom, Var):
                return names[atom]
            if isinstance(atom.value, np.ndarray) and atom.value.size == 1:
                return f"{atom.value.item():.6g}" if atom.type.dtype.kind == "f" else str(atom.value.item())
            return f"const:{atom.type}"

        def define(variables: Iterable[Var]) -> str:
            for var in variables:
                names[var] = next(fresh)
            return ", ".join(f"{names[var]}:{var.type}" for var in variables)

        lines = [f"{self.name}({define(self.inputs)})"]
        for eq in self.equations:
            shown = " ".join([eq.primitive.name, *map(show, eq.inputs)])
            params = ", ".join(f"{key}={value}" for key, value in eq.params.items())
            where = f"    # {eq.where}" if eq.where else ""
            lines.append(f"  {define(eq.outputs)} = {shown}{f' [{params}]' if params else ''}{where}")
        lines.append(f"  return {', '.join(map(show, self.outputs))}")
        return "\n".join(lines)


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..."""
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        name = chr(ord("a") + digit) + name
    return name
