"""How far a search has come: a live line on a terminal, plain lines everywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from babysit.records import Result
from babysit.views.words import MISSING, duration_text, score_text

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
        self._progress: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[status]}"),
            )
            self._progress = Progress(*columns, console=console, expand=True)
            self._task = self._progress.add_task("search", total=None, status="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def update(
        self,
        done_trials: int,
        total_trials: int,
        epochs_done: int,
        total_epochs: int,
        best: Result | None,
        exploded_count: int,
        stage_name: str,
        pruned_count: int = 0,
    ) -> None:
        """Shows the newest numbers.

        Args:
            done_trials, total_trials: finished trials of the stage, and all of them.
            epochs_done, total_epochs: epochs of all trials together, by which the time left is judged.
            best: the best result so far; None before the first.
            exploded_count: how many trials exploded.
            stage_name: "coarse", "fine", ...
            pruned_count: how many trials were given up; told where there are any.
        """
        if stage_name != self._stage:  # each stage has its own pace, so its own estimate
            self._stage, self._begun, self._printed_share = stage_name, self._clock(), 0.0
        share = epochs_done / total_epochs if total_epochs else 1.0
        ended = {"exploded": exploded_count, **({"pruned": pruned_count} if pruned_count else {})}
        status = self._status(done_trials, total_trials, share, best, ended)
        if self._progress is None:
            self._print_when_due(f"{stage_name}: {status}", share, done_trials >= total_trials)
        else:
            self._progress.update(
                self._task,
                completed=epochs_done,
                total=total_epochs,
                description=stage_name[:16],
                status=status,
            )

    def _status(
        self, done: int, total: int, share: float, best: Result | None, ended: Mapping[str, int]
    ) -> str:
        parts = [
            f"{done}/{total} trials",
            f"best {score_text(best) if best else MISSING}",
            *(f"{count} {how}" for how, count in ended.items()),
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
