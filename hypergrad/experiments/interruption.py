"""When Ctrl-C acts: not halfway through what must be whole, and not in vain where a stage swallowed it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TypeVar

__all__ = ["Held", "unswallowed"]

T = TypeVar("T")
_Handler = Callable[[int, "FrameType | None"], Any]


def _handler() -> _Handler | None:
    """What answers Ctrl-C; None where nothing in Python does, or this thread cannot change it."""
    found = signal.getsignal(signal.SIGINT)
    return found if callable(found) and threading.current_thread() is threading.main_thread() else None


class Held:
    """While it is entered, Ctrl-C waits; it acts in `let`, in `check`, and when it is left.

    Args:
        wake: called when there is one, within whatever the main thread does.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self._heard = False
        self._before: _Handler | None = None

    def __enter__(self) -> Held:
        self._before = _handler()
        self._hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def let(self, function: Callable[..., T], /, *arguments: Any, **named: Any) -> T:
        """What a function returns, in which Ctrl-C acts at once."""
        try:
            self._release()
            return function(*arguments, **named)
        finally:
            self._hold()

    def check(self) -> None:
        """Let a Ctrl-C act that waits."""
        if self._heard:
            self.let(lambda: None)

    def _hold(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._hear)

    def _release(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            if self._heard:
                self._heard = False
                signal.raise_signal(signal.SIGINT)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._heard = True
        self.wake()


def unswallowed(function: Callable[..., T], /, *arguments: Any) -> T:
    """What a function returns; raises KeyboardInterrupt after it where it swallowed one."""
    before, raised = _handler(), False
    if before is None:
        return function(*arguments)

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        try:
            before(number, frame)
        except KeyboardInterrupt:
            raised = True
            raise

    signal.signal(signal.SIGINT, hear)
    try:
        return function(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)
        if raised:
            raise KeyboardInterrupt
