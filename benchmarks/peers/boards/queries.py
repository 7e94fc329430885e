"""What babysit's store takes to answer the two questions of the command center, no web between."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from babysit.store import overview
from babysit.store.reader import Reader
from benchmarks.peers.boards.babysit_board import STORE

ROUNDS = 21


def measure(folder: Path, runs: int) -> dict[str, Any]:
    """Milliseconds for the table of all runs, and for the tenth of them that was written last."""
    reader = Reader(str(folder / STORE))
    try:
        versions = sorted(line.version for line in overview.lines(reader, 1))
        since = versions[-max(1, runs // 10) - 1]
        return {
            "table_rows": len(versions),
            "table_ms": _milliseconds(lambda: overview.lines(reader, 1)),
            "changed_rows": len(overview.newer_lines(reader, since)),
            "changes_ms": _milliseconds(lambda: overview.newer_lines(reader, since)),
        }
    finally:
        reader.close()


def _milliseconds(ask: Callable[[], object]) -> dict[str, float]:
    """Of the processor and of the clock, the median of many."""
    processor, clock = [], []
    for _ in range(ROUNDS):
        started = time.process_time(), time.perf_counter()
        ask()
        processor.append(1000 * (time.process_time() - started[0]))
        clock.append(1000 * (time.perf_counter() - started[1]))
    return {"processor": median(processor), "clock": median(clock)}
