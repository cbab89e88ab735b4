"""Spaces in TOML and JSON."""

import json
import re

import numpy as np
import pytest

from hypergrad.errors import SpaceError
from hypergrad.space import Categorical, Float, Int, Ordinal, Space, read_space

TEXT = """
lr = {type = "float", low = 1e-4, high = 1.0, log = true, default = 0.1}
l2 = {type = "float", low = 0, high = 1, shape = [2, 1]}
layers = {type = "int", low = 1, high = 9, step = 2}
batch = {type = "ordinal", choices = [16, 32, 64]}
steps = 1000
weights = [1.0, 2.0]

[opt]
kind = {type = "categorical", choices = ["sgd", "momentum"], default = "momentum"}
type = {type = "categorical", choices = [true, false]}

[opt.momentum]
type = "float"
low = 0.5
high = 0.99
logit = true
active_if = {"opt/kind" = "momentum"}
"""
SPACE = Space(
    lr=Float(1e-4, 1.0, log=True, default=0.1),
    l2=Float(0.0, 1.0, shape=(2, 1)),
    layers=Int(1, 9, step=2),
    batch=Ordinal([16, 32, 64]),
    steps=1000,
    weights=np.array([1.0, 2.0]),
    opt={
        "kind": Categorical(["sgd", "momentum"], default="momentum"),
        "type": Categorical([True, False]),
        "momentum": Float(0.5, 0.99, logit=True, active_if={"opt/kind": "momentum"}),
    },
)


def written(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_toml(tmp_path):
    assert read_space(written(tmp_path, "space.toml", TEXT)) == SPACE


def test_json(tmp_path):
    import tomllib

    assert read_space(written(tmp_path, "space.JSON", json.dumps(tomllib.loads(TEXT)))) == SPACE


def test_the_description_of_a_space(tmp_path):
    path = written(tmp_path, "space.json", json.dumps(SPACE.to_json()))
    assert read_space(str(path)) == SPACE


def test_constraints(tmp_path):
    texts = ["layers * batch <= 128", "opt.momentum <= 0.9 or lr < 0.5"]
    constrained = Space(SPACE._tree, constraints=texts)
    path = written(tmp_path, "space.toml", f"constraints = {json.dumps(texts)}\n{TEXT}")
    assert read_space(path) == constrained != SPACE
    assert read_space(written(tmp_path, "space.json", json.dumps(constrained.to_json()))) == constrained
    assert read_space(written(tmp_path, "none.toml", f"constraints = []\n{TEXT}")) == SPACE


@pytest.mark.parametrize(
    "line",
    [
        'constraints = {type = "float", low = 0, high = 1}',
        'constraints = {lr = {type = "float", low = 0, high = 1}}',
        "constraints = [1, 2]",
        "constraints = 3",
    ],
)
def test_a_hyperparameter_may_be_called_constraints(tmp_path, line):
    found = read_space(written(tmp_path, "space.toml", f"{line}\n{TEXT}"))
    assert found.constraints == ()
    assert any(path.startswith("constraints") for path in (*found.parameters, *found.constants))


FLOAT = 'lr = {type = "float", '
WRONG = {
    "an unknown type": (
        'lr = {type = "flot", low = 0, high = 1}',
        "'lr': no type of hyperparameter 'flot'; did you mean 'float'?",
    ),
    "an unknown key": (
        f"[o]\n{FLOAT} lo = 0, high = 1}}",
        "'o/lr' (float): no key 'lo'; did you mean 'low'?",
    ),
    "a missing key": (FLOAT + "high = 1}", "'lr' (float) lacks 'low'; write low = ..."),
    "bounds the wrong way round": (FLOAT + "low = 1, high = 0}", "'lr': Float needs low < high"),
    "words as bounds": (FLOAT + 'low = "a", high = 0}', "'lr': low of a Float is 'a', expected a number"),
    "no hyperparameters": ("steps = 3", "the space is empty"),
    "an empty file": ("", "the space is empty"),
    "an empty group": (FLOAT + "low = 0, high = 1}\n[opt]", "'opt' of the space is empty"),
    "a list of words": (
        'act = ["tanh", "relu"]',
        "'act' is a list of something else than numbers; for choices",
    ),
    "a date": ("when = 2024-01-01", "'when' is"),
    "a constraint that is not read": (
        'constraints = ["lr < 0.5 %"]\n' + FLOAT + "low = 0, high = 1}",
        "the constraint 'lr < 0.5 %', at character 10: '%' is not understood",
    ),
    "a constraint without its list": (
        'constraints = "lr < 0.5"\n' + FLOAT + "low = 0, high = 1}",
        "constraints is 'lr < 0.5', expected a list of texts",
    ),
    "constraints that are no texts": (
        'constraints = ["lr < 0.5", 3]\n' + FLOAT + "low = 0, high = 1}",
        "constraints is ['lr < 0.5', 3], expected a list of texts",
    ),
    "no TOML": ("lr = [", "is no TOML: "),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_with_the_file_and_the_key(tmp_path, name):
    text, says = WRONG[name]
    path = written(tmp_path, "space.toml", text)
    with pytest.raises(SpaceError, match=re.escape(says)) as found:
        read_space(path)
    assert str(found.value).startswith(f"{path}")
    assert "\n" not in str(found.value).strip()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("space.json", "{", "is no JSON: "),
        ("space.json", '{"a": 1, "a": 2}', "is no JSON: the key 'a' is given twice"),
        ("space.json", "[1]", "expected a table of hyperparameters, got a list"),
        ("space.json", '{"parameters": [{"kind": "float"}]}', "this describes no space"),
        ("space.json", "[" * 100_000, "nested too deeply"),
        ("space.yaml", "lr: 3", "write it as TOML or JSON"),
        ("space", "lr = 3", "write it as TOML or JSON"),
    ],
)
def test_other_files(tmp_path, name, text, says):
    with pytest.raises(SpaceError, match=re.escape(says)):
        read_space(written(tmp_path, name, text))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name, says in (
        ("none.toml", "No such file"),
        ("folder.toml", "cannot be read"),
        ("bytes.toml", "UTF-8"),
    ):
        with pytest.raises(SpaceError, match=says):
            read_space(tmp_path / name)
