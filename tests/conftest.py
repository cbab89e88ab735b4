"""What tests of several folders share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hypergrad as hg


def _replaced(hparams: Any, path: str, value: Any) -> Any:
    leaves, structure = hg.tree.flatten(hparams)
    return structure.unflatten(
        [value if p == path else leaf for p, leaf in zip(structure.paths(), leaves, strict=True)]
    )


@pytest.fixture(scope="session")
def differences() -> Callable[..., np.ndarray]:
    """``differences(problem, hparams, path)``: central differences of the outer loss at one leaf, entry by entry."""

    def run(problem: Any, hparams: Any, path: str, seed: int = 0, step: float = 1e-6) -> np.ndarray:
        leaf = dict(zip(hg.tree.paths(hparams), hg.tree.leaves(hparams), strict=True))[path]
        value = np.asarray(leaf, float)
        found = np.zeros(value.shape)
        for i in np.ndindex(value.shape):
            sides = []
            for sign in (1.0, -1.0):
                moved = value.copy()
                moved[i] += sign * step
                moved = float(moved) if type(leaf) is float else moved
                sides.append(hg.train(problem, _replaced(hparams, path, moved), seed=seed).value)
            found[i] = (sides[0] - sides[1]) / (2.0 * step)
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
