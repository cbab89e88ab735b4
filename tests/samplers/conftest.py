"""Objectives in the unit cube, with gradients, and the loop that drives a sampler over them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hypergrad.samplers import Record
from hypergrad.space import Float, Space


@dataclass(frozen=True)
class Function:
    """f of a point of the cube -> (value, gradient); `least` is its minimum."""

    dimension: int
    value: Callable[[np.ndarray], tuple[float, Any]]
    least: float = 0.0

    def __call__(self, unit):
        return self.value(np.asarray(unit, float))

    @property
    def space(self):
        return Space(x=Float(0.0, 1.0, shape=(self.dimension,)))


def rosenbrock(d, seed):
    shift = np.random.default_rng(seed).uniform(-0.5, 0.5, d)

    def value(u):
        x = 4.0 * (u - 0.5) - shift + 1.0
        a, b = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
        g = np.zeros(d)
        g[1:] += 200.0 * a
        g[:-1] -= 400.0 * a * x[:-1] + 2.0 * b
        return float(100.0 * (a @ a) + b @ b), 4.0 * g

    return Function(d, value)


def hartmann(seed):
    a = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8]])
    a = np.vstack([a, [17, 8, 0.05, 10, 0.1, 14]])
    p = np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]])
    p = 1e-4 * np.vstack([p, [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])
    weight = np.array([1.0, 1.2, 3.0, 3.2])
    shift = np.random.default_rng(seed).uniform(-0.14, 0.14, 6)

    def value(u):
        away = u + shift - p
        part = weight * np.exp(-(a * away * away).sum(1))
        return float(-part.sum()), (2.0 * a * away * part[:, None]).sum(0)

    return Function(6, value, -3.32237)


def levy(d, seed):
    shift = np.random.default_rng(seed).uniform(-4.0, 4.0, d)
    pi = np.pi

    def value(u):
        w = 1.0 + (20.0 * (u - 0.5) - shift) / 4.0
        a, z, s = w[:-1] - 1.0, w[-1] - 1.0, np.sin(pi * w[:-1] + 1.0)
        v = (
            np.sin(pi * w[0]) ** 2
            + (a * a * (1 + 10 * s * s)).sum()
            + z * z * (1 + np.sin(2 * pi * w[-1]) ** 2)
        )
        g = np.zeros(d)
        g[0] = pi * np.sin(2 * pi * w[0])
        g[:-1] += 2 * a * (1 + 10 * s * s) + a * a * 20 * s * np.cos(pi * w[:-1] + 1.0) * pi
        g[-1] += 2 * z * (1 + np.sin(2 * pi * w[-1]) ** 2) + z * z * 2 * pi * np.sin(4 * pi * w[-1])
        return float(v), 5.0 * g

    return Function(d, value)


def quadratic(d, seed, condition=1e4, rotated=True, inside=True):
    rng = np.random.default_rng(seed)
    eigen = np.logspace(0.0, -np.log10(condition), d)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0] if rotated else np.eye(d)[rng.permutation(d)]
    hessian = (q * eigen) @ q.T
    center = rng.uniform(0.1, 0.9, d) if inside else rng.uniform(-0.3, 1.3, d)

    def value(u):
        z = u - center
        return float(0.5 * z @ hessian @ z), hessian @ z

    if inside:
        return Function(d, value)
    from scipy.optimize import minimize

    tight = {"maxiter": 5000, "maxfun": 50000, "ftol": 1e-16, "gtol": 1e-12}
    found = minimize(value, np.full(d, 0.5), jac=True, bounds=[(0, 1)] * d, method="L-BFGS-B", options=tight)
    return Function(d, value, float(found.fun))


def forbidden(function, kind=np.nan):
    """Training diverges in the half space u[0] > 0.62."""

    def value(u):
        if u[0] > 0.62:
            return kind, np.full(function.dimension, np.nan)
        return function(u)

    return Function(function.dimension, value, function.least)


def edge(d, seed):
    """A round bowl whose center is where training diverges, u[0] > 0.62."""
    center = np.random.default_rng(seed).uniform(0.2, 0.8, d)
    center[0] = 0.9

    def value(u):
        return float((u - center) @ (u - center)), 2.0 * (u - center)

    return forbidden(Function(d, value, 0.28**2))


def corrupted(function, seed, exploded=0.0, flipped=0.0, missing=0.0):
    """Some gradients are multiplied by 1e16, some have the wrong sign, some entries are nan."""
    rng = np.random.default_rng([seed, 99])

    def value(u):
        v, g = function(u)
        draw = rng.random()
        g = 1e16 * g if draw < exploded else -g if draw < exploded + flipped else g
        return v, np.where(rng.random(function.dimension) < missing, np.nan, g)

    return Function(function.dimension, value, function.least)


def scaled(function, factor):
    def value(u):
        v, g = function(u)
        return factor * v, factor * g

    return Function(function.dimension, value, factor * function.least)


def rippled(d, seed, height=0.02):
    """A bowl with a fast ripple beyond 0.45 in each coordinate, as where training is chaotic."""
    bowl = quadratic(d, seed, condition=10.0)
    wave = np.random.default_rng([seed, 5]).uniform(50.0, 200.0, d)

    def value(u):
        v, g = bowl(u)
        on = (u > 0.45) * height / np.sqrt(d)
        return v + float((on * np.sin(wave * u)).sum()), g + on * wave * np.cos(wave * u)

    return Function(d, value)


def cliff(d, seed):
    """Log learning rates: larger is better, until their mean crosses an edge and the loss explodes."""
    rng = np.random.default_rng(seed)
    center, weight, half = rng.uniform(0.2, 0.8, d), rng.uniform(0.2, 2.0, d), d // 2

    def value(u):
        z, t = u - center, u[:half].mean() - 0.6
        blown = 1e-3 * np.exp(min(200.0 * (t - 0.05), 600.0))
        v = 0.8 + 2.0 * float((weight * z * z).mean()) - 0.5 * np.tanh(3.0 * t) + blown
        g = 4.0 * weight * z / d
        g[:half] += (200.0 * blown - 1.5 * (1.0 - np.tanh(3.0 * t) ** 2)) / half
        return float(v), g

    return Function(d, value)


FUNCTIONS = {
    "rosenbrock": rosenbrock,
    "hartmann": hartmann,
    "levy": levy,
    "quadratic": quadratic,
    "forbidden": forbidden,
    "edge": edge,
    "corrupted": corrupted,
    "scaled": scaled,
    "rippled": rippled,
    "cliff": cliff,
}


@pytest.fixture(scope="session")
def functions():
    """The objectives by name."""
    return FUNCTIONS


@pytest.fixture(scope="session")
def drive():
    """``drive(sampler, space, objective, trials, seed, history)``: the records of a study with one worker.

    Points, gradients and notes go through JSON, as they do in a store.
    """

    def run(sampler, space, objective, trials, seed=0, history=()):
        records = list(history)
        while len(records) < trials:
            number = len(records)
            proposal = sampler.ask(space, tuple(records), seed=seed, number=number)
            unit = np.array(json.loads(json.dumps(proposal.unit.tolist())))
            note = json.loads(json.dumps(dict(proposal.note), allow_nan=False))
            value, gradient = objective(unit)
            if gradient is not None:
                gradient = np.array(json.loads(json.dumps(np.asarray(gradient).tolist())))
            records.append(Record(number, unit, "complete", value, gradient, note, 1.0))
        return records

    return run
