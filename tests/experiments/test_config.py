"""config.toml and expected.json: what is accepted, and the sentence for what is not."""

import math

import pytest
from experiment_folders import CONFIG, EXPECTED, write

from hypergrad.errors import ExperimentError
from hypergrad.experiments.config import Bound, Expected, read_config, read_expected


def test_the_smoke_scale_changes_what_it_names(tmp_path):
    config = read_config(write(tmp_path / "e") / "config.toml")
    full, smoke = config.at("full"), config.at("smoke")
    assert full.axes == {"seed": [0, 1], "power": [1, 2]}
    assert smoke.axes == {"seed": [0], "power": [1, 2]}
    assert full.parameters == {"rows": 3, "scale": 0.5}
    assert smoke.parameters == {"rows": 2, "scale": 0.5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title = ", ["not valid TOML"]),
        (f"title = {'[' * 2000}", ["not valid TOML"]),
        (CONFIG.replace("title =", "titel ="), ["titel", "it may have", "headline"]),
        (CONFIG.replace('title = "Small"\n', ""), ["title", "required"]),
        (CONFIG.replace("seeds = [0, 1]", "seeds = 3"), ["seeds", "list"]),
        (CONFIG.replace("seeds = [0, 1]", 'seeds = ["a"]'), ["seeds.0", "integer"]),
        (CONFIG.replace("seeds = [0, 1]", "seeds = []"), ["seeds"]),
        (CONFIG.replace("seeds = [0, 1]", "seeds = [1, 1]"), ["seeds", "distinct"]),
        (CONFIG.replace("power = [1, 2]", "power = []"), ["power", "one or more"]),
        (CONFIG.replace("power = [1, 2]", "seed = [1, 2]"), ["'seed'"]),
        (CONFIG.replace("power = [1, 2]", "rows = [1, 2]"), ["'rows'", "both an axis and a parameter"]),
        (CONFIG.replace("rows = 2", "rowz = 2"), ["smoke.parameters", "'rowz'"]),
        (CONFIG.replace("[smoke]", "[smoke]\nfast = true"), ["smoke.fast", "it may have"]),
        (CONFIG.replace("seeds = [0]", "seeds = []"), ["seeds"]),
        (CONFIG.replace("seeds = [0]", "seeds = [0, 0]"), ["seeds"]),
        (CONFIG.replace("seeds = [0, 1]", 'seeds = ["0"]'), ["seeds.0", "integer"]),
        (CONFIG.replace("power = [1, 2]", "power = [1, 1.0]"), ["power", "distinct"]),
        (CONFIG.replace("power = [1, 2]", "power = [[1], [2]]"), ["power", "[1]", "numbers, strings"]),
        (CONFIG.replace("power = [1, 2]", "power = [nan]"), ["power", "nan"]),
        (CONFIG.replace("scale = 0.5", "scale = 2020-01-01"), ["parameters/scale", "a date"]),
        (CONFIG.replace("rows = 2", "rows = 2020-01-01"), ["smoke.parameters/rows", "a date"]),
        ('needs = ["scikit-learn"]\n' + CONFIG, ["'scikit-learn'", "as 'sklearn'"]),
        ('needs = [".x"]\n' + CONFIG, ["'.x'"]),
    ],
)
def test_a_wrong_config_is_a_sentence(tmp_path, text, words):
    path = write(tmp_path / "e", config=text) / "config.toml"
    with pytest.raises(ExperimentError) as error:
        read_config(path)
    for word in (str(path), *words):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hint_names_what_may_stand_there(tmp_path):
    text = CONFIG.replace("[smoke]", "[smoke]\nfast = true")
    with pytest.raises(ExperimentError, match=r"it may have seeds, axes, parameters$"):
        read_config(write(tmp_path / "e", config=text) / "config.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not valid JSON"]),
        ("[]", ["list", "expected an object"]),
        ({"total": 3}, ["total"]),
        ({"total": {}}, ["total.about", "required"]),
        ({"total": {"about": "x", "at_lest": 1}}, ["total.at_lest", "it may have", "at_least"]),
        ({"total": {"about": "x", "at_least": "many"}}, ["total.at_least", "number"]),
        ({"total": {"about": "x", "at_least": "3"}}, ["total.at_least", "number"]),
        (
            {"total": {"about": "x", "expected": "1"}},
            ["total.expected: ", "a valid boolean or", "or a valid number"],
        ),
        ({"total": []}, ["total: Input should be a valid dictionary"]),
        ("[" * 100_000, ["not valid JSON"]),
        ('{"total": {"at_most": 1' + "0" * 5000 + "}}", ["not valid JSON", "digits"]),
        ({"total": {"about": "x", "gate": "no"}}, ["total.gate", "boolean"]),
        (
            {"total": {"about": "x", "at_least": 2, "at_most": 1}},
            ["total", "at_least is 2, above at_most, 1"],
        ),
        ({"total": {"about": "x", "tolerance": 1}}, ["total", "tolerance", "expected"]),
        ({"total": {"about": "x", "expected": 1, "tolerance": -1}}, ["total.tolerance"]),
        ({"total": {"about": "x", "judge": "median"}}, ["total.judge", "each", "mean"]),
        ({"total": {"about": "x", "smoke": True}}, ["total.smoke", "false"]),
        ({"total": {"about": "x", "smoke": {"at_lest": 1}}}, ["total.smoke.at_lest: "]),
        ('{"total": {"about": "x", "at_least": NaN}}', ["total.at_least"]),
        ('{"total": {"about": "x"}, "total": {"about": "y"}}', ["total", "twice"]),
    ],
)
def test_wrong_expectations_are_a_sentence(tmp_path, content, words):
    path = write(tmp_path / "e", expected=content) / "expected.json"
    with pytest.raises(ExperimentError) as error:
        read_expected(path)
    for word in (str(path), *words):
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    folder = write(tmp_path / "e")
    for name in ("config.toml", "expected.json"):
        (folder / name).write_text((folder / name).read_text(), encoding="utf-8-sig")
    assert read_config(folder / "config.toml").title == "Small"
    assert list(read_expected(folder / "expected.json")) == list(EXPECTED)


