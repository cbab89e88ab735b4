"""Known constraints as texts: what they mean, what is refused, and that stores and files keep them."""

import json
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypergrad.errors import SpaceError
from hypergrad.space import Categorical, Fidelity, Float, Int, Ordinal, Space, read_space
from hypergrad.space.grammar import LONGEST
from hypergrad.study import Study, load_study

TREE = {
    "lr": Float(1e-4, 1.0, log=True),
    "mix": Float(0.0, 1.0, shape=3),
    "layers": Int(1, 8),
    "batch": Ordinal([16, 32, 64]),
    "opt": {
        "kind": Categorical(["sgd", "momentum"]),
        "momentum": Float(0.5, 0.99, active_if={"opt/kind": "momentum"}),
        "weight-decay": Float(0.0, 1.0),
        "nesterov": Categorical([True, False]),
    },
    "steps": 100,
}


def space(*texts):
    return Space(TREE, constraints=texts)


def hparams(**changes):
    found = space().filled(
        {
            "lr": 0.1,
            "mix": np.array([0.5, 0.25, 0.125]),
            "layers": 2,
            "batch": 32,
            "opt/kind": "sgd",
            "opt/weight-decay": 0.25,
            "opt/nesterov": True,
            **{key.replace("__", "/"): value for key, value in changes.items()},
        }
    )
    return found


HOLDS = {
    "layers * batch <= 64": True,
    "layers * batch < 64": False,
    "layers * batch == 64": True,
    "layers * batch != 64": False,
    "lr * steps >= 9.99": True,
    "lr * steps > 10.01": False,
    "sum(mix) <= 1": True,
    "sum(mix) < 0.875": False,
    "sum(2 * mix - 1) == -1.25": True,
    "mix <= 0.5": True,
    "mix < 0.5": False,  # not every entry
    "mix[0] == 2 * mix[1] == 4 * mix[2]": True,
    "0.1 <= mix[2] < mix[1] < mix[0] <= 1": True,
    "opt.kind == 'sgd'": True,
    'opt.kind != "sgd"': False,
    "opt/kind == 'sgd'": None,  # a division by an unknown name
    "`opt/kind` == 'sgd'": True,
    "`opt/weight-decay` <= 0.25 and lr < 1": True,
    "`opt/weight-decay` < 0.25 or lr < 1": True,
    "lr < 1 or lr < 1 and lr > 1": True,
    "(lr < 1 or lr < 1) and lr > 1": False,
    "opt.nesterov == true": True,
    "opt.nesterov == False": False,
    "-2 ** 2 + layers == -layers": True,
    "2 ** -layers ** 2 == 0.0625": True,
    "layers - 1 - 1 == 0": True,
    "8 / layers / 2 == 2": True,
    "(layers + 1) * 2 == 6": True,
    "((lr + 1) * 2 < 3) and (lr < 1)": True,
    "1 / (layers - 2) > 1e300": True,  # infinite
    "(layers - 2) / (layers - 2) == 1": False,  # nan
    "(layers - 2) / (layers - 2) != 1": True,
    "opt.momentum > 2": True,  # inactive
    "opt.momentum > 2 and lr > 1": False,
    ".5e1 * 1.e-1 == 0.5 and layers == 2": None,  # a comparison without a name
    "+lr <= 1E+0": True,
}


@pytest.mark.parametrize("text", HOLDS)
def test_what_a_text_says(text):
    if HOLDS[text] is None:
        with pytest.raises(SpaceError):
            space(text)
        return
    found = space(text)
    assert found.violated(hparams()) == (None if HOLDS[text] else text)
    assert (hparams() in found) is HOLDS[text]


def test_an_active_name_counts():
    found = space("opt.momentum <= 0.9")
    assert found.violated(hparams(opt__kind="momentum", opt__momentum=0.95)) == "opt.momentum <= 0.9"
    assert found.violated(hparams(opt__kind="momentum", opt__momentum=0.85)) is None
    assert found.violated(hparams()) is None


_ATOMS = st.sampled_from(["a", "b", "c", "1", "2.5", "0.1", "3e-1"])
_TOTALS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", "-", " * ", "/", "**"]), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=6,
)
_COMPARISONS = st.tuples(
    st.just("a + "), _TOTALS, st.sampled_from(["<=", "<", ">=", ">", "==", "!="]), _TOTALS
).map("".join)
_RELATIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map("".join), inner.map("({})".format)
    ),
    max_leaves=4,
)


@given(_RELATIONS, st.tuples(*[st.floats(-3.0, 3.0).map(lambda x: round(x, 2))] * 3))
def test_the_grammar_is_that_of_python(text, values):
    """Against Python itself, on float64."""
    names = dict(zip("abc", values, strict=True))
    found = Space({name: Float(-3.0, 3.0) for name in names}, constraints=[text])
    exact = re.sub(r"(?<![\w.])(\d[\d.]*(?:e-1)?)", r"f(\1)", text)
    with np.errstate(all="ignore"):
        wanted = eval(exact, {"f": np.float64, **{n: np.float64(v) for n, v in names.items()}})
    assert (found.violated(names) is None) == bool(wanted)


