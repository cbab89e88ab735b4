import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hypergrad.errors import StudyError
from hypergrad.study.codec import decode, encode, pack, unpack

any_float = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
special = st.sampled_from(
    [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, -1.7976931348623157e308]
)
floats = st.one_of(st.floats(), any_float, special)
arrays = hnp.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
leaves = st.one_of(floats, st.integers(), st.booleans(), st.none(), st.text(), arrays)
keys = st.one_of(st.text(), st.sampled_from(["$float", "$array", "$$tuple", "$", "shape"]))
trees = st.recursive(
    leaves,
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.lists(below, max_size=3).map(tuple),
        st.dictionaries(keys, below, max_size=3),
    ),
    max_leaves=8,
)


def same(a, b):
    """Equal types and equal bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    if isinstance(a, np.ndarray):
        bits_a, bits_b = a.tobytes(), b.tobytes()
        if a.dtype == np.float32:  # the way through float64 may set a nan's quiet bit
            bits_a, bits_b = np.nan_to_num(a, nan=7.0).tobytes(), np.nan_to_num(b, nan=7.0).tobytes()
        return a.dtype == b.dtype and a.shape == b.shape and bits_a == bits_b
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


@settings(deadline=None, max_examples=60)
@given(trees)
def test_trees_survive_bit_for_bit(tree):
    text = encode(tree)
    assert text.isascii()
    assert same(decode(text), tree)
    assert encode(decode(text)) == text


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(0, 9), elements=floats))
def test_vectors_survive_bit_for_bit(vector):
    back = unpack(pack(vector))
    assert back.tobytes() == vector.tobytes()
    assert not back.flags.writeable


def test_text_is_plain_json_for_people():
    hparams = {"lr": 0.1, "l2": np.array([[1.5], [-0.0]]), "diverged": float("-inf")}
    assert json.loads(encode(hparams)) == {
        "lr": 0.1,
        "l2": {"$array": [1.5, -0.0], "shape": [2, 1], "dtype": "float64"},
        "diverged": {"$float": "-inf"},
    }
    assert encode(float("nan")) == '{"$float": "nan"}'


def test_numpy_scalars_become_python_numbers():
    tree = {
        "a": np.float32(0.1),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": np.longdouble(0.5),
        "e": np.str_("x"),
    }
    back = decode(encode(tree))
    assert back == {"a": float(np.float32(0.1)), "b": 3, "c": True, "d": 0.5, "e": "x"}
    assert [type(leaf) for leaf in back.values()] == [float, int, bool, float, str]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"model": object()}, "metrics/model is a object, which cannot be stored"),
        ({"z": 1j}, "metrics/z is a complex"),
        ({"z": np.array(["a"])}, "metrics/z is an array of <U1"),
        ({"a": {3: 1.0}}, "metrics/a has the key 3"),
        ([b"x"], "metrics/0 is a bytes"),
    ],
)
def test_what_cannot_be_stored_is_named(tree, words):
    with pytest.raises(StudyError, match=words):
        encode(tree, "metrics")
