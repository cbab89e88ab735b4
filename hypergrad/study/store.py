"""The file of studies: SQLite, one transaction a change.

The journal is SQLite's rollback journal, not WAL: one file holds everything (it can be copied, or read in a
read-only folder), and it works on network file systems. ``synchronous=FULL`` makes the file proof against
power failure; a kill between two system calls rolls back to the last commit when the file is next opened.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from hypergrad.errors import StoreError

__all__ = ["HistoryRow", "Store", "StudyRow", "TrialRow"]

_APPLICATION = 0x68796772  # "hygr" in the file's header
_VERSION = 2
_TABLES = ("schema.sql", "upgrade2.sql")  # of format 1, and what each later format adds


class StudyRow(NamedTuple):
    """A row of the table studies; space, sampler, info, constraints and origins are JSON text."""

    id: int
    key: str
    name: str
    created: str
    space: str
    sampler: str
    seed: int
    info: str
    revision: int
    constraints: str
    origins: str


class HistoryRow(NamedTuple):
    """The columns of a trial that a sampler needs, as stored."""

    number: int
    state: str
    unit: bytes
    unit_gradient: bytes | None
    value: str | None
    cost: float
    note: str
    noise: str | None = None
    unit_gradient_noise: bytes | None = None
    margins: bytes | None = None
    margin_gradients: bytes | None = None


class TrialRow(NamedTuple):
    """A row of the table trials, as stored (without the study)."""

    number: int
    state: str
    unit: bytes
    unit_gradient: bytes | None
    value: str | None
    cost: float
    note: str
    wants_gradient: int
    seed: int
    started: str
    seconds: float
    error: str | None
    versions: str
    hparams: str
    gradient: str | None
    metrics: str
    stats: str
    curve: bytes
    noise: str | None = None
    unit_gradient_noise: bytes | None = None
    margins: bytes | None = None
    margin_gradients: bytes | None = None
    gradient_noise: str | None = None
    constraints: str | None = None
    constraint_gradients: str | None = None

    @property
    def history(self) -> HistoryRow:
        """The columns that a sampler needs."""
        return HistoryRow(*(getattr(self, name) for name in HistoryRow._fields))


_STUDY = ", ".join(StudyRow._fields)
_HISTORY = ", ".join(HistoryRow._fields)
_TRIAL = ", ".join(TrialRow._fields)


class Store:
    """Studies and their trials in a SQLite file.

    Args:
        path: of the file, made when it does not exist; None: in memory.
        create: whether a file that does not exist is made, else it is an error.
        timeout: seconds to wait while another process writes.

    Raises:
        StoreError: the path is a folder, its folder is missing, or the file is unreadable, corrupt, another
            program's or from a newer version.
    """

    def __init__(self, path: str | Path | None = None, *, create: bool = True, timeout: float = 30.0) -> None:
        self.path = None if path is None else _located(path, create)
        self.name = "memory" if path is None else str(path)
        self.timeout = timeout
        self._create = create
        self._guard = threading.RLock()
        self._process = 0
        self._finalizer: weakref.finalize | None = None
        self._connection = self._opened()

    # --- the connection

    def _opened(self) -> sqlite3.Connection:
        mode = "rwc" if self._create else "rw"
        if self.path is None:
            target = ":memory:"
        else:
            target = f"{self.path.as_uri()}?mode={mode}"
        with self._sentences():
            connection = sqlite3.connect(
                target, uri=True, timeout=self.timeout, isolation_level=None, check_same_thread=False
            )
            self._finalizer = weakref.finalize(self, _close, connection, os.getpid())
            self._process = os.getpid()
            self._connection = connection
            try:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = FULL")
                self._prepare()
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(self) -> None:
        """Make the tables of a new file; refuse a file that is not ours."""
        if self._is_new():
            if not self._create:
                raise StoreError(f"{self.name} is empty, it holds no studies; check the path")
            with self.transaction() as connection:
                if self._is_new():  # else another process was first
                    _apply(connection, _TABLES)
                    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
        application = self.query("PRAGMA application_id")[0][0]
        version = self.query("PRAGMA user_version")[0][0]
        if application != _APPLICATION:
            raise StoreError(
                f"{self.name} is a SQLite file of another program, not a file of studies; choose another path"
            )
        if version > _VERSION:
            raise StoreError(
                f"{self.name} was written by a newer hypergrad (format {version}, this one reads "
                f"{_VERSION}); upgrade hypergrad or choose another path"
            )
        if version < _VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        """Add the columns and tables of later formats; the trials stay as they are."""
        try:
            with self.transaction() as connection:
                ((version,),) = connection.execute(
                    "PRAGMA user_version"
                )  # another process may have been first
                _apply(connection, _TABLES[version:])
                connection.execute(f"PRAGMA user_version = {_VERSION}")
        except StoreError as error:
            raise StoreError(
                f"{self.name} has the format of an earlier hypergrad and cannot be brought up to date: {error}; "
                "use a copy that can be written"
            ) from error

    def _is_new(self) -> bool:
        header = self.query("PRAGMA application_id")[0][0], self.query("PRAGMA user_version")[0][0]
        return header == (0, 0) and self.query("SELECT count(*) FROM sqlite_master")[0][0] == 0

    def close(self) -> None:
        """Close the file; a closed store cannot be used."""
        if self._finalizer is not None:
            self._finalizer()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """SQLite's errors as StoreError."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_sentence(error, self)) from error

    def _live(self) -> sqlite3.Connection:
        """The connection; a forked child must not use its parent's, and opens its own."""
        if self._process != os.getpid() and self.path is not None:
            if self._finalizer is not None:
                self._finalizer.detach()
            _inherited.append(self._connection)
            self._opened()
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All changes of the block, or none; others wait meanwhile.

        Raises:
            StoreError: the file cannot be written; nothing of the block is stored.
        """
        with self._guard, self._sentences():
            connection = self._live()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, parameters: Sequence = ()) -> list[tuple]:
        """All rows of a SELECT."""
        with self._guard, self._sentences():
            return self._live().execute(sql, parameters).fetchall()

    # --- studies

    def study(self, key: str) -> StudyRow | None:
        """The study of this key."""
        rows = self.query(f"SELECT {_STUDY} FROM studies WHERE key = ?", (key,))
        return StudyRow(*rows[0]) if rows else None

    def studies(self) -> list[StudyRow]:
        """All studies, oldest first."""
        return [StudyRow(*row) for row in self.query(f"SELECT {_STUDY} FROM studies ORDER BY id")]

    def add_study(
        self,
        key: str,
        name: str,
        created: str,
        space: str,
        sampler: str,
        seed: int,
        info: str,
        constraints: str = "{}",
        origins: str = "[]",
        earlier: Iterable[tuple[int, HistoryRow]] = (),
        queue: Iterable[str] = (),
    ) -> StudyRow:
        """The study of this key, made now if there is none.

        Args:
            earlier: (origin, trial) of earlier studies.
            queue: hparams to try first.
        """
        found = self.study(key)
        if found is None:
            marks = ", ".join("?" * len(HistoryRow._fields))
            with self.transaction() as connection:
                made = connection.execute(
                    "INSERT INTO studies (key, name, created, space, sampler, seed, info, constraints, origins) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                    (key, name, created, space, sampler, seed, info, constraints, origins),
                )
                if made.rowcount == 1:
                    connection.executemany(
                        f"INSERT INTO earlier (study, origin, {_HISTORY}) VALUES (?, ?, {marks})",
                        [(made.lastrowid, origin, *row) for origin, row in earlier],
                    )
                    connection.executemany(
                        "INSERT INTO queue (study, hparams) VALUES (?, ?)",
                        [(made.lastrowid, hparams) for hparams in queue],
                    )
            found = self.study(key)
            assert found is not None
        return found

    def earlier(self, study: int) -> list[tuple[int, HistoryRow]]:
        """(origin, trial) of the earlier studies' trials, in order."""
        rows = self.query(
            f"SELECT origin, {_HISTORY} FROM earlier WHERE study = ? ORDER BY origin, number", (study,)
        )
        return [(origin, HistoryRow(*row)) for origin, *row in rows]

    def revision(self, study: int) -> int:
        """How often the trials and the queue of a study were changed."""
        rows = self.query("SELECT revision FROM studies WHERE id = ?", (study,))
        if not rows:
            raise StoreError(f"{self.name} has lost a study that is in use; use a copy of the file")
        return rows[0][0]

    # --- trials

    def history(self, study: int) -> list[HistoryRow]:
        """The columns that a sampler needs, of all trials in order."""
        rows = self.query(f"SELECT {_HISTORY} FROM trials WHERE study = ? ORDER BY number", (study,))
        return [HistoryRow(*row) for row in rows]

    def trials(self, study: int, first: int = 0, last: int | None = None) -> list[TrialRow]:
        """The trials `first` to `last` (included; None: all that follow), in order."""
        rows = self.query(
            f"SELECT {_TRIAL} FROM trials WHERE study = ? AND number BETWEEN ? AND ? ORDER BY number",
            (study, first, 2**62 if last is None else last),
        )
        return [TrialRow(*row) for row in rows]

    def add_trial(self, study: int, revision: int, row: TrialRow, queued: int | None = None) -> int:
        """Store a new trial, taking it from the position `queued` of the queue; returns the new revision."""
        marks = ", ".join("?" * len(row))
        with self._changing(study, revision) as connection:
            connection.execute(f"INSERT INTO trials (study, {_TRIAL}) VALUES (?, {marks})", (study, *row))
            connection.execute("DELETE FROM queue WHERE position = ?", (queued,))
        return revision + 1

    def end_trial(self, study: int, revision: int, row: TrialRow) -> int:
        """Replace the running trial of the same number; returns the new revision."""
        settings = ", ".join(f"{name} = ?" for name in TrialRow._fields)
        with self._changing(study, revision) as connection:
            connection.execute(
                f"UPDATE trials SET {settings} WHERE study = ? AND number = ? AND state = 'running'",
                (*row, study, row.number),
            )
        return revision + 1

    # --- the queue

    def queue(self, study: int) -> list[tuple[int, str]]:
        """(position, hparams) of the points that wait, first come first."""
        return self.query("SELECT position, hparams FROM queue WHERE study = ? ORDER BY position", (study,))

    def has_point(self, study: int, hparams: str) -> bool:
        """Whether a trial or a waiting point has exactly these hparams."""
        tables = "SELECT 1 FROM {} WHERE study = ? AND hparams = ?"
        return bool(
            self.query(
                f"{tables.format('queue')} UNION ALL {tables.format('trials')} LIMIT 1",
                (study, hparams, study, hparams),
            )
        )

    def add_point(self, study: int, revision: int, hparams: str) -> int:
        """Append to the queue; returns the new revision."""
        with self._changing(study, revision) as connection:
            connection.execute("INSERT INTO queue (study, hparams) VALUES (?, ?)", (study, hparams))
        return revision + 1

    @contextmanager
    def _changing(self, study: int, revision: int) -> Iterator[sqlite3.Connection]:
        """A transaction that ends in the next revision, or fails when `revision` is not the current one."""
        with self.transaction() as connection:
            changed = connection.execute(
                "UPDATE studies SET revision = revision + 1 WHERE id = ? AND revision = ?", (study, revision)
            ).rowcount
            if changed != 1:
                raise StoreError(
                    f"a study in {self.name} was changed by another process while it was being run; "
                    "run it again"
                )
            yield connection


