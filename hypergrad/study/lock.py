"""The right to run a study, held by one process at a time.

It is a lock of the operating system on a small file beside the store. The system frees it when its process
ends, however it ends, on any host that shares the folder; so nothing is decided by process numbers, which are
used again, or by clocks. SQLite's own safety rests on the same locks.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import weakref
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from hypergrad.errors import StoreError, StudyError

__all__ = ["RunLock"]

_PAUSE = 0.02  # seconds between two tries

_held: set[int] = set()  # open descriptors of this process


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the text, since a locked byte cannot be read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    _REFUSED: tuple[type[OSError], ...] = (PermissionError,)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    _REFUSED = (BlockingIOError,)

    def _forget() -> None:
        """A forked child must not keep its parent's locks alive."""
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_forget)


def _release(descriptor: int, path: Path, process: int) -> None:
    if os.getpid() != process:
        return  # a forked child, which closed its copy when it was born
    _held.discard(descriptor)
    if sys.platform == "win32":  # an open file cannot be removed
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()
    else:  # the name goes first: whoever locks the nameless file notices that and starts anew
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        finally:
            os.close(descriptor)


class RunLock:
    """The right to run one study.

    Args:
        path: of the lock file; None: nobody else can see the study, so that the lock is always free.
        study: how to name the study in an error.
    """

    def __init__(self, path: Path | None, study: str) -> None:
        self.path = path
        self.study = study
        self._process = 0
        self._finalizer: weakref.finalize | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the right."""
        alive = self._finalizer is not None and self._finalizer.alive
        return self._process == os.getpid() and (self.path is None or alive)

    def acquire(self, wait: float = 0.0) -> None:
        """Take the right.

        Args:
            wait: seconds to go on trying; 0: at once or not at all.

        Raises:
            StudyError: another process or another Study object has it, and still has it after `wait`.
            StoreError: the lock file cannot be made, or the file system has no locks.
        """
        if self.path is not None:
            descriptor = self._awaited(self.path, wait)
            self._finalizer = weakref.finalize(self, _release, descriptor, self.path, os.getpid())
        self._process = os.getpid()

    def release(self) -> None:
        """Give the right back; nothing happens when it is not held."""
        self._process = 0
        if self._finalizer is not None:
            self._finalizer()

    def _awaited(self, path: Path, wait: float) -> int:
        until = monotonic() + wait
        while True:
            try:
                return self._locked(path)
            except StudyError:
                if monotonic() >= until:
                    raise
                sleep(_PAUSE)

    def _locked(self, path: Path) -> int:
        """An open descriptor of the locked file at `path`."""
        descriptor = -1
        try:
            while True:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
                _lock(descriptor)
                if _same_file(descriptor, path):
                    break
                os.close(descriptor)  # its holder removed it just now
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, _signature().encode())
        except _REFUSED as error:
            if descriptor < 0:
                raise self._unusable(path, error) from None
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 4096).decode(errors="replace")
            os.close(descriptor)
            raise StudyError(self._refusal(holder)) from None
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise self._unusable(path, error) from None
        _held.add(descriptor)
        return descriptor

    def _unusable(self, path: Path, error: OSError) -> StoreError:
        return StoreError(
            f"{self.study} cannot be run: its lock file {path} cannot be made or locked ({error.strerror}); "
            "choose a folder on a local disk that can be written"
        )

    def _refusal(self, holder: str) -> str:
        if holder.startswith(f"process {os.getpid()} on {socket.gethostname()} "):
            return (
                f"{self.study} is being run by another Study object of this process; "
                "use that one, or close() it first"
            )
        return f"{self.study} is being run by {holder or 'another process'}; wait until it ends, or stop it"


def _signature() -> str:
    now = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now}"


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the name `path` still belongs to the open file."""
    try:
        named = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), named)
