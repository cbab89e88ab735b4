"""Kernels with derivative rows: a profile (KERNELS) of a distance that is a sum over coordinates (COORDINATES)."""

from __future__ import annotations

from collections.abc import Sequence

from hypergrad.bayesopt.kernels.base import Coordinate, Kernel, Points, Profile, Rows
from hypergrad.bayesopt.kernels.blocks import Blocks
from hypergrad.bayesopt.kernels.conditional import Conditional
from hypergrad.bayesopt.kernels.continuous import Continuous
from hypergrad.bayesopt.kernels.hamming import Hamming
from hypergrad.bayesopt.kernels.matern52 import Matern52
from hypergrad.bayesopt.kernels.squared_exponential import SquaredExponential
from hypergrad.errors import unknown_name

__all__ = [
    "COORDINATES",
    "KERNELS",
    "Blocks",
    "Coordinate",
    "Kernel",
    "Points",
    "Profile",
    "Rows",
    "make_kernel",
]

# The registries: φ by name, and what a column of a point can be.
KERNELS: dict[str, Profile] = {"matern52": Matern52(), "squared_exponential": SquaredExponential()}
COORDINATES: dict[str, Coordinate] = {
    "continuous": Continuous(),
    "hamming": Hamming(),
    "conditional": Conditional(),
}


def make_kernel(profile: str, coordinates: int | Sequence[str]) -> Kernel:
    """The kernel of a name and of what each column is.

    Args:
        profile: a name in KERNELS.
        coordinates: names in COORDINATES, one a column; an int d: d continuous ones.

    Raises:
        UnknownNameError: a name that the registry does not hold.
        ShapeError: no coordinate.
    """
    names = ["continuous"] * coordinates if isinstance(coordinates, int) else list(coordinates)
    if profile not in KERNELS:
        raise unknown_name("kernel", profile, KERNELS)
    for name in names:
        if name not in COORDINATES:
            raise unknown_name("coordinate", name, COORDINATES)
    return Kernel(KERNELS[profile], tuple(COORDINATES[name] for name in names))
