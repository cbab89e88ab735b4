"""Figures of slices: what is drawn where, for every kind of axis."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import hypergrad as hg
from hypergrad.errors import HypergradError
from hypergrad.report import figures
from hypergrad.samplers import Sobol

SPACE = hg.Space(
    lr=hg.Float(1e-4, 1.0, log=True),
    width=hg.Int(1, 40),
    kind=hg.Categorical(["sgd", "adam"]),
    x=hg.Float(0.0, 1.0),
)


@pytest.fixture(scope="module")
def study():
    def loss(h):
        return math.log10(h["lr"] * 100) ** 2 + (h["kind"] == "sgd") + 0.01 * h["width"] + h["x"]

    return hg.tune(loss, SPACE, trials=16, sampler=Sobol())


@pytest.fixture(autouse=True)
def matplotlib():
    return pytest.importorskip("matplotlib")


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_curve_in_natural_units(study):
    found = study.slice("lr", points=21)
    axes = figures.slice_figure(found, "a title").axes[0]
    assert axes.get_title() == "a title"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "value")
    assert labels(axes.xaxis) == ["0.0001", "0.000631", "0.00398", "0.0251", "0.158", "1"]
    (line,) = axes.get_lines()
    assert np.array_equal(line.get_ydata(), found.median)
    (dots,) = [c for c in axes.collections if len(c.get_offsets()) == 16]
    assert np.allclose(dots.get_offsets(), found.seen)


def test_choices_and_integers(study):
    axes = figures.slice_figure(study.slice("kind")).axes[0]
    assert labels(axes.xaxis) == ["sgd", "adam"]
    axes = figures.slice_figure(study.slice("width")).axes[0]
    assert labels(axes.xaxis)[0] == "1"
    assert labels(axes.xaxis)[-1] == "40"


def test_a_map(study):
    found = study.slice("lr", "width", points=7)
    axes, bar = figures.slice_figure(found).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "width")
    mesh = axes.collections[0]
    n1, n2 = (len(axis.units) for axis in found.axes)
    assert np.allclose(np.reshape(mesh.get_array(), (n2, n1)).T.reshape(-1), found.median)
    assert "median" in bar.get_ylabel()


@pytest.mark.parametrize("suffix", figures.FORMATS)
def test_files_with_the_same_bytes(study, tmp_path, suffix):
    found = study.slice("lr", points=5)
    written = []
    for name in ("a", "b"):
        path = tmp_path / f"{name}{suffix}"
        figures.save(figures.slice_figure(found), path)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert len(written[0]) > 1000


def test_another_kind_of_file_and_no_matplotlib_are_one_sentence(study, tmp_path, monkeypatch):
    found = study.slice("lr", points=5)
    with pytest.raises(
        HypergradError, match=r"no figure can be written to .*a.jpgg; choose a name that ends in .png"
    ):
        figures.save(figures.slice_figure(found), tmp_path / "a.jpgg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(HypergradError, match="figures need matplotlib, which is not installed"):
        figures.slice_figure(found)
