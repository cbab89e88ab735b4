"""What every method of computing hypergradients must do, as a pytest class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from hypergrad import tree
from hypergrad.errors import RangeError, UnknownNameError
from hypergrad.hypergradients import HypergradientResult, Method, hypergradient, train
from hypergrad.optim import Momentum
from hypergrad.unroll.problem import BilevelProblem

__all__ = ["MethodSuite", "ridge"]

_STEP = 1e-5  # of the central differences, whose error is of order 1e-10 on this problem
_REPORTED = ("method", "steps", "step_evaluations", "bytes", "seconds", "finite", "trusted")


def ridge(
    steps: int = 300,
    dtype: type = np.float64,
    lr: float | str = 0.1,
    momentum: float | str = 0.8,
    batch_size: int | None = None,
) -> BilevelProblem:
    """Ridge regression of 6 weights w, trained from 0 by gradient descent with momentum.

    The inner loss is ½ mean (x·w - y)² + ½ Σ l2 w², the outer ½ mean (x·w - y)² + ½ direct² on other rows.
    """
    rng = np.random.default_rng(6)
    x, true = rng.standard_normal((50, 6)), np.arange(1.0, 7.0) / 4.0
    y = x @ true + rng.standard_normal(50)
    data: dict[str, np.ndarray] = {"x": x.astype(dtype), "y": y.astype(dtype)}

    def misfit(params: Any, batch: Any) -> Any:
        return 0.5 * np.mean((batch["x"] @ params["w"] - batch["y"]) ** 2)

    return BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(6, dtype)},
        inner_loss=lambda p, h, batch: misfit(p, batch) + 0.5 * np.sum(h["l2"] * p["w"] ** 2),
        outer_loss=lambda p, h, batch: misfit(p, batch) + 0.5 * h["direct"] ** 2,
        train={key: value[:30] for key, value in data.items()},
        valid={key: value[30:] for key, value in data.items()},
        optimizer=Momentum(lr, momentum),
        steps=steps,
        batch_size=batch_size,
    )


class MethodSuite:
    """Tests of a method of computing hypergradients, on a ridge regression; subclass it and say how it is made.

    Attributes:
        method: makes a method: ``method = staticmethod(lambda: MyMethod())``.
        tolerance: claim: largest distance from central differences where training has converged, relative to the
            norm of the leaf; None: the method is random or rough, and its accuracy is not looked at.
        exact: claim: it keeps the tolerance after 7 steps too, by learning rate and momentum as well.
    """

    method: Callable[[], Method]
    tolerance: ClassVar[float | None] = 1e-6
    exact: ClassVar[bool] = False

    def hparams(self) -> dict[str, Any]:
        """A point of the ridge regression; ``unused`` enters nowhere, ``name`` has no derivative."""
        return {"l2": np.linspace(0.1, 0.6, 6), "direct": 0.4, "unused": 2.0, "name": "ridge"}

    def require(self, condition: Any, case: str, expected: str) -> None:
        """Fail unless `condition` holds, in a sentence."""
        __tracebackhide__ = True
        if not condition:
            raise AssertionError(f"{self.method()!r}, {case}: expected {expected}")

    def solve(self, problem: BilevelProblem, hparams: Any, **named: Any) -> HypergradientResult:
        """The hypergradient by a new method."""
        return hypergradient(problem, hparams, method=self.method(), seed=1, **named)

    def agrees(
        self, problem: BilevelProblem, hparams: dict[str, Any], leaves: tuple[str, ...], case: str
    ) -> None:
        """Fail unless the leaves of the hypergradient are central differences of the value after training."""
        __tracebackhide__ = True
        assert self.tolerance is not None
        found = self.solve(problem, hparams).hypergradient
        for name in leaves:
            leaf = np.asarray(hparams[name], float)
            slope = np.empty(leaf.size)
            for i in range(leaf.size):
                sides = []
                for sign in (1.0, -1.0):
                    moved = leaf.copy()
                    moved.reshape(-1)[i] += sign * _STEP
                    value = float(moved) if moved.ndim == 0 else moved
                    sides.append(float(train(problem, {**hparams, name: value}, seed=1).value))
                slope[i] = (sides[0] - sides[1]) / (2.0 * _STEP)
            off = np.linalg.norm(np.reshape(found[name], -1) - slope) / np.linalg.norm(slope)
            self.require(
                off <= self.tolerance,
                case,
                f"d/d {name} within {self.tolerance:g} of differences, got {off:.1e}",
            )

    def test_settings_are_a_frozen_dataclass(self) -> None:
        one, two = self.method(), self.method()
        case = "made twice"
        frozen = dataclasses.is_dataclass(one) and getattr(type(one), "__dataclass_params__").frozen  # noqa: B009
        self.require(frozen, case, "a class decorated with @dataclass(frozen=True)")
        self.require(one == two and hash(one) == hash(two), case, "two equal methods of equal hashes")

    def test_it_is_the_derivative_where_training_has_converged(self) -> None:
        if self.tolerance is not None:
            self.agrees(ridge(), self.hparams(), ("l2", "direct"), "300 steps of ridge regression")

    def test_it_is_the_derivative_of_a_few_steps(self) -> None:
        if self.tolerance is not None and self.exact:
            hparams = {**self.hparams(), "lr": 0.05, "momentum": 0.7}
            problem = ridge(steps=7, lr="lr", momentum="momentum", batch_size=10)
            self.agrees(problem, hparams, ("l2", "direct", "lr", "momentum"), "7 steps of ridge regression")

    def test_value_and_params_are_those_of_training(self) -> None:
        case, problem, hparams = "beside plain training", ridge(steps=40), self.hparams()
        found, plain = self.solve(problem, hparams), train(problem, hparams, seed=1)
        self.require(
            abs(found.value - plain.value) <= 1e-6 * abs(plain.value),
            case,
            f"{plain.value}, got {found.value}",
        )
        off = np.abs(found.params["w"] - plain.params["w"]).max()
        self.require(off <= 1e-6, case, f"the parameters of training, got some {off:.1e} away")

    def test_the_same_question_has_the_same_answer(self) -> None:
        case, problem, hparams = "asked twice", ridge(steps=40), self.hparams()
        one, two = self.solve(problem, hparams), self.solve(problem, hparams)
        for name in ("l2", "direct"):
            a, b = (np.asarray(r.hypergradient[name]).tobytes() for r in (one, two))
            self.require(a == b, case, f"the same bits of d/d {name}")
        before = self.hparams()
        self.require(
            all(np.array_equal(hparams[key], before[key]) for key in before),
            case,
            "hparams that are not changed",
        )

    def test_the_result_has_the_form_of_hparams(self) -> None:
        case, hparams = "the form of the result", self.hparams()
        found = self.solve(ridge(steps=40), hparams)
        self.require(set(found.hypergradient) == set(hparams), case, f"the keys {sorted(hparams)}")
        self.require(np.shape(found.hypergradient["l2"]) == (6,), case, "a vector of 6 at 'l2'")
        self.require(np.shape(found.hypergradient["direct"]) == (), case, "a number at 'direct'")
        self.require(found.hypergradient["name"] is None, case, "None at a word")
        self.require(
            found.disconnected == ("unused",), case, f"('unused',) in disconnected, got {found.disconnected}"
        )
        missing = [name for name in _REPORTED if name not in found.stats]
        self.require(not missing, case, f"{', '.join(missing)} in stats")

    def test_only_what_is_asked_for_is_returned(self) -> None:
        case, problem = "wrt=['direct']", ridge(steps=40)
        found = self.solve(problem, self.hparams(), wrt=["direct"])
        known = [leaf is not None for leaf in tree.leaves(found.hypergradient)]
        self.require(sum(known) == 1 and found.hypergradient["direct"] is not None, case, "d/d direct alone")
        try:
            self.solve(problem, self.hparams(), wrt=["dirct"])
        except UnknownNameError:
            return
        self.require(False, "wrt=['dirct']", "an UnknownNameError")

    def test_divergence_is_a_result(self) -> None:
        case = "a learning rate of 1e300"
        try:
            found = self.solve(ridge(steps=40, lr=1e300), self.hparams())
        except RangeError:  # the method holds smaller numbers only, and says so
            return
        self.require(not np.isfinite(found.value), case, f"a value that is not finite, got {found.value}")
        self.require(not found.stats["finite"] and not found.stats["trusted"], case, "stats that say so")

    def test_float32_stays_float32(self) -> None:
        hparams = {**self.hparams(), "l2": np.linspace(0.1, 0.6, 6).astype(np.float32)}
        found = self.solve(ridge(steps=40, dtype=np.float32), hparams).hypergradient["l2"]
        self.require(
            found.dtype == np.float32, "float32 hparams", f"a float32 hypergradient, got {found.dtype}"
        )
