import os
import re
import shutil
import sqlite3

import numpy as np
import pytest

from hypergrad.errors import StoreError, StudyError
from hypergrad.samplers import Random
from hypergrad.space import Float, Space
from hypergrad.study import Study, load_study, studies
from hypergrad.study.store import Store

SPACE = Space(x=Float(-1.0, 1.0), y=Float(-1.0, 1.0))


def bowl(hparams):
    return hparams["x"] ** 2 + hparams["y"] ** 2


def made(path, trials=5, name="bowl"):
    study = Study(name, SPACE, Random(), store=path)
    study.optimize(bowl, trials=trials)
    study.close()
    return path


def test_a_store_is_one_file(tmp_path):
    path = made(tmp_path / "runs.db")
    assert os.listdir(tmp_path) == ["runs.db"]
    assert len(load_study(path).trials) == 5


def test_it_is_plain_sqlite_that_people_can_read(tmp_path):
    path = made(tmp_path / "runs.db")
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT number, hparams, CAST(value AS REAL) FROM trials ORDER BY number"
    ).fetchall()
    connection.close()
    assert [row[0] for row in rows] == list(range(5))
    assert rows[0][1:] == ('{"x": 0.0, "y": 0.0}', 0.0)


@pytest.mark.parametrize("name", ["räksmörgås %41?mode=ro#x.db", "with space.db", "'quoted'.db"])
def test_any_file_name(tmp_path, name):
    made(tmp_path / name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_two_names_of_one_file_are_one_store(tmp_path):
    path = made(tmp_path / "runs.db")
    (tmp_path / "link.db").symlink_to(path)
    study, linked = load_study(path), load_study(tmp_path / "link.db")
    trial = study.ask()
    with pytest.raises(StudyError, match="is being run by another Study object"):
        linked.ask()
    study.tell(trial, 1.0)
    assert linked.trials[-1].value == 1.0


def test_a_relative_path_stays_what_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = Study("bowl", SPACE, Random(), store="runs.db")
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    study.optimize(bowl, trials=2)
    study.close()
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "runs.db"]
    assert os.listdir(".") == []


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(StoreError, match=r"is a folder; give the path of a file"):
        Store(tmp_path)
    with pytest.raises(StoreError, match=r"is no regular file; give the path of a file"):
        Store("/dev/null")
    with pytest.raises(StoreError, match=r"is no path of a file: .*; choose another path"):
        Store(tmp_path / ("x" * 5000))
    with pytest.raises(StoreError, match=r"is no path of a file: .*; choose another path"):
        Store("runs\0.db")
    with pytest.raises(StoreError, match=r"the folder .*nowhere of the store does not exist"):
        Store(tmp_path / "nowhere" / "runs.db")
    with pytest.raises(StoreError, match=r"there is no file of studies .*absent.db; check the path"):
        studies(tmp_path / "absent.db")
    assert os.listdir(tmp_path) == []


def test_an_empty_file_becomes_a_store_when_written_only(tmp_path):
    path = tmp_path / "runs.db"
    path.touch()
    with pytest.raises(StoreError, match=r"is empty, it holds no studies"):
        studies(path)
    made(path)
    assert len(studies(path)) == 1


