"""Trials that are handed out and told by whoever ran them, in whatever process."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hypergrad.errors import StudyError
from hypergrad.samplers import SAMPLERS, Gradient, Random
from hypergrad.space import Float, Space
from hypergrad.study import Study, load_study

SPACE = Space(x=Float(0.0, 1.0, shape=(3,)), y=Float(1e-4, 1.0, log=True))


def objective(h):
    value = float(np.sum((h["x"] - 0.3) ** 2) + np.log(h["y"]) ** 2)
    return value, {"x": 2.0 * (h["x"] - 0.3), "y": 2.0 * np.log(h["y"]) / h["y"]}


def opened(path, sampler=None):
    return Study("s", SPACE, sampler or Gradient(), store=path, seed=4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_loop_of_processes_is_one_study_bit_for_bit(tmp_path, bits, name):
    sampler, path = SAMPLERS[name](), tmp_path / "runs.db"
    whole = opened(None, sampler)
    whole.optimize(objective, trials=9)
    for _ in range(9):
        asking = opened(path, sampler)
        trial = asking.ask(detached=True)
        asking.close()
        telling = load_study(path)
        telling.tell(trial.number, *objective(trial.hparams))
        telling.close()
    assert bits(opened(path, sampler)) == bits(whole)


def test_it_runs_until_it_is_told_and_is_given_to_nobody_else(tmp_path):
    path = tmp_path / "runs.db"
    first = opened(path, Random()).ask(detached=True)
    assert first.detached
    second = opened(path, Random())
    assert second.ask(detached=True).number == 1
    mine = second.ask()
    assert (mine.number, mine.detached) == (2, False)
    second.close()
    third = opened(path, Random())
    assert third.ask().number == 2  # the one whose process is gone, and none of the others
    assert [trial.detached for trial in third.trials] == [True, True, False]
    third.optimize(lambda h: 1.0, trials=2)
    assert [trial.state for trial in third.trials] == [
        "running",
        "running",
        "running",
        "complete",
        "complete",
    ]
    told = third.tell(0, 3.0)
    assert (told.detached, told.stats) == (False, {})
    assert third.fail(1, "lost").state == "failed"
    assert third.finished == 4
    third.close()


def test_the_lock_is_free_between_asking_and_telling(tmp_path):
    one, two = opened(tmp_path / "runs.db"), opened(tmp_path / "runs.db")
    a, b = one.ask(detached=True), two.ask(detached=True)
    assert (a.number, b.number) == (0, 1)
    assert a.unit.tobytes() != b.unit.tobytes()
    two.tell(a, 1.0)
    one.tell(b, 2.0)
    assert [trial.value for trial in one.trials] == [1.0, 2.0]
    one.close()
    two.close()


def test_a_trial_whose_process_died_can_be_handed_out(tmp_path):
    path = tmp_path / "runs.db"
    dying = opened(path)
    died = dying.ask()
    dying.close()
    asking = opened(path)
    again = asking.ask(detached=True)
    assert (again.number, again.detached) == (0, True)
    assert again.unit.tobytes() == died.unit.tobytes()
    assert asking.ask(detached=True).number == 1
    asking.close()


def test_a_lost_one_is_given_again_by_number(tmp_path):
    path = tmp_path / "runs.db"
    study = opened(path)
    lost, other = study.ask(detached=True), study.ask(detached=True)
    again = study.ask(detached=True, again=0)
    assert (again.number, again.unit.tobytes(), again.detached) == (0, lost.unit.tobytes(), True)
    taken = study.ask(again=1)  # to be run by this process from now on
    assert (taken.number, taken.unit.tobytes(), taken.detached) == (1, other.unit.tobytes(), False)
    with pytest.raises(StudyError, match="is being run by another Study object"):
        opened(path).ask()
    study.close()
    later = opened(path)
    assert later.ask().number == 1
    later.tell(1, 1.0)
    for number, says in ((1, "is already complete"), (7, "has no trial 7"), ("x", "expected an integer")):
        with pytest.raises(StudyError, match=says):
            later.ask(again=number)
    later.close()


def test_in_memory_and_in_one_process(bits):
    plain, detached = opened(None), opened(None)
    plain.optimize(objective, trials=6)
    for _ in range(6):
        trial = detached.ask(detached=True)
        detached.tell(trial, *objective(trial.hparams))
    assert bits(plain) == bits(detached)


def test_a_study_waits_for_another_process_if_told_to(tmp_path, child, spawn):
    path = tmp_path / "runs.db"
    process = spawn(path, 1, "hang")
    assert process.stdout.readline() == "running\n"
    study = Study("killed", child.SPACE, child.Climb(), store=path, seed=7)
    study.wait = 0.05
    with pytest.raises(StudyError, match=f"is being run by process {process.pid}"):
        study.ask(detached=True)
    study.wait = 60.0
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(study.ask, detached=True)
        process.stdin.write("go\n")
        process.stdin.flush()
        assert asked.result().number == 1
    study.close()


ASK = """
import json, sys
from hypergrad.space import Float, Space
from hypergrad.samplers import Random
from hypergrad.study import Study
study = Study("s", Space(x=Float(0.0, 1.0)), Random(), store=sys.argv[1])
study.wait = 60.0
print("ready", flush=True)
sys.stdin.readline()
asked = [study.ask(detached=True) for _ in range(5)]
for trial in asked:
    study.tell(trial, trial.hparams["x"])
print(json.dumps([trial.number for trial in asked]))
"""


def test_four_processes_at_once_never_get_the_same_trial(tmp_path):
    path = tmp_path / "runs.db"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, "-c", ASK, str(path)], **pipes) for _ in range(4)]
    assert [process.stdout.readline() for process in running] == ["ready\n"] * 4
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    numbers = [number for process in running for number in json.loads(process.communicate()[0])]
    assert sorted(numbers) == list(range(20))
    study = load_study(path)
    assert study.finished == 20
    assert len({trial.hparams["x"] for trial in study.trials}) == 20
    study.close()
