"""Hearing what is asked of a running study: a thread that polls the store, so that training does not."""

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
"""How often the store is asked, in seconds; a look takes less than a thousandth of that."""

_BUSY_SECONDS = 2.0


class Listener:
    """Takes the commands of one running study and leaves its heartbeat; use it as a context manager.

    A store that cannot be read or written for a while ends nothing: what could not be said is said later.

    Args:
        url: of the store.
        study: the study's number.
        heed: given each command, in the listener's thread.
    """

    def __init__(self, url: str, study: int, heed: Callable[[Command], None]) -> None:
        self._url, self._study, self._heed = url, study, heed
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._unsaid: list[Callable[[], None]] = []
        self._beaten = float("-inf")
        self._commands = Commands(url, busy_seconds=_BUSY_SECONDS)
        self._thread = threading.Thread(target=self._listen, name="babysit-listener", daemon=True)

    def __enter__(self) -> Self:
        self._try(self._beat)  # from the first moment a request knows that somebody listens
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._say_later()
        self._commands.close()

    def applied(self, command: int, step: int, detail: str) -> None:
        """Answers that a command took effect after a step."""
        self._say(partial(self._commands.applied, command, step=step, detail=detail))

    def refused(self, command: int, reason: str) -> None:
        """Answers why a command is not fulfilled."""
        self._say(partial(self._commands.refused, command, reason))

    def _listen(self) -> None:
        while not self._closing.wait(POLL_SECONDS):
            self._try(self._poll)

    def _poll(self) -> None:
        self._beat()
        self._say_later()
        for command in self._commands.take(self._study):
            self._heed(command)

    def _beat(self) -> None:
        if time.monotonic() - self._beaten >= HEARTBEAT_SECONDS:
            self._commands.beat(self._study)
            self._beaten = time.monotonic()

    def _say(self, answer: Callable[[], None]) -> None:
        with self._lock:
            if not self._try(answer):
                self._unsaid.append(answer)

    def _say_later(self) -> None:
        with self._lock:
            self._unsaid = [answer for answer in self._unsaid if not self._try(answer)]

    @staticmethod
    def _try(action: Callable[[], None]) -> bool:
        try:
            action()
        except StoreError:
            return False
        return True
