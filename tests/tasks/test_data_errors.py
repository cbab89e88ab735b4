"""A table that cannot be learned from is refused in one sentence that says what is wrong, where, and what to do."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from hypergrad.errors import DataError, HypergradError, UnknownNameError
from hypergrad.tasks import load


def table(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"age": rng.normal(size=n), "x": rng.normal(size=n), "class": ["p", "q"] * (n // 2)})


def refused(*arguments, error: type[HypergradError] = DataError, **named) -> str:
    with pytest.raises(error) as caught:
        load(*arguments, **named)
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_missing_file_suggests_a_neighbour(csv):
    path = csv(table().to_csv(index=False), "people.csv")
    message = refused(path.replace("people", "poeple"), "class")
    assert "there is no file" in message
    assert repr(path) in message
    assert refused("nowhere/at/all.csv", "class") == "there is no file 'nowhere/at/all.csv'; check the path"
    assert "empty" in refused("  ")


def test_unknown_bundled_name():
    message = refused("digist", error=UnknownNameError)
    assert message == "'digist' is neither a bundled data set nor a file; did you mean 'digits'?"
    assert "breast_cancer, diabetes, digits, wine" in refused("zzz", error=UnknownNameError)


def test_target_of_a_bundled_set():
    assert "leave it out" in refused("wine", "alcohol")


def test_data_of_another_type():
    assert "a list" in refused([1, 2, 3])


@pytest.mark.parametrize("frame", [False, True])
def test_unknown_and_missing_target(csv, frame):
    data = table() if frame else csv(table().to_csv(index=False))
    assert "no column 'clas' in" in refused(data, "clas")
    assert "did you mean 'class'?" in refused(data, "clas")
    assert "its columns are 'age', 'x', 'class'" in refused(data, "zebra")
    assert "choose one of its columns: 'age', 'x', 'class'" in refused(data)


def test_target_name_that_occurs_twice(csv):
    text = table().to_csv(index=False).replace("age,x,class", "class,x,class")
    assert "the name of 2 columns" in refused(csv(text), "class")


def test_only_the_target(csv):
    assert "no column but the target 'class'" in refused(csv(table()[["class"]].to_csv(index=False)), "class")


def test_directory(tmp_path):
    assert "is a directory" in refused(tmp_path, "class")


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 1)() == 0, reason="the user may read all files"
)
def test_unreadable_file(csv):
    path = csv(table().to_csv(index=False))
    os.chmod(path, 0)
    assert "cannot read" in refused(path, "class")


@pytest.mark.parametrize("content", [b"", b"\n \n\n", b"\xef\xbb\xbf"])
def test_empty_file(csv, content):
    assert "is empty" in refused(csv(content), "class")


def test_header_only(csv):
    assert "has a header but no rows" in refused(csv("age,x,class\n"), "class")
    assert "has columns but no rows" in refused(table().iloc[:0], "class")


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04" + bytes(range(256)),
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"\x1f\x8b\x08abc",
        b"age,x,class\n1,2,\x00\n",
        np.random.default_rng(0).bytes(4000),
        b"\xff\xfe\x00\xd8a",
    ],
)
def test_binary_file_named_csv(csv, content):
    message = refused(csv(content), "class")
    assert "expected text; export the table as CSV" in message


def test_ragged_rows_name_the_line(csv):
    lines = table().to_csv(index=False).splitlines()
    lines[7] += ",9"
    assert "line 8 of" in refused(csv("\n".join(lines)), "class")
    assert "has 4 fields, its header has 3" in refused(csv("\n".join(lines)), "class")
    lines[7] = "1,2"
    assert "has 2 fields, its header has 3" in refused(csv("\n".join(lines)), "class")


def test_quotation_mark_that_is_never_closed(csv):
    lines = table().to_csv(index=False).splitlines()
    lines[7] = '"' + lines[7]
    assert "fields, its header has 3" in refused(csv("\n".join(lines)), "class")


def test_field_beyond_the_limit_of_csv(csv):
    text = table().to_csv(index=False) + '"' + "a" * 200_000
    assert "not a well-formed CSV file" in refused(csv(text), "class")


def test_column_without_values(csv):
    message = refused(csv(table().assign(notes=np.nan).to_csv(index=False)), "class")
    assert "column 'notes' of" in message
    assert "holds no values; remove the column" in message
    assert "'notes'" in refused(table().assign(notes="  "), "class")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinities_name_column_and_line(csv, value):
    frame = table()
    frame.loc[4, "x"] = value
    assert "column 'x' is infinite in line 6 of" in refused(csv(frame.to_csv(index=False)), "class")
    assert "column 'x' is infinite in row 5 of the DataFrame" in refused(frame, "class")
    assert "the target 'x' is infinite in row 5" in refused(frame, "x")


def test_numbers_too_large():
    frame = table()
    frame.loc[3, "x"] = -1e200
    assert refused(frame, "class").startswith("column 'x' is -1e+200 in row 4 of the DataFrame, too large")
    assert refused(frame, "x").startswith("the target 'x' is -1e+200 in row 4 of the DataFrame, too large")


def test_targets_without_information():
    assert "the same value 'p' in every row" in refused(table().assign(**{"class": "p"}), "class")
    assert "the same value '3' in every row" in refused(table().assign(**{"class": 3.0}), "class")
    assert "holds no values" in refused(table().assign(**{"class": np.nan}), "class")
    frame = table(60).assign(y=np.where(np.arange(60) == 7, 1.5, 0.5))
    messages = []
    for seed in range(10):
        try:
            load(frame, "y", seed=seed, kind="regression")
        except DataError as error:
            messages.append(str(error))
    assert messages
    assert all("the same value in all training rows" in message for message in messages)


def test_rare_classes_are_named_and_counted():
    frame = table().assign(**{"class": ["a"] * 37 + ["b"] * 3})
    message = refused(frame, "class")
    assert "the class 'b' of the target 'class' has 3 rows in the DataFrame, expected at least 5" in message
    frame["class"] = ["a"] * 37 + ["b", "c", "c"]
    message = refused(frame, "class")
    assert "the class 'b' of the target 'class' has 1 row in" in message
    assert message.endswith("merge or remove it and 'c'")


def test_target_of_names():
    frame = table().assign(name=[f"person {i}" for i in range(40)])
    message = refused(frame, "name")
    assert "40 different values in 40 rows" in message
    assert "choose another target" in message


def test_few_rows(csv):
    message = refused(csv(table().iloc[:3].to_csv(index=False)), "class")
    assert "has 3 rows with a target, expected at least 20" in message


def test_targets_of_the_wrong_type():
    assert "holds dates" in refused(table().assign(d=pd.date_range("2020-01-01", periods=40)), "d")
    assert "complex" in refused(table().assign(d=1j * np.arange(40)), "d")
    assert "complex" in refused(table().assign(d=1j * np.arange(40)), "class")
    assert "regression needs numbers" in refused(table(), "class", kind="regression")
    frame = table().assign(d=[*map(str, range(39)), "many"])
    assert "the target 'd' is 'many' in row 40 of the DataFrame, among numbers" in refused(frame, "d")


def test_nested_objects():
    frame = table().assign(tags=[[1, 2]] * 40)
    assert "column 'tags' of the DataFrame holds lists or other objects" in refused(frame, "class")


def test_nothing_left_to_learn_from():
    frame = pd.DataFrame({"same": 1.0, "name": [f"n{i}" for i in range(40)], "class": ["p", "q"] * 20})
    message = refused(frame, "class")
    assert "no column to learn from" in message
    assert "constant in the training rows: 'same'" in message


@pytest.mark.parametrize("seed", [-1, 0.5, "a", None])
def test_seed(seed):
    assert "the seed of the split is" in refused("wine", seed=seed)


def test_unknown_kind():
    assert "did you mean 'regression'?" in refused("wine", kind="regresion", error=UnknownNameError)
