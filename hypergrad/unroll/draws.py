"""Random draws inside a loss (dropout, noise): inputs of the step's Program, drawn anew for each (seed, t)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType
from hypergrad.ad.trace import Builder, Tracer, source_line
from hypergrad.errors import TracingError

__all__ = ["Draw", "TracedGenerator"]

Draw = tuple[str, tuple[int, ...]]  # method of numpy.random.Generator, shape


class TracedGenerator:
    """Stands in for a numpy.random.Generator while a loss is traced; each draw becomes an input.

    Draws come from `standard_normal`, `random` and `standard_exponential`; `normal`, `uniform` and `binomial(1, p)`
    are built from them, so that their parameters may be traced and are differentiated (pathwise) where they can be.
    """

    def __init__(self, builder: Builder, dtype: np.dtype) -> None:
        self._builder = builder
        self._dtype = dtype
        self.draws: list[Draw] = []
        self.inputs: list[Tracer] = []

    def _draw(self, method: str, size: Any) -> Tracer:
        shape = (
            ()
            if size is None
            else (int(size),)
            if isinstance(size, int | np.integer)
            else tuple(map(int, size))
        )
        self.draws.append((method, shape))
        self.inputs.append(self._builder.input(ArrayType(shape, self._dtype)))
        return self.inputs[-1]

    def standard_normal(self, size: Any = None, dtype: Any = None) -> Any:
        """N(0, 1) draws."""
        return self._draw("standard_normal", size)

    def random(self, size: Any = None, dtype: Any = None) -> Any:
        """Uniform draws in [0, 1)."""
        return self._draw("random", size)

    def standard_exponential(self, size: Any = None, dtype: Any = None) -> Any:
        """Exponential draws of mean 1."""
        return self._draw("standard_exponential", size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """N(loc, scale²) draws."""
        shape = np.broadcast_shapes(np.shape(loc), np.shape(scale)) if size is None else size
        return loc + scale * self.standard_normal(shape)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Uniform draws in [low, high)."""
        shape = np.broadcast_shapes(np.shape(low), np.shape(high)) if size is None else size
        return low + (high - low) * self.random(shape)

    def binomial(self, n: int, p: Any, size: Any = None) -> Any:
        """0 or 1 with probability p of 1 (n must be 1); the draw has no derivative with respect to p."""
        if n != 1:
            raise TracingError(f"rng.binomial in a traced loss takes n=1, got {n}, at {source_line()}")
        return (self.random(np.shape(p) if size is None else size) < p).astype(self._dtype)

    def __getattr__(self, name: str) -> Any:
        raise TracingError(
            f"rng.{name} is not available inside a traced loss, at {source_line()}; use rng.standard_normal, normal, "
            "random, uniform, standard_exponential or binomial(1, p)"
        )
