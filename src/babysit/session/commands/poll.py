"""Polls the store for the commands to a running study, in a thread, so that training never waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from babysit.errors import StoreError
from babysit.records import Command
from babysit.store.commands import HEARTBEAT_SECONDS, Commands

POLL_SECONDS = 1.0
"""Seconds between two polls of the store; a poll takes less than a thousandth of that."""

_BUSY_SECONDS = 2.0


class CommandPoller:
    """Receives the commands to one running study and writes its heartbeat; use it as a context manager.

    While the store cannot be read or written, replies are kept and sent later.

    Args:
        url: the store.
        study: the study's number.
        handle: called with each command, in the poller's thread.
    """

    def __init__(self, url: str, study: int, handle: Callable[[Command], None]) -> None:
        self._study, self._handle = study, handle
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._unsent: list[Callable[[], None]] = []
        self._last_beat = float("-inf")
        self._commands = Commands(url, busy_seconds=_BUSY_SECONDS)
        self._thread = threading.Thread(target=self._run, name="babysit-poller", daemon=True)

    def __enter__(self) -> Self:
        self._try(self._beat)  # commands sent before the first poll see a live study
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._send_kept()
        self._commands.close()

    def applied(self, command: int, step: int, detail: str) -> None:
        """Replies that a command took effect after a step."""
        self._send(partial(self._commands.applied, command, step=step, detail=detail))

    def refused(self, command: int, reason: str) -> None:
        """Replies that a command is refused, with the reason."""
        self._send(partial(self._commands.refused, command, reason))

    def _run(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self._try(self._poll)

    def _poll(self) -> None:
        self._beat()
        self._send_kept()
        for command in self._commands.take(self._study):
            self._handle(command)

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat >= HEARTBEAT_SECONDS:
            self._commands.beat(self._study)
            self._last_beat = time.monotonic()

    def _send(self, reply: Callable[[], None]) -> None:
        with self._lock:
            if not self._try(reply):
                self._unsent.append(reply)

    def _send_kept(self) -> None:
        with self._lock:
            self._unsent = [reply for reply in self._unsent if not self._try(reply)]

    @staticmethod
    def _try(action: Callable[[], None]) -> bool:
        try:
            action()
        except StoreError:
            return False
        return True
