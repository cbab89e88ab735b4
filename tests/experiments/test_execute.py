"""A process that dies under way."""

import pytest
from experiment_folders import change, write

from hypergrad.errors import ExperimentError
from hypergrad.experiments import harness


def test_a_worker_that_dies_is_a_sentence(tmp_path):
    folder = write(tmp_path / "e")
    change(folder / "run.py", "    return scale\n", "    import os\n\n    os._exit(9)\n")
    with pytest.raises(ExperimentError, match=r"a worker was killed.*constant"):
        harness.run([folder], workers=2)
