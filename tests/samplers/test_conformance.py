"""Every sampler of the registry passes the suite that plugins pass."""

import subprocess
import sys

from hypergrad.samplers import SAMPLERS
from hypergrad.testing import SamplerSuite

CLAIMS = {
    "random": {"learns": False, "dimensions": (1, 50, 5000), "trials": 25},
    "sobol": {"learns": False, "dimensions": (1, 50, 5000), "trials": 25},
    "gradient": {"dimensions": (1, 50, 5000), "trials": 25},
    "bayes": {"trials": 9},
    "hybrid": {"dimensions": (1, 50, 5000), "trials": 9},
}  # beside what every sampler of the registry claims

for name, kind in SAMPLERS.items():
    body = {"sampler": staticmethod(kind), "learns": True, "defaults_first": True, **CLAIMS.get(name, {})}
    globals()[f"Test{kind.__name__}"] = type(f"Test{kind.__name__}", (SamplerSuite,), body)


def test_importing_samplers_does_not_import_scipy():
    code = "import sys, hypergrad.samplers; sys.exit(any(m.split('.')[0] == 'scipy' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