WRONG = {
    "lr": (3, "the end comes where a comparison such as <= is expected"),
    "lr <": (5, "the end comes where a name or a number is expected"),
    "lr << 1": (5, "'<' comes where"),
    "lr < 1 )": (8, "')' comes where"),
    "(lr < 1": (8, "the end comes where ')' is expected"),
    "lr = 1": (4, "'=' is not understood"),
    "lr < 1; lr": (7, "';' is not understood"),
    "1lr < 1": (1, "'1' is not understood"),
    "lr < lrr": (6, "no hyperparameter 'lrr'; did you mean 'lr'?"),
    "opt < 1": (1, "no hyperparameter 'opt'"),
    "lr < momentum": (6, "did you mean 'opt/momentum'?"),
    "lr + opt.kind < 1": (6, "arithmetic with a word"),
    "opt.kind < 'sgd'": (1, "compared by <"),
    "opt.kind == 'sdg'": (13, "no choice 'sdg'; did you mean 'sgd'?"),
    "opt.kind == 3": (13, "no choice '3'"),
    "opt.kind == kind": (13, "no hyperparameter 'kind'"),
    "opt.kind == lr + 1": (13, "expected a choice"),
    "layers == 'two'": (11, "'two' is compared with a number"),
    "mix[3] < 1": (1, "shape (3,), so there is no entry [3]"),
    "mix[0,0] < 1": (1, "there is no entry [0,0]"),
    "mix[-1] < 1": (5, "expected"),
    "lr[0] < 1": (1, "shape ()"),
    "sum(lr) < 1": (1, "'sum' is of a single number"),
    "exp(lr) < 1": (1, "'sum' is the only function"),
    "1 < 2": (1, "names no hyperparameter"),
    "lr < 1 or 1 < 2": (11, "names no hyperparameter"),
    "not lr < 1": (5, "'lr' comes where"),
    "": (1, "the end comes where"),
    "__import__('os').system('true') < lr": (17, "'.' is not understood"),
    "(" * 400 + "lr < 1" + ")" * 400: (32, "nested more than 30 deep"),
    "-" * 400 + "lr < 1": (32, "nested more than 30 deep"),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_with_its_place(tmp_path, text):
    place, says = WRONG[text]
    path = tmp_path / "space.json"
    described = {"lr": {"type": "float", "low": 0, "high": 1}}
    for make in (lambda: space(text), lambda: read_space(path)):
        path.write_text(json.dumps({**described, "constraints": [text]}))
        with pytest.raises(SpaceError) as found:
            make()
        assert "\n" not in str(found.value)
    assert str(found.value).startswith(f"{path}: the constraint {text!r}, at character ")
    with pytest.raises(SpaceError, match=re.escape(f"at character {place}: ")) as found:
        space(text)
    assert says in str(found.value)


def test_long_texts():
    long = "+".join(["lr"] * 600) + " < 1"
    assert space(long).violated(hparams()) == long
    with pytest.raises(SpaceError, match="expected at most"):
        space("lr < 1 or " * (LONGEST // 10) + "lr < 1")


def test_arrays_must_fit():
    with pytest.raises(SpaceError, match=re.escape("shapes (2,) and (3,) do not fit")):
        Space(a=Float(0.0, 1.0, shape=2), b=Float(0.0, 1.0, shape=3), constraints=["a <= b"])


def test_a_text_is_a_value():
    one, two = space("sum(mix) <= 1"), space("sum(mix) <= 1")
    assert one == two
    assert hash(one) == hash(two)
    assert one != space("sum(mix) < 1")
    assert one != space()
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one).endswith("constraints=['sum(mix) <= 1'])")


def test_descriptions_keep_texts_and_the_names_of_functions():
    def small(hparams):
        return hparams["lr"] < 0.5

    mixed = Space(TREE, constraints=["sum(mix) <= 1", small])
    described = json.loads(json.dumps(mixed.to_json()))
    assert described["constraints"] == [{"text": "sum(mix) <= 1"}, "small"]
    back = Space.from_json(described)
    assert back.constraints[0] == mixed.constraints[0]
    with pytest.raises(SpaceError, match="'small' is known by name only"):
        back.violated(hparams())
    assert Space.from_json(space("lr < 1").to_json()) == space("lr < 1")


def test_a_store_keeps_texts(tmp_path):
    path, searched = tmp_path / "s.db", space("sum(mix) <= 1", "layers * batch <= 64")
    whole = Study("s", searched, store=None)
    whole.optimize(lambda h: h["lr"], trials=8)
    first = Study("s", searched, store=path)
    first.optimize(lambda h: h["lr"], trials=4)
    first.close()
    again = load_study(path)  # without the space
    assert again.space == searched
    again.optimize(lambda h: h["lr"], trials=8)
    for one, two in zip(whole.trials, again.trials, strict=True):
        assert one.hparams in searched
        np.testing.assert_array_equal(searched.to_unit(one.hparams), searched.to_unit(two.hparams))
    again.close()


def test_another_constraint_is_another_space(tmp_path):
    from hypergrad.errors import StudyError

    Study("s", space("lr < 0.5"), store=tmp_path / "s.db").close()
    with pytest.raises(StudyError, match=re.escape("the constraints lr < 0.5, not lr < 0.4")):
        Study("s", space("lr < 0.4"), store=tmp_path / "s.db")


def test_the_target_of_a_fidelity_keeps_its_constraints():
    searched = Space(lr=Float(0.0, 1.0), steps=Fidelity(1, 100), constraints=["lr * steps <= 50"])
    assert searched.target.violated({"lr": 0.6, "steps": 100}) == "lr * steps <= 50"
    assert searched.violated({"lr": 0.6, "steps": 10}) is None


def test_a_finite_space_counts_what_is_left():
    found = Space(a=Int(1, 4), b=Int(1, 4), constraints=["a + b <= 4"])
    assert found.size == 6
