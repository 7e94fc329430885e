"""The extension of a search while it runs: its last stage gets more trials."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Extension:
    """The number of trials of the last stage; one thread requests more, another trains.

    Trials of a stage are functions of the seed, the stage and their number. A stage that is extended
    therefore holds the trials that it would have held from the start. It can no longer be extended once its
    trials are done, since what follows rests on their results.

    Args:
        last: the index of the stage that may be extended.
        trials: its number of trials.

    Example:
        >>> extension = Extension(1, 20)
        >>> extension.request(30, lambda: None)
        ''
        >>> extension.started(0, 40), extension.started(1, 20)
        (40, 30)
        >>> extension.ended(1, 30)
        0
        >>> extension.request(50, lambda: None)
        'its trials are done, and what follows has started'
    """

    def __init__(self, last: int, trials: int) -> None:
        self._last, self._trials, self._is_over = last, trials, False
        self._lock = threading.Lock()

    def request(self, trials: int, record: Callable[[], None]) -> str:
        """Requests more trials.

        Args:
            trials: their number in all.
            record: called before the stage is extended, if it can be.

        Returns:
            The reason why it cannot be; empty if it can.
        """
        with self._lock:
            if self._is_over:
                return "its trials are done, and what follows has started"
            if trials <= self._trials:
                return f"it has {self._trials} trials already"
            record()
            self._trials = trials
            return ""

    def started(self, stage: int, trials: int) -> int:
        """Returns the number of trials of a stage that starts, instead of a planned one."""
        with self._lock:
            return self._trials if stage == self._last else trials

    def ended(self, stage: int, trials: int, *, in_time: bool = True) -> int:
        """Returns the number of trials to which a stage is extended; 0 if it is complete.

        Args:
            stage: its index.
            trials: the number of its trials that are done.
            in_time: there is time for more.
        """
        with self._lock:
            if stage != self._last:
                return 0
            if in_time and self._trials > trials:
                return self._trials
            self._is_over = True
            return 0


def no_extension() -> Extension:
    """Returns the extension of a search that takes no requests."""
    return Extension(-1, 0)
