"""One process at a time runs a study."""

import gc
import os

import pytest

from hypergrad.errors import StudyError
from hypergrad.samplers import Random
from hypergrad.study import Study, load_study


def opened(path, child, name="killed"):
    return Study(name, child.SPACE, child.Climb(), store=path, seed=7)


def test_a_study_that_another_process_runs(tmp_path, child, spawn):
    path = tmp_path / "runs.db"
    process = spawn(path, 2, "hang")
    assert process.stdout.readline() == "running\n"
    study = opened(path, child)
    assert [trial.state for trial in study.trials] == ["running"]
    refused = (
        rf"'killed' in .*runs\.db is being run by process {process.pid} on .*; wait until it ends, or stop"
    )
    for call in (
        study.ask,
        lambda: study.tell(0, 1.0),
        lambda: study.enqueue(child.SPACE.defaults()),
        lambda: study.optimize(child.objective, trials=2),
    ):
        with pytest.raises(StudyError, match=refused):
            call()
    elsewhere = opened(path, child, "another study in the same file")
    elsewhere.optimize(child.objective, trials=1)
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.stdout.readline() == "running\n"
    assert [trial.state for trial in study.trials] == ["complete", "running"]
    process.kill()
    process.wait()
    assert study.ask().number == 1
    study.tell(1, 0.5)
    assert [trial.value for trial in study.trials] == [1.0, 0.5]
    study.close()
    elsewhere.close()
    assert os.listdir(tmp_path) == ["runs.db"]


def test_two_studies_of_one_process(tmp_path, child):
    path = tmp_path / "runs.db"
    first, second = opened(path, child), opened(path, child)
    trial = first.ask()
    with pytest.raises(
        StudyError, match="run by another Study object of this process; use that one, or close"
    ):
        second.ask()
    first.tell(trial, 3.0)
    assert second.best.value == 3.0
    assert second.ask().number == 1
    with pytest.raises(StudyError, match="another Study object of this process"):
        first.ask()
    del second
    gc.collect()
    again = first.ask()
    assert again.number == 1
    first.tell(again, 1.0)
    assert [t.value for t in first.trials] == [3.0, 1.0]
    first.close()


def test_asked_by_one_process_and_told_by_another(tmp_path, child):
    path = tmp_path / "runs.db"
    asking = opened(path, child)
    trial = asking.ask()
    asking.close()
    telling = load_study(path)
    assert telling.tell(trial.number, 2.5).value == 2.5
    telling.close()
    assert load_study(path).best.value == 2.5


def test_several_trials_asked_at_once(child):
    study = Study("parallel", child.SPACE, Random())
    first, second = study.ask(), study.ask()
    assert (first.number, second.number) == (0, 1)
    study.tell(second, 2.0)
    study.optimize(lambda hparams: 3.0, trials=3)
    assert [(t.state, t.value) for t in study.trials if t.number != 0] == [
        ("complete", 2.0),
        *[("complete", 3.0)] * 2,
    ]
    assert study.trials[0].state == "running"
    study.tell(first, 1.0)
    assert study.best.number == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_neither_keeps_nor_shares_the_lock(tmp_path, spawn):
    path = tmp_path / "runs.db"
    answer, errors = spawn(path, 3, "fork").communicate()
    refused, finished = answer.splitlines()
    assert refused.startswith(f"refused: study 'killed' in {path} is being run by process"), errors
    assert finished == "finished 3"
