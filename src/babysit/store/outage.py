"""Outages of a server: logged once, waited for, and no reason to end a training."""

from __future__ import annotations

import logging
import time

from babysit.store.failures import OutageError

PATIENCE_SECONDS = 3600.0
"""The time that data waits for its server, in seconds."""

LONGEST_PAUSE = 5.0
"""The longest time between two tries, in seconds."""

MOST_WAITING_POINTS = 10_000_000
"""The per-step points that are kept during an outage: 80 MB. Readings are always kept."""

_log = logging.getLogger("babysit.store")


class Outage:
    """The state of a store that may be unreachable, and the messages about it.

    Args:
        where: the address of the store as the user typed it.
        patience: the time that data waits, in seconds. Default: an hour.
    """

    def __init__(self, where: str, patience: float = PATIENCE_SECONDS) -> None:
        self._where, self._patience = where, patience
        self._since: float | None = None
        self._waiting = self._dropped = 0

    @property
    def is_on(self) -> bool:
        """True if the last try to reach the store failed."""
        return self._since is not None

    @property
    def pause(self) -> float:
        """The time until the next try, in seconds; it grows with the length of the outage."""
        return 0.0 if self._since is None else min(LONGEST_PAUSE, 0.1 + (time.monotonic() - self._since) / 4)

    def note(self, error: OutageError) -> None:
        """Notes a failed try; only the first one is logged."""
        if self._since is None:
            self._since = time.monotonic()
            _log.warning("%s; training continues, and its measurements wait for the store", error.problem)

    def wait(self, error: OutageError) -> None:
        """Waits before another try.

        Raises:
            OutageError: the outage is longer than the patience.
        """
        self.note(error)
        if self._since is not None and time.monotonic() - self._since > self._patience:
            raise error
        time.sleep(self.pause)

    def over(self) -> None:
        """Notes a successful write, and logs the end of an outage."""
        if self._since is None:
            return
        lost = f"; {self._dropped} points were too many to keep" if self._dropped else ""
        away = time.monotonic() - self._since
        _log.warning(
            "the store %s is back after %.1f s; the waiting measurements are written%s",
            self._where,
            away,
            lost,
        )
        self._since, self._waiting, self._dropped = None, 0, 0

    def has_room(self, points: int) -> bool:
        """Tells whether more per-step points may wait, and counts them."""
        if self._since is None:
            return True
        fits = self._waiting + points <= MOST_WAITING_POINTS
        self._waiting += points if fits else 0
        self._dropped += 0 if fits else points
        return fits
