"""Which hyperparameters exist at which values of the others.

A parameter with ``active_if`` is active where every parent that it names is active and has an allowed value.
Parents have finitely many values, so that a derivative never crosses from one case to another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from hypergrad.errors import SpaceError, unknown_name
from hypergrad.parameters import Discrete, Fidelity, Float, Parameter
from hypergrad.parameters.scalars import same

__all__ = ["Graph", "count", "graph", "listed"]


@dataclass(frozen=True)
class Graph:
    """The conditions of a space.

    Attributes:
        order: all parameters, parents before children.
        parents: of each conditional parameter: (parent, numbers of its allowed values).
        never: parameters that a constant of the space switches off.
    """

    order: tuple[str, ...]
    parents: Mapping[str, tuple[tuple[str, frozenset[int]], ...]]
    never: frozenset[str]

    def active(self, parameters: Mapping[str, Parameter], values: Mapping[str, Any]) -> set[str]:
        """The parameters that are active at these values; a parent without a value counts as inactive."""
        found: set[str] = set()
        for name in self.order:
            if name not in self.never and all(
                parent in found and parent in values and _index(parameters, parent, values) in allowed
                for parent, allowed in self.parents.get(name, ())
            ):
                found.add(name)
        return found

    def masks(self, index: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
        """Whether each conditional parameter is active at each of `size` points.

        Args:
            index: of each parent, the number of its value at each point, (size,).
            size: number of points.
        """
        found: dict[str, np.ndarray] = {}
        for name in self.order:
            if name not in self.parents and name not in self.never:
                continue
            mask = np.full(size, name not in self.never)
            for parent, allowed in self.parents.get(name, ()):
                mask &= np.isin(index[parent], sorted(allowed))
                if parent in found:
                    mask &= found[parent]
            found[name] = mask
        return found


def _index(parameters: Mapping[str, Parameter], name: str, values: Mapping[str, Any]) -> int:
    parameter = parameters[name]
    assert isinstance(parameter, Discrete)
    return parameter.index(values[name], repr(name))


def graph(parameters: Mapping[str, Parameter], constants: Mapping[str, Any]) -> Graph:
    """The conditions of these parameters, checked.

    Raises:
        SpaceError: a condition on an unknown name, on a Float, on a value that its parent cannot have, or on itself.
    """
    parents: dict[str, tuple[tuple[str, frozenset[int]], ...]] = {}
    never: set[str] = set()
    for name, parameter in parameters.items():
        edges = []
        for parent, allowed in parameter.active_if or ():
            if parent in constants:
                if not any(same(constants[parent], value) for value in allowed):
                    never.add(name)
                continue
            other = parameters.get(parent)
            if other is None:
                unknown = unknown_name("hyperparameter", parent, [*parameters, *constants])
                raise SpaceError(f"active_if of {name!r} names an unknown parent: {unknown}")
            if not isinstance(other, Discrete):
                raise SpaceError(
                    f"active_if of {name!r} names {parent!r}, a {type(other).__name__}; "
                    "a condition needs an Int, a Categorical, an Ordinal or a constant"
                )
            what = f"active_if of {name!r}: {parent!r}"
            edges.append((parent, frozenset(other.index(value, what) for value in allowed)))
        if edges:
            parents[name] = tuple(edges)
    return Graph(_sorted(parameters, parents), parents, frozenset(never))


def _sorted(parameters: Mapping[str, Parameter], parents: Mapping[str, Any]) -> tuple[str, ...]:
    """Parents before children, else in the order of the space; without recursion."""
    placed: dict[str, None] = {}
    waiting = list(parameters)
    while waiting:
        ready = [name for name in waiting if all(p in placed for p, _ in parents.get(name, ()))]
        if not ready:
            raise SpaceError(
                f"the conditions go round in a circle: {_circle(waiting[0], parents, placed)}; "
                "remove one active_if"
            )
        placed.update(dict.fromkeys(ready))
        waiting = [name for name in waiting if name not in placed]
    return tuple(placed)


def _circle(name: str, parents: Mapping[str, Any], placed: Mapping[str, None]) -> str:
    """One circle of conditions, as ``'a' needs 'b' needs 'a'``."""
    path: list[str] = []
    while name not in path:
        path.append(name)
        name = next(parent for parent, _ in parents[name] if parent not in placed)
    return " needs ".join(map(repr, [*path[path.index(name) :], name]))


# --- how many configurations there are


def count(parameters: Mapping[str, Parameter], conditions: Graph) -> int | float:
    """Number of distinct configurations; inf when a Float can be active.

    The conditions fall into groups that have nothing to do with one another; the counts of the groups
    multiply. Within a group the values of the parents are gone through, equivalent ones together.
    """
    total: int | float = 1
    for name, parameter in parameters.items():
        if isinstance(parameter, Float) and name not in conditions.parents and name not in conditions.never:
            return math.inf
    for group in _groups(conditions):
        total *= _group_count(group, parameters, conditions)
    return total


def _groups(conditions: Graph) -> list[list[str]]:
    """The connected components of the conditions, each in the order of the graph."""
    label = {name: name for name in conditions.order}

    def root(name: str) -> str:
        while label[name] != name:
            label[name] = name = label[label[name]]
        return name

    for name, edges in conditions.parents.items():
        for parent, _ in edges:
            label[root(name)] = root(parent)
    found: dict[str, list[str]] = {}
    for name in conditions.order:
        found.setdefault(root(name), []).append(name)
    return list(found.values())


def _group_count(group: list[str], parameters: Mapping[str, Parameter], conditions: Graph) -> int | float:
    edges = [(p, allowed) for name in group for p, allowed in conditions.parents.get(name, ())]
    classes: dict[str, list[tuple[int, int]]] = {}  # (one of equivalent values, how many they are)
    for parent in dict.fromkeys(p for p, _ in edges):
        told = [allowed for p, allowed in edges if p == parent]
        named = sorted(frozenset().union(*told))
        alike: dict[tuple[bool, ...], list[int]] = {}
        for i in named:
            alike.setdefault(tuple(i in allowed for allowed in told), []).append(i)
        classes[parent] = [(members[0], len(members)) for members in alike.values()]
        others = _count(parameters[parent]) - len(named)
        if others:
            classes[parent].append((-1, int(others)))
    total: int | float = 0
    for choice in product(*classes.values()):
        chosen = dict(zip(classes, choice, strict=True))
        active: set[str] = set()
        ways: int | float = 1
        for name in group:
            if name in conditions.never or not all(
                parent in active and chosen[parent][0] in allowed
                for parent, allowed in conditions.parents.get(name, ())
            ):
                if name in chosen and chosen[name] != classes[name][0]:
                    ways = 0  # an inactive parent has one state, counted at its first class
                    break
                continue
            active.add(name)
            ways *= chosen[name][1] if name in chosen else _count(parameters[name])
        total += ways
    return total


def _count(parameter: Parameter) -> int | float:
    if isinstance(parameter, Fidelity):
        return 1  # what counts is at the target
    return parameter.count if isinstance(parameter, Discrete) else math.inf


def listed(parameters: Mapping[str, Parameter], conditions: Graph) -> dict[str, np.ndarray]:
    """All configurations of a finite space: the number of each parameter's value, -1 where it is inactive.

    Returns:
        by parameter, (m,) int64; the first parameters of the graph's order vary slowest.
    """
    found: dict[str, np.ndarray] = {}
    rows = 1
    for name in conditions.order:
        mask = np.full(rows, name not in conditions.never)
        for parent, allowed in conditions.parents.get(name, ()):
            mask &= np.isin(found[parent], sorted(allowed))
        parameter = parameters[name]
        values = parameter.count if isinstance(parameter, Discrete) else 1
        times = np.where(mask, values, 1)
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        found = {key: np.repeat(column, times) for key, column in found.items()}
        found[name] = np.where(np.repeat(mask, times), within, -1)
        rows = int(times.sum())
    return found
