"""Slopes by log alpha, the directions of evolution strategies, and standard errors of their estimates."""

import numpy as np
from kit import chaos

import hypergrad as hg
from hypergrad.hypergradients.perturbation import directions
from hypergrad.unroll.hyper import Hyper


def slope_at(task, log_alpha, seed, method=None):
    """The outer loss, its derivative by log alpha, and the whole result."""
    rate = chaos.lr(log_alpha)
    result = hg.hypergradient(task, {"lr": rate}, method=method, seed=seed, curve=0)
    return result.value, float(result.hypergradient["lr"]) * rate, result


def error_of(samples):
    """Standard error of the mean."""
    samples = np.asarray(samples)
    return float(samples.std(ddof=1) / np.sqrt(len(samples)))


def excess(path, score):
    """Standard error of the mixture over the lesser of both, with the weights of one half used on the other."""
    half = len(path) // 2
    ratios = []
    for fit, use in ((slice(None, half), slice(half, None)), (slice(half, None), slice(None, half))):
        (a, c), (_, b) = np.cov(path[fit], score[fit])
        weight = np.clip((b - c) / (a + b - 2.0 * c), 0.0, 1.0)
        mixed = weight * path[use] + (1.0 - weight) * score[use]
        ratios.append(error_of(mixed) / min(error_of(path[use]), error_of(score[use])))
    return float(np.mean(ratios))


def drawn(rate, seed, pairs):
    """The directions that hg.Evolution draws at a rate."""
    rng = directions(0, Hyper.of({"lr": rate}), seed)
    return [float(rng.standard_normal(())) for _ in range(pairs)]
