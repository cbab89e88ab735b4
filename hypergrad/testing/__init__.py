"""Conformance suites: what a plugin must do, as pytest classes to subclass.

They need pytest only where they are run, and no other package::

    from hypergrad.testing import SamplerSuite

    class TestMine(SamplerSuite):
        sampler = staticmethod(lambda: MySampler(width=0.2))
"""

from hypergrad.testing.methods import MethodSuite
from hypergrad.testing.samplers import SamplerSuite

__all__ = ["MethodSuite", "SamplerSuite"]
