"""Where every result of a Program lives, and the calls that compute it, as the text of one Python function.

A plan gives every equation a place for its result: a buffer (shared by values that are never alive
together), a view, or a part of the vector that it is later concatenated into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from hypergrad.ad.backends.storage import REDUCTIONS, UPDATES, VIEWS, Storage, writes
from hypergrad.ad.backends.text import index_text, tuple_text
from hypergrad.ad.primitives.indexing import to_numpy
from hypergrad.ad.program import ArrayType, Atom, Const, Equation, Program, Var

__all__ = ["Plan"]

_ONES = 1 << 14  # longest sum that is written as a product: beyond, pairwise summation keeps more digits


class Plan:
    """Places of values and the text of the function."""

    def __init__(self, program: Program, closed: bool, streamed: tuple[str, ...]) -> None:
        self.program = program
        self.closed = closed
        self.streamed = streamed
        self.names: dict[Var, str] = {}
        self.globals: dict[str, Any] = {"copyto": np.copyto}
        self.slots: list[int] = []
        self.made = (
            0  # bytes of what NumPy calls make themselves, all of which lives until the function returns
        )
        self.bindings: list[tuple[str, Callable[[dict[str, Any]], Any]]] = []
        self.lines: list[str] = []
        self.static: set[Var] = set()
        self.slot_of: dict[Var, int] = {}
        self.free: dict[int, list[int]] = {}
        self.constants: dict[int, str] = {}
        self.storage = Storage(program)
        self._plan()

    def _allocate(self, var: Var) -> None:
        """A buffer for `var`, from those that are free."""
        size = var.type.size * var.type.dtype.itemsize
        free = self.free.get(size)
        if free:
            slot = free.pop()
        else:
            slot = len(self.slots)
            self.slots.append(size)
        self.slot_of[var] = slot
        self._place(var, slot)

    def _place(self, var: Var, slot: int) -> None:
        name = f"b{len(self.bindings)}"
        kind = var.type
        self.bindings.append((name, lambda g: g["slots"][slot].view(kind.dtype).reshape(kind.shape)))
        self.names[var] = name
        self.static.add(var)

    def _derive(self, name_of: str, static: bool, make: Callable[[Any], Any], text: str) -> str:
        """A view of `name_of`: made once if that is a buffer, at every run otherwise."""
        if static:
            name = f"v{len(self.bindings)}"
            self.bindings.append((name, lambda g: make(g[name_of])))
        else:
            name = f"t{len(self.lines)}"
            self.lines.append(f"{name} = {text}")
        return name

    # Text ------------------------------------------------------------------------------------------
    def ref(self, atom: Atom) -> str:
        """The name of an operand."""
        if isinstance(atom, Var):
            return self.names[atom]
        name = self.constants.get(id(atom))
        if name is None:
            name = f"c{len(self.constants)}"
            self.constants[id(atom)] = name
            self.globals[name] = atom.value
        return name

    def call(self, function: Any, label: str) -> str:
        """The global name of a NumPy callable."""
        name = f"np_{label}"
        if self.globals.setdefault(name, function) is not function:
            name = f"np_{label}_{len(self.globals)}"
            self.globals[name] = function
        return name

    def value(self, value: Any) -> str:
        """The global name of a Python value."""
        name = f"k{len(self.globals)}"
        self.globals[name] = value
        return name

    def _plan(self) -> None:
        program = self.program
        self.inputs = [f"i{n}" for n in range(len(program.inputs))]
        self.outputs = [f"o{n}" for n in range(len(program.outputs))]
        self.names.update(zip(program.inputs, self.inputs, strict=True))
        self.in_place: dict[Var, str] = {}
        for atom, name in zip(program.outputs, self.outputs, strict=True):
            if isinstance(atom, Var) and self.storage.owns(atom):
                self.in_place.setdefault(atom, name)
        self.static.update(v for v, name in zip(program.inputs, self.inputs, strict=True) if self.fixed(name))
        for number, eq in enumerate(program.equations):
            self._equation(eq, number)
            for atom in {self.storage.root_of(a) for a in (*eq.inputs, *eq.outputs) if isinstance(a, Var)}:
                if self.storage.last.get(atom, number) <= number and atom in self.slot_of:
                    slot = self.slot_of.pop(atom)
                    self.free.setdefault(self.slots[slot], []).append(slot)
        for atom, name in zip(program.outputs, self.outputs, strict=True):
            source = self.ref(atom)
            if source != name:
                self.lines.append(f"copyto({name}, {source})")

    def _equation(self, eq: Equation, number: int) -> None:
        name = eq.primitive.name
        if name in VIEWS:
            self._view(eq)
        elif name == "concatenate":
            self._concatenate(eq)
        elif writes(eq):
            out = eq.outputs[0]
            overwrites = self._target(eq, out, number)
            if eq.primitive.name in UPDATES:
                self._update(eq, self.names[out], overwrites)
            else:
                self._write(eq, self.names[out])
        else:
            self._fresh(eq)

    def _target(self, eq: Equation, out: Var, number: int) -> bool:
        """Decide where the result of an equation goes; returns whether over an operand."""
        if out in self.storage.pinned:
            whole, start = self.storage.pinned[out]
            if whole not in self.names:
                self._open(whole)
            stop, shape = start + out.type.size, out.type.shape
            self.names[out] = self._derive(
                self.names[whole],
                whole in self.static,
                lambda v: v[start:stop].reshape(shape),
                f"{self.names[whole]}[{start}:{stop}].reshape({shape})",
            )
            if whole in self.static:
                self.static.add(out)
            return False
        update = eq.primitive.name in UPDATES
        if (
            out not in self.in_place
            and (update or eq.primitive.ufunc is not None)
            and eq.primitive.name != "matmul"
        ):
            for atom in eq.inputs[:1] if update else eq.inputs:
                if self._reusable(atom, eq, out, number) and not (update and atom in eq.inputs[1:]):
                    self._place(out, self.slot_of.pop(atom))  # type: ignore[arg-type]
                    self.slot_of[out] = self._last_slot
                    return True
        self._open(out)
        return False

    def _reusable(self, atom: Atom, eq: Equation, out: Var, number: int) -> bool:
        """Whether an elementwise result may overwrite the operand `atom`."""
        if not isinstance(atom, Var) or atom not in self.slot_of or self.storage.last.get(atom) != number:
            return False
        if atom.type.shape != out.type.shape or atom.type.dtype != out.type.dtype:
            return False
        others = [a for a in eq.inputs if isinstance(a, Var) and a is not atom]
        if any(self.storage.root_of(a) is atom for a in others):
            return False
        self._last_slot = self.slot_of[atom]
        return True

    def _open(self, var: Var) -> None:
        """Storage for a whole variable: an output array or a buffer."""
        if var in self.in_place:
            self.names[var] = self.in_place[var]
            if self.fixed(self.names[var]):
                self.static.add(var)
        else:
            self._allocate(var)

    def _write(self, eq: Equation, out: str) -> None:
        """The call that computes an equation into `out`."""
        name, params = eq.primitive.name, eq.params
        args = [self.ref(atom) for atom in eq.inputs]
        if name == "reduce_sum" and self._sum_by_product(eq, args[0], out):
            return
        if name in ("reduce_max", "reduce_min") and self._across(eq):
            # along the short last axis NumPy is slow: reduce the first axis of the transposed copy instead
            x = eq.inputs[0].type
            copy = self._scratch(ArrayType(x.shape[::-1], x.dtype))
            flat = self._reshaped(out, eq.outputs[0], (x.shape[0],))
            self.lines.append(f"copyto({copy}, {args[0]}.T)")
            self.lines.append(f"{self.call(REDUCTIONS[name], name)}({copy}, 0, None, {flat})")
        elif name in REDUCTIONS:
            function = self.call(REDUCTIONS[name], name)
            axes = params["axes"]
            axis = (
                "None" if len(axes) == eq.inputs[0].type.ndim else repr(axes[0] if len(axes) == 1 else axes)
            )
            keep = ", True" if params["keepdims"] else ""
            # reduce(array, axis, dtype, out, keepdims)
            self.lines.append(f"{function}({args[0]}, {axis}, None, {out}{keep})")
        elif name == "broadcast_to":
            self.lines.append(f"copyto({out}, {args[0]})")
        elif name == "convert":
            real = eq.inputs[0].type.dtype.kind == "c" and eq.outputs[0].type.dtype.kind != "c"
            self.lines.append(f"copyto({out}, {args[0]}{'.real' if real else ''}, 'unsafe')")
        elif name == "scatter":
            view = self._derive(
                out,
                eq.outputs[0] in self.static,
                lambda b: b[(*to_numpy(params["spec"]), ...)],
                f"{out}[{index_text(params['spec'])}]",
            )
            self.lines.append(f"{out}.fill(0)")
            self.lines.append(f"copyto({view}, {args[0]})")
        elif name == "scatter_add":
            add_at = self.call(np.add.at, "add_at")
            self.lines.append(f"{out}.fill(0)")
            self.lines.append(f"{add_at}({out}, {tuple_text(params['spec'], args[1:])}, {args[0]})")
        elif name == "matmul" and eq.outputs[0].type.dtype.kind == "f" and _flat(eq):
            self.lines.append(f"{self.call(np.dot, 'dot')}({', '.join(args)}, {out})")
        else:
            function = self.call(_ufunc(eq), name)
            # NumPy deprecates the positional out of these two; elsewhere it is the faster form
            keyword = "out=" if name in ("maximum", "minimum") else ""
            self.lines.append(f"{function}({', '.join(args)}, {keyword}{out})")

    def _update(self, eq: Equation, out: str, overwrites: bool) -> None:
        """Assign to, or add to, entries of an array: of its copy, or in place where nothing reads it any more."""
        x, v, *indices = [self.ref(atom) for atom in eq.inputs]
        spec = eq.params["spec"]
        if not overwrites:
            self.lines.append(f"copyto({out}, {x})")
        if eq.primitive.name == "add_at":
            self.lines.append(f"{self.call(np.add.at, 'add_at')}({out}, {tuple_text(spec, indices)}, {v})")
        elif indices:
            self.lines.append(f"{out}[{index_text(spec, indices)}] = {v}")
        else:
            static = eq.outputs[0] in self.static
            view = self._derive(
                out, static, lambda b: b[(*to_numpy(spec), ...)], f"{out}[{index_text(spec)}]"
            )
            self.lines.append(f"copyto({view}, {v})")

    def _sum_by_product(self, eq: Equation, x: str, out: str) -> bool:
        """Write a sum over leading or trailing axes as a product with ones, which BLAS does several times faster."""
        kind, axes, ndim = eq.inputs[0].type, eq.params["axes"], eq.inputs[0].type.ndim
        trailing = axes == tuple(range(ndim - len(axes), ndim))
        summed = math.prod(kind.shape[a] for a in axes)
        whole = isinstance(eq.inputs[0], Var) and eq.inputs[0] in self.storage.solid
        if (
            not axes
            or kind.dtype not in (np.float32, np.float64)
            or not (trailing or axes == tuple(range(len(axes))))
            or not 1 < summed <= _ONES
            or not (whole or ndim == 1 or (ndim == 2 and len(axes) == 1))
        ):
            return False
        rest = kind.size // summed
        target = self._reshaped(out, eq.outputs[0], () if rest == 1 else (rest,))
        shape = (summed,) if rest == 1 else (rest, summed) if trailing else (summed, rest)
        if kind.shape != shape:
            static = eq.inputs[0] in self.static
            x = self._derive(x, static, lambda v: v.reshape(shape), f"{x}.reshape({shape})")
        ones = self.value(_ones(summed, kind.dtype))
        pair = f"{x}, {ones}" if trailing else f"{ones}, {x}"
        self.lines.append(f"{self.call(np.dot, 'dot')}({pair}, {target})")
        return True

    def _across(self, eq: Equation) -> bool:
        """Whether an equation reduces the short last axis of a matrix."""
        x = eq.inputs[0].type
        return x.ndim == 2 and eq.params["axes"] == (1,) and x.shape[0] >= 8 and 1 < x.shape[1] <= 64

    def _scratch(self, kind: ArrayType) -> str:
        """A buffer that one equation may use besides its operands and result."""
        var = Var(kind)
        self._allocate(var)
        slot = self.slot_of.pop(var)
        self.free.setdefault(self.slots[slot], []).append(slot)
        return self.names[var]

    def _reshaped(self, name: str, var: Var, shape: tuple[int, ...]) -> str:
        """The storage of `var` seen with another shape."""
        if var.type.shape == shape:
            return name
        return self._derive(name, var in self.static, lambda v: v.reshape(shape), f"{name}.reshape({shape})")

    def _view(self, eq: Equation) -> None:
        name, params, atom = eq.primitive.name, eq.params, eq.inputs[0]
        source = self.ref(atom)
        static = isinstance(atom, Const) or atom in self.static
        out = eq.outputs[0]
        if isinstance(atom, Const):
            arrays = eq.primitive.call(atom.value, **params)
            for var, array in zip(eq.outputs, arrays if eq.primitive.multiple else (arrays,), strict=True):
                self.names[var] = self.value(np.asarray(array))
            return
        if name == "stop_gradient":
            self.names[out] = source
        elif name == "reshape":
            shape = params["shape"]
            if out in self.storage.copies:  # into storage seen with the source's shape
                self._open(out)
                inner, name = atom.type.shape, self.names[out]
                whole = self._derive(
                    name, out in self.static, lambda b: b.reshape(inner), f"{name}.reshape({inner})"
                )
                self.lines.append(f"copyto({whole}, {source})")
                return
            self.names[out] = self._derive(
                source, static, lambda v: v.reshape(shape), f"{source}.reshape({shape})"
            )
        elif name == "permute":
            axes = params["axes"]
            self.names[out] = self._derive(
                source, static, lambda v: v.transpose(axes), f"{source}.transpose({axes})"
            )
        elif name == "index":
            spec = params["spec"]
            self.names[out] = self._derive(
                source, static, lambda v: v[(*to_numpy(spec), ...)], f"{source}[{index_text(spec)}]"
            )
        else:  # split
            axis, start = params["axis"], 0
            lead = ":, " * axis
            for var, size in zip(eq.outputs, params["sizes"], strict=True):
                cut = (*(slice(None),) * axis, slice(start, start + size))
                self.names[var] = self._derive(
                    source, static, partial(_cut, cut), f"{source}[{lead}{start}:{start + size}]"
                )
                start += size
        for var in eq.outputs:
            if static:
                self.static.add(var)

    def _concatenate(self, eq: Equation) -> None:
        out, axis = eq.outputs[0], eq.params["axis"]
        if out not in self.names:
            self._open(out)
        start = 0
        lead = ":, " * axis
        for atom in eq.inputs:
            stop = start + atom.type.shape[axis]
            source = self.storage.source(atom)
            if not (source is not None and self.storage.pinned.get(source) == (out, start)) and stop > start:
                cut = (*(slice(None),) * axis, slice(start, stop))
                part = self._derive(
                    self.names[out],
                    out in self.static,
                    partial(_cut, cut),
                    f"{self.names[out]}[{lead}{start}:{stop}]",
                )
                self.lines.append(f"copyto({part}, {self.ref(atom)})")
            start = stop

    def _fresh(self, eq: Equation) -> None:
        """An equation whose NumPy call makes its own result."""
        args = [self.ref(atom) for atom in eq.inputs]
        if eq.primitive.name == "select":
            text = f"{self.call(np.where, 'where')}({', '.join(args)})"
        elif eq.primitive.name == "gather":
            text = f"{args[0]}[{index_text(eq.params['spec'], args[1:])}]"
        else:
            params = "".join(f", {key}={self.value(value)}" for key, value in eq.params.items())
            text = f"{self.call(eq.primitive.call, eq.primitive.name)}({', '.join(args)}{params})"
        targets: list[str] = []
        for var in eq.outputs:
            target = f"t{len(self.lines)}_{len(targets)}"
            self.names[var] = target
            targets.append(target)
            self.made += var.type.size * var.type.dtype.itemsize
        unpacked = "".join(f"{target}, " for target in targets) if eq.primitive.multiple else targets[0] + " "
        self.lines.append(f"{unpacked}= {text}")
        for var in eq.outputs:
            if var in self.in_place:
                self.lines.append(f"copyto({self.in_place[var]}, {self.names[var]})")
                self.names[var] = self.in_place[var]
                if self.fixed(self.names[var]):
                    self.static.add(var)

    def fixed(self, name: str) -> bool:
        """Whether the input or output `name` is given once to `bind`."""
        return self.closed and name not in self.streamed

    def source(self) -> str:
        """The text of ``run(inputs, outputs)``."""
        arguments = ", ".join(self.streamed if self.closed else [*self.inputs, *self.outputs])
        return "\n    ".join([f"def run({arguments}):", *(self.lines or ["pass"])]) + "\n"

    def scratch(self, pool: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """Buffers for one `bind`: of its own, or from a `pool` whose n-th largest is not below its own n-th largest."""
        if pool is None:
            return [np.zeros(size, np.uint8) for size in self.slots]
        order = sorted(range(len(self.slots)), key=self.slots.__getitem__, reverse=True)
        found = {number: pool[rank][: self.slots[number]] for rank, number in enumerate(order)}
        return [found[number] for number in range(len(order))]

    def bind(
        self,
        code: Any,
        scratch: list[np.ndarray] | None = None,
        inputs: Sequence[np.ndarray] = (),
        outputs: Sequence[np.ndarray] = (),
    ) -> Callable[..., None]:
        """The function over the given buffers, and, if closed, over the given inputs and outputs."""
        scope = dict(self.globals)
        scope["slots"] = self.scratch() if scratch is None else scratch
        for names, arrays in ((self.inputs, inputs), (self.outputs, outputs)):
            scope.update(zip(filter(self.fixed, names), arrays, strict=True))
        for name, make in self.bindings:
            scope[name] = make(scope)
        exec(code, scope)
        return scope.pop(
            "run"
        )  # else function and scope refer to each other, and buffers wait for the collector


def _flat(eq: Equation) -> bool:
    """Whether no operand is a stack of matrices."""
    return all(atom.type.ndim <= 2 for atom in eq.inputs)


@lru_cache(maxsize=64)
def _ones(size: int, dtype: np.dtype) -> np.ndarray:
    return np.ones(size, dtype)


def _cut(cut: tuple[slice, ...], array: np.ndarray) -> np.ndarray:
    return array[cut]


def _ufunc(eq: Equation) -> Any:
    if eq.primitive.name == "expit":
        from scipy.special import expit

        return expit
    return eq.primitive.ufunc
