"""Programs: checked whenever one is built, printable, typed."""

from __future__ import annotations

import numpy as np
import pytest

from hypergrad.ad.forward import evaluate, last_uses
from hypergrad.ad.primitives.elementwise import add_p, negative_p
from hypergrad.ad.primitives.shape import split_p
from hypergrad.ad.program import ArrayType, Const, Equation, Program, Var
from hypergrad.ad.trace import trace, type_of
from hypergrad.errors import TracingError

F3 = ArrayType((3,), np.dtype(float))


def test_array_types():
    assert str(F3) == "f64[3]"
    assert str(ArrayType((), np.dtype(bool))) == "bool[]"
    assert str(ArrayType((2, 0), np.dtype(np.uint8))) == "u8[2,0]"
    assert str(ArrayType((1,), np.dtype(np.int32))) == "i32[1]"
    assert (F3.ndim, F3.size, ArrayType((2, 0), np.dtype(float)).size, ArrayType((), F3.dtype).size) == (
        1,
        3,
        0,
        1,
    )
    assert type_of(2.0) == ArrayType((), np.dtype(float), weak=True)
    assert type_of(True) == ArrayType((), np.dtype(bool))
    assert type_of(np.float32(1)) == ArrayType((), np.dtype(np.float32))


def test_printing():
    weights = np.ones((3, 2))

    def f(x, y):
        a, b = np.split(x @ weights * 0.5, 2)
        return [np.where(a > 1, b, y), x]

    program = trace(f, [F3, ArrayType((1,), np.dtype(float))], "f")
    lines = str(program).splitlines()
    assert lines[0] == "f(a:f64[3], b:f64[1])"
    assert lines[1].startswith("  c:f64[2] = matmul a const:f64[3,2]    # test_program.py:")
    assert "multiply c 0.5" in lines[2]
    assert lines[-1].startswith("  return ")
    assert lines[-1].endswith(", a")
    many = trace(lambda x: [sum((x for _ in range(60)), x)], [F3])
    assert "  aa:f64[3] = add z a" in str(many)


def test_every_primitive_prints_its_line():
    program = trace(lambda x: [np.max(np.cumsum(x)[[0, 1]])], [F3])
    assert [eq.where.partition(":")[0] for eq in program.equations] == ["test_program.py"] * 3


CHECKS = {
    "undefined operand": (lambda a, b, c: Program((a,), (Equation(negative_p, (b,), (c,)),), (c,)), "undefined"),
    "undefined output": (lambda a, b, c: Program((a,), (), (b,)), "never defined"),
    "an input twice": (lambda a, b, c: Program((a, a), (), (a,)), "listed twice"),
    "defined twice": (
        lambda a, b, c: Program((a,), (Equation(negative_p, (a,), (b,)),) * 2, (b,)), "redefines"
    ),
    "redefined input": (lambda a, b, c: Program((a, b), (Equation(negative_p, (a,), (b,)),), (b,)), "redefines"),
    "wrong shape": (
        lambda a, b, c: Program((a,), (Equation(negative_p, (a,), (Var(ArrayType((4,), F3.dtype)),)),), ()), "type"
    ),
    "wrong dtype": (
        lambda a, b, c: Program((a,), (Equation(negative_p, (a,), (Var(ArrayType((3,), np.dtype("f4"))),)),), ()),
        "gives f64",
    ),
    "too few outputs": (
        lambda a, b, c: Program((a,), (Equation(split_p, (a,), (b,), {"sizes": (1, 2), "axis": 0}),), ()),
        "has 1 outputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHECKS)
def test_checks(name):
    build, message = CHECKS[name]
    with pytest.raises(TracingError, match=message):
        build(Var(F3), Var(F3), Var(F3))


def test_evaluate_frees_what_nothing_reads():
    """The last uses cover every variable that is no output, each once."""
    program = trace(lambda x: [np.sum(np.sin(x) * x + x), x], [F3])
    dying = [var for variables in last_uses(program) for var in variables]
    outputs = {atom for atom in program.outputs if isinstance(atom, Var)}
    defined = {var for eq in program.equations for var in eq.outputs} | set(program.inputs)
    assert len(dying) == len(set(dying))
    assert set(dying) == defined - outputs


def test_constants_as_outputs():
    value = np.arange(3.0)
    program = Program((), (), (Const(value, F3),))
    assert evaluate(program, [])[0] is value
    a, b = Var(F3), Var(F3)
    unused = Program((a,), (Equation(add_p, (a, a), (b,)),), (a, a))
    found = evaluate(unused, [value])
    assert found[0] is value
    assert found[1] is value