def _apply(connection: sqlite3.Connection, names: Sequence[str]) -> None:
    """Execute the statements of files of this package."""
    for name in names:
        text = files("hypergrad.study").joinpath(name).read_text(encoding="utf-8")
        for statement in re.sub(r"--.*", "", text).split(";"):
            connection.execute(statement)


def _close(connection: sqlite3.Connection, process: int) -> None:
    if os.getpid() == process:
        connection.close()


def _located(path: str | Path, create: bool) -> Path:
    """The file that `path` means, links followed, so that two names of one file have one lock."""
    try:
        found = Path(path).resolve()
        exists, regular, folder = found.exists(), found.is_file(), found.parent.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a zero byte
        raise StoreError(f"{path} is no path of a file: {error}; choose another path") from None
    if exists and not regular:
        kind = "a folder" if found.is_dir() else "no regular file"
        raise StoreError(f"{path} is {kind}; give the path of a file, such as runs.db")
    if not folder:
        raise StoreError(f"the folder {found.parent} of the store does not exist; make it first")
    if not create and not exists:
        raise StoreError(f"there is no file of studies {path}; check the path")
    return found


_inherited: list[
    sqlite3.Connection
] = []  # a parent's connections: closing one in the child would harm the file

_ADVICE = {
    "SQLITE_NOTADB": "{name} is not a file of studies (no SQLite file); choose another path",
    "SQLITE_CORRUPT": "{name} is damaged ({error}); use a copy, or save what is left: sqlite3 FILE .recover",
    "SQLITE_FULL": "the disk of {name} is full; all stored trials are kept, free some space and run again",
    "SQLITE_BUSY": "another program has kept {name} locked for {timeout:g} s; run again when it has ended",
    "SQLITE_READONLY": "{name} or its folder is read-only; make it writable or choose another path",
    "SQLITE_READONLY_DBMOVED": "{name} was moved or deleted while in use; put it back or start again",
    "SQLITE_CANTOPEN": "{name} cannot be opened; check that the file and its folder can be read and written",
    "SQLITE_PERM": "{name} cannot be opened; check that the file and its folder can be read and written",
    "SQLITE_IOERR": "{name} cannot be read or written ({error}); check its disk, stored trials are kept",
    "SQLITE_ERROR": "{name} is no file of studies that can be read ({error}); use a copy or another path",
}


def _sentence(error: sqlite3.Error, store: Store) -> str:
    code = getattr(error, "sqlite_errorname", "")
    while code and code not in _ADVICE:  # SQLITE_IOERR_WRITE -> SQLITE_IOERR
        code = code.rpartition("_")[0]
    advice = _ADVICE.get(code, "{name}: {error}")
    return advice.format(name=store.name, error=error, timeout=store.timeout)
