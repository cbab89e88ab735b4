"""`custom_rule`: a function whose derivative is given, by a jvp or by a vjp; both modes follow from either."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.ad.arguments import ARRAY, Results, as_value, is_static, name_of
from hypergrad.ad.control import captured, strong_array
from hypergrad.ad.forward import evaluate
from hypergrad.ad.primitives.control import Body
from hypergrad.ad.primitives.custom import custom_p
from hypergrad.ad.primitives.linear import convert
from hypergrad.ad.program import ArrayType, Atom, Program, Var
from hypergrad.ad.reverse import transpose
from hypergrad.ad.trace import bind, is_traced, trace, type_of
from hypergrad.errors import DerivativeError, ShapeError, TreeError

__all__ = ["custom_rule"]


def custom_rule(
    f: Callable[..., Any] | None = None,
    *,
    jvp: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """f with a derivative rule of its own, for a faster or safer formula, or a derivative by convention.

    Forward mode, reverse mode and all orders work from either rule; higher orders differentiate the rule's own code.
    ``@hg.custom_rule(vjp=rule)`` is the form of a decorator.

    Args:
        f: function of trees of arrays; must not read traced values from outside (pass them as arguments).
        jvp: ``jvp(args, tangents) -> (value, tangent)``, linear in the tangents: tuples like the arguments of f,
            with None in the places of what is no float.
        vjp: ``vjp(*args) -> (value, pullback)``; ``pullback(cotangent)``, linear, gives one cotangent tree an
            argument, None for zero.

    Raises:
        DerivativeError: no rule or two; f closes over a traced value; a rule that is not linear where it must be.
        TreeError, ShapeError: what a rule returns does not fit f.
    """
    if f is None:
        return lambda g: custom_rule(g, jvp=jvp, vjp=vjp)
    if (jvp is None) == (vjp is None):
        raise DerivativeError(f"custom_rule of {name_of(f)} takes one rule, jvp= or vjp=")

    @functools.wraps(f)
    def wrapped(*args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        if not any(is_traced(leaf) for leaf in leaves):
            return f(*args)
        return _Call(f, jvp, vjp, leaves, structure)()

    return wrapped


class _Call:
    """One traced call of a function with a rule."""

    def __init__(self, f: Any, jvp: Any, vjp: Any, leaves: list[Any], structure: tree.Structure) -> None:
        self.f, self.jvp, self.vjp, self.structure = f, jvp, vjp, structure
        self.name = name_of(f)
        self.places = [leaf if is_static(leaf) else ARRAY for leaf in leaves]
        arrays = [as_value(leaf, f"an argument of {self.name}") for leaf in leaves if not is_static(leaf)]
        self.arrays = [strong_array(a) for a in arrays]
        self.out = Results()

    def __call__(self) -> Any:
        def flat(*tracers: Any) -> list[Any]:
            self.out, results = Results.of(self.f(*self._args(tracers)), self.name)
            return [strong_array(x) for x in results]

        program = trace(flat, [type_of(a) for a in self.arrays], self.name)
        if captured(program)[1]:
            raise DerivativeError(
                f"{self.name} has a rule of its own but reads a traced value from outside; pass it as an argument"
            )
        self.types = [ArrayType(atom.type.shape, atom.type.dtype) for atom in program.outputs]
        found = bind(
            custom_p, *self.arrays, body=Body(program), rule=self._push if self.vjp is None else self._pull
        )
        return self.out.tree(found)

    def _args(self, arrays: Sequence[Any]) -> Any:
        stream = iter(arrays)
        return self.structure.unflatten([next(stream) if p is ARRAY else p for p in self.places])

    def _tangents(self, tangents: Sequence[Any]) -> Any:
        stream = iter(tangents)
        return self.structure.unflatten([next(stream) if p is ARRAY else None for p in self.places])

    def _checked(self, value: Any, what: str, derivative: bool = False) -> list[Any]:
        """Leaves of a value or tangent, with the types of f's results (None of a derivative: zero)."""
        leaves, structure = tree.flatten(value)
        if structure != self.out.structure:
            raise TreeError(
                f"{what} of {self.name} has the tree {structure}, expected {self.out.structure} as its value"
            )
        chosen = [leaf for leaf, p in zip(leaves, self.out.static, strict=True) if p is ARRAY]
        found: list[Any] = []
        for leaf, kind in zip(chosen, self.types, strict=True):
            if derivative and (leaf is None or not kind.differentiable):
                found.append(None)
                continue
            array = strong_array(as_value(leaf, f"{what} of {self.name}"))
            if array.shape != kind.shape:
                raise ShapeError(f"{what} of {self.name} has shape {array.shape}, expected {kind.shape}")
            found.append(convert(array, kind.dtype))
        return found

    def _push(self, inputs: list[Any], tangents: list[Any]) -> tuple[Any, list[Any]]:
        moving: list[bool] = []

        def flat(*given: Any) -> list[Any]:
            stream = iter(given)
            filled = [None if t is None else next(stream) for t in tangents]
            result = self.jvp(self._args(inputs), self._tangents(filled))
            if not isinstance(result, tuple) or len(result) != 2:
                raise TreeError(
                    f"the jvp of {self.name} must return (value, tangent), got {type(result).__name__}"
                )
            values = self._checked(result[0], "the value by the jvp")
            moved = self._checked(result[1], "the tangent by the jvp", derivative=True)
            moving[:] = [t is not None for t in moved]
            return [*values, *(t for t in moved if t is not None)]

        given = [t for t in tangents if t is not None]
        program = trace(flat, [type_of(t) for t in given], f"jvp({self.name})")
        self._require_linear("jvp", "tangents", program, len(moving))
        found = evaluate(program, given)
        stream = iter(found[len(moving) :])
        return tuple(found[: len(moving)]), [next(stream) if m else None for m in moving]

    def _require_linear(self, rule: str, what: str, program: Program, first: int = 0) -> None:
        constant = _affine(program, first)
        if constant is not None:
            raise DerivativeError(
                f"the {rule} of {self.name} is not linear in the {what}: it adds a constant{constant}; "
                "zero must give zero"
            )

    def _pull(self, inputs: list[Any], tangents: list[Any]) -> tuple[Any, list[Any]]:
        result = self.vjp(*self._args(inputs))
        if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
            raise TreeError(
                f"the vjp of {self.name} must return (value, pullback), got {type(result).__name__}"
            )
        value, pullback = result
        values = self._checked(value, "the value by the vjp")
        moving = [kind.differentiable for kind in self.types]
        kinds = [type_of(x) for x in inputs]

        def cotangents(*cts: Any) -> list[Any]:
            stream = iter(cts)
            full = [next(stream) if m else None for m in moving]
            found = pullback(self.out.derivatives(full))
            if not isinstance(found, tuple) or len(found) != len(self.structure.children):
                raise TreeError(
                    f"the pullback of {self.name} must return a tuple of {len(self.structure.children)} cotangents, "
                    f"one an argument, got {type(found).__name__}"
                )
            arrays: list[Any] = []
            for number, (given, child) in enumerate(zip(found, self.structure.children, strict=True)):
                leaves, structure = ([None] * child.count, child) if given is None else tree.flatten(given)
                if structure != child:
                    raise TreeError(
                        f"cotangent {number} by the pullback of {self.name} has the tree {structure}, expected {child}"
                    )
                arrays += leaves
            stream_kinds = iter(kinds)
            out = []
            for leaf, place in zip(arrays, self.places, strict=True):
                if place is not ARRAY:
                    continue
                kind = next(stream_kinds)
                if not kind.differentiable:
                    continue
                array = (
                    np.zeros(kind.shape, kind.dtype)
                    if leaf is None
                    else strong_array(as_value(leaf, "a cotangent"))
                )
                if array.shape != kind.shape:
                    raise ShapeError(
                        f"a cotangent by the pullback of {self.name} has shape {array.shape}, expected {kind.shape}"
                    )
                out.append(convert(array, kind.dtype))
            return out

        program = trace(
            cotangents, [kind for kind in self.types if kind.differentiable], f"linear({self.name})"
        )
        self._require_linear("pullback", "cotangent", program)
        try:
            forward: Program = transpose(program, 0)  # the transpose of the pullback is the jvp
        except DerivativeError as error:
            raise DerivativeError(
                f"the pullback of {self.name} is not linear in the cotangent: {error}"
            ) from None
        stream = iter(evaluate(forward, [t for t in tangents if t is not None]))
        return tuple(values), [next(stream) if m else None for m in moving]


_SUMS = {"add": (0, 1), "subtract": (0, 1), "select": (1, 2), "concatenate": None, "update": (0, 1)}


def _affine(program: Program, first: int = 0) -> str | None:
    """Where a Program, linear but for that, adds what does not depend on its inputs; None: nowhere.

    Args:
        first: of the outputs that are linear.
    """
    linear = set(program.inputs)

    def constant(atom: Atom) -> bool:
        if isinstance(atom, Var):
            return atom not in linear
        return is_traced(atom.value) or bool(np.any(atom.value))

    for eq in program.equations:
        if not any(atom in linear for atom in eq.inputs if isinstance(atom, Var)):
            continue
        places = _SUMS.get(eq.primitive.name, ())
        terms = eq.inputs if places is None else [eq.inputs[i] for i in places]
        if any(map(constant, terms)):
            return f" at {eq.where}" if eq.where else ""
        linear.update(eq.outputs)
    return "" if any(map(constant, program.outputs[first:])) else None
