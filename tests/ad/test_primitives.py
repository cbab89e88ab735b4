"""Every primitive: NumPy's values, shapes and dtypes; derivatives to second order in both modes.

tests/ad/rows holds one row of examples a primitive; a primitive without a row fails `test_every_primitive_has_a_row`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from examples import Example

import hypergrad as hg
from hypergrad.ad import primitives
from hypergrad.ad.forward import evaluate
from hypergrad.ad.program import Primitive


def all_primitives() -> dict[str, Primitive]:
    found: dict[str, Primitive] = {}
    for info in pkgutil.iter_modules(primitives.__path__):
        module = importlib.import_module(f"{primitives.__name__}.{info.name}")
        for value in vars(module).values():
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Primitive):
                    assert found.setdefault(item.name, item) is item, f"two primitives are called {item.name}"
    return found


def all_rows() -> dict[str, list[Example]]:
    """The rows of every file in tests/ad/rows: one file a file of primitives."""
    found: dict[str, list[Example]] = {}
    for path in sorted(Path(__file__).with_name("rows").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"rows_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert not found.keys() & module.ROWS.keys(), f"{path.name} repeats a row"
        found |= module.ROWS
    return found


ROWS = all_rows()
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{number}")
    for name, row in ROWS.items()
    for number, example in enumerate(row)
]


def test_every_primitive_has_a_row():
    assert set(ROWS) == set(all_primitives())


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_values(name, example, program_of, same):
    """Traced = NumPy bit for bit, compiled = NumPy to rounding, in double and single precision."""
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in map(np.asarray, example.args)]
    for args in (example.args, tuple(narrow)):
        program = program_of(example.f, args)
        if args is example.args:
            assert name in {eq.primitive.name for eq in program.equations}, "the example misses its primitive"
        expected = example.f(*args)
        same(evaluate(program, args)[0], expected, exactly=example.exact)
        compiled = hg.compile(example.f)
        for _ in range(2):
            same(compiled(*args), expected)


@pytest.mark.parametrize(("name", "example"), [p for p in EXAMPLES if p.values[1].smooth])
def test_derivatives(name, example):
    """Both modes, to second order, against central differences; and <c, J t> = <Jᵀ c, t>."""
    hg.check_grads(example.f, example.args, order=2, rtol=1e-5)
    rng = np.random.default_rng(0)
    floats = [np.asarray(a).dtype.kind == "f" for a in example.args]
    tangents = tuple(
        rng.standard_normal(np.shape(a)) if moves else None
        for a, moves in zip(example.args, floats, strict=True)
    )
    value, pushed = hg.jvp(example.f, example.args, tangents)
    cotangent = rng.standard_normal(np.shape(value))
    pulled = hg.vjp(example.f, *example.args)[1](cotangent)
    for ct, t, a in zip(pulled, tangents, example.args, strict=True):
        assert (ct is None) == (t is None)
        if ct is not None:
            assert (np.shape(ct), ct.dtype) == (np.shape(a), np.asarray(a).dtype)
    left = np.vdot(cotangent, pushed)
    right = sum(np.vdot(ct, t) for ct, t in zip(pulled, tangents, strict=True) if ct is not None)
    assert left == pytest.approx(right, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", [n for n, row in ROWS.items() if any(e.smooth for e in row)])
def test_single_precision_derivatives(name):
    """float32 in, float32 out, close to float64's."""
    example = next(e for e in ROWS[name] if e.smooth)
    args = tuple(np.asarray(a) for a in example.args)
    narrow = tuple(a.astype(np.float32) if a.dtype.kind == "f" else a for a in args)
    value, pullback = hg.vjp(example.f, *args)
    wide = pullback(np.ones(np.shape(value)))
    value, pullback = hg.vjp(example.f, *narrow)
    found = pullback(np.ones(np.shape(value)))
    for a, b, x in zip(found, wide, narrow, strict=True):
        if x.dtype.kind == "f":
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
