"""The exception family and its suggestions."""

from __future__ import annotations

import inspect

import pytest

from hypergrad import errors


def family() -> list[type[errors.HypergradError]]:
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.HypergradError)
    ]


def test_family():
    """Every error is a HypergradError, is public, and is drawn in the docstring with its built-in base."""
    for error in family():
        assert error.__name__ in errors.__all__
        assert error.__name__ in (errors.__doc__ or "")
        assert error.__doc__
        builtins = [base.__name__ for base in error.__mro__ if base.__module__ == "builtins"]
        if error is not errors.HypergradError and error.__base__ is errors.HypergradError:
            assert f"{error.__name__} ({builtins[0]})" in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (errors.TracingError, TypeError),
        (errors.UnsupportedError, errors.TracingError),
        (errors.ShapeError, ValueError),
        (errors.TreeError, ValueError),
        (errors.DerivativeError, ValueError),
        (errors.RangeError, errors.DerivativeError),
        (errors.UnknownNameError, LookupError),
        (errors.StoreError, OSError),
    ],
)
def test_built_in_bases(error, base):
    """Code that catches the built-in error catches ours; the text is the text."""
    with pytest.raises(base, match=r"^one sentence$"):
        raise error("one sentence")
    assert str(error("one sentence")) == "one sentence"


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("rige", ["ridge", "mlp"], "ridge"),
        ("RIDGE", ["ridge", "mlp"], "ridge"),
        ("momentun", ["Momentum", "lr"], "Momentum"),
        ("xyz", ["ridge", "mlp"], None),
        ("", ["ridge"], None),
        ("ridge", [], None),
        ("learning_rat", ["learning_rate", "learning-rate"], "learning_rate"),
    ],
)
def test_nearest(name, choices, expected):
    assert errors.nearest(name, choices) == expected


def test_unknown_name():
    error = errors.unknown_name("task", "rige", ["ridge", "mlp"])
    assert isinstance(error, errors.UnknownNameError)
    assert str(error) == "no task 'rige'; did you mean 'ridge'?"
    assert (
        str(errors.unknown_name("task", "xyz", ["ridge", "mlp"])) == "no task 'xyz'; choose from ridge, mlp"
    )
    assert str(errors.unknown_name("task", "xyz", [])) == "no task 'xyz'; choose from nothing"
    assert isinstance(errors.unknown_name("column", "a", ["b"], errors.DataError), errors.DataError)
    assert str(errors.unknown_name("column", 3, [1, 2])) == "no column 3; choose from 1, 2"  # type: ignore[arg-type, list-item]
