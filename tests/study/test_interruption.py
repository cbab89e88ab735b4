"""A study that is killed and run again equals one that was not, bit for bit."""

import random
import signal

import pytest

from hypergrad.study import Study, load_study

TRIALS = 16


@pytest.fixture(scope="module")
def uninterrupted(child, bits):
    study = Study("plain", child.SPACE, child.Climb(), seed=7)
    study.optimize(child.objective, trials=TRIALS)
    return bits(study)


def stored(store, child):
    return Study("killed", child.SPACE, child.Climb(), store=store, seed=7)


def test_killed_ten_times_at_random_moments(tmp_path, child, spawn, bits, uninterrupted):
    store, moments = tmp_path / "runs.db", random.Random(5)
    kills = 0
    while kills < 10:
        process = spawn(store, TRIALS, "ticks")
        for _ in range(moments.randrange(1, 18)):
            line = process.stdout.readline()
        assert line == "tick\n", f"the study ended after {kills} kills: {line!r} {process.stderr.read()}"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        kills += 1
        so_far = bits(load_study(store, "killed"))
        done = [trial for trial in so_far if trial[1] != "running"]
        assert done == uninterrupted[: len(done)]
        assert len(so_far) - len(done) <= 1
    study = stored(store, child)
    study.optimize(child.objective, trials=TRIALS)
    assert bits(study) == uninterrupted
    assert bits(load_study(store)) == uninterrupted


def test_killed_inside_transactions(tmp_path, child, spawn, bits, uninterrupted):
    """Transactions of a process on a new file: 1 the tables, 2 the study, then ask, tell, ask, tell."""
    store = tmp_path / "runs.db"
    moments = ["1:written", "1:committed", "1:written", "1:committed"]  # tables twice, study twice
    moments += ["1:begun", "1:written", "1:committed", "1:written", "2:written", "4:committed"]
    for moment in moments:
        process = spawn(store, TRIALS, "transaction", moment)
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
    study = stored(store, child)
    assert 0 < study.finished < TRIALS
    study.optimize(child.objective, trials=TRIALS)
    assert bits(study) == uninterrupted


def test_ctrl_c_leaves_the_trial_to_be_run_again(tmp_path, child, spawn, bits, uninterrupted):
    store = tmp_path / "runs.db"
    process = spawn(store, TRIALS, "ticks")
    for _ in range(30):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert "KeyboardInterrupt" in errors
    study = stored(store, child)
    assert 0 < study.finished < TRIALS
    study.optimize(child.objective, trials=TRIALS)
    assert bits(study) == uninterrupted


def test_interrupted_and_continued_in_one_process(child, bits, uninterrupted):
    study = Study("again", child.SPACE, child.Climb(), seed=7)
    for stop in (1, 5, 9):
        calls = iter(range(stop))

        def objective(hparams, calls=calls):
            hparams["lr"] += 0.0
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return child.objective(hparams)

        with pytest.raises(KeyboardInterrupt):
            study.optimize(objective, trials=TRIALS)
        assert study.trials[-1].state == "running"
    study.optimize(child.objective, trials=TRIALS)
    assert bits(study) == uninterrupted


def test_interrupted_between_a_commit_and_its_return(child, bits, uninterrupted, monkeypatch):
    study = Study("between", child.SPACE, child.Climb(), seed=7)
    for name in ("add_trial", "end_trial"):
        plain = getattr(study._store, name)

        def interrupted(*arguments, plain=plain):
            plain(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(study._store, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                study.optimize(child.objective, trials=TRIALS)
    assert [trial.state for trial in study.trials] == ["complete"]
    study.optimize(child.objective, trials=TRIALS)
    assert bits(study) == uninterrupted


def test_budgets_in_pieces_equal_one_budget(tmp_path, child, bits, uninterrupted):
    for trials in (0, 1, 7, TRIALS, 3):
        stored(tmp_path / "runs.db", child).optimize(child.objective, trials=trials)
    assert bits(stored(tmp_path / "runs.db", child)) == uninterrupted
