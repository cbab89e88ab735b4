"""`compile`: a function traced, optimised and planned once a signature, then run on buffers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.arguments import Results, as_value, is_static, name_of, own, run
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.optimize import optimize
from hypergrad.ad.program import Const, Program
from hypergrad.ad.trace import is_traced, trace, type_of

__all__ = ["compile"]


class _Compiled:
    """One signature of a compiled function.

    Attributes:
        traced: the Program as it was traced, which derivatives are taken of.
        program: the same, optimised.
        open: a constant belongs to an enclosing trace, so that the numbers are not known yet.
    """

    def __init__(
        self, f: Callable[..., Any], leaves: list[Any], structure: tree.Structure, active: list[bool]
    ) -> None:
        name = name_of(f)
        self.out = Results()

        def flat(*tracers: Any) -> list[Any]:
            stream = iter(tracers)
            mixed = [next(stream) if a else leaf for a, leaf in zip(active, leaves, strict=True)]
            args, kwargs = structure.unflatten(mixed)
            self.out, arrays = Results.of(f(*args, **kwargs), name)
            return arrays

        types = [type_of(leaf) for leaf, a in zip(leaves, active, strict=True) if a]
        self.traced = trace(flat, types, name)
        atoms = [*(atom for eq in self.traced.equations for atom in eq.inputs), *self.traced.outputs]
        self.open = any(isinstance(atom, Const) and is_traced(atom.value) for atom in atoms)

    @cached_property
    def program(self) -> Program:
        return optimize(self.traced)

    @cached_property
    def executable(self) -> Executable:
        return Executable(self.program)

    def __call__(self, values: list[Any]) -> Any:
        if self.open or any(is_traced(value) for value in values):
            found = run(self.traced, values)
        else:
            found = own(self.executable(*[np.asarray(value) for value in values]))
        return self.out.tree(found)


def _orders(structure: tree.Structure) -> tuple:
    """Orders of dict keys, which structures do not compare but a function may see."""
    return (structure.order, tuple(_orders(child) for child in structure.children if child.children))


def _argument(path: str) -> str:
    """What errors call the leaf of (args, kwargs) at `path`."""
    kind, _, name = path.partition("/")
    name, _, rest = name.partition("/")
    return f"argument {name if kind == '0' else name + '='}" + (f", leaf {rest!r}," if rest else "")


def compile(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, traced once a signature (trees, shapes, dtypes, static leaves) and then run fast.

    Args:
        f: plain NumPy function of trees of arrays. Python ints, bools, strings and None are static: part
            of the signature. Arrays, NumPy scalars and Python floats are not; f must not branch on them.
            What f closes over is a constant from the first call on: change it, and make a new function.

    Returns:
        A function of the same arguments and values (up to rounding), whose results are fresh arrays.
        Threads may call it at once. ``.signatures()`` counts the compiled signatures, ``.program(*args)`` is the
        optimised Program for given arguments.

    Raises:
        TracingError: f uses the number of a traced value.
    """
    cache: dict[Any, _Compiled] = {}

    def entry(args: tuple, kwargs: dict) -> tuple[_Compiled, list[Any]]:
        leaves, structure = tree.flatten((args, kwargs))
        arrays = [
            leaf if is_static(leaf) else as_value(leaf, f"{_argument(path)} of {name_of(f)}")
            for path, leaf in zip(structure.paths(), leaves, strict=True)
        ]
        active = [not is_static(leaf) for leaf in arrays]
        key = (
            structure,
            _orders(structure),
            tuple(type_of(leaf) if a else (type(leaf), leaf) for leaf, a in zip(arrays, active, strict=True)),
        )
        found = cache.get(key)
        if found is None:
            # no lock while the user's function runs: it may call this one again, in this or another thread
            found = _Compiled(f, arrays, structure, active)
            if not found.open:
                found = cache.setdefault(key, found)
        return found, [leaf for leaf, a in zip(arrays, active, strict=True) if a]

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, values = entry(args, kwargs)
        return found(values)

    wrapped.signatures = lambda: len(cache)  # type: ignore[attr-defined]
    wrapped.program = lambda *args, **kwargs: entry(args, kwargs)[0].program  # type: ignore[attr-defined]
    return wrapped
