"""Search spaces: which hyperparameters exist, and their bijection to the unit cube."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, unknown_name
from hypergrad.parameters import Categorical, Float, Int, Parameter

__all__ = ["Categorical", "Float", "Int", "Parameter", "Space"]

_KINDS: dict[str, type[Float] | type[Int] | type[Categorical]] = {
    "float": Float,
    "int": Int,
    "categorical": Categorical,
}


def _walk(tree: Mapping, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parameter]]:
    """(path, parameter) of each leaf, in sorted order of the keys, as in hypergrad.tree."""
    for key in tree:
        if not isinstance(key, str) or not key or "/" in key:
            raise SpaceError(
                f"{key!r} is no name for a hyperparameter, expected a string without '/'; nest dicts instead"
            )
    for key in sorted(tree):
        node, here = tree[key], (*path, key)
        if isinstance(node, Mapping):
            if not node:
                raise SpaceError(f"the group {'/'.join(here)!r} of the space is empty, expected parameters")
            yield from _walk(node, here)
        elif isinstance(node, Float | Int | Categorical):
            yield here, node
        else:
            raise SpaceError(
                f"{'/'.join(here)!r} is {node!r}, expected a Float, Int, Categorical or a dict of them"
            )


def _copied(tree: Mapping) -> dict[str, Any]:
    return {key: _copied(node) if isinstance(node, Mapping) else node for key, node in tree.items()}


class Space:
    """Named hyperparameters, and their bijection to the unit cube [0, 1]^d.

    ``Space(lr=Float(1e-4, 1.0, log=True))`` or ``Space({"opt": {"lr": Float(1e-4, 1.0, log=True)}})``.
    Coordinates follow the sorted order of the keys, so that equal parameters make equal spaces.

    Args:
        parameters: nested dict of parameters.
        **named: further parameters.

    Attributes:
        dimension: number d of unit coordinates.
        continuous: (d,) bool; False for Int and Categorical coordinates.
        names: (d,) readable names: ``"lr"``, ``"l2[3,0]"``, ``"opt/lr"``.
        parameters: parameter by path, in the order of the coordinates.
        columns: slice of the coordinates by path.

    Raises:
        SpaceError: no parameters, a name that is no string, or something that is no parameter.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        if parameters is not None and not isinstance(parameters, Mapping):
            raise SpaceError(f"the space is {parameters!r}, expected a dict of parameters")
        tree = dict(parameters or {})
        for key in named:
            if key in tree:
                raise SpaceError(f"the parameter {key!r} is given twice")
        self._tree = _copied({**tree, **named})
        found = list(_walk(self._tree))
        if not found:
            raise SpaceError(
                "the space is empty, expected a parameter, as in Space(lr=Float(1e-4, 1.0, log=True))"
            )
        self.parameters: dict[str, Parameter] = {"/".join(path): parameter for path, parameter in found}
        self.columns: dict[str, slice] = {}
        names: list[str] = []
        for name, parameter in self.parameters.items():
            self.columns[name] = slice(len(names), len(names) + parameter.size)
            names += [f"{name}[{','.join(map(str, i))}]" if i else name for i in np.ndindex(*parameter.shape)]
        self.names: tuple[str, ...] = tuple(names)
        self.dimension: int = len(names)
        self.continuous: np.ndarray = np.concatenate(
            [np.full(p.size, p.continuous) for p in self.parameters.values()]
        )
        self.continuous.flags.writeable = False

    def _build(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The nested dict with one value a path, in the order in which the space was written."""

        def build(tree: Mapping, prefix: str) -> dict[str, Any]:
            return {
                key: build(node, f"{prefix}{key}/") if isinstance(node, dict) else values[prefix + key]
                for key, node in tree.items()
            }

        return build(self._tree, "")

    def _leaves(self, tree: Any, what: str, partial: bool) -> dict[str, Any]:
        """Leaves of `tree` by path; when `partial`, missing keys and None are left out."""
        found: dict[str, Any] = {}

        def visit(expected: Mapping, node: Any, prefix: str) -> None:
            if not isinstance(node, Mapping):
                where = f"{what} at {prefix[:-1]!r}" if prefix else what
                raise SpaceError(f"{where} is {node!r}, expected a dict with the keys {', '.join(expected)}")
            for key in node:
                if key not in expected:
                    raise unknown_name(
                        "hyperparameter", f"{prefix}{key}", [prefix + known for known in expected], SpaceError
                    )
            for key, below in expected.items():
                path = prefix + key
                if key not in node:
                    if not partial:
                        raise SpaceError(
                            f"{what} lacks the hyperparameter {path!r}; it needs {', '.join(self.parameters)}"
                        )
                elif isinstance(below, dict):
                    if not (partial and node[key] is None):
                        visit(below, node[key], path + "/")
                elif not (partial and node[key] is None):
                    found[path] = node[key]

        visit(self._tree, tree, "")
        return found

    def defaults(self) -> dict[str, Any]:
        """The tree of default values: floats, float64 arrays, ints, choices."""
        return self._build({name: parameter.default_value() for name, parameter in self.parameters.items()})

    def from_unit(self, unit: Any) -> dict[str, Any]:
        """The hyperparameters at a point of the unit cube; exact at 0, at 1 and at the defaults.

        Args:
            unit: (d,) in [0, 1].

        Returns:
            nested dict of floats, float64 arrays, ints and choices, in natural units.

        Raises:
            SpaceError: wrong shape, or a coordinate that is not in [0, 1].
        """
        point = np.asarray(unit, np.float64)
        if point.shape != (self.dimension,):
            raise SpaceError(f"the unit point has the shape {point.shape}, expected ({self.dimension},)")
        outside = ~((point >= 0.0) & (point <= 1.0))
        if outside.any():
            i = int(np.flatnonzero(outside)[0])
            raise SpaceError(
                f"the unit coordinate of {self.names[i]!r} is {float(point[i])!r}, outside [0, 1]"
            )
        return self._build(
            {name: p.from_unit(point[self.columns[name]]) for name, p in self.parameters.items()}
        )

    def to_unit(self, hparams: Mapping[str, Any]) -> np.ndarray:
        """The point of the unit cube of `hparams`, shape (d,); undoes `from_unit`.

        Raises:
            SpaceError: unknown or missing keys, wrong shapes, values out of bounds or not finite.
        """
        values = self._leaves(hparams, "hparams", partial=False)
        return np.concatenate([p.to_unit(values[name], repr(name)) for name, p in self.parameters.items()])

    def gradient_to_unit(self, hparams: Mapping[str, Any], gradient: Mapping[str, Any] | None) -> np.ndarray:
        """The chain rule: d value / du = d value / dx · dx/du, shape (d,).

        Args:
            hparams: the point, natural units.
            gradient: tree like `hparams`, natural units; None, missing keys and None leaves: unknown.

        Returns:
            (d,); nan where the derivative is unknown or the coordinate is not continuous.

        Raises:
            SpaceError: an unknown key, a wrong shape, or `hparams` outside the space.
        """
        values = self._leaves(hparams, "hparams", partial=False)
        known = {} if gradient is None else self._leaves(gradient, "gradient", partial=True)
        unit = np.full(self.dimension, np.nan)
        for name, leaf in known.items():
            parameter = self.parameters[name]
            if not isinstance(parameter, Float):
                continue
            array = np.asarray(leaf)
            if array.dtype.kind not in "fiu":
                raise SpaceError(f"the gradient of {name!r} is {leaf!r}, expected numbers or None")
            if array.shape != parameter.shape:
                raise SpaceError(
                    f"the gradient of {name!r} has the shape {array.shape}, expected {parameter.shape}"
                )
            with np.errstate(over="ignore", invalid="ignore"):  # an exploded gradient stays inf or nan
                unit[self.columns[name]] = array.astype(np.float64).reshape(-1) * parameter.slope(
                    values[name], name
                )
        return unit

    def to_json(self) -> dict[str, Any]:
        """A stable description of plain lists, dicts and numbers; the same for equal spaces."""
        entries = []
        for name, parameter in self.parameters.items():
            kind = next(k for k, v in _KINDS.items() if isinstance(parameter, v))
            entries.append({"path": name.split("/"), "kind": kind, **_listed(asdict(parameter))})
        return {"parameters": entries}

    @staticmethod
    def from_json(description: Mapping[str, Any]) -> Space:
        """The space that `to_json` described.

        Raises:
            SpaceError: not such a description.
        """
        tree: dict[str, Any] = {}
        try:
            for entry in description["parameters"]:
                fields = dict(entry)
                path, kind = fields.pop("path"), fields.pop("kind")
                if kind not in _KINDS:
                    raise unknown_name("kind of parameter", kind, _KINDS, SpaceError)
                node = tree
                for key in path[:-1]:
                    node = node.setdefault(key, {})
                node[path[-1]] = _KINDS[kind](**fields)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise SpaceError(
                f"this describes no space, expected the output of Space.to_json: {error!r}"
            ) from None
        return Space(tree)

    def __contains__(self, hparams: object) -> bool:
        try:
            self.to_unit(hparams)  # type: ignore[arg-type]
        except SpaceError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash(tuple(self.parameters.items()))

    def __repr__(self) -> str:
        return f"Space({self._tree!r})"


def _listed(value: Any) -> Any:
    """`value` with tuples as lists, as JSON returns them."""
    if isinstance(value, dict):
        return {key: _listed(below) for key, below in value.items()}
    return [_listed(below) for below in value] if isinstance(value, list | tuple) else value
