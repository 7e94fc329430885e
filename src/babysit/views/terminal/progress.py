"""The progress line of a search: redrawn in place on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from babysit.views.data.formatting import MISSING, duration_text, score_text

if TYPE_CHECKING:  # a search is not loaded to show one
    from babysit.tuning.search import Progress

PLAIN_SECONDS = 10.0
"""The longest silence without a terminal, in seconds."""

SETTLING_SECONDS = 2.0
"""The seconds that a stage must have run before the time left is estimated."""

PLAIN_SHARE = 0.1
"""The share of a stage after which a plain line is due in any case."""


class SearchProgress:
    """Display of the trials done, the best so far, those exploded or pruned, and the time left.

    Use it as a context manager. On a terminal one line is redrawn in place. Otherwise (a pipe, a log file)
    a plain line without control codes is printed at every tenth of a stage, or after ten seconds.

    Args:
        console: the console to write to.
        clock: a monotonic clock in seconds; for tests.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._started = clock()
        self._stage = ""
        self._printed_at = self._started
        self._printed_share = 0.0
        self._bar: Bar | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[status]}"),
            )
            self._bar = Bar(*columns, console=console, expand=True)
            self._task = self._bar.add_task("search", total=None, status="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, now: Progress) -> None:
        """Shows the newest numbers; the time left is estimated from the epochs of all trials together."""
        name = now.stage.name
        if name != self._stage:  # each stage has its own speed, so its own estimate
            self._stage, self._started, self._printed_share = name, self._clock(), 0.0
        share = now.epochs_done / now.epochs if now.epochs else 1.0
        parts = [
            f"{now.done}/{now.trials} trials",
            f"best {score_text(now.best) if now.best else MISSING}",
            f"{now.exploded} exploded",
            *([f"{now.pruned} pruned"] if now.pruned else []),
        ]
        status = ", ".join(parts if share >= 1 else [*parts, f"{self._time_left(share)} left"])
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=now.epochs_done,
                total=now.epochs,
                description=name[:16],
                status=status,
            )
            return
        at = self._clock()
        step = share < 1 and share - self._printed_share >= PLAIN_SHARE - 1e-9
        if step or now.done >= now.trials or at - self._printed_at >= PLAIN_SECONDS:
            self._console.print(f"{name}: {status}", markup=False, highlight=False, soft_wrap=True)
            self._printed_at, self._printed_share = at, share

    def _time_left(self, share: float) -> str:
        spent = self._clock() - self._started
        if spent < SETTLING_SECONDS:
            return MISSING  # the first epochs include the workers' start: no estimate yet
        return duration_text(spent * (1 - share) / share if share > 0 else float("nan"))
