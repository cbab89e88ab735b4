"""Killed at any moment and run again, an experiment writes the bytes that an uninterrupted run writes."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from experiment_folders import CONFIG, RUN, change, results, write

from hypergrad.experiments import harness
from hypergrad.experiments import workers as workers_module

SLOW = RUN.replace(
    '    return {"x": noise',
    '    for _ in range(2000):\n        np.linalg.solve(np.eye(9), np.ones(9))\n    return {"x": noise',
).replace(
    "    return float(np",
    "    np.linalg.svd(np.random.default_rng(0).standard_normal((150, 150)))\n    return float(np",
)
START = (
    "import sys\n"
    "from hypergrad.experiments import run\n"
    "def tell(kind, experiment, task, detail):\n"
    "    print(kind, task, flush=True)\n"
    "if __name__ == '__main__':\n"
    "    outcome = run([sys.argv[1]], workers=int(sys.argv[2]), event=tell)\n"
    "    sys.exit(outcome.status != 'accepted')\n"
)


def started(script, folder, workers):
    script.write_text(START)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        text=True,
    )


def kill_after(process, lines):
    """Read so many lines of its output, then kill its whole group; whether it was still running."""
    for _ in range(lines):
        process.stdout.readline()
    running = process.poll() is None
    if running:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return running


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_continued(tmp_path, workers):
    config = CONFIG.replace("seeds = [0, 1]", "seeds = [0, 1, 2]")
    whole, cut = (write(tmp_path / place / "e", run=SLOW, config=config) for place in "ab")
    assert harness.run([whole], workers=1).status == "accepted"
    killed = [kill_after(started(tmp_path / "start.py", cut, workers), lines) for lines in (1, 4, 6)]
    assert any(killed)
    process = started(tmp_path / "start.py", cut, workers)
    said, complaint = process.communicate()
    assert process.returncode == 0, complaint
    assert results(cut) == results(whole)
    assert len(said.splitlines()) < 2 * 10  # of ten tasks, each begun and ended, not all were left


DIES = "import os, signal\n\n    os.kill(os.getpid(), signal.SIGKILL)\n"


def events(folders, workers):
    """The outcome, and the lines of what happened but for what began."""
    lines = []

    def note(kind, experiment, task, _):
        if kind != "begun":
            lines.append(f"{experiment.name}: {task} {kind}")

    return harness.run(folders, workers=workers, event=note), lines


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_whose_worker_dies_fails_its_experiment_and_spares_the_others(tmp_path, workers):
    deadly = RUN.replace("    return scale\n", f"    {DIES}")
    bad, good, best = (write(tmp_path / name, run=deadly if name == "a" else RUN) for name in "abc")
    outcome, _ = events([bad, good, best], workers)
    assert list(outcome.failed) == ["a"]
    assert re.fullmatch("constant: a worker died .*memory; what is .* kept, .*", outcome.failed["a"])
    assert sorted(outcome.verdicts) == ["b", "c"]
    assert not (bad / "results.json").exists()
    change(bad / "run.py", DIES, "return scale\n")
    outcome, lines = events([bad], 1)
    assert outcome.status == "accepted"
    assert "a: constant ended" in lines


def test_a_stage_that_ran_beside_one_whose_worker_died_is_run_again(tmp_path):
    before = "    from pathlib import Path\n\n    here = Path(__file__).parent\n"
    meet = "    while not (here.parent / 'b' / 'begun').exists():\n        pass\n"
    first = "    if not (here / 'begun').exists():\n        (here / 'begun').touch()\n"
    stay = f"{first}        while True:\n            pass\n"
    bad = write(tmp_path / "a", run=RUN.replace("    return scale\n", f"{before}{meet}    {DIES}"))
    good = write(tmp_path / "b", run=RUN.replace("    return scale\n", f"{before}{stay}    return scale\n"))
    outcome, lines = events([bad, good], 2)
    assert list(outcome.failed) == ["a"]
    assert outcome.verdicts["b"]
    assert sorted(line for line in lines if "constant" in line) == [
        "a: constant again",
        "a: constant failed",
        "b: constant again",
        "b: constant ended",
    ]


FORKS = """
    import multiprocessing
    import os
    import signal
    import time

    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(10_000,))
    child.start()
    (Path(__file__).parent / "child").write_text(str(child.pid))
    os.kill(os.{whom}(), signal.{kind})
    child.join()
"""


def state(pid):
    """``"R"``, ``"S"``, ``"T"``, ...; ``"Z"`` also of a process that its parent has buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(("whom", "kind"), [("getpid", "SIGKILL"), ("getppid", "SIGINT")])
def test_what_a_worker_has_forked_ends_with_it(tmp_path, whom, kind):
    """It holds open what would tell that the worker is dead."""
    run = RUN.replace("    return scale\n", f"{FORKS.format(whom=whom, kind=kind)}    return scale\n")
    folder = write(tmp_path / "e", run=run)
    process = started(tmp_path / "start.py", folder, 2)
    _, complaint = process.communicate(timeout=100)
    assert process.returncode == (1 if kind == "SIGKILL" else -signal.SIGINT), complaint
    assert state((folder / "child").read_text()) == "Z"


STOPS = """
    import os
    import signal

    here = Path(__file__).parent
    (here / "worker").write_text(str(os.getpid()))
    os.kill(os.getppid(), signal.SIGTSTP)
    while not (here / "on").exists():
        pass
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_z_stops_the_workers_too(tmp_path):
    folder = write(tmp_path / "e", run=RUN.replace("    return scale\n", f"{STOPS}    return scale\n"))
    process = started(tmp_path / "start.py", folder, 2)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    while state((folder / "worker").read_text()) != "T":
        pass
    (folder / "on").touch()
    process.send_signal(signal.SIGCONT)
    _, complaint = process.communicate(timeout=100)
    assert process.returncode == 0, complaint


def test_a_thread_that_a_stage_leaves_does_not_keep_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(workers_module, "_PATIENCE", 0.0)
    lasting = "    import threading\n\n    threading.Thread(target=threading.Event().wait).start()\n"
    folder = write(tmp_path / "e", run=RUN.replace("    return scale\n", f"{lasting}    return scale\n"))
    assert events([folder], 2)[0].status == "accepted"


def test_a_worker_that_dies_while_it_starts_is_a_sentence(tmp_path, monkeypatch):
    early = "import os, sys\nif '--multiprocessing-fork' in sys.orig_argv:\n    os._exit(1)\n"
    (tmp_path / "sitecustomize.py").write_text(early)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    outcome, _ = events([write(tmp_path / "a"), write(tmp_path / "b")], 2)
    assert sorted(outcome.failed) == ["a", "b"]
    assert all("a worker died" in sentence for sentence in outcome.failed.values())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signal masks")
def test_a_worker_that_starts_does_not_hear_an_interruption(tmp_path, monkeypatch):
    early = "import os, sys\nif '--multiprocessing-fork' in sys.orig_argv:\n    os.kill(os.getpid(), 2)\n"
    (tmp_path / "sitecustomize.py").write_text(early)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    process = started(tmp_path / "start.py", write(tmp_path / "e"), 2)
    _, complaint = process.communicate()
    assert complaint == ""
    assert process.returncode == 0


def test_a_script_runs_experiments_without_a_main_guard(tmp_path):
    folder, script = write(tmp_path / "e"), tmp_path / "script.py"
    script.write_text(
        f"print('here')\nfrom hypergrad.experiments import run\nprint(run({str(folder)!r}, workers=2).status)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["here", "accepted"]
    assert done.stderr == ""
