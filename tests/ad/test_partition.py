"""Cutting programs: what is hoisted, what is kept, and that the parts together are the whole."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.ad.backends.numpy import Executable
from hypergrad.ad.forward import evaluate
from hypergrad.ad.optimize import lower, optimize
from hypergrad.ad.partition import cut, hoist
from hypergrad.ad.program import Program
from hypergrad.ad.reverse import vjp_program
from hypergrad.ad.trace import trace, type_of

RNG = np.random.default_rng(3)
STATE, THETA, BATCH = RNG.standard_normal(12), np.array([0.3, -0.2]), RNG.standard_normal((5, 4))


def step(s, theta, x):
    w, m = s[:4], s[4:8]
    strength = np.exp(theta)
    g = np.tanh(x @ w) @ x + strength[0] * w
    m = strength[1] * m + g
    return [np.concatenate([w - 0.1 * m, m, s[8:]])]


def program():
    return optimize(trace(step, [type_of(a) for a in (STATE, THETA, BATCH)], "step"))


def names(part):
    return [eq.primitive.name for eq in part.equations]


def test_hoist_takes_what_depends_on_some_inputs_alone():
    whole = program()
    before, rest = hoist(whole, [False, True, False])
    assert "exp" in names(before)
    assert "exp" not in names(rest)
    assert {"tanh", "matmul"} <= set(names(rest))
    values = evaluate(before, [THETA])
    np.testing.assert_array_equal(evaluate(rest, [*values, STATE, BATCH])[0], step(STATE, THETA, BATCH)[0])
    grown = optimize(
        trace(lambda t, x: [np.broadcast_to(t, (500, 2)) * x[0, 0]], [type_of(THETA), type_of(BATCH)], "g")
    )
    assert all(atom.type.size <= 64 for atom in hoist(grown, [True, False])[0].outputs)


def test_cut_keeps_activations_and_recomputes_what_is_cheap():
    whole = program()
    joint = optimize(vjp_program(whole, [True, True, False]))
    parts = cut(joint, late=1, outputs=1)
    assert "tanh" in names(parts.early)
    assert "tanh" not in names(parts.late)
    assert parts.bytes == sum(t.size * 8 for t in parts.residuals)
    assert parts.bytes < 12 * 8 * 4
    ct = np.cos(np.arange(12.0))
    after, *kept = evaluate(parts.early, [STATE, THETA, BATCH])
    late = evaluate(parts.late, [STATE, THETA, BATCH, after, *kept, ct])
    value, *expected = evaluate(joint, [STATE, THETA, BATCH, ct])
    np.testing.assert_array_equal(after, value)
    for a, b in zip(late, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_streamed_inputs_and_outputs_are_given_to_each_call():
    whole = optimize(trace(lambda x, y: [np.sin(x) * y, x + y], [type_of(BATCH)] * 2, "f"))
    run = Executable(whole, closed=True, streamed=["i1", "o0"])
    fixed, total = BATCH.copy(), np.empty_like(BATCH)
    bound = run.bind([fixed], [total])
    for scale in (1.0, 2.0):
        out = np.empty_like(BATCH)
        bound(BATCH * scale, out)
        np.testing.assert_allclose(out, np.sin(BATCH) * BATCH * scale, rtol=1e-15)
        np.testing.assert_allclose(total, BATCH * (1 + scale), rtol=1e-15)


def test_lowering_spells_out_the_softmax_once():
    loss = lambda z: [np.sum(hg.nn.softmax(z) ** 2) + np.sum(hg.nn.log_softmax(z))]
    whole = optimize(trace(loss, [type_of(BATCH)], "f"))
    assert {"softmax", "log_sum_exp"} <= set(names(whole))
    spelt = lower(whole)
    assert names(spelt).count("exp") == 1  # shared
    assert not {"softmax", "log_sum_exp"} & set(names(spelt))
    np.testing.assert_allclose(evaluate(spelt, [BATCH])[0], loss(BATCH)[0], rtol=1e-14)


@pytest.mark.parametrize(
    ("f", "gone"),
    [
        (lambda a, b: (a @ b).T, "permute of a product"),
        (lambda a, b: np.sum(np.broadcast_to(a[:1], (5, 4)) * 2.0), "broadcast"),
        (lambda a, b: 2.0 * (3.0 * a), "two passes"),
        (lambda a, b: a[:, None, :][:, 0], "index"),
    ],
)
def test_rules_leave_fewer_equations_and_the_same_values(f, gone):
    before = trace(lambda a, b: [f(a, b)], [type_of(BATCH), type_of(BATCH.T)], "f")
    after = optimize(before)
    assert isinstance(after, Program)
    assert len(after.equations) <= len(before.equations) + 1, gone
    assert str(after).startswith("f(")
    np.testing.assert_allclose(Executable(after)(BATCH, BATCH.T.copy())[0], f(BATCH, BATCH.T), rtol=1e-13)
