"""Ctrl-C during a search: once to end the running epoch and save, twice to stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Takes Ctrl-C for the time of a search; use it as a context manager.

    The first Ctrl-C is only recorded, and training code polls it with :meth:`asked`. The second raises
    ``KeyboardInterrupt`` at once, as the first does after :meth:`at_once`. Nothing is changed in another
    thread, or in a program with its own handler of Ctrl-C.

    Args:
        noticed: called at the first Ctrl-C, within the signal's handler. Default: nothing.
    """

    def __init__(self, noticed: Callable[[], None] = lambda: None) -> None:
        self._noticed, self._asked, self._at_once, self._taken = noticed, False, False, False

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._taken = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._taken:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def asked(self) -> bool:
        """Returns True once Ctrl-C was pressed."""
        return self._asked

    def at_once(self) -> None:
        """Makes Ctrl-C raise at once from here on, where no epoch is worth the wait.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed before.
        """
        self._at_once = True
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked or self._at_once:
            raise KeyboardInterrupt
        self._asked = True
        self._noticed()
