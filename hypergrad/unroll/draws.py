"""Random draws inside a step (dropout, noise): inputs of its Program, drawn anew for each (seed, t)."""

from __future__ import annotations

from typing import Any

import numpy as np

from hypergrad.ad.program import ArrayType
from hypergrad.ad.trace import Builder, Tracer, is_traced, source_line
from hypergrad.errors import TracingError

__all__ = ["Draw", "Generator", "TracedGenerator"]

Draw = tuple[str, tuple[int, ...]]  # method of numpy.random.Generator, shape


class TracedGenerator:
    """Stands in for a numpy.random.Generator while a loss is traced; each draw becomes an input.

    Draws have the state's dtype. They come from `standard_normal`, `random` and `standard_exponential`; the
    others are built from them, so that their parameters may be traced and are differentiated (pathwise) where
    they can be.
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
        return Tracer(self._builder, self.inputs[-1].atom)  # a fresh array, unlike an argument

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
        shape = np.broadcast_shapes(_shape(loc), _shape(scale)) if size is None else size
        return loc + scale * self.standard_normal(shape)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Uniform draws in [low, high)."""
        shape = np.broadcast_shapes(_shape(low), _shape(high)) if size is None else size
        return low + (high - low) * self.random(shape)

    def binomial(self, n: int, p: Any, size: Any = None) -> Any:
        """0 or 1 with probability p of 1 (n must be 1); the draw has no derivative with respect to p."""
        if n != 1:
            raise TracingError(f"rng.binomial in a traced loss takes n=1, got {n}, at {source_line()}")
        return (self.random(_shape(p) if size is None else size) < p).astype(self._dtype)

    def exponential(self, scale: Any = 1.0, size: Any = None) -> Any:
        """Exponential draws of the given mean."""
        return scale * self.standard_exponential(_shape(scale) if size is None else size)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise TracingError(
            f"rng.{name} is not available inside a traced loss, at {source_line()}; use rng.standard_normal, "
            "normal, random, uniform, standard_exponential, exponential or binomial(1, p)"
        )


class Generator(np.random.Generator):
    """NumPy's generator, whose location and scale may be traced: ``rng.normal(0, hparams["scale"], n)``."""

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """N(loc, scale²) draws."""
        if not (is_traced(loc) or is_traced(scale)):
            return super().normal(loc, scale, size)
        shape = np.broadcast_shapes(_shape(loc), _shape(scale)) if size is None else size
        return loc + scale * self.standard_normal(shape)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Uniform draws in [low, high)."""
        if not (is_traced(low) or is_traced(high)):
            return super().uniform(low, high, size)
        shape = np.broadcast_shapes(_shape(low), _shape(high)) if size is None else size
        return low + (high - low) * self.random(shape)


def _shape(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, Tracer) else np.shape(x)