def test_what_is_missing_or_unreadable_is_a_sentence(tmp_path):
    with pytest.raises(ExperimentError, match=r"no expected\.json.*new-experiment"):
        read_expected(tmp_path / "expected.json")
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_config(tmp_path / "config.toml")
    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ExperimentError, match="cannot be read"):
        read_config(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("bound", "inside", "outside"),
    [
        (Bound(at_least=1.0), [1.0, math.inf], [0.999, math.nan, -math.inf]),
        (Bound(at_most=1.0), [1.0, -math.inf], [1.001, math.nan]),
        (Bound(expected=2.0, tolerance=0.5), [1.5, 2.5], [1.49, 2.51, math.nan, math.inf]),
        (Bound(expected=True), [1.0], [0.0]),
        (Bound(expected=False), [0.0], [1.0]),
        (Bound(at_least=0.0, at_most=1.0), [0.5], [-0.1, 1.1, math.nan]),
    ],
)
def test_bounds_accept_their_ends_and_never_nan(bound, inside, outside):
    assert all(map(bound.accepts, inside))
    assert not any(map(bound.accepts, outside))


def test_bounds_of_the_smoke_scale():
    entry = Expected(about="x", at_most=1.0)
    assert entry.at("smoke") is entry
    assert not Expected(about="x", at_most=1.0, smoke=False).at("smoke").some
    assert Expected(about="x", at_most=1.0, smoke=Bound(at_most=2.0)).at("smoke").at_most == 2.0
    assert Expected(**EXPECTED["scale"]).at("full").expected == 0.5
