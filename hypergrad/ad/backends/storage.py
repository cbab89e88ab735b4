"""Where the values of a Program live: whose memory each shares, and until when it is needed."""

from __future__ import annotations

import numpy as np

from hypergrad.ad.program import Atom, Const, Equation, Program, Var

__all__ = ["REDUCTIONS", "UPDATES", "VIEWS", "Storage", "writes"]

VIEWS = {"reshape", "permute", "index", "split", "stop_gradient"}
FRESH = {"select", "gather"}
REDUCTIONS = {
    "reduce_sum": np.add.reduce,
    "reduce_max": np.maximum.reduce,
    "reduce_min": np.minimum.reduce,
    "reduce_prod": np.multiply.reduce,
    "any": np.logical_or.reduce,
    "all": np.logical_and.reduce,
}
UPDATES = {"update", "add_at"}
WRITERS = {*REDUCTIONS, *UPDATES, "broadcast_to", "convert", "scatter", "scatter_add", "expit"}


def writes(eq: Equation) -> bool:
    """Whether the NumPy call of an equation can write into a given array."""
    return eq.primitive.ufunc is not None or eq.primitive.name in WRITERS


class Storage:
    """The memory plan of a Program.

    Attributes:
        made: the equation that defines each variable.
        pinned: variables computed straight into the vector that they are concatenated into: (vector, start).
        solid: variables whose entries lie in C order without gaps (an input may be copied at run time to be so).
        copies: reshapes that copy, since their operand is not contiguous.
        root: for each computed variable, the one whose storage it shares.
        last: for each root, the number of the last equation that reads its storage.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made: dict[Var, Equation] = {var: eq for eq in program.equations for var in eq.outputs}
        self._pin()
        self._roots()

    def root_of(self, var: Var) -> Var:
        """The variable whose storage `var` shares; itself for an input."""
        return self.root.get(var, var)

    def owns(self, var: Var) -> bool:
        """Whether `var` is computed into storage of its own."""
        made = self.made.get(var)
        if made is None or self.root[var] is not var:
            return False
        return not (made.primitive.name in VIEWS and isinstance(made.inputs[0], Const))

    def _pin(self) -> None:
        """Find values computed straight into their place in the vector that they are concatenated into."""
        self.pinned: dict[Var, tuple[Var, int]] = {}
        outputs = {atom for atom in self.program.outputs if isinstance(atom, Var)}
        for eq in self.program.equations:
            if eq.primitive.name != "concatenate" or eq.outputs[0].type.ndim != 1:
                continue
            start = 0
            for atom in eq.inputs:
                var = self.source(atom)
                if (
                    var is not None
                    and var not in self.pinned
                    and var not in outputs
                    and var.type.dtype == eq.outputs[0].type.dtype
                    and var.type.size
                ):
                    self.pinned[var] = (eq.outputs[0], start)
                start += atom.type.size

    def source(self, atom: Atom) -> Var | None:
        """The computed variable that `atom` is, or is a reshape of; None for a view, constant or input."""
        while isinstance(atom, Var):
            made = self.made.get(atom)
            if made is None:
                return None
            if made.primitive.name == "reshape":
                atom = made.inputs[0]
                continue
            fixed = made.primitive.name in VIEWS | FRESH | {"concatenate"} or not writes(made)
            return None if fixed else atom
        return None

    def _roots(self) -> None:
        """Which variable's storage each variable shares, and when that storage is read last.

        A reshape of a view that is not contiguous is a copy, with storage of its own.
        """
        self.copies: set[Var] = set()
        self.root: dict[Var, Var] = {}
        self.solid = solid = set(self.program.inputs)
        for eq in self.program.equations:
            name = eq.primitive.name
            source = eq.inputs[0] if eq.inputs and name in VIEWS else None
            for var in eq.outputs:
                if not isinstance(source, Var):
                    self.root[var] = var
                    solid.add(var)
                elif name == "reshape" and source not in solid:
                    self.root[var] = var
                    solid.add(var)
                    self.copies.add(var)
                else:
                    self.root[var] = self.root.get(source, source)
                    leading = name == "split" and eq.params["axis"] == 0
                    if source in solid and (leading or name in ("reshape", "stop_gradient")):
                        solid.add(var)
        for var, (whole, _) in self.pinned.items():
            self.root[var] = whole
        for var in self.root:
            root = self.root[var]
            while self.root.get(root, root) is not root:
                root = self.root[root]
            self.root[var] = root
        self.last: dict[Var, int] = {}
        for number, eq in enumerate(self.program.equations):
            for atom in eq.inputs:
                if isinstance(atom, Var):
                    self.last[self.root.get(atom, atom)] = number
        for atom in self.program.outputs:
            if isinstance(atom, Var):
                self.last[self.root.get(atom, atom)] = len(self.program.equations)
