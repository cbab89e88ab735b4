"""Search spaces: which hyperparameters exist, and their bijection to the unit cube."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError
from hypergrad.parameters import Discrete, Fidelity, Float, Parameter
from hypergrad.space import conditions, nested
from hypergrad.space.constants import equal, text
from hypergrad.space.constraints import Constraint, functions, named, violated
from hypergrad.space.description import describe, rebuild
from hypergrad.space.margins import margins
from hypergrad.space.relations import Relation

__all__ = ["LISTED", "Space"]

LISTED = 2**16  # configurations of a finite space up to which it is listed


class Space:
    """Named hyperparameters, and their bijection to the unit cube [0, 1]^d.

    ``Space(lr=Float(1e-4, 1.0, log=True))`` or ``Space({"opt": {"lr": Float(1e-4, 1.0, log=True)}})``.
    Coordinates follow the sorted order of the keys, so that equal parameters make equal spaces.

    A parameter with ``active_if={"opt/kind": "momentum"}`` exists only where the parameters that it names, by
    their paths from the top of the space, have one of these values (and exist themselves). Where it does not,
    it is *inactive*: absent from hparams, as is a group of which nothing is left; its derivative is unknown;
    and its unit coordinates are those of its default, so that equal configurations are equal points.

    Args:
        parameters: nested dict of parameters; any other plain value or array is a fixed value, which appears
            in all hparams and has no coordinate.
        constraints: functions of hparams -> bool that know, without training, which hparams make sense; or texts such
            as ``"layers * width <= 4096"``, see `hypergrad.space.relations`, which a store keeps and a space file may
            hold. No sampler proposes hparams of which one says False. They must not draw random numbers.
        **named: further parameters; one called ``constraints`` can only be given in the dict.

    Attributes:
        dimension: number d of unit coordinates.
        continuous: (d,) bool; False for Int, Categorical and Ordinal coordinates.
        names: (d,) readable names: ``"lr"``, ``"l2[3,0]"``, ``"opt/lr"``.
        parameters: parameter by path, in the order of the coordinates.
        constants: fixed value by path.
        constraints: as given, texts as relations.
        fidelity: path of the `Fidelity`; None: the space has none.
        columns: slice of the coordinates by path.
        conditions: which parameter depends on which.

    Raises:
        SpaceError: no parameters, a name that is no string, something that is no parameter, conditions that go
            round in a circle or name what does not exist, or a constraint that cannot be called or read.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any] | None = None,
        /,
        *,
        constraints: Iterable[Constraint | str] = (),
        **named: Any,
    ) -> None:
        if parameters is not None and not isinstance(parameters, Mapping):
            raise SpaceError(f"the space is {parameters!r}, expected a dict of parameters")
        tree = dict(parameters or {})
        for key in named:
            if key in tree:
                raise SpaceError(f"the parameter {key!r} is given twice")
        self._tree = nested.copied({**tree, **named})
        self.constraints = functions(constraints)
        found = {"/".join(path): leaf for path, leaf in nested.walk(self._tree)}
        self.parameters: dict[str, Parameter] = {n: p for n, p in found.items() if isinstance(p, Parameter)}
        self.constants: dict[str, Any] = {n: v for n, v in found.items() if n not in self.parameters}
        if not self.parameters:
            raise SpaceError(
                "the space is empty, expected a parameter, as in Space(lr=Float(1e-4, 1.0, log=True))"
            )
        for constraint in self.constraints:
            if isinstance(constraint, Relation):
                constraint.check(self.parameters, self.constants)
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
        self.conditions = conditions.graph(self.parameters, self.constants)
        self._discrete = {n: p for n, p in self.parameters.items() if isinstance(p, Discrete)}
        fidelities = [n for n, p in self.parameters.items() if isinstance(p, Fidelity)]
        if len(fidelities) > 1 or len(fidelities) == len(self.parameters):
            raise SpaceError(
                f"the space has the fidelities {', '.join(fidelities)}, expected at most one"
                if len(fidelities) > 1
                else f"the space has the fidelity {fidelities[0]!r} alone, expected something to tune beside it"
            )
        self.fidelity: str | None = fidelities[0] if fidelities else None
        self._fixed = np.concatenate([p.to_unit(p.default_value()) for p in self.parameters.values()])

    def _values(self, hparams: Any) -> dict[str, Any]:
        """The values of the active parameters by path.

        Raises:
            SpaceError: hparams lack an active one, hold an inactive or unknown one, or another constant.
        """
        found, missing = nested.leaves(self._tree, hparams, "hparams")
        for name, fixed in self.constants.items():
            if name in found and not equal(found.pop(name), fixed):
                raise SpaceError(f"{name!r} in hparams differs from {fixed!r}, at which the space fixes it")
        active = self.conditions.active(self.parameters, found)
        for name, top in missing.items():
            if name in active:
                raise SpaceError(
                    f"hparams lacks the hyperparameter {top!r}; it needs {', '.join(self.parameters)}"
                )
        for name in found:
            if name not in active:
                assert self.parameters[name].active_if is not None
                needs = " and ".join(
                    f"{parent!r} is {' or '.join(map(repr, allowed))}"
                    for parent, allowed in self.parameters[name].active_if
                )
                raise SpaceError(
                    f"hparams has {name!r}, which is inactive here, as it needs that {needs}; leave it out"
                )
        return found

    @property
    def paths(self) -> frozenset[str]:
        """Paths of all parameters, constants and groups."""
        leaves = [name.split("/") for name in (*self.parameters, *self.constants)]
        return frozenset("/".join(path[:n]) for path in leaves for n in range(1, len(path) + 1))

    def defaults(self) -> dict[str, Any]:
        """The tree of default values that are active together: floats, float64 arrays, ints, choices.

        A constraint is not asked; samplers that start at the defaults start elsewhere where one refuses them.
        """
        return self.filled({})

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The hparams with these values by path, and defaults where there is none; without inactive ones.

        Raises:
            SpaceError: a value that decides which others are active is none that it can have.
        """
        found = {name: values.get(name, p.default_value()) for name, p in self.parameters.items()}
        active = self.conditions.active(self.parameters, found)
        return nested.build(
            self._tree, {name: value for name, value in found.items() if name in active}, self.constants
        )

    def from_unit(self, unit: Any) -> dict[str, Any]:
        """The active hyperparameters at a point of the unit cube; exact at 0, at 1 and at the defaults.

        Args:
            unit: (d,) in [0, 1].

        Returns:
            nested dict of floats, float64 arrays, ints and choices, in natural units.

        Raises:
            SpaceError: wrong shape, or a coordinate that is not in [0, 1].
        """
        point = self._points(unit, "unit point", 1)
        active = self.active(point)
        values = {
            name: p.from_unit(point[self.columns[name]])
            for name, p in self.parameters.items()
            if active[self.columns[name].start]
        }
        return nested.build(self._tree, values, self.constants)

    def _points(self, units: Any, what: str, axes: int | None = None) -> np.ndarray:
        """`units` as float64 in [0, 1], of shape (..., d)."""
        points = np.asarray(units, np.float64)
        if points.ndim != (axes or max(points.ndim, 1)) or points.shape[-1] != self.dimension:
            raise SpaceError(f"the {what} has the shape {points.shape}, expected ({self.dimension},)")
        outside = ~((points >= 0.0) & (points <= 1.0))
        if outside.any():
            i, value = int(np.nonzero(outside)[-1][0]), points[outside].flat[0]
            raise SpaceError(f"the unit coordinate of {self.names[i]!r} is {float(value)!r}, outside [0, 1]")
        return points

    def active(self, units: Any) -> np.ndarray:
        """Which coordinates mean something at points of the unit cube.

        Args:
            units: (..., d) in [0, 1].

        Returns:
            (..., d) bool; False where the coordinate's parameter is inactive.

        Raises:
            SpaceError: wrong shape, or a coordinate that is not in [0, 1].
        """
        points = self._points(units, "unit point")
        found = np.ones(points.shape, bool)
        if self.conditions.parents or self.conditions.never:
            rows = points.reshape(-1, self.dimension)
            index = {
                name: self._discrete[name].bins(rows[:, self.columns[name].start])
                for name in {parent for edges in self.conditions.parents.values() for parent, _ in edges}
            }
            flat = found.reshape(-1, self.dimension)
            for name, mask in self.conditions.masks(index, len(rows)).items():
                flat[:, self.columns[name]] = mask[:, None]
        return found

    def snap(self, units: Any) -> np.ndarray:
        """The points that stand for the configurations at `units`: equal configurations, equal points.

        Integers and choices move to the middle of their bin, inactive coordinates to those of the default.

        Args:
            units: (..., d) in [0, 1].

        Returns:
            (..., d), a new array; ``snap(snap(u)) == snap(u)``.

        Raises:
            SpaceError: wrong shape, or a coordinate that is not in [0, 1].
        """
        points = np.array(self._points(units, "unit point"))
        for name, parameter in self._discrete.items():
            column = self.columns[name].start
            points[..., column] = parameter.middles(parameter.bins(points[..., column]))
        if self.fidelity is not None:
            column, fidelity = self.columns[self.fidelity].start, self.parameters[self.fidelity]
            assert isinstance(fidelity, Fidelity)
            points[..., column] = fidelity.snap(points[..., column])
        return np.where(self.active(points), points, self._fixed)

    @cached_property
    def target(self) -> Space:
        """This space with its `Fidelity` fixed at `high`; itself where it has none."""
        if self.fidelity is None:
            return self

        def fixed(tree: Mapping, prefix: str) -> dict[str, Any]:
            return {
                key: fixed(node, f"{prefix}{key}/")
                if isinstance(node, Mapping)
                else node.default_value()
                if prefix + key == self.fidelity
                else node
                for key, node in tree.items()
            }

        return Space(fixed(self._tree, ""), constraints=self.constraints)

    def full(self, units: Any) -> np.ndarray:
        """`units` (..., d) at full fidelity, a new array; unchanged in a space without a `Fidelity`."""
        points = np.array(units, np.float64)
        if self.fidelity is not None:
            points[..., self.columns[self.fidelity]] = 1.0
        return points

    def at_full(self, units: Any) -> np.ndarray:
        """Whether points (..., d) are at full fidelity, (...) bool; all are in a space without a `Fidelity`."""
        points = np.asarray(units, np.float64)
        if self.fidelity is None:
            return np.ones(points.shape[:-1], bool)
        return points[..., self.columns[self.fidelity].start] == 1.0

    def to_unit(self, hparams: Mapping[str, Any]) -> np.ndarray:
        """The point of the unit cube of `hparams`, shape (d,); undoes `from_unit`.

        Raises:
            SpaceError: unknown, missing or inactive keys, wrong shapes, values out of bounds or not finite,
                or another value of a constant. Constants may be left out.
        """
        values = self._values(hparams)
        unit = self._fixed.copy()
        for name, value in values.items():
            unit[self.columns[name]] = self.parameters[name].to_unit(value, repr(name))
        return unit

    def gradient_to_unit(self, hparams: Mapping[str, Any], gradient: Mapping[str, Any] | None) -> np.ndarray:
        """The chain rule: d value / du = d value / dx · dx/du, shape (d,).

        Args:
            hparams: the point, natural units.
            gradient: tree like `hparams`, natural units; None, missing keys and None leaves: unknown.

        Returns:
            (d,); nan where the derivative is unknown or the coordinate is inactive or not continuous.

        Raises:
            SpaceError: an unknown key, a wrong shape, or `hparams` outside the space.
        """
        values = self._values(hparams)
        known = {} if gradient is None else nested.leaves(self._tree, nested.known(gradient), "gradient")[0]
        unit = np.full(self.dimension, np.nan)
        for name, leaf in known.items():
            parameter = self.parameters.get(name)
            if not isinstance(parameter, Float) or name not in values:
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

    # --- finite spaces and constraints

    def violated(self, hparams: dict[str, Any]) -> str | None:
        """The name of the first constraint that refuses `hparams`; None when all allow them.

        Args:
            hparams: of this space, as `from_unit` returns them.

        Raises:
            SpaceError: a constraint answered neither True nor False, or comes from a store.
        """
        return violated(self.constraints, hparams)

    def margins(self, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The margins of the constraints that are texts at a point, and their derivatives by the unit coordinates.

        A constraint is kept where its margins are <= 0, see `hypergrad.space.margins`; functions have none.

        Args:
            unit: (d,) in [0, 1].

        Returns:
            (k,) and (k, d).

        Raises:
            SpaceError: wrong shape, or a coordinate that is not in [0, 1].
        """
        relations = [each for each in self.constraints if isinstance(each, Relation)]
        active, seeds = self.active(unit), {}
        for name, p in self.parameters.items():
            columns = self.columns[name]
            if relations and isinstance(p, Float) and active[columns.start]:
                seed = np.zeros((p.size, self.dimension))
                seed[:, columns] = np.diag(p.slope(p.from_unit(unit[columns]), name))
                seeds[name] = seed.reshape(*p.shape, self.dimension)
        return margins(relations, self.from_unit(unit), seeds, self.dimension)

    @cached_property
    def _size(self) -> int | float:
        """Number of configurations that the conditions allow."""
        return conditions.count(self.parameters, self.conditions)

    @property
    def size(self) -> int | float:
        """Number of distinct configurations at full fidelity, inf when a Float can be active.

        Configurations that a constraint refuses are not counted, unless there are more than 65,536 of both.
        """
        return self._size if self.configurations is None else len(self.configurations)

    @cached_property
    def configurations(self) -> np.ndarray | None:
        """The points of all configurations that the constraints allow, (m, d), read-only.

        None when there are more than 65,536 before the constraints, or infinitely many.

        Raises:
            SpaceError: the constraints refuse all of them.
        """
        if self._size > LISTED:
            return None
        index = conditions.listed(self.parameters, self.conditions)
        points = np.empty((len(index[self.conditions.order[0]]), self.dimension))
        points[:] = self._fixed
        for name, parameter in self._discrete.items():
            column = self.columns[name].start
            points[:, column] = np.where(
                index[name] >= 0, parameter.middles(np.maximum(index[name], 0)), self._fixed[column]
            )
        if self.constraints:
            points = points[[self.violated(self.from_unit(point)) is None for point in points]]
            if not len(points):
                raise SpaceError(
                    f"the constraints {', '.join(map(named, self.constraints))} refuse every configuration "
                    "of the space; loosen them"
                )
        points.flags.writeable = False
        return points

    # --- in stores

    def to_json(self) -> dict[str, Any]:
        """A stable description of plain lists, dicts and numbers; the same for equal spaces.

        Of the constraints it holds the texts, or of functions the names.
        """
        return describe(self.parameters, self.constants, self.constraints)

    @staticmethod
    def from_json(description: Mapping[str, Any]) -> Space:
        """The space that `to_json` described; those of its constraints that are functions cannot be called.

        Raises:
            SpaceError: not such a description.
        """
        tree, constraints = rebuild(description)
        return Space(tree, constraints=constraints)

    def __contains__(self, hparams: object) -> bool:
        try:
            unit = self.to_unit(hparams)  # type: ignore[arg-type]
        except SpaceError:
            return False
        return not self.constraints or self.violated(self.from_unit(unit)) is None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Space)
            and self.parameters == other.parameters
            and self.constraints == other.constraints
            and text(self.constants) == text(other.constants)
        )

    def __hash__(self) -> int:
        return hash((tuple(self.parameters.items()), self.constraints, text(self.constants)))

    def __repr__(self) -> str:
        names = ", ".join(repr(c.text) if isinstance(c, Relation) else named(c) for c in self.constraints)
        return f"Space({self._tree!r}, constraints=[{names}])" if names else f"Space({self._tree!r})"
