"""What tests of several folders share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hypergrad as hg

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _replaced(hparams: Any, path: str, value: Any) -> Any:
    leaves, structure = hg.tree.flatten(hparams)
    return structure.unflatten(
        [value if p == path else leaf for p, leaf in zip(structure.paths(), leaves, strict=True)]
    )


@pytest.fixture(scope="session")
def differences() -> Callable[..., np.ndarray]:
    """``differences(problem, hparams, path)``: central differences of the outer loss at one leaf, entry by entry.

    Of order 2, or of order 4, which takes a larger step and so has more digits.
    """
    stencils = {
        2: ((1.0, 0.5), (-1.0, -0.5)),
        4: ((1.0, 8 / 12), (-1.0, -8 / 12), (2.0, -1 / 12), (-2.0, 1 / 12)),
    }

    def run(
        problem: Any, hparams: Any, path: str, seed: int = 0, step: float = 1e-6, order: int = 2
    ) -> np.ndarray:
        leaf = dict(zip(hg.tree.paths(hparams), hg.tree.leaves(hparams), strict=True))[path]
        value = np.asarray(leaf, float)
        found = np.zeros(value.shape)
        for i in np.ndindex(value.shape):
            for shift, weight in stencils[order]:
                moved = value.copy()
                moved[i] += shift * step
                moved = float(moved) if type(leaf) is float else moved
                result = hg.train(problem, _replaced(hparams, path, moved), seed=seed)
                found[i] += weight * result.value / step
        return found

    return run


@pytest.fixture(scope="session")
def close() -> Callable[..., None]:
    """``close(found, expected, rtol)``: |found - expected| <= rtol |expected|, norms of the whole leaf."""

    def check(found: Any, expected: Any, rtol: float) -> None:
        assert np.shape(found) == np.shape(expected)
        error = float(np.linalg.norm(np.asarray(found) - expected))
        size = float(np.linalg.norm(expected))
        assert error <= rtol * max(size, 1e-9), (
            f"differ by {error / max(size, 1e-300):.2e} of their norm {size:.2e}"
        )

    return check
