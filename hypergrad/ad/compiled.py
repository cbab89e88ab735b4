"""`compile`: a function traced, optimised and planned once a signature, then run on buffers."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.api import as_array, is_static, own
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import optimize
from hypergrad.ad.trace import is_traced, trace, type_of

__all__ = ["compile"]


class _Compiled:
    """One signature of a compiled function."""

    def __init__(
        self, f: Callable[..., Any], leaves: list[Any], structure: tree.Structure, active: list[bool]
    ) -> None:
        name = getattr(f, "__name__", type(f).__name__)

        def flat(*tracers: Any) -> list[Any]:
            stream = iter(tracers)
            mixed = [next(stream) if a else leaf for a, leaf in zip(active, leaves, strict=True)]
            args, kwargs = structure.unflatten(mixed)
            found, self.out = tree.flatten(f(*args, **kwargs))
            self.static = [leaf if is_static(leaf) else None for leaf in found]
            self.kinds = [is_static(leaf) for leaf in found]
            return [as_array(leaf, f"the result of {name}") for leaf in found if not is_static(leaf)]

        self.out = tree.LEAF
        self.static: list[Any] = []
        self.kinds: list[bool] = []
        types = [type_of(leaf) for leaf, a in zip(leaves, active, strict=True) if a]
        self.program = optimize(trace(flat, types, name))
        self.executable = Executable(self.program)

    def __call__(self, values: list[Any]) -> Any:
        if any(is_traced(value) for value in values) or self._open():
            found = evaluate(self.program, values)
        else:
            found = own(self.executable(*[np.asarray(value) for value in values]))
        stream = iter(found)
        return self.out.unflatten(
            [known if k else next(stream) for known, k in zip(self.static, self.kinds, strict=True)]
        )

    def _open(self) -> bool:
        """Whether a constant of the program belongs to an enclosing trace."""
        return any(
            is_traced(getattr(atom, "value", None)) for eq in self.program.equations for atom in eq.inputs
        ) or any(is_traced(getattr(atom, "value", None)) for atom in self.program.outputs)


def compile(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, traced once a signature (trees, shapes, dtypes, static leaves) and then run fast.

    Args:
        f: plain NumPy function of trees of arrays. Python ints, bools, strings and None are static: part
            of the signature. Arrays, NumPy scalars and Python floats are not; f must not branch on them.

    Returns:
        A function of the same arguments and values (up to rounding), whose results are fresh arrays.
        Threads may call it at once. ``.signatures()`` counts the compiled signatures, ``.program(*args)`` is the
        optimised Program for given arguments.

    Raises:
        TracingError: f uses the number of a traced value.
    """
    cache: dict[Any, _Compiled] = {}
    lock = threading.Lock()

    def entry(args: tuple, kwargs: dict) -> tuple[_Compiled, list[Any]]:
        leaves, structure = tree.flatten((args, kwargs))
        arrays = [
            leaf
            if is_static(leaf) or type(leaf) is float
            else as_array(leaf, "an argument of a compiled function")
            for leaf in leaves
        ]
        active = [not is_static(leaf) for leaf in arrays]
        key = (
            structure,
            tuple(type_of(leaf) if a else (type(leaf), leaf) for leaf, a in zip(arrays, active, strict=True)),
        )
        found = cache.get(key)
        if found is None:
            with lock:
                found = cache.get(key)
                if found is None:
                    found = _Compiled(f, arrays, structure, active)
                    if not found._open():
                        cache[key] = found
        return found, [leaf for leaf, a in zip(arrays, active, strict=True) if a]

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, values = entry(args, kwargs)
        return found(values)

    wrapped.signatures = lambda: len(cache)  # type: ignore[attr-defined]
    wrapped.program = lambda *args, **kwargs: entry(args, kwargs)[0].program  # type: ignore[attr-defined]
    return wrapped