@pytest.mark.parametrize(
    "content", [b"not a database at all " * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_file_that_is_not_ours_is_left_alone(tmp_path, content):
    path = tmp_path / "notes.db"
    path.write_bytes(content)
    for open_it in (Store, studies):
        with pytest.raises(StoreError, match=r"notes\.db is (not a|no) file of studies|notes.db is damaged"):
            open_it(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path):
    path = tmp_path / "other.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE trials (a)")
    connection.commit()
    connection.close()
    content = path.read_bytes()
    with pytest.raises(StoreError, match=r"is a SQLite file of another program"):
        Store(path)
    assert path.read_bytes() == content


def test_a_newer_format_is_named(tmp_path):
    path = made(tmp_path / "runs.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        StoreError, match=r"written by a newer hypergrad \(format 99, this one reads 2\); upgrade"
    ):
        Store(path)


def test_damaged_pages_are_named(tmp_path):
    path = made(tmp_path / "runs.db", trials=30)
    content, sentences = path.read_bytes(), set()
    for start in range(4096, len(content), 4096):
        path.write_bytes(
            content[:start] + bytes(reversed(content[start : start + 4096])) + content[start + 4096 :]
        )
        try:
            assert len(load_study(path).trials) == 30  # a page that nobody reads
        except StoreError as error:
            sentences.add(str(error))
    assert sentences
    for sentence in sentences:
        assert re.search(r"runs\.db is (damaged|no file of studies that can be read)|trial \d+ of", sentence)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match=r"runs\.db is damaged"):
        _ = load_study(path).trials


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE trials SET hparams = '{\"x\": 1.0,' WHERE number = 3",
            r"trial 3 of study 'bowl' in .* is damaged",
        ),
        (
            'UPDATE trials SET value = \'{"$float": "x"}\' WHERE number = 1',
            r"trial 1 of study 'bowl' .* is damaged",
        ),
        ("UPDATE trials SET unit = x'00' WHERE number = 2", r"trial 2 of study 'bowl' in .* is damaged"),
        ("DELETE FROM trials WHERE number = 2", r"study 'bowl' in .* has lost its trial 2"),
        ("UPDATE studies SET sampler = '[]'", r"the study 'bowl' in .* is damaged"),
        ("UPDATE studies SET space = '{}'", r"the study 'bowl' in .* is damaged"),
        ("DROP TABLE trials", r"is no file of studies that can be read \(no such table: trials\)"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, change, words):
    path = made(tmp_path / "runs.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(change)
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=words):
        _ = load_study(path).trials


def test_a_full_disk_loses_nothing_stored(tmp_path):
    path = tmp_path / "runs.db"
    full = Study("bowl", SPACE, Random(), store=path)
    full.optimize(bowl, trials=4)
    pages = full._store.query("PRAGMA page_count")[0][0]
    full._store.query(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"the disk of .*runs\.db is full; all stored trials are kept"):
        full.optimize(bowl, trials=1000)
    finished = full.finished
    assert 4 <= finished < 1000
    assert [t.number for t in load_study(path).trials if t.state == "complete"] == list(range(finished))
    full._store.query("PRAGMA max_page_count = 1000000")
    full.optimize(bowl, trials=finished + 3)
    whole = Study("bowl", SPACE, Random())
    whole.optimize(bowl, trials=finished + 3)
    assert [t.value for t in full.trials] == [t.value for t in whole.trials]
    full.close()


