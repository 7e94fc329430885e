"""Ctrl-C during a search: once to end the running epoch and save, twice to stop now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Takes Ctrl-C for the time of a search; use it as a context manager.

    The first Ctrl-C is only noted, and whoever trains asks for it with :meth:`asked`; the second raises
    ``KeyboardInterrupt`` on the spot, as the first does after :meth:`at_once`. Where Ctrl-C is not Python's
    own to handle (another thread, a program with its own handler), nothing is changed.

    Args:
        told: called at the first Ctrl-C, within the signal's handler; default nobody.
    """

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        self._told, self._asked, self._at_once, self._taken = told, False, False, False

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
        """Whether Ctrl-C was pressed."""
        return self._asked

    def at_once(self) -> None:
        """From here on there is no epoch worth the wait: Ctrl-C stops now.

        Raises:
            KeyboardInterrupt: it was pressed before.
        """
        self._at_once = True
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked or self._at_once:
            raise KeyboardInterrupt
        self._asked = True
        self._told()
