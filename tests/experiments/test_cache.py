"""Results of stages on disk."""

import numpy as np
import pytest

from hypergrad.errors import ExperimentError
from hypergrad.experiments.cache import Cache, write


def test_a_result_reads_back_bit_for_bit(tmp_path):
    cache = Cache(tmp_path / "c")
    rng = np.random.default_rng(0)
    result = {
        "x": rng.standard_normal((3, 2)),
        "n": [1, None, True, "é"],
        "f": [0.1, np.inf, np.nan],
        "t": (1, 2),
    }
    cache.save("stage", "k" * 64, result, 1.5)
    found, seconds = cache.load("stage", "k" * 64)
    assert seconds == 1.5
    assert found["x"].tobytes() == result["x"].tobytes()
    assert found["x"].dtype == np.float64
    assert found["n"] == result["n"]
    assert found["t"] == (1, 2)
    np.testing.assert_array_equal(found["f"], result["f"])


@pytest.mark.parametrize("damage", [b"", b"\n", b"half", b"\xff\xfe", None, "cut", "flip"])
def test_a_damaged_file_is_no_result(tmp_path, damage):
    cache = Cache(tmp_path)
    cache.save("stage", "k" * 64, {"x": 1.0}, 0.0)
    path = cache.place("stage", "k" * 64)
    whole = path.read_bytes()
    if damage is None:
        path.unlink()
    elif damage == "cut":
        path.write_bytes(whole[:-3])
    elif damage == "flip":
        path.write_bytes(whole.replace(b"1.0", b"2.0"))
    else:
        path.write_bytes(damage)
    assert not cache.has("stage", "k" * 64)
    with pytest.raises(ExperimentError, match="missing or damaged"):
        cache.load("stage", "k" * 64)
    cache.save("stage", "k" * 64, {"x": 1.0}, 0.0)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("result", [{1: 2.0}, {"x": {"y": object()}}, {"x": {1, 2}}, lambda: 0])
def test_what_cannot_be_kept_is_a_sentence(tmp_path, result):
    with pytest.raises(ExperimentError, match="what it returned"):
        Cache(tmp_path).save("stage", "k" * 64, result, 0.0)
    assert list(tmp_path.iterdir()) == []


def test_what_holds_itself_is_a_sentence(tmp_path):
    endless = []
    endless.append(endless)
    with pytest.raises(ExperimentError, match="what it returned holds itself"):
        Cache(tmp_path).save("stage", "k" * 64, endless, 0.0)


def test_a_file_is_left_alone_where_it_holds_the_same(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write(path, "one")
    before = path.stat()
    write(path, "one")
    assert path.stat().st_ino == before.st_ino
    write(path, b"two")
    assert path.read_text() == "two"
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="cannot be written"):
        write(tmp_path / "file" / "below.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExperimentError, match="cannot be written"):
        write(tmp_path / "folder", "x")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]
