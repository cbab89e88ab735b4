"""Arguments and results of traced functions: which leaves are arrays, floats, or static.

Leaves of arguments: arrays of floats and Python floats are differentiated; a Python int, bool, str or
None is static, seen by the function as it is, and its derivative is None.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad import dispatch as _dispatch  # noqa: F401 - fills the tables of the tracer
from hypergrad.ad.forward import evaluate
from hypergrad.ad.memory import alias
from hypergrad.ad.program import Const, Program
from hypergrad.ad.trace import is_traced, trace, type_of
from hypergrad.errors import DerivativeError, HypergradError, TreeError

__all__ = ["ARRAY", "Results", "Traced", "as_array", "as_value", "is_static", "name_of", "own", "run"]


def name_of(function: Any) -> str:
    """The name that errors use for a function."""
    while not hasattr(function, "__name__") and hasattr(function, "func"):
        function = function.func  # functools.partial
    return getattr(function, "__name__", type(function).__name__)


def is_static(leaf: Any) -> bool:
    """Whether a leaf is concrete in user code: an int, bool, str or None of Python."""
    return leaf is None or (isinstance(leaf, bool | int | str) and not isinstance(leaf, np.generic))


def as_array(leaf: Any, name: str, kinds: str = "fiub") -> Any:
    """The leaf as an array of numbers, or the tracer that it is.

    Raises:
        TreeError: objects, strings or (unless `kinds` has a "c") complex numbers.
    """
    if is_traced(leaf):
        return leaf
    if "numpy.ma" in sys.modules and np.ma.isMaskedArray(leaf) and np.ma.is_masked(leaf):
        raise TreeError(
            f"{name} has masked entries, whose meaning would be lost; fill them first (.filled(0.0))"
        )
    try:
        array = np.asarray(leaf)
    except TypeError as error:  # an object whose conversion fails, such as one that holds tracers
        if isinstance(error, HypergradError):
            raise
        raise TreeError(f"{name} must be an array of real numbers, got {type(leaf).__name__}") from error
    if array.dtype.kind not in kinds:
        raise TreeError(
            f"{name} must be an array of real numbers, got {type(leaf).__name__} "
            f"(dtype {array.dtype}, shape {array.shape}); convert it to floats first"
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def as_value(leaf: Any, name: str) -> Any:
    """`as_array`, but a Python float stays one: its dtype yields to that of arrays."""
    return leaf if type(leaf) is float else as_array(leaf, name)


@dataclass(frozen=True)
class Results:
    """What a traced function returned: a tree, some leaves of which are static (kept as they are).

    Attributes:
        structure: the tree.
        static: its leaves, with `ARRAY` in the place of each array.
    """

    structure: tree.Structure = tree.LEAF
    static: tuple[Any, ...] = ()

    @staticmethod
    def of(found: Any, name: str) -> tuple[Results, list[Any]]:
        """The results of the function `name`, and their arrays."""
        leaves, structure = tree.flatten(found)
        arrays = [as_array(leaf, f"the result of {name}", "fiubc") for leaf in leaves if not is_static(leaf)]
        return Results(structure, tuple(leaf if is_static(leaf) else ARRAY for leaf in leaves)), arrays

    def tree(self, arrays: Sequence[Any]) -> Any:
        """The tree with the given arrays."""
        stream = iter(arrays)
        return self.structure.unflatten([next(stream) if leaf is ARRAY else leaf for leaf in self.static])

    def derivatives(self, arrays: Sequence[Any]) -> Any:
        """The tree of something for each array, and None in the places of the static leaves."""
        stream = iter(arrays)
        return self.structure.unflatten([next(stream) if leaf is ARRAY else None for leaf in self.static])


ARRAY = object()  # the place of an array among static results


class Traced:
    """A function traced at given arguments, as a Program of the leaves that are differentiated.

    Args:
        each: every argument in `argnums` must have a float leaf; else one of them suffices.

    Attributes:
        program: float leaves of the arguments in `argnums` -> leaves of the result.
        values: those float leaves.
        structures: for each of `argnums`, its tree, and which of its leaves are floats.
        out: the tree of the result; its arrays are the outputs of `program`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        kwargs: dict,
        each: bool = True,
    ) -> None:
        self.name = name = name_of(function)
        self.values: list[Any] = []
        self.structures: list[tuple[tree.Structure, list[bool]]] = []
        flats: dict[int, list[Any]] = {}
        for number in argnums:
            leaves, structure = tree.flatten(args[number])
            active = []
            for path, leaf in zip(structure.paths(), leaves, strict=True):
                where = f"argument {number} of {name}" + (f", leaf {path!r}" if path else "")
                value = None if is_static(leaf) else as_value(leaf, where)
                active.append(value is not None and type_of(value).differentiable)
                if active[-1]:
                    self.values.append(value)
            if each and not any(active) and leaves:
                raise DerivativeError(
                    f"argument {number} of {name} has no float to differentiate with respect to "
                    f"(got {_kinds(leaves)}); write 1.0 instead of 1, or convert it with .astype(float)"
                )
            flats[number] = leaves
            self.structures.append((structure, active))
        if not each and not self.values:
            found = [leaf for leaves in flats.values() for leaf in leaves]
            raise DerivativeError(
                f"no argument of {name} has a float to differentiate with respect to "
                f"(got {_kinds(found)}); write 1.0 instead of 1, or convert it with .astype(float)"
            )

        def flat(*tracers: Any) -> list[Any]:
            stream = iter(tracers)
            full = list(args)
            for number, (structure, active) in zip(argnums, self.structures, strict=True):
                mixed = [next(stream) if a else leaf for a, leaf in zip(active, flats[number], strict=True)]
                full[number] = structure.unflatten(mixed)
            self.out, arrays = Results.of(function(*full, **kwargs), name)
            return arrays

        self.out = Results()
        self.program = trace(flat, [type_of(value) for value in self.values], name)

    def unflatten(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """One tree an argument from one value a float leaf; None at the other leaves."""
        stream = iter(leaves)
        return tuple(
            structure.unflatten([next(stream) if a else None for a in active])
            for structure, active in self.structures
        )


def _kinds(leaves: Sequence[Any]) -> str:
    kinds = {
        type(leaf).__name__ if is_static(leaf) else str(as_array(leaf, "a leaf").dtype) for leaf in leaves
    }
    return ", ".join(sorted(kinds)) or "nothing"


def own(values: Sequence[Any], inputs: Sequence[Any] = ()) -> list[Any]:
    """Values that share no memory with inputs, constants or each other; 0-d arrays as NumPy scalars."""
    owned: list[Any] = []
    seen: set[int] = {id(x) for x in inputs}
    for value in values:
        if not is_traced(value):
            value = np.asarray(value)
            if value.ndim == 0:
                value = value[()]
            elif value.base is not None or not value.flags.writeable or id(value) in seen:
                value = value.copy()
            seen.add(id(value))
        else:
            value = alias(value)
        owned.append(value)
    return owned


def run(program: Program, values: Sequence[Any]) -> list[Any]:
    """The outputs of `program` as arrays of their own."""
    constants = [atom.value for atom in program.outputs if isinstance(atom, Const)]
    return own(evaluate(program, values), [*values, *constants])
