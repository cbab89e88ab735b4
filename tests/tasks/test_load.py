"""Bundled sets and CSV files: what is read, typed, split and prepared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from hypergrad.tasks import BUNDLED, load


def people(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Numbers, categories, gaps, booleans, dates, identifiers and awkward names."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "class": rng.normal(40.0, 10.0, n),
            "lambda": rng.choice(["red", "blue, sky", "gr/een"], n).astype(object),
            "hours/week [h]": rng.integers(0, 60, n),
            "été ☃": rng.choice(["ja", "nein"], n),
            "3": rng.normal(size=n),
            "flag": rng.choice([True, False], n),
            "name": [f"person {i}" for i in range(n)],
            "born": pd.date_range("1970-01-02", periods=n).strftime("%Y-%m-%d"),
            "same": "x",
        }
    )
    score = frame["class"] - 40 + 10 * (frame["lambda"] == "red") + rng.normal(0, 5, n)
    frame.loc[::7, "class"] = np.nan
    frame.loc[::5, "lambda"] = None
    frame["income"] = np.where(score > 3, ">50K", "<=50K")
    return frame


def numbered(n: int = 40, header: str = "a,b,y", separator: str = ",") -> str:
    rng = np.random.default_rng(1)
    rows = [separator.join([f"{u:.4f}", f"{v:.4f}", "pq"[int(u > v)]]) for u, v in rng.normal(size=(n, 2))]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "kind", "classes", "groups"),
    [
        ("breast_cancer", "classification", 2, 30),
        ("wine", "classification", 3, 13),
        ("diabetes", "regression", 0, 10),
    ],
)
def test_bundled_sets(name, kind, classes, groups):
    d = load(name)
    assert (d.kind, len(d.classes or ()), len(d.groups)) == (kind, classes, groups)
    n = sum(len(part["y"]) for part in (d.train, d.valid, d.test))
    assert n == len(np.unique(np.concatenate(list(d.rows.values()))))
    assert abs(len(d.valid["y"]) / n - 0.4) < 0.02
    assert abs(len(d.test["y"]) / n - 0.2) < 0.02
    for part in (d.train, d.valid, d.test):
        assert part["x"].dtype == np.float64
        assert part["x"].shape == (len(part["y"]), len(d.features))
        assert np.isfinite(part["x"]).all()
        assert part["y"].dtype == (np.int64 if classes else np.float64)
    seen = raw(name)[d.rows["train"]]
    for part in ("train", "valid", "test"):
        expected = (raw(name)[d.rows[part]] - seen.mean(0)) / seen.std(0)
        np.testing.assert_allclose(getattr(d, part)["x"], np.clip(expected, -5.0, 5.0), rtol=1e-9, atol=1e-9)


def raw(name: str) -> np.ndarray:
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")().data


def test_digits_drops_constant_pixels_and_says_so():
    d = load("digits")
    assert d.classes == tuple("0123456789")
    assert len(d.groups) + sum("constant" in note for note in d.notes) >= 60
    assert "pixel_0_0" not in d.groups
    assert any("'pixel_0_0'" in note for note in d.notes)
    assert "malignant" in (load("breast_cancer").classes or ())


def test_bundled_names_and_targets():
    assert BUNDLED == ("breast_cancer", "diabetes", "digits", "wine")
    assert load("wine", "target").digest == load("wine").digest


def test_mixed_table_from_csv(tmp_path):
    path = tmp_path / "people.csv"
    people().to_csv(path, index=False)
    d = load(path, "income")
    assert d.kind == "classification"
    assert d.classes == ("<=50K", ">50K")
    assert d.groups == ("class", "lambda", "hours/week [h]", "été ☃", "3", "flag", "born")
    assert {"class", "class is missing", "lambda = missing", "lambda = blue, sky", "été ☃ = ja"} <= set(
        d.features
    )
    of = {feature: d.groups[group] for feature, group in zip(d.features, d.group_of, strict=True)}
    assert of["class is missing"] == of["class"] == "class"
    assert {of[f"lambda = {value}"] for value in ("red", "gr/een", "missing")} == {"lambda"}
    assert "flag" in d.features  # a boolean without gaps is one column
    said = " ".join(d.notes)
    assert "'born' holds dates" in said
    assert "all different: 'name'" in said
    assert "constant in the training rows: 'same'" in said


def test_frame_and_csv_agree(tmp_path):
    path = tmp_path / "people.csv"
    people().to_csv(path, index=False)
    ours, theirs = load(people(), "income"), load(path, "income")
    assert ours.features == theirs.features
    np.testing.assert_allclose(ours.train["x"], theirs.train["x"], rtol=1e-12)
    np.testing.assert_array_equal(ours.test["y"], theirs.test["y"])


def test_one_hot_rows_sum_to_one():
    d = load(people(), "income")
    columns = [j for j, group in enumerate(d.group_of) if d.groups[group] == "lambda"]
    for part in (d.train, d.valid, d.test):
        np.testing.assert_array_equal(part["x"][:, columns].sum(1), 1.0)


@pytest.mark.parametrize("target", ["class", "3"])
def test_regression_on_a_keyword_or_integer_name(target):
    d = load(people(), target)
    assert d.kind == "regression"
    assert d.classes is None
    assert d.outputs == 1
    np.testing.assert_allclose([d.train["y"].mean(), d.train["y"].std()], [0.0, 1.0], atol=1e-12)
    mean, std = d.target_scale
    rows = people().loc[d.rows["test"], target]
    np.testing.assert_allclose(d.test["y"] * std + mean, rows, rtol=1e-12)


def test_rows_without_target_are_left_out_with_a_note():
    d = load(people(), "class")
    assert any(note.startswith("left out 29 of 200 rows, whose target 'class'") for note in d.notes)
    assert not np.isin(np.arange(0, 200, 7), np.concatenate(list(d.rows.values()))).any()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(csv, separator):
    plain = load(csv(numbered()), "y")
    other = load(csv(numbered(header=separator.join(["a b", "b", "y"]), separator=separator)), "y")
    np.testing.assert_array_equal(plain.train["x"], other.train["x"])


def test_decimal_commas(csv):
    text = numbered(header="a;b;y", separator=";").replace(".", ",")
    d = load(csv(text), "y")
    np.testing.assert_array_equal(d.train["x"], load(csv(numbered(), "plain.csv"), "y").train["x"])
    assert any("decimal" in note for note in d.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(csv, encoding):
    d = load(csv(numbered(header="größe,b,y"), encoding=encoding), "y")
    assert d.groups == ("größe", "b")
    assert any("Latin-1" in note for note in d.notes) == (encoding == "latin-1")


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_blank_lines_and_quotes(csv, newline):
    text = numbered(header='"a, ""b""\nc",b, y ').replace("\n", newline)
    d = load(csv(newline + text + newline + newline), "y")
    assert [g.replace("\r\n", "\n").replace("\r", "\n") for g in d.groups] == ['a, "b"\nc', "b"]


def test_repeated_and_nameless_columns_get_names(csv):
    rng = np.random.default_rng(0)
    rows = [",".join([*(f"{v:.3f}" for v in rng.normal(size=5)), str(i), "uv"[i % 2]]) for i in range(30)]
    d = load(csv("\n".join(["a,a,a (2),,a,,y", *rows])), "y")
    assert d.groups == ("a", "a (3)", "a (2)", "column 4", "a (4)")
    assert any("only numbers the rows" in note for note in d.notes)
    assert any("renamed" in note for note in d.notes)


def test_trailing_separators_are_no_column(csv):
    d = load(csv(numbered().replace("\n", ",\n")), "y")
    assert d.groups == ("a", "b")


def test_gaps_that_pandas_knows_and_question_marks(csv):
    lines = numbered(60).splitlines()
    lines[3], lines[4], lines[5] = "?,1,p", "NA,1,q", ",1,p"
    d = load(csv("\n".join(lines)), "y")
    assert "a" in d.features
    assert sum("number" in note for note in d.notes) == 0


def test_few_texts_among_numbers_are_gaps_with_a_note(csv):
    lines = numbered(60).splitlines()
    lines[3] = "twelve,1,p"
    d = load(csv("\n".join(lines)), "y")
    assert d.preparation.columns == ("a", "b")
    assert any("'a': 1 value(s) that are no numbers, such as 'twelve'" in note for note in d.notes)


def test_categories_are_capped_and_rare_ones_shared():
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame({"city": rng.integers(0, 80, n).astype(str), "x": rng.normal(size=n)})
    frame["city"] = "c" + frame["city"]
    frame["y"] = rng.choice(["a", "b"], n)
    d = load(frame, "y")
    cities = [f for f in d.features if f.startswith("city")]
    assert len(cities) == 20
    assert "city = other" in cities


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(100) % 10, "classification"),
        (np.arange(100) % 11, "regression"),
        (np.arange(100) % 2 + 0.0, "classification"),
        (np.arange(100) % 2 + 0.5, "regression"),
        (np.arange(100) % 2 == 0, "classification"),
        (pd.Categorical(["lo", "hi"] * 50), "classification"),
        (np.array(["1", "2.5"] * 50), "regression"),
    ],
)
def test_kind_rule(values, kind):
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100), "y": values})
    assert load(frame, "y").kind == kind


def test_kind_can_be_forced():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=100), "y": np.arange(100) % 10})
    assert load(frame, "y", kind="regression").kind == "regression"
    frame["y"] = np.arange(100) % 11
    d = load(frame, "y", kind="classification")
    assert d.classes == tuple(map(str, range(11)))
    np.testing.assert_array_equal(d.train["y"], frame["y"].to_numpy()[d.rows["train"]])


def test_stratified():
    frame = people(500).assign(income=lambda f: np.where(np.arange(len(f)) % 25 == 0, "rare", f["income"]))
    d = load(frame, "income")
    for part, share in ((d.train, 0.4), (d.valid, 0.4), (d.test, 0.2)):
        np.testing.assert_allclose(
            np.bincount(part["y"]) / (500 * share), np.bincount(d_all(d)) / 500, atol=0.01
        )


def d_all(d) -> np.ndarray:
    return np.concatenate([d.train["y"], d.valid["y"], d.test["y"]])


def test_five_rows_of_a_class_are_enough():
    frame = people(60).assign(income=["a"] * 5 + ["b"] * 55)
    d = load(frame, "income")
    for part in (d.train, d.valid, d.test):
        assert (np.bincount(part["y"], minlength=2) > 0).all()


def test_seed_decides_the_split():
    first, again, other = load("wine", seed=3), load("wine", seed=3), load("wine", seed=4)
    for part in ("train", "valid", "test"):
        np.testing.assert_array_equal(first.rows[part], again.rows[part])
        np.testing.assert_array_equal(getattr(first, part)["x"], getattr(again, part)["x"])
    assert set(first.rows["test"]) != set(other.rows["test"])
    assert first.digest == other.digest


def test_digest_follows_bytes_and_target(tmp_path):
    text = people().to_csv(index=False)
    path = tmp_path / "people.csv"
    path.write_text(text, encoding="utf-8")
    digest = load(path, "income").digest
    assert digest == load(str(path), "income").digest
    assert digest != load(path, "flag").digest
    path.write_text(text.replace("person 7,", "person 8,", 1), encoding="utf-8")
    assert digest != load(path, "income").digest
    assert load(people(), "income").digest == load(people(), "income").digest
    assert load(people(), "income").digest != load(people(seed=1), "income").digest


def test_nothing_is_learned_from_validation_and_test_rows():
    frame = people(300)
    d = load(frame, "income")
    rng = np.random.default_rng(5)
    unseen = np.concatenate([d.rows["valid"], d.rows["test"]])
    changed = frame.copy()
    changed.loc[unseen, "class"] = rng.normal(1e6, 1e5, len(unseen))
    changed.loc[unseen, "3"] = np.nan
    changed.loc[unseen, "lambda"] = "violet"
    changed.loc[unseen, "same"] = rng.choice(["y", "z"], len(unseen))
    e = load(changed, "income")
    assert e.features == d.features
    np.testing.assert_array_equal(e.group_of, d.group_of)
    np.testing.assert_array_equal(e.train["x"], d.train["x"])
    assert np.isfinite(e.valid["x"]).all()
    j = d.features.index("class")
    np.testing.assert_array_equal(e.test["x"][:, j], 5.0)  # standardised by the training rows alone, and cut


def test_regression_target_is_scaled_by_training_rows_alone():
    frame = people(300).drop(columns="class").assign(y=np.random.default_rng(0).normal(7.0, 3.0, 300))
    d = load(frame, "y")
    changed = frame.copy()
    changed.loc[np.concatenate([d.rows["valid"], d.rows["test"]]), "y"] += 100.0
    e = load(changed, "y")
    assert e.target_scale == d.target_scale
    np.testing.assert_array_equal(e.train["y"], d.train["y"])


def test_dataset_is_frozen_and_given_frame_untouched():
    frame = people()
    before = frame.copy(deep=True)
    d = load(frame, "income")
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        d.name = "other"


def test_typed_columns_of_a_frame():
    n = 60
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "int": pd.array(rng.integers(0, 9, n), dtype="Int64"),
            "bool": pd.array(rng.choice([True, False], n), dtype="boolean"),
            "cat": pd.Categorical(rng.choice(["u", "v"], n)),
            "time": pd.date_range("2024-01-01", periods=n, tz="Europe/Berlin"),
            "span": pd.to_timedelta(np.arange(n), unit="h"),
            "text": pd.array(rng.choice(["s", "t"], n), dtype="string"),
            7: rng.normal(size=n).astype(np.float32),
            "y": rng.choice(["a", "b"], n),
        }
    )
    frame.loc[3, ["int", "bool", "cat", "time", "text"]] = [pd.NA, pd.NA, np.nan, pd.NaT, pd.NA]
    d = load(frame, "y")
    assert d.groups == ("int", "bool", "cat", "time", "span", "text", "7")
    assert {"int", "time", "time is missing", "span"} <= set(d.features)
    assert "cat = u" in d.features
    assert np.isfinite(d.train["x"]).all()
