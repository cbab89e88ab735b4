"""Results of stages on disk, one file each, named by what they depend on.

A file is a line with the sha256 of the rest, and the result as JSON text that reads back bit for bit. It is written
beside and moved into place, so that a killed process leaves no half of one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypergrad.errors import ExperimentError, StudyError
from hypergrad.study.codec import decode, encode

__all__ = ["Cache", "write"]


@dataclass(frozen=True)
class Cache:
    """The results of one experiment.

    Args:
        folder: where they lie; made when the first one is written.
    """

    folder: Path

    def place(self, stage: str, key: str) -> Path:
        """The file of a result."""
        return self.folder / f"{stage}-{key[:32]}.json"

    def has(self, stage: str, key: str) -> bool:
        """Whether there is a result, whole and unchanged; raises ExperimentError where its file cannot be read."""
        return self._text(stage, key) is not None

    def load(self, stage: str, key: str) -> tuple[Any, float]:
        """The result, and the CPU seconds that it took.

        Raises:
            ExperimentError: there is none.
        """
        text = self._text(stage, key)
        if text is None:
            raise ExperimentError(
                f"{self.place(stage, key)} is missing or damaged; run the same command again"
            )
        found = decode(text)
        return found["result"], found["seconds"]

    def save(self, stage: str, key: str, result: Any, seconds: float) -> None:
        """Keep a result.

        Raises:
            ExperimentError: it is nothing that can be kept, or the file cannot be written.
        """
        try:
            text = encode({"result": result, "seconds": seconds}, "what it returned")
        except StudyError as error:
            raise ExperimentError(str(error).replace("/result", "", 1)) from None
        except (RecursionError, MemoryError) as error:
            deep = (
                "holds itself, or is nested too deeply"
                if isinstance(error, RecursionError)
                else "is too large"
            )
            raise ExperimentError(f"what it returned {deep}, so it cannot be stored; return less") from None
        head = hashlib.sha256(text.encode()).hexdigest()
        write(self.place(stage, key), f"{head}\n{text}\n")

    def _text(self, stage: str, key: str) -> str | None:
        try:
            head, _, text = self.place(stage, key).read_text(encoding="utf-8").partition("\n")
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise ExperimentError(
                f"{self.place(stage, key)} cannot be read: {error.strerror}; remove it and run the same command again"
            ) from None
        text = text.removesuffix("\n")
        return text if hashlib.sha256(text.encode()).hexdigest() == head else None


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; leave it alone where it holds the same already.

    Raises:
        ExperimentError: it cannot be written.
    """
    try:
        data = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:
        odd = error.object[error.start : error.end]
        raise ExperimentError(f"{path} cannot be written: {odd!r} in a name or text is no Unicode") from None
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(beside, 0o644)
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExperimentError(
            f"{path} cannot be written: {error.strerror}; see to that and run the same command again; what is "
            "stored stays"
        ) from None
