"""Evolution strategies: the gradient of a smoothed loss, from values alone.

Notation: F(h) the outer loss after training, ψ the coordinates in which h is perturbed (see `perturbation`), σ their
scales, P pairs, T steps, W = ceil(T / K) windows of K steps, ε_w ~ N(0, I) independent, ξ_w = ε_1 + ... + ε_w.

Antithetic ES (Salimans et al. 2017; Metz et al. 2019, eq. 3). G(ψ) = E F(h(ψ + σε)), and
    ∇G = E [F(h(ψ + σε)) - F(h(ψ - σε))] ε / (2σ),
whatever the run between does: where the loss is chaotic at scales below σ, the smoothed loss is not.

Persistent ES (Vicol, Metz & Sohl-Dickstein 2021), with a loss at the end of training. Window w of one particle runs
with h(ψ + σε_w), and G(ψ) = E F(ε_1, ..., ε_W), F the outer loss at the end. All windows share ψ, so that by the
score of the Gaussian ∇G = E F ξ_W / σ. Let L_w be the outer loss of the state after window w, L_0 = 0, L_W = F.
Since Σ_w ξ_w (L_w - L_{w-1}) = ξ_W L_W - Σ_{w<W} ε_{w+1} L_w and ε_{w+1} is independent of L_w with mean zero,
    ∇G = E Σ_w ξ_w (L_w - L_{w-1}) / σ,
unbiased, and each perturbation is credited only with how the loss changes after it. This is the paper's sum of
losses over windows, with the telescoping increments as losses. The antithetic particle runs with -ε_w.
One window, K >= T, is antithetic ES.

Mixture (Metz et al. 2019, sec. 4). The pathwise gradient E ∇_ψ F(h(ψ + σε)) estimates the same ∇G. Its variance is
the smaller where training is smooth and explodes where it is chaotic; the mixture of least variance takes either.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from hypergrad import tree
from hypergrad.errors import DerivativeError, RangeError
from hypergrad.hypergradients.base import HypergradientResult, Method, conclude, disconnected
from hypergrad.hypergradients.perturbation import Coordinate, Mean, best_weight, coordinates, directions
from hypergrad.hypergradients.plan import Plan
from hypergrad.optim.base import keys_of
from hypergrad.unroll.problem import BilevelProblem
from hypergrad.unroll.trajectory import Trajectory

__all__ = ["Evolution", "EvolutionResult"]

Leaves = list[np.ndarray | None]  # one a float hyperparameter; None: not perturbed


@dataclass(frozen=True)
class EvolutionResult(HypergradientResult):
    """A value and an estimate of the hypergradient of the smoothed loss.

    Attributes:
        standard_error: tree like hypergradient: standard error of each entry, from the spread over the pairs.
    """

    standard_error: Any = field(default=None)


@dataclass(frozen=True)
class Evolution(Method):
    """Antithetic evolution strategies, persistent ones, and their mixture with another gradient.

    The value is F(h) itself; the hypergradient is of the smoothed loss G, by natural h, not of F. A pair of which
    a value is not finite counts for nothing: the estimate is then conditional on training that survives, and a
    warning says so. Runs share batches, draws and first state (common random numbers).

    Attributes:
        sigma: scale of the perturbations, one number or a dict of one a name ("lr", "opt/lr"). Relative: a leaf
            of one sign is multiplied by e^{σε}, one that is read as momentum or betas has h/(1 - h) so multiplied;
            one of zeros and signs gets σ times its root mean square.
        pairs: P >= 2; the relative error is about sqrt(d / P) for d hyperparameter entries.
        unroll: K, steps between fresh perturbations: persistent ES; None: one perturbation for all T.
        combine: a method, such as `Reverse()`, whose gradients at the perturbed hyperparameters are mixed in.
        seed: of the directions, which also depend on the hyperparameters' values.

    Raises:
        DerivativeError: an argument outside its domain, or `combine` with `unroll`, which share no estimate.

    stats: pairs, diverged_pairs, smoothed_value, standard_errors (norm for each perturbed leaf, in the order of
    hparams), relative_error (norm of all standard errors by the norm of the estimate) and, with `combine`,
    combined_weights (of the other method's gradient, a number for each perturbed leaf).
    """

    sigma: float | Mapping[str, float] = 0.05
    pairs: int = 16
    unroll: int | None = None
    combine: Method | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        scales = self.sigma.items() if isinstance(self.sigma, Mapping) else [("", self.sigma)]
        for name, scale in scales:
            number = isinstance(scale, int | float | np.integer | np.floating) and not isinstance(scale, bool)
            if not number or not 0 < scale < np.inf:
                where = f"sigma[{name!r}]" if name else "sigma"
                raise DerivativeError(f"Evolution takes a positive number for {where}, got {scale!r}")
        if not _count(self.pairs, 2):
            raise DerivativeError(f"Evolution takes 2 pairs or more, got {self.pairs!r}")
        if self.unroll is not None and not _count(self.unroll, 1):
            raise DerivativeError(f"Evolution takes unroll=None or 1 step or more, got {self.unroll!r}")
        if not _count(self.seed, 0):
            raise DerivativeError(f"Evolution takes an int, 0 or more, for its seed, got {self.seed!r}")
        if self.combine is not None and not isinstance(self.combine, Method):
            raise DerivativeError(
                f"Evolution takes combine=None or a method such as hg.Reverse(), got {self.combine!r}"
            )
        if self.combine is not None and self.unroll is not None:
            raise DerivativeError(
                "Evolution cannot combine a gradient with persistent perturbations, "
                "which change during training; leave out unroll or combine"
            )

    def __str__(self) -> str:
        given = [f"{f.name}={v!r}" for f in fields(self) if (v := getattr(self, f.name)) != f.default]
        return f"Evolution({', '.join(given)})"

    def plan(self, trajectory: Trajectory, wrt: Sequence[bool]) -> Plan:
        self._places(trajectory, wrt)
        steps, runs = trajectory.steps, 2 * int(self.pairs)
        layout = trajectory.code.layout
        held = 3 * layout.size * layout.dtype.itemsize + self._bytes(trajectory, wrt)
        if self.combine is None:
            what = f"runs {self.pairs} pairs of perturbed trainings" + (
                "" if self.unroll is None else f", perturbed anew every {self.unroll} steps"
            )
            return Plan(str(self), what, steps, held, (runs + 1) * steps, 0, float(runs + 1))
        each = self.combine.plan(trajectory, wrt)
        return Plan(
            str(self),
            f"runs {self.pairs} pairs of perturbed trainings and differentiates each by {each.method}",
            steps,
            held + each.bytes,
            steps + runs * each.forward_steps,
            runs * each.linearised_steps,
            1.0 + runs * each.factor,
        )

    def _places(self, trajectory: Trajectory, wrt: Sequence[bool]) -> list[Coordinate | None]:
        if self.unroll is not None and trajectory.problem.stop is not None:
            raise DerivativeError(
                "Evolution perturbs anew over all steps, but this problem may stop early; leave out unroll or stop"
            )
        factors: set[str] = set()
        if isinstance(trajectory.problem, BilevelProblem):
            optimizer = trajectory.problem.optimizer
            factors = {key for name in optimizer.factors for key in keys_of(optimizer.rates()[name])}
        return coordinates(trajectory.hyper, _asked(trajectory, wrt), self.sigma, factors)

    def _bytes(self, trajectory: Trajectory, wrt: Sequence[bool]) -> int:
        entries = sum(v.size for v, m in zip(trajectory.values, _asked(trajectory, wrt), strict=True) if m)
        return 8 * entries * int(self.pairs) * (1 if self.combine is None else 2)

    def solve(self, trajectory: Trajectory, wrt: Sequence[bool], curve: int) -> HypergradientResult:
        began = time.perf_counter()
        places = self._places(trajectory, wrt)
        losses = trajectory.curve(curve)
        kept = self.plan(trajectory, wrt).bytes
        last = trajectory.train(losses)
        value = trajectory.outer_value(last)
        trained = time.perf_counter() - began
        samples = _Samples(self, trajectory, wrt, places)
        samples.run(directions(self.seed, trajectory.hyper, trajectory.seed))
        found = samples.means()
        weights = samples.weights
        errors = [None if m is None else m.error for m in found]
        size = _norm([None if m is None else m.mean for m in found])
        relative = float(_norm(errors) / size) if size > 0 else float(_norm(errors) > 0)
        finite = samples.finite
        stats: dict[str, Any] = {
            "method": str(self),
            "seconds_training": trained,
            "bytes": kept,
            "pairs": int(self.pairs),
            "diverged_pairs": int(self.pairs) - finite,
            "smoothed_value": float(np.mean(samples.values)) if finite else float("nan"),
            "standard_errors": [_norm([error]) for error in errors if error is not None],
            "relative_error": relative,
            "seconds": time.perf_counter() - began,
        }
        if self.combine is not None:
            stats["combined_weights"] = weights
        gradients = [
            (np.zeros(leaf.shape) if m is None else m.mean).astype(leaf.dtype)
            for m, leaf in zip(found, trajectory.values, strict=True)
        ]
        result = conclude(
            trajectory,
            wrt,
            value=value,
            gradients=gradients,
            state=last,
            losses=losses,
            stats=stats,
            warnings=_warnings(self.pairs, finite, relative),
        )
        spread = iter(
            np.zeros(leaf.shape) if error is None else error
            for error, leaf in zip(errors, trajectory.values, strict=True)
        )
        whole = [next(spread)[()] if f else None for f in trajectory.hyper.floats]
        asked = [leaf if w else None for leaf, w in zip(whole, wrt, strict=True)]
        return EvolutionResult(
            **{f.name: getattr(result, f.name) for f in fields(HypergradientResult)},
            standard_error=trajectory.hyper.structure.unflatten(asked),
        )


class _Samples:
    """What each pair says of each leaf, by ψ.

    Attributes:
        values: mean outer loss of each pair.
        finite: pairs of which all values are finite.
        weights: of the other method's gradient, one a perturbed leaf; once `means` was called.
    """

    def __init__(
        self, method: Evolution, trajectory: Trajectory, wrt: Sequence[bool], places: list[Coordinate | None]
    ) -> None:
        self._method, self._trajectory, self._wrt, self._places = method, trajectory, wrt, places
        self._scores: list[list[np.ndarray]] = [[] for _ in places]
        self._paths: list[list[np.ndarray]] = [[] for _ in places]
        self.values: list[float] = []
        self.weights: list[float] = []

    @property
    def finite(self) -> int:
        return len(self.values)

    def run(self, rng: np.random.Generator) -> None:
        """Draw and run all pairs."""
        for _ in range(self._method.pairs):
            if self._method.combine is None:
                self._values(rng)
            else:
                self._gradients(rng, self._method.combine)

    def means(self) -> list[Mean | None]:
        """The estimate of each leaf, by natural h, and its standard error."""
        found: list[Mean | None] = []
        for place, scores, paths in zip(self._places, self._scores, self._paths, strict=True):
            if place is None:
                found.append(None)
                continue
            samples = np.asarray(scores).reshape(-1, *place.value.shape)
            if self._method.combine is not None:
                pathwise = np.asarray(paths).reshape(samples.shape)
                weight = best_weight(pathwise, samples) if len(samples) > 1 else 0.0
                self.weights.append(weight)
                if weight > 0.0:
                    samples = weight * pathwise + (1.0 - weight) * samples
            mean = Mean.of(samples)
            found.append(Mean(place.natural(mean.mean), np.abs(place.natural(mean.error))))
        return found

    def _child(self, epsilon: Leaves) -> Trajectory:
        """The run with h(ψ + σε)."""
        of = self._trajectory
        moved = [
            leaf if place is None or e is None else place.at(e).astype(leaf.dtype)
            for leaf, place, e in zip(of.values, self._places, epsilon, strict=True)
        ]
        child = Trajectory(of.problem, of.hyper.tree(moved), of.seed)
        child.evaluations = of.evaluations  # counted together
        return child

    def _draw(self, rng: np.random.Generator) -> Leaves:
        return [None if p is None else rng.standard_normal(p.value.shape) for p in self._places]

    def _values(self, rng: np.random.Generator) -> None:
        """One pair of runs, window by window."""
        steps = self._trajectory.limit
        length = steps if self._method.unroll is None else self._method.unroll
        states: list[np.ndarray] = []
        before = (0.0, 0.0)
        total: Leaves = [None if p is None else np.zeros(p.value.shape) for p in self._places]
        score: Leaves = [None if p is None else np.zeros(p.value.shape) for p in self._places]
        alive = True
        for start in range(0, steps, length):
            stop = min(start + length, steps)
            epsilon = self._draw(
                rng
            )  # also of a pair that has diverged, so that the others stay what they are
            if not alive:
                continue
            sides = [self._child([None if e is None else s * e for e in epsilon]) for s in (1.0, -1.0)]
            if length >= steps:
                states = [side.train() for side in sides]
            else:
                states = states or [side.initial() for side in sides]
                states = [side.forward(state, start, stop) for side, state in zip(sides, states, strict=True)]
            after = sides[0].outer_value(states[0]), sides[1].outer_value(states[1])
            gain = (after[0] - before[0]) - (after[1] - before[1])
            alive = bool(np.isfinite(after).all() and np.isfinite(gain))
            before = after
            for e, xi, s in zip(epsilon, total, score, strict=True):
                if e is not None and xi is not None and s is not None:
                    xi += e
                    s += xi * gain
        if alive:
            self._keep(score, None, sum(before) / 2.0)

    def _gradients(self, rng: np.random.Generator, method: Method) -> None:
        """One pair of runs, each differentiated."""
        epsilon = self._draw(rng)
        values: list[float] = []
        paths: Leaves = [None if p is None else np.zeros(p.value.shape) for p in self._places]
        for sign in (1.0, -1.0):
            signed: Leaves = [None if e is None else sign * e for e in epsilon]
            child = self._child(signed)
            try:
                result = method.solve(child, self._wrt, 0)
            except RangeError:  # the pair counts for nothing, as one that diverged
                values.append(float("nan"))
                continue
            values.append(result.value)
            given = tree.leaves(result.hypergradient)
            leaves = [leaf for leaf, f in zip(given, child.hyper.floats, strict=True) if f]
            for place, path, leaf, e in zip(self._places, paths, leaves, signed, strict=True):
                if place is not None and path is not None and e is not None:
                    path += 0.5 * place.pathwise(np.asarray(leaf, np.float64), e)
        gain = values[0] - values[1]
        if np.isfinite(values).all() and np.isfinite(gain):
            self._keep([None if e is None else e * gain for e in epsilon], paths, sum(values) / 2.0)

    def _keep(self, scores: Leaves, paths: Leaves | None, value: float) -> None:
        self.values.append(value)
        for i, place in enumerate(self._places):
            score = scores[i]
            if place is not None and score is not None:
                self._scores[i].append(score / (2.0 * place.sigma))
                if paths is not None:
                    self._paths[i].append(paths[i])  # type: ignore[arg-type]


def _count(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(value >= least)


def _asked(trajectory: Trajectory, wrt: Sequence[bool]) -> list[bool]:
    """For each float leaf, whether it is asked for and anything depends on it."""
    cut = set(disconnected(trajectory))
    hyper = trajectory.hyper
    floats = [(path, w) for path, f, w in zip(hyper.paths, hyper.floats, wrt, strict=True) if f]
    return [w and path not in cut for path, w in floats]


def _norm(leaves: Sequence[np.ndarray | None]) -> float:
    return float(np.sqrt(sum(float(np.sum(leaf**2)) for leaf in leaves if leaf is not None)))


def _warnings(pairs: int, finite: int, relative: float) -> list[str]:
    found = []
    if finite < 2:
        found.append(
            f"{pairs - finite} of {pairs} pairs of perturbed runs diverged, so that nothing was estimated; "
            "make sigma smaller, or start where training survives"
        )
    elif finite < pairs:
        found.append(
            f"{pairs - finite} of {pairs} pairs of perturbed runs diverged and count for nothing, so that the "
            "estimate is biased towards hyperparameters at which training survives; make sigma smaller"
        )
    if finite >= 2 and relative**2 > 0.5:  # E |estimate|² = |∇G|² + E |error|²
        found.append(
            f"the standard error of the estimate is {relative:.2g} of its norm, so that at least half of its "
            "square is noise; take more pairs, differentiate with respect to fewer hyperparameters, "
            "or combine it with hg.Reverse()"
        )
    return found
