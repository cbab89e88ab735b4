"""Ctrl-C ends the program ``hypergrad`` with one sentence and exit code 130, at whatever moment it comes.

The first raises KeyboardInterrupt and is remembered, so that it counts where a library swallows it or makes another
error of it; a second does not wait for what the first has yet to clean up. Once the outcome is settled, none counts.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # to import typing takes longer than all else here, and could be interrupted
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any, NoReturn

__all__ = ["CODE", "check", "ignore", "sentence", "take"]

CODE = 128 + signal.SIGINT
_CONTINUING = ("run", "tune")  # commands that go on where they stopped

heard = False  # whether there was one
settled = False  # set where the outcome is: an assignment, as a signal can be answered within any call


def sentence(arguments: Sequence[str]) -> str:
    """What to say of an interrupted command with these arguments."""
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return "interrupted; the same command continues" if command in _CONTINUING else "interrupted"


def take() -> None:
    """Answer Ctrl-C from here on, unless this process was started to ignore it, or answers it already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        sys.excepthook, sys.unraisablehook = _uncaught, _unraisable
        signal.signal(signal.SIGINT, _hear)


def check() -> None:
    """Raise KeyboardInterrupt where an earlier one was swallowed."""
    if heard:
        raise KeyboardInterrupt


def ignore() -> None:
    """Ctrl-C does nothing until the process ends, where `take` answered it."""
    if signal.getsignal(signal.SIGINT) is _hear:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _hear(number: int, frame: FrameType | None) -> None:
    global heard
    if settled:
        return
    if heard:
        _end()
    heard = True
    raise KeyboardInterrupt


def _end() -> NoReturn:
    try:
        sys.stdout.flush()
    finally:
        try:
            if sys.__stderr__ is not None:  # else its number may be that of another file
                os.write(2, f"{sentence(sys.argv[1:])}\n".encode())
        finally:
            os._exit(CODE)


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Of what is raised before the command is called, as while its modules are imported."""
    if heard:
        _end()
    sys.__excepthook__(kind, error, trace)


def _unraisable(unraisable: Any) -> None:
    """Of what is raised where nobody can catch it, as in a finaliser."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        _end()
    sys.__unraisablehook__(unraisable)


if os.path.basename([*sys.argv, ""][0]).partition(".")[0] == "hypergrad":
    take()
