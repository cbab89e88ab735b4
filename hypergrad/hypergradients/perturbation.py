"""Gaussian perturbations of hyperparameters, and what is estimated from pairs of them.

Notation: h one leaf of the hyperparameters, ψ(h) its coordinate, σ its scale, ε ~ N(0, I). A leaf that the optimiser
reads as a decay factor (momentum, betas) and that lies in (0, 1) is perturbed in ψ = log h/(1 - h), so that it stays
there; any other whose entries all have one sign in ψ = log|h|, h e^{σε}, so that it keeps its sign; the rest in ψ = h,
h + σε.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hypergrad.errors import DerivativeError, unknown_name
from hypergrad.unroll.hyper import Hyper

__all__ = ["Coordinate", "Mean", "best_weight", "coordinates", "directions"]


@dataclass(frozen=True)
class Coordinate:
    """One leaf and its perturbation.

    Attributes:
        value: h, float64.
        sigma: σ, in units of ψ.
        kind: "logit": ψ = log h/(1 - h); "log": ψ = log|h|; "plain": ψ = h.
    """

    value: np.ndarray
    sigma: float
    kind: Literal["logit", "log", "plain"]

    def at(self, epsilon: np.ndarray) -> np.ndarray:
        """h(ψ + σε)."""
        moved = self.sigma * epsilon
        if self.kind == "logit":
            return self.value / (self.value + (1.0 - self.value) * np.exp(-moved))
        return self.value * np.exp(moved) if self.kind == "log" else self.value + moved

    def natural(self, slope: np.ndarray) -> np.ndarray:
        """From a derivative by ψ to one by h, at the unperturbed leaf."""
        return slope / self._rate(self.value)

    def pathwise(self, gradient: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
        """From a derivative by h(ψ + σε), at that point, to one by ψ."""
        return gradient * self._rate(self.at(epsilon))

    def _rate(self, h: np.ndarray) -> Any:
        """dh/dψ."""
        return h * (1.0 - h) if self.kind == "logit" else h if self.kind == "log" else 1.0


def coordinates(
    hyper: Hyper, moved: Sequence[bool], sigma: float | Mapping[str, float], factors: Set[str] = frozenset()
) -> list[Coordinate | None]:
    """The coordinate of each float leaf; None where it is not `moved`.

    Args:
        factors: names of the hyperparameters that the optimiser reads as decay factors.
        moved: for each float leaf, whether it is perturbed.
        sigma: relative scale, one number or one a name; a leaf that is neither positive nor negative throughout
            gets sigma times its root mean square, a leaf of zeros sigma itself.

    Raises:
        UnknownNameError: `sigma` names no hyperparameter.
        DerivativeError: `sigma` has no number for a leaf that is perturbed.
    """
    paths = [path for path, f in zip(hyper.paths, hyper.floats, strict=True) if f]
    if isinstance(sigma, Mapping):
        for name in sigma:
            if not any(_covers(name, path) for path in paths):
                raise unknown_name("hyperparameter", name, paths)
    found: list[Coordinate | None] = []
    for path, leaf, asked in zip(paths, hyper.values, moved, strict=True):
        if not asked or not leaf.size:
            found.append(None)
            continue
        value = np.asarray(leaf, np.float64)
        scale = _scale(sigma, path)
        if any(_covers(name, path) for name in factors) and bool(((value > 0) & (value < 1)).all()):
            found.append(Coordinate(value, scale, "logit"))
        elif bool((value > 0).all() or (value < 0).all()):
            found.append(Coordinate(value, scale, "log"))
        else:
            size = float(np.sqrt(np.mean(value**2))) or 1.0
            found.append(Coordinate(value, scale * size, "plain"))
    return found


def _covers(name: str, path: str) -> bool:
    return path == name or path.startswith(f"{name}/")


def _scale(sigma: float | Mapping[str, float], path: str) -> float:
    if not isinstance(sigma, Mapping):
        return float(sigma)
    names = [name for name in sigma if _covers(name, path)]
    if not names:
        raise DerivativeError(
            f"sigma has no scale for hparams[{path!r}]; add one, or leave that hyperparameter out of wrt"
        )
    return float(sigma[max(names, key=len)])


def directions(seed: int, hyper: Hyper, run: int) -> np.random.Generator:
    """The generator of the directions at one point: the same at the same hyperparameters, fresh at others.

    (Descent along the same few directions again and again would never leave their span.)
    """
    digest = 0
    for value in hyper.values:
        digest = zlib.crc32(np.ascontiguousarray(value).tobytes(), digest)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, run, digest])))


@dataclass(frozen=True)
class Mean:
    """The mean of P samples of one leaf, with its standard error: (mean, std / sqrt(P)), entry by entry."""

    mean: np.ndarray
    error: np.ndarray

    @staticmethod
    def of(samples: Any) -> Mean:
        """Of samples (P, ...), P >= 2; nan with fewer."""
        samples = np.asarray(samples, np.float64)
        if len(samples) < 2:
            missing = np.full(samples.shape[1:], np.nan)
            return Mean(missing, missing)
        return Mean(samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples)))


def best_weight(first: np.ndarray, second: np.ndarray) -> float:
    """The weight a of the mixture a·first + (1 - a)·second of least variance, in [0, 1].

    a = (V₂ - C) / (V₁ + V₂ - 2C), with the variances V and the covariance C summed over the leaf; for independent
    estimates (C = 0) the inverse-variance weight V₁⁻¹ / (V₁⁻¹ + V₂⁻¹). 0 where `first` is not finite.

    Args:
        first, second: samples (P, ...), drawn together; `second` is finite.
    """
    if not np.isfinite(first).all():
        return 0.0
    scale = max(float(np.abs(first).max(initial=0.0)), float(np.abs(second).max(initial=0.0)))
    if scale == 0.0:
        return 1.0
    a, b = first / scale, second / scale  # the squares of what nearly overflows do not
    a, b = a - a.mean(0), b - b.mean(0)
    spread = float(np.sum((a - b) ** 2))
    return float(np.clip(np.sum(b * (b - a)) / spread, 0.0, 1.0)) if spread > 0.0 else 1.0
