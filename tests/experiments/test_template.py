"""The template: what `new-experiment` writes runs as it is."""

import pytest

from hypergrad.errors import ExperimentError
from hypergrad.experiments import harness
from hypergrad.experiments.template import FILES, new_experiment


def test_it_runs_and_passes_at_both_scales(tmp_path):
    folder = new_experiment(tmp_path / "a-name_2.0")
    assert {file.name for file in folder.iterdir()} == {*FILES, ".gitignore"}
    for scale in ("smoke", "full"):
        assert harness.run([folder], scale, workers=1).status == "accepted"
    assert harness.check([folder])[1] == []


def test_what_it_wrote_says_its_name(tmp_path):
    folder = new_experiment(tmp_path / "my-test")
    assert "My test" in (folder / "config.toml").read_text()
    assert "$" not in "".join((folder / name).read_text() for name in FILES)


@pytest.mark.parametrize("name", ["with space", "-x", ".x", "é", 'a"b'])
def test_names(tmp_path, name):
    with pytest.raises(ExperimentError, match="no name for an experiment"):
        new_experiment(tmp_path / name)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "e").mkdir()
    new_experiment(tmp_path / "e")
    with pytest.raises(ExperimentError, match="not empty"):
        new_experiment(tmp_path / "e")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExperimentError, match="exists"):
        new_experiment(tmp_path / "file")
    with pytest.raises(ExperimentError, match="cannot be written"):
        new_experiment(tmp_path / "file" / "e")
