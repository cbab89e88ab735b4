"""Problems check what they are given when they are made, in sentences."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import ProblemError, ShapeError, TracingError, TreeError

X, Y = np.ones((10, 2)), np.arange(10) % 3


def init(hparams, rng):
    return {"w": np.zeros((2, 3))}


def inner_loss(params, hparams, batch):
    return hg.nn.softmax_cross_entropy(batch["x"] @ params["w"], batch["y"]).mean()


def outer_loss(params, hparams, valid):
    return hg.nn.softmax_cross_entropy(valid["x"] @ params["w"], valid["y"]).mean()


def bilevel(**changes):
    return hg.BilevelProblem(
        **{
            "init": init,
            "inner_loss": inner_loss,
            "outer_loss": outer_loss,
            "train": {"x": X, "y": Y},
            "valid": {"x": X, "y": Y},
            "optimizer": hg.optim.SGD("lr"),
            "steps": 4,
            "batch_size": 5,
            **changes,
        }
    )


def unrolled(**changes):
    return hg.UnrolledProblem(
        **{
            "init": lambda hparams, rng: {"w": np.ones(3)},
            "step": lambda state, hparams, batch, t: {"w": state["w"] * hparams["a"]},
            "outer_loss": lambda state, hparams, valid: np.sum(state["w"] ** 2),
            "steps": 4,
            **changes,
        }
    )


def two(a, b):
    return 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be a positive int, got 0"),
        ({"steps": 3.0}, r"steps must be a positive int, got 3\.0"),
        ({"steps": True}, "got True"),
        ({"steps": None}, "got None"),
        ({"init": np.zeros(3)}, "init must be a function, got ndarray"),
        (
            {"init": lambda hparams: None},
            r"init is called with the arguments \(hparams, rng\), .* \(hparams\)",
        ),
        ({"inner_loss": 1.0}, "inner_loss must be a function, got float"),
        ({"inner_loss": two}, r"inner_loss is called with the arguments \(params, hparams, batch\)"),
        ({"outer_loss": None}, "outer_loss must be a function, got NoneType"),
        (
            {"outer_loss": two},
            r"outer_loss is called with the arguments \(params, hparams, valid\), .* \(a, b\)",
        ),
        ({"metrics": [two]}, "metrics must be a dict of name -> function, got list"),
        ({"metrics": {"accuracy": 1}}, r"metrics\['accuracy'\] must be a function, got int"),
        (
            {"metrics": {"init": two}},
            r"metrics\['init'\] is called with the arguments \(params, hparams, data\)",
        ),
        ({"optimizer": "sgd"}, r"optimizer must be one of hg\.optim \(SGD, Momentum, .*AdamW.*\), got 'sgd'"),
        ({"optimizer": hg.optim.SGD}, "optimizer must be one of"),
        ({"train": {"x": X, "y": Y[:-1]}}, r"train\['x'\] has 10 rows and train\['y'\] has 9 rows"),
        ({"valid": {"x": X[:0]}}, r"valid\['x'\] has no rows"),
        ({"test": {"x": np.array(["a"])}}, r"test\['x'\] must hold real numbers"),
        ({"valid": {"x": X * np.nan}}, r"valid\['x'\] holds nan in row 0"),
        ({"batch_size": 11}, "batch_size 11 is more than the 10 training rows"),
        ({"batches": np.zeros((4, 2), int)}, "give batch_size or batches, not both"),
        ({"train": None}, "batch_size needs training data"),
    ],
)
def test_a_problem_checks_its_arguments(changes, message):
    with pytest.raises(ProblemError, match=message):
        bilevel(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 3}, "step must be a function, got int"),
        ({"step": lambda state, hparams, batch: state}, r"arguments \(state, hparams, batch, t\)"),
        ({"step": two}, r"step is called with .* takes \(a, b\)"),
    ],
)
def test_a_general_problem_checks_its_step(changes, message):
    with pytest.raises(ProblemError, match=message):
        unrolled(**changes)


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (
            lambda s, h, b, t: s["w"],
            ProblemError,
            r"step returned the tree \*, expected \{'w': \*\} as from init",
        ),
        (lambda s, h, b, t: {"w": s["w"], "v": s["w"]}, ProblemError, "step returned the tree"),
        (
            lambda s, h, b, t: {"w": s["w"][:2]},
            ShapeError,
            r"shape \(2,\) at 'w', expected \(3,\) as from init",
        ),
        (lambda s, h, b, t: {"w": None}, TreeError, "what step returned at 'w' must be an array"),
        (
            lambda s, h, b, t: {"w": 2.0 * s["w"]} if t > 2 else s,
            TracingError,
            r"as a condition .* at .*test_problem\.py",
        ),
    ],
)
def test_a_step_that_returns_no_state_is_named(step, error, message):
    with pytest.raises(error, match=message):
        hg.train(unrolled(step=step), {"a": 1.0})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"init": lambda h, rng: {"w": np.zeros((2, 3), int)}}, ProblemError, r"init returned int64 at 'w'"),
        ({"inner_loss": lambda p, h, b: p["w"]}, ValueError, r"inner_loss returns shape \(2, 3\)"),
        ({"outer_loss": lambda p, h, b: p["w"]}, ValueError, r"outer_loss returns shape \(2, 3\)"),
        ({"inner_loss": lambda p, h, b: None}, ValueError, "inner_loss returns None"),
        ({"inner_loss": lambda p, h, b: np.mean(b["x"] @ p["w"].T)}, ShapeError, r"test_problem\.py"),
        (
            {"inner_loss": lambda p, h, b: np.sum(p["w"]) if h["lr"] > 0 else 0.0},
            TracingError,
            r"as a condition .*test_problem\.py",
        ),
    ],
)
def test_an_error_inside_a_function_names_it_or_its_line(changes, error, message):
    with pytest.raises(error, match=message):
        hg.hypergradient(bilevel(**changes), {"lr": 0.1})


def test_labels_of_another_shape_or_kind_are_named():
    with pytest.raises(ShapeError, match=r"labels of shape \(5, 1\) do not fit logits of shape \(5, 3\)"):
        hg.train(bilevel(train={"x": X, "y": Y[:, None]}), {"lr": 0.1})
    with pytest.raises(ShapeError, match=r"must be integers, got float64, at .*test_problem\.py"):
        hg.train(bilevel(train={"x": X, "y": Y * 1.0}), {"lr": 0.1})


def test_a_key_that_hparams_lacks_is_named_by_python_with_the_keys_that_there_are():
    made = bilevel(inner_loss=lambda p, h, b: h["l2"] * np.sum(p["w"] ** 2))
    with pytest.raises(KeyError, match="l2") as caught:
        hg.train(made, {"lr": 0.1, "opt": {"mu": 1.0}})
    assert caught.value.__notes__ == ["hparams has lr, opt/mu"]


def test_a_problem_works_after_a_failure_and_with_several_shapes():
    made = unrolled()
    with pytest.raises(ShapeError):
        hg.hypergradient(made, {"a": np.ones(2)})
    with pytest.raises(KeyError):
        hg.hypergradient(made, {})
    for a in (0.5, np.full(3, 0.5), np.full((1,), 0.5), np.float32(0.5)):
        result = hg.hypergradient(made, {"a": a})
        assert result.value == 3 * 0.5**8
        np.testing.assert_allclose(np.sum(result.hypergradient["a"]), 8 * 3 * 0.5**7)
        assert np.shape(result.hypergradient["a"]) == np.shape(a)


def test_static_hyperparameters_are_part_of_the_signature():
    made = unrolled(
        init=lambda hparams, rng: {"w": np.ones(hparams["size"])},
        step=lambda s, h, b, t: {"w": {"half": s["w"] * h["a"], "same": s["w"]}[h["kind"]]},
    )
    for size, kind, expected in [(2, "half", 2 * 0.5**8), (3, "same", 3.0), (2, "half", 2 * 0.5**8)]:
        result = hg.hypergradient(made, {"a": 0.5, "size": size, "kind": kind, "flag": True, "none": None})
        assert result.value == expected
        gradient = result.hypergradient
        assert [gradient[k] for k in ("size", "kind", "flag", "none")] == [None] * 4


def test_many_signatures_and_seeds_are_kept_apart():
    made = unrolled(init=lambda hparams, rng: {"w": rng.standard_normal(3)})
    first = {seed: hg.train(made, {"a": 0.5}, seed=seed).value for seed in range(40)}
    assert len(set(first.values())) == 40
    assert {seed: hg.train(made, {"a": 0.5}, seed=seed).value for seed in reversed(range(40))} == first


def test_a_problem_is_pickled_without_its_compiled_code():
    made = bilevel()
    value = hg.hypergradient(made, {"lr": 0.1}).value
    again = pickle.loads(pickle.dumps(made))
    assert again.compiled == {}
    assert hg.hypergradient(again, {"lr": 0.1}).value == value


def test_evaluate_is_the_outer_loss_on_any_data():
    made = bilevel()
    result = hg.train(made, {"lr": 0.1})
    assert made.evaluate(result.params, {"lr": 0.1}, {"x": X, "y": Y}) == pytest.approx(
        result.value, rel=1e-14
    )
    assert isinstance(made.evaluate(result.params, {"lr": 0.1}, {"x": X[:2], "y": Y[:2]}), float)


def test_bilevel_is_a_general_problem():
    assert isinstance(bilevel(), hg.UnrolledProblem)
    assert bilevel().steps == 4
