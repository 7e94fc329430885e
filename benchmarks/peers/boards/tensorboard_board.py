"""TensorBoard with its hyperparameters plugin: one event file a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.peers.boards.runs import EPOCHS, POINTS, STEPS, Drawn, News


class TensorBoardBoard:
    """Its own page of scalars, which lists the runs with their hyperparameters beside the charts."""

    name = "TensorBoard"
    package = "tensorboard"
    path = "/#timeseries"
    # A worker draws the chart on a canvas that cannot be inspected: its axis appears with the lines.
    drawn = """
        const rows = all("tb-data-table-content-row");
        const load = performance.getEntriesByType("resource").some((one) => one.name.endsWith("/timeSeries"));
        return rows.length >= Math.min(15, runs) && load && all("line-chart text").length > 4;
    """
    waited_for = (
        "15 rows of the runs' list, the first chart's series loaded and its axis drawn (no scatter plot here)"
    )
    # Its page reloads only if set to, and then every 30 seconds at most.
    beforehand = """localStorage.setItem("_tb_global_settings", JSON.stringify({autoReload: true}));"""

    def author(self, folder: Path) -> TensorBoardAuthor:
        """Writes event files."""
        return TensorBoardAuthor(folder / "events")

    def command(self, folder: Path, port: int) -> list[str]:
        """As it ships, on this machine alone."""
        return [
            *(sys.executable, "-m", "tensorboard.main", "--logdir", str(folder / "events")),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]

    def loaded(self, url: str, runs: int) -> bool:
        """It reads the event files in the background."""
        with urlopen(f"{url}/data/plugin/timeseries/tags") as reply:
            tags = json.load(reply).get("scalars", {}).get("runTagInfo", {})
        with urlopen(f"{url}/data/runs") as reply:
            return len(tags) == len(json.load(reply)) == runs


class TensorBoardAuthor:
    """TensorBoard's own record writer; what its hyperparameters plugin reads is made by tensorboardX.

    Every event is appended at once, as a run's writer would that flushes each second; a thousand writers that
    stay open would be as many threads.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, runs: list[Drawn]) -> None:
        """All runs, those that have ended as ended."""
        for run in runs:
            self._place(run).parent.mkdir(parents=True)
            start, end = _session(run)
            points = _points(run, 1, POINTS, range(1, EPOCHS + 1))
            self._append(run, [*start, *points, *(end if run.state != "running" else ())])

    def change(self, news: list[News]) -> None:
        """One more epoch each."""
        for one in news:
            self._append(one.run, _points(one.run, one.first, one.last, [one.epoch]))

    def close(self) -> None:
        """Every file is closed already."""

    def _place(self, run: Drawn) -> Path:
        return self._folder / f"{run.number:05d}" / "events.out.tfevents.1000000000.benchmark"

    def _append(self, run: Drawn, events: Iterable[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._place(run).open("ab") as file:
            records = RecordWriter(file)
            for event in events:
                records.write(event.SerializeToString())


def _session(run: Drawn) -> tuple[list[Any], list[Any]]:
    """What stands at the beginning of a run's file, and at its end."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboardX.summary import hparams

    chosen = {"learning_rate": run.learning_rate, "l2": run.l2}
    told = hparams(chosen, {"cost": 0.0, "val_accuracy": 0.0})
    experiment, start, end = (
        Event(wall_time=1e9, summary=Summary.FromString(one.SerializeToString())) for one in told
    )
    return [Event(wall_time=1e9, file_version="brain.Event:2"), experiment, start], [end]


def _points(run: Drawn, first: int, last: int, epochs: Iterable[int]) -> Iterable[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    def event(tag: str, step: int, value: float) -> Any:
        told = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        return Event(wall_time=1e9 + step, step=step, summary=told)

    for step, cost in enumerate(run.costs(first, last).tolist(), start=first):
        yield event("cost", step, cost)
    for epoch in epochs:
        yield event("val_accuracy", min(epoch * STEPS, last), run.accuracy(epoch))
