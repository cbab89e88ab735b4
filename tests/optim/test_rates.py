"""What an optimiser reads as a rate: numbers, keys at any depth, and sentences for anything else."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.optim.base import children, lookup

Named = namedtuple("Named", ["lr", "mu"])


@dataclass
class Options:
    lr: float
    mu: float


NESTED = {
    "a dict": {"opt": {"lr": 0.1, "mu": 0.5}},
    "a named tuple": {"opt": Named(0.1, 0.5)},
    "a dataclass": {"opt": Options(0.1, 0.5)},
    "a key with a slash": {"opt/lr": 0.1, "opt": {"mu": 0.5}},
}


@pytest.mark.parametrize("name", NESTED)
def test_a_key_reaches_into(regression, name):
    flat = regression.train(hg.optim.Momentum("lr", "mu"), {"lr": 0.1, "mu": 0.5}, 5)
    found = regression.train(hg.optim.Momentum("opt/lr", "opt/mu"), NESTED[name], 5)
    np.testing.assert_array_equal(found, flat)


def test_a_key_reaches_into_lists(regression):
    flat = regression.train(hg.optim.Momentum("lr", "mu"), {"lr": 0.1, "mu": 0.5}, 5)
    problem = regression.problem(hg.optim.Momentum("0", "1/0"), 5)
    result = hg.hypergradient(problem, [0.1, (0.5,)])
    np.testing.assert_array_equal(np.concatenate([result.params["u"], result.params["v"]]), flat)
    assert isinstance(result.hypergradient, list)
    assert isinstance(result.hypergradient[1], tuple)


def test_the_gradient_has_the_tree_of_the_hyperparameters(regression):
    problem = regression.problem(hg.optim.Momentum("opt/lr", "opt/mu"), 5)
    found = hg.hypergradient(problem, {"opt": Named(0.1, 0.5)}).hypergradient["opt"]
    assert isinstance(found, Named)
    assert isinstance(hg.hypergradient(problem, {"opt": Options(0.1, 0.5)}).hypergradient["opt"], Options)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"Lr": 0.1}, r"reads hparams\['lr'\], which hparams lacks; did you mean 'Lr'\?"),
        ({"rate": 0.1, "x": 1.0}, r"which hparams lacks; it has rate, x"),
        ({}, "it has no keys"),
        (None, "it has no keys"),
        ({"lr": 1}, r"SGD reads its rate lr from hparams\['lr'\], which is the int 1 .*; write 1\.0"),
        ({"lr": np.int64(2)}, r"holds integers .*; write 2\.0"),
        ({"lr": np.arange(3)}, r"holds integers .*; write \.astype\(float\)"),
        ({"lr": True}, r"which is True; write a float"),
        ({"lr": np.True_}, r"True.*; write a float"),
        ({"lr": "fast"}, r"which is 'fast'; write a float"),
        ({"lr": None}, r"which is None; write a float"),
        ({"lr": np.ones(5)}, r"must be one number, got shape \(5,\); write hg\.optim\.PerStep\(key\)"),
        ({"lr": {}}, r"which is no number but dict"),
        ({"lr": {"u": {"deep": 0.1}, "v": 0.1}}, r"hparams\['lr/u'\], which is no number but dict"),
        ({"lr": {"u": 0.1, "w": 0.1}}, r"for the layers 'u', 'w', but params has 'u', 'v'"),
        ({"lr": {"u": 0.1}}, r"for the layers 'u', but params has 'u', 'v'"),
        ({"lr": {"u": 1, "v": 0.1}}, r"hparams\['lr/u'\], which is the int 1"),
        ({"lr": {"u": np.ones(5), "v": 0.1}}, r"hparams\['lr/u'\], which must be one number"),
    ],
)
def test_what_is_no_rate_is_named(regression, hparams, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        hg.hypergradient(regression.problem(hg.optim.SGD("lr"), 5), hparams)


def test_a_nested_key_suggests_the_whole_path(regression):
    problem = regression.problem(hg.optim.SGD("opt/lrr"), 5)
    with pytest.raises(hg.errors.ProblemError, match=r"did you mean 'opt/lr'\?"):
        hg.train(problem, {"opt": {"lr": 0.1}})


def test_two_rates_must_name_the_same_layers(regression):
    problem = regression.problem(hg.optim.Adam("lr", ("b1", 0.99)), 5)
    with pytest.raises(hg.errors.ProblemError, match=r"rate lr for the layers 'u', 'v', but betas/0 for 'u'"):
        hg.train(problem, {"lr": {"u": 0.1, "v": 0.1}, "b1": {"u": 0.9}})


def test_layers_of_one_array_are_refused():
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: np.ones(3),
        inner_loss=lambda params, hparams, batch: np.sum(params**2),
        outer_loss=lambda params, hparams, valid: np.sum(params**2),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=2,
    )
    with pytest.raises(hg.errors.ProblemError, match="for the layers 'w', but params is one array"):
        hg.train(problem, {"lr": {"w": 0.1}})
    assert hg.train(problem, {"lr": 0.25}).value == 3 * 0.25**2


def test_layers_of_a_list_of_parameters():
    problem = hg.BilevelProblem(
        init=lambda hparams, rng: [np.ones(3), np.ones(2)],
        inner_loss=lambda params, hparams, batch: 0.5 * sum(np.sum(p**2) for p in params),
        outer_loss=lambda params, hparams, valid: np.sum(params[0]) + np.sum(params[1]),
        train=None,
        valid=None,
        optimizer=hg.optim.SGD("lr"),
        steps=1,
    )
    result = hg.hypergradient(problem, {"lr": [0.25, 0.5]})
    assert result.value == 3 * 0.75 + 2 * 0.5
    assert result.hypergradient["lr"] == [-3.0, -2.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: hg.optim.SGD(None),
            r"SGD\(lr=\.\.\.\) takes a number, a key of hparams or a schedule, got None",
        ),
        (lambda: hg.optim.SGD(True), "got True"),
        (lambda: hg.optim.Momentum(0.1, {}), r"Momentum\(momentum=\.\.\.\)"),
        (lambda: hg.optim.Adam(betas=(0.9,)), r"takes a pair \(b1, b2\), got \(0\.9,\)"),
        (lambda: hg.optim.Adam(betas=0.9), r"takes a pair \(b1, b2\), got 0\.9"),
        (lambda: hg.optim.Adam(betas=(0.9, None)), r"Adam\(betas=\.\.\.\)"),
    ],
)
def test_an_optimiser_checks_its_arguments(make, message):
    with pytest.raises(hg.errors.ProblemError, match=message):
        make()


def test_numbers_of_numpy_and_lists_of_betas_are_taken():
    assert hg.optim.SGD(1).rates() == {"lr": 1.0, "weight_decay": 0.0}
    assert hg.optim.SGD(np.float32(0.5)).rates()["lr"] == 0.5
    assert hg.optim.Adam(betas=[0.5, "b2"]) == hg.optim.Adam(betas=(0.5, "b2"))


def test_lookup_and_children_follow_the_names_of_trees():
    hparams = {"a": {"b": [1.0, Named(2.0, 3.0)]}, "c/d": 4.0, 5: 6.0}
    paths = hg.tree.paths(hparams)
    assert [lookup(hparams, path) for path in paths] == hg.tree.leaves(hparams)
    assert lookup(hparams, "a/b/1") == Named(2.0, 3.0)
    assert children(1.0) == {}
    assert children(()) == {}
