"""docs/numpy.md accounts for every function of NumPy, and is what the code generates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad import coverage
from hypergrad.errors import UnsupportedError

DOCS = Path(__file__).parents[1] / "docs" / "numpy.md"


def test_every_function_of_numpy_is_accounted_for():
    assert coverage.unaccounted() == []


def test_the_table_is_the_generated_one():
    """Versions of NumPy differ in their functions: every row that both have must be equal."""
    rows = lambda text: {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    written, generated = rows(DOCS.read_text()), rows(coverage.table())
    assert {k: written[k] for k in written.keys() & generated.keys()} == {
        k: generated[k] for k in written.keys() & generated.keys()
    }
    assert len(written.keys() & generated.keys()) > 400, "run python -m hypergrad.ad.coverage > docs/numpy.md"


def test_refusals_name_the_alternative():
    for function, words in ((np.unique, "no fixed shape"), (np.linalg.eig, "eigh"), (np.roots, "polyval")):
        with pytest.raises(UnsupportedError, match=words):
            hg.compile(lambda x, function=function: function(x))(
                np.eye(3)[0] if function is not np.linalg.eig else np.eye(3)
            )
