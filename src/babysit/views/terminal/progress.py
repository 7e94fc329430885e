"""How far a search has come: a live line on a terminal, plain lines everywhere else."""

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
"""The longest silence where there is no terminal, in seconds."""

SETTLING_SECONDS = 2.0
"""How long a stage must have run before the time left is estimated."""

PLAIN_SHARE = 0.1
"""The share of the search after which a plain line is due anyway."""


class SearchProgress:
    """Shows trials done, the best so far, how many exploded or were pruned, and the time left.

    Use it as a context manager. On a terminal one line is redrawn in place; otherwise (a pipe, a log file)
    a plain line is printed at every tenth of the search, or after ten seconds, and no control code at all.

    Args:
        console: where to write.
        clock: seconds that only go forward; for tests.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begun = clock()
        self._stage = ""
        self._printed_at = self._begun
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
        """Shows the newest numbers; the time left is judged by the epochs of all trials together."""
        name = now.stage.name
        if name != self._stage:  # each stage has its own pace, so its own estimate
            self._stage, self._begun, self._printed_share = name, self._clock(), 0.0
        share = now.epochs_done / now.epochs if now.epochs else 1.0
        status = self._status(now, share)
        if self._bar is None:
            self._print_when_due(f"{name}: {status}", share, now.done >= now.trials)
        else:
            self._bar.update(
                self._task,
                completed=now.epochs_done,
                total=now.epochs,
                description=name[:16],
                status=status,
            )

    def _status(self, now: Progress, share: float) -> str:
        parts = [
            f"{now.done}/{now.trials} trials",
            f"best {score_text(now.best) if now.best else MISSING}",
            f"{now.exploded} exploded",
            *([f"{now.pruned} pruned"] if now.pruned else []),
        ]
        return ", ".join(parts if share >= 1 else [*parts, f"{self._time_left(share)} left"])

    def _time_left(self, share: float) -> str:
        spent = self._clock() - self._begun
        if spent < SETTLING_SECONDS:
            return MISSING  # the first epochs include the workers' start: no estimate yet
        return duration_text(spent * (1 - share) / share if share > 0 else float("nan"))

    def _print_when_due(self, line: str, share: float, finished: bool) -> None:
        now = self._clock()
        step = share < 1 and share - self._printed_share >= PLAIN_SHARE - 1e-9
        if step or finished or now - self._printed_at >= PLAIN_SECONDS:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._printed_at, self._printed_share = now, share
