"""hg.debug names the first number that is not finite, its line, its direction and its training step."""

from __future__ import annotations

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import NonFiniteError

X = np.array([1.0, 0.0, -2.0])


def bad(x):
    y = np.exp(x)
    z = np.log(x)  # the culprit
    return np.sum(y * z)


LINE = bad.__code__.co_firstlineno + 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: hg.grad(bad)(X),
        lambda: hg.compile(bad)(X),
        lambda: hg.vjp(bad, X),
        lambda: hg.jvp(bad, (X,), (X,)),
    ],
)
def test_the_line_and_the_operand(call):
    with (
        hg.debug(),
        pytest.raises(
            NonFiniteError, match=rf"log gave -inf at index \(1,\).*test_debug.py:{LINE}.*from -2 to 1"
        ),
    ):
        call()
    with np.errstate(all="ignore"):
        call()  # outside nothing is checked


def test_backward_only():
    f = lambda x: np.sum(np.arcsin(x))
    with hg.debug(), pytest.raises(NonFiniteError, match="divide gave inf"):
        hg.grad(f)(np.array([0.5, 1.0]))
    with hg.debug():
        assert np.isfinite(hg.compile(f)(np.array([0.5, 1.0])))


def test_masked_numbers_are_no_fault_and_inputs_are_named():
    safe = lambda x: np.sum(np.where(x > 0, np.log(x), 0.0))
    with hg.debug():
        assert np.isfinite(hg.grad(safe)(X)).all()
        hg.nn.softmax_cross_entropy(np.array([[0.0, -np.inf]]), np.array([0]))
    with hg.debug(intermediate=True), pytest.raises(NonFiniteError, match="log gave"):
        hg.compile(safe)(X)
    with hg.debug(), pytest.raises(NonFiniteError, match=r"input 0 gave nan.*when it came in"):
        hg.compile(np.sin)(np.array([np.nan]))


def problem(steps=40):
    def inner(params, hparams, batch):
        return np.mean((batch["x"] @ params["w"]) ** 2 * 50.0)

    x = np.random.default_rng(0).standard_normal((30, 3))
    return hg.BilevelProblem(
        init=lambda h, rng: {"w": np.ones(3)}, inner_loss=inner, outer_loss=inner, train={"x": x}, valid={"x": x},
        optimizer=hg.optim.SGD(lr="lr"), steps=steps,
    )  # fmt: skip


def test_training_names_the_step():
    made = problem(400)
    assert not np.isfinite(hg.train(made, {"lr": 30.0}).value)
    with hg.debug(), pytest.raises(NonFiniteError, match=r"in the forward run of \S+, step t=\d+; operand"):
        hg.train(made, {"lr": 30.0})
    with hg.debug():
        watched = hg.hypergradient(problem(), {"lr": 0.001})
    plain = hg.hypergradient(problem(), {"lr": 0.001})
    assert watched.hypergradient["lr"] == pytest.approx(plain.hypergradient["lr"], rel=1e-12)


def test_a_function_of_a_batch_is_watched():
    with hg.debug(), pytest.raises(NonFiniteError, match=r"log gave -inf at index \(1,\)"):
        hg.vmap(np.log)(np.array([1.0, 0.0, 2.0]))
