"""Lasso and elastic net, exactly solved without hypergrad: to judge penalties and to difference errors.

Notation: w = argmin 1/2n |y - X w|^2 + a1 |w|_1 + a2/2 |w|^2; scikit-learn's alpha and l1_ratio are
a1 = alpha l1_ratio, a2 = alpha (1 - l1_ratio).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import hypergrad as hg

Array = np.ndarray
Splits = list[tuple[Array, Array]]


def regression(dataset: str, seed: int, rows: int, features: int) -> tuple[Array, Array]:
    """``"simulated"``: scikit-learn's make_regression with noise 40; ``"diabetes"``: its diabetes table."""
    from sklearn.datasets import load_diabetes, make_regression

    if dataset == "diabetes":
        x, y = load_diabetes(return_X_y=True)
        return x, y
    x, y = make_regression(rows, features, noise=40, random_state=seed)
    return x, y


def folds(seed: int) -> Any:
    """scikit-learn's five shuffled folds."""
    from sklearn.model_selection import KFold

    return KFold(5, shuffle=True, random_state=seed)


def centred(x: Array, y: Array, train: Array, valid: Array) -> tuple[Array, Array, Array, Array]:
    """Training and validation rows, less the means of the training rows, which is what an intercept does."""
    shift, offset = x[train].mean(axis=0), y[train].mean()
    return x[train] - shift, y[train] - offset, x[valid] - shift, y[valid] - offset


def weights(x: Array, y: Array, a1: float, a2: float = 0.0) -> Array:
    """w to rounding: coordinate descent finds the support and the signs, a linear system the weights.

    Raises:
        ArithmeticError: what the system gives is no minimiser.
    """
    from sklearn.linear_model import ElasticNet

    n, alpha = len(y), a1 + a2
    model = ElasticNet(alpha=alpha, l1_ratio=a1 / alpha, fit_intercept=False, tol=1e-9, max_iter=200_000)
    signs = np.sign(model.fit(x, y).coef_)
    on = signs != 0.0
    w, part = np.zeros(x.shape[1]), x[:, on]
    gram = part.T @ part / n + a2 * np.eye(part.shape[1])
    w[on] = np.linalg.solve(gram, part.T @ y / n - a1 * signs[on])
    c = x.T @ (y - x @ w) / n - a2 * w
    if np.any(np.sign(w) != signs) or np.max(np.abs(c)) > a1 * (1.0 + 1e-8):
        raise ArithmeticError(f"coordinate descent did not find the support at a1 = {a1}, a2 = {a2}")
    return w


def errors(
    x: Array, y: Array, splits: Iterable[Any], a1: float, a2: float = 0.0
) -> tuple[Array, tuple[Any, ...]]:
    """The mean squared error on each fold's validation rows, and the signs of the weights of each."""
    found, signs = [], []
    for train, valid in splits:
        xt, yt, xv, yv = centred(x, y, train, valid)
        w = weights(xt, yt, a1, a2)
        found.append(float(np.mean((xv @ w - yv) ** 2)))
        signs.append(tuple(np.sign(w)))
    return np.array(found), tuple(signs)


def slope(f: Callable[[float], tuple[Array, Any]], h: float) -> tuple[Array, bool]:
    """df/dt at t = 0 by central differences of fourth order, and whether the signs were the same at all four."""
    (down2, s0), (down, s1), (up, s2), (up2, s3) = (f(t * h) for t in (-2, -1, 1, 2))
    return (8.0 * (up - down) - (up2 - down2)) / (12.0 * h), s0 == s1 == s2 == s3


def off_kinks(alpha: float, functions: Callable[[float], Iterable[Any]]) -> tuple[float, Array]:
    """A penalty a little further up, so that no kink lies within the differences, and the slopes there.

    Args:
        alpha: the penalty.
        functions: of the penalty: pairs of f and h for `slope`.
    """
    while True:
        alpha *= 1.0003
        slopes, same = zip(*(slope(f, h) for f, h in functions(alpha)), strict=True)
        if all(same):
            return alpha, np.array(slopes)


def fista(
    train: dict[str, Array], valid: dict[str, Array], penalty: Any, steps: int, lr: float
) -> hg.BilevelProblem:
    """Training by FISTA from zero, judged by the mean squared error; `penalty` of hg.optim on ``{"w": (p,)}``."""

    def error(params: Any, rows: Any) -> Any:
        return np.mean((params["w"] @ rows["x"].T - rows["y"]) ** 2)

    return hg.BilevelProblem(
        init=lambda hparams, rng: {"w": np.zeros(train["x"].shape[1])},
        inner_loss=lambda params, hparams, batch: 0.5 * error(params, batch),
        outer_loss=lambda params, hparams, rows: error(params, rows),
        train=train,
        valid=valid,
        optimizer=hg.optim.FISTA(lr=lr, penalty=penalty),
        steps=steps,
    )


def problem(x: Array, y: Array, train: Array, valid: Array, penalty: Any, steps: int) -> hg.BilevelProblem:
    """`fista` on one fold."""
    xt, yt, xv, yv = centred(x, y, train, valid)
    lipschitz = np.linalg.norm(xt, 2) ** 2 / len(yt)
    return fista({"x": xt, "y": yt}, {"x": xv, "y": yv}, penalty, steps, 1.0 / lipschitz)


def fitted(model: Any, x: Array, y: Array) -> Any:
    """A model of scikit-learn after its fit, without coordinate descent's warnings of its gap on small penalties."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def summary(searched: dict[str, Any], derivatives: dict[str, Any]) -> dict[str, float]:
    """Quantities of one seed.

    Args:
        searched: data set -> what was found: ``value`` and ``grid_value``, errors at the penalties of both sides, and
            ``tried``, the points.
        derivatives: data set -> relative errors of the slope, of the engine's derivative and of the engine's value.
    """
    excess = {name: found["value"] / found["grid_value"] - 1.0 for name, found in searched.items()}
    errors = np.max(list(derivatives.values()), axis=0)
    return {
        **{f"excess_{name}": value for name, value in excess.items()},
        "slope_error": errors[0],
        "engine_error": errors[1],
        "engine_value_error": errors[2],
        "points": max(len(found["tried"]) for found in searched.values()),
    }


def compared(
    searched: dict[int, dict[str, Any]],
    times: dict[str, list[float]],
    peer: str,
    columns: Callable[..., dict[str, str]],
) -> list[dict[str, Any]]:
    """Rows of a table: what both sides found; seconds of processor time for the simulated data of seed 42.

    Args:
        searched: seed -> data set -> ``ours`` and ``theirs``, the penalties, the errors ``value`` and ``grid_value``
            at them, ``tried``, our points, and ``grid_points``, the number of theirs.
        times: of "hypergrad" and of the peer.
        peer: its name.
        columns: of penalties.
    """
    made = []
    for seed, sets in searched.items():
        for name, f in sets.items():
            timed = name == "simulated" and seed == 42
            for side, penalties, value, points in (
                ("hypergrad", f["ours"], f["value"], len(f["tried"])),
                (peer, f["theirs"], f["grid_value"], f["grid_points"]),
            ):
                row = {"seed": seed, "data": name, "by": side, **columns(*penalties)}
                seconds = f"{np.median(times[side]):.2f}" if timed else ""
                made.append(row | {"CV-MSE": f"{value:.3f}", "points": points, "seconds": seconds})
    return made
