"""Every method of the registry passes the suite that plugins pass."""

import hypergrad as hg
from hypergrad.hypergradients import METHODS
from hypergrad.testing import MethodSuite

CLAIMS = {
    "auto": {"exact": True},
    "reverse": {"exact": True},
    "reversible": {"exact": True},
    "forward": {"exact": True},
    "truncated": {"method": staticmethod(lambda: hg.Truncated(steps=150))},
    "drmad": {"tolerance": 0.05},
    "evolution": {"tolerance": None},
}  # beside what every method of the registry claims

for name, kind in METHODS.items():
    body = {"method": staticmethod(kind), **CLAIMS.get(name, {})}
    globals()[f"Test{kind.__name__}"] = type(f"Test{kind.__name__}", (MethodSuite,), body)
