"""The last stage of a search may grow while the stages run: an extension begun early."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Growth:
    """How many trials the last stage shall have; one thread asks for more, another trains.

    Trials of a stage are functions of the seed, the stage and their number, so a stage that grows holds the
    trials that it would have held from the start. Once its trials are done, and something else was begun with
    what came of them, it does not grow any more.

    Args:
        last: the index of the stage that may grow.
        trials: how many it has.

    Example:
        >>> growth = Growth(1, 20)
        >>> growth.ask(30, lambda: None)
        ''
        >>> growth.begun(0, 40), growth.begun(1, 20)
        (40, 30)
        >>> growth.ended(1, 30)
        0
        >>> growth.ask(50, lambda: None)
        'its trials are done, and what follows has begun'
    """

    def __init__(self, last: int, trials: int) -> None:
        self._last, self._trials, self._is_over = last, trials, False
        self._lock = threading.Lock()

    def ask(self, trials: int, write_down: Callable[[], None]) -> str:
        """Asks for more.

        Args:
            trials: how many in all.
            write_down: called if it can be, before the stage grows.

        Returns:
            Why it cannot be; empty if it can.
        """
        with self._lock:
            if self._is_over:
                return "its trials are done, and what follows has begun"
            if trials <= self._trials:
                return f"it has {self._trials} trials already"
            write_down()
            self._trials = trials
            return ""

    def begun(self, stage: int, trials: int) -> int:
        """How many trials a stage that begins shall have."""
        with self._lock:
            return self._trials if stage == self._last else trials

    def ended(self, stage: int, trials: int, *, in_time: bool = True) -> int:
        """How many trials a stage shall have that has done so many; 0 if these are all.

        Args:
            stage: its index.
            trials: how many it has done.
            in_time: whether there is time for more.
        """
        with self._lock:
            if stage != self._last:
                return 0
            if in_time and self._trials > trials:
                return self._trials
            self._is_over = True
            return 0


def fixed() -> Growth:
    """A search of which nobody asks for more."""
    return Growth(-1, 0)
