"""babysit as called from Python, with a note of every epoch that it writes to its store.

It runs no checks before, like its peers. Population sizes are measured again, as part of the start-up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from babysit.records import Reading, Stage
from babysit.tuning.stages import FINAL
from benchmarks.peers.task import Task, Trained, answer, clock, note

STAGES = "coarse:24x1,fine:12x{epochs},finer:12x{epochs},finest:12x{epochs},final:1x{epochs}"
"""The lecture's way: one epoch is enough to tell where nothing is to be had, then few trials in the box round
the best, again and again until the time is up."""


def listen(tell: Callable[[str, float], None]) -> None:
    """Has the next searches of this process tell the stage and the validation accuracy of every epoch."""
    from babysit.session.jobs import recorder as recording
    from babysit.session.jobs import search as searching

    class Telling(recording.DiagnosingRecorder):
        """Tells what it records."""

        def begin_stage(self, study: int, stage: Stage) -> None:
            super().begin_stage(study, stage)
            self.stage = stage.name

        def epoch(self, study: int, trial: Any, reading: Reading, *rest: Any) -> None:
            super().epoch(study, trial, reading, *rest)
            tell(self.stage, reading.val_accuracy)

    retrain = searching.retrain

    def telling(*given: Any, **named: Any) -> Any:
        def told(reading: Reading, epochs: int) -> None:
            given[-1](reading, epochs)
            tell(FINAL, reading.val_accuracy)

        return retrain(*given[:-1], told, **named)

    searching.DiagnosingRecorder, searching.retrain = Telling, telling  # type: ignore[misc]


def work(task: Task) -> list[Trained]:
    """Searches, and retrains the best, until the time is up."""
    os.environ["XDG_CACHE_HOME"] = str(Path(task.scratch) / "cache")
    from babysit import search

    listen(lambda _, accuracy: note(task, accuracy))
    search(
        task.recipe,
        stages=STAGES.format(epochs=task.epochs),
        seed=task.seed,
        folder=task.scratch,
        workers=task.processes,
        timeout=task.until - clock(),
    )
    return []


if __name__ == "__main__":
    answer(work)