def test_a_file_that_cannot_be_written(tmp_path):
    path = made(tmp_path / "runs.db")
    study = Study("bowl", SPACE, Random(), store=path)
    study._store.query("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match=r"runs\.db or its folder is read-only; make it writable"):
        study.optimize(bowl, trials=6)
    assert len(study.trials) == 5
    study.close()


def test_read_only_files_and_folders_can_be_shown(tmp_path):
    folder = tmp_path / "frozen"
    folder.mkdir()
    path = made(folder / "runs.db")
    os.chmod(path, 0o444)
    os.chmod(folder, 0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("permissions do not bind this user (root)")
    try:
        assert len(load_study(path).trials) == 5
        with pytest.raises(StoreError, match=r"cannot be run: its lock file"):
            load_study(path).ask()
        with pytest.raises(StoreError, match=r"read-only|cannot be opened"):
            Study("another", SPACE, Random(), store=path)
    finally:
        os.chmod(folder, 0o755)


def test_a_lock_file_that_cannot_be_made(tmp_path):
    path = made(tmp_path / "runs.db")
    (tmp_path / "runs.db-lock-1").mkdir()
    study = Study("bowl", SPACE, Random(), store=path)
    with pytest.raises(StoreError, match=r"cannot be run: its lock file .*runs\.db-lock-1 cannot be made"):
        study.optimize(bowl, trials=6)
    assert len(study.trials) == 5
    study.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not remove open files")
def test_a_store_that_is_deleted_while_in_use(tmp_path):
    study = Study("bowl", SPACE, Random(), store=tmp_path / "runs.db")
    study.optimize(bowl, trials=2)
    (tmp_path / "runs.db").unlink()
    with pytest.raises(StoreError, match=r"was moved or deleted while in use"):
        study.optimize(bowl, trials=4)
    study.close()


def test_another_writer_is_waited_for_then_named(tmp_path):
    path = made(tmp_path / "runs.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = Store(path, timeout=0.01)
    with pytest.raises(StoreError, match=r"another program has kept .*runs\.db locked for 0\.01 s"):
        store.add_study("k", "n", "now", "{}", "{}", 0, "{}")
    other.execute("ROLLBACK")
    assert store.add_study("k", "n", "now", "{}", "{}", 0, "{}").id == 2
    store.close()
    other.close()


def test_a_transaction_is_all_or_nothing():
    store = Store()

    def half():
        with store.transaction() as connection:
            connection.execute("INSERT INTO queue (study, hparams) VALUES (1, '{}')")
            raise RuntimeError("in the middle")

    store.add_study("k", "n", "now", "{}", "{}", 0, "{}")
    with pytest.raises(RuntimeError):
        half()
    assert store.queue(1) == []
    store.close()


def test_a_stale_writer_is_refused():
    store = Store()
    store.add_study("k", "n", "now", "{}", "{}", 0, "{}")
    assert store.add_point(1, 0, "{}") == 1
    with pytest.raises(StoreError, match="was changed by another process while it was being run"):
        store.add_point(1, 0, '{"other": 1}')
    assert len(store.queue(1)) == 1
    store.close()


def test_a_study_of_ten_thousand_trials(tmp_path):
    path = made(tmp_path / "runs.db", trials=1)
    store = Store(path)
    (row,) = store.trials(1)
    rows = [row._replace(number=number, value=repr(1.0 / number)) for number in range(1, 10_000)]
    with store.transaction() as connection:
        marks = ", ".join("?" * (1 + len(row)))
        connection.executemany(
            f"INSERT INTO trials (study, {', '.join(row._fields)}) VALUES ({marks})", [(1, *r) for r in rows]
        )
    store.close()
    study = Study("bowl", SPACE, Random(), store=path)
    assert study.finished == 10_000
    assert study.best.number == 0
    assert [trial.number for trial in study.trials] == list(range(10_000))
    assert studies(path)[0].complete == 10_000
    statements = []
    study._store._connection.set_trace_callback(statements.append)
    study.optimize(bowl, trials=10_002)
    assert not [s for s in statements if "ORDER BY number" in s and "BETWEEN" not in s], (
        "read the history again"
    )
    assert len(statements) < 60
    study.close()


def test_many_processes_make_the_same_new_file(tmp_path, spawn):
    path = tmp_path / "runs.db"
    names = ["a", "b", "c", "c"]
    processes = [spawn(path, 3 if name != "c" else 0, "create", name) for name in names]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert sorted((s.name, s.complete) for s in studies(path)) == [("a", 3), ("b", 3), ("c", 0)]
    assert os.listdir(tmp_path) == ["runs.db"]


def test_a_copy_is_a_store(tmp_path):
    path = made(tmp_path / "runs.db")
    shutil.copy(path, tmp_path / "copy.db")
    (study,) = studies(tmp_path / "copy.db")
    assert (study.name, study.complete, study.best) == ("bowl", 5, 0.0)
    copy = Study("bowl", SPACE, Random(), store=tmp_path / "copy.db")
    copy.optimize(bowl, trials=7)
    copy.close()
    assert len(load_study(path).trials) == 5


def test_vectors_of_a_trial_are_read_only(tmp_path):
    study = Study("bowl", SPACE, Random())
    study.optimize(lambda hparams: (bowl(hparams), {"x": 2 * hparams["x"]}), trials=1)
    (trial,) = study.trials
    for vector in (trial.unit, trial.unit_gradient, trial.curve):
        assert not vector.flags.writeable
    np.testing.assert_array_equal(trial.unit_gradient, [0.0, np.nan])
