"""A server that is away for a while: told once, waited for, and no reason to end a training."""

from __future__ import annotations

import logging
import time

from babysit.store.failures import OutageError

PATIENCE_SECONDS = 3600.0
"""How long what must be written waits for its server, in seconds."""

LONGEST_PAUSE = 5.0
"""The longest time between two tries, in seconds."""

MOST_WAITING_POINTS = 10_000_000
"""Per-step points that are kept for a server that is away: 80 MB. Readings are always kept."""

_log = logging.getLogger("babysit.store")


class Outage:
    """Whether a store can be reached, and what is told about it.

    Args:
        where: the store as the user named it.
        patience: how long what must be written waits, in seconds.
    """

    def __init__(self, where: str, patience: float = PATIENCE_SECONDS) -> None:
        self._where, self._patience = where, patience
        self._since: float | None = None
        self._waiting = self._dropped = 0

    @property
    def is_on(self) -> bool:
        """Whether the store was away when it was last tried."""
        return self._since is not None

    @property
    def pause(self) -> float:
        """How long to wait before the next try, in seconds: the longer away, the longer."""
        return 0.0 if self._since is None else min(LONGEST_PAUSE, 0.1 + (time.monotonic() - self._since) / 4)

    def note(self, error: OutageError) -> None:
        """The store could not be reached; only the first time is told."""
        if self._since is None:
            self._since = time.monotonic()
            _log.warning("%s; training goes on, and what is measured waits for the store", error.problem)

    def wait(self, error: OutageError) -> None:
        """Waits before another try.

        Raises:
            OutageError: the store has been away for too long.
        """
        self.note(error)
        if self._since is not None and time.monotonic() - self._since > self._patience:
            raise error
        time.sleep(self.pause)

    def over(self) -> None:
        """Something was written: if the store had been away, that it is back is told."""
        if self._since is None:
            return
        lost = f"; {self._dropped} points were too many to keep" if self._dropped else ""
        away = time.monotonic() - self._since
        _log.warning("the store %s is back after %.1f s; what waited is written%s", self._where, away, lost)
        self._since, self._waiting, self._dropped = None, 0, 0

    def has_room(self, points: int) -> bool:
        """Whether so many more per-step points may wait."""
        if self._since is None:
            return True
        fits = self._waiting + points <= MOST_WAITING_POINTS
        self._waiting += points if fits else 0
        self._dropped += 0 if fits else points
        return fits
