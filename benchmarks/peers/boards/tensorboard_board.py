"""TensorBoard with its hyperparameters plugin: one event file a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.request import urlopen

from benchmarks.peers.boards.runs import EPOCHS, POINTS, STEPS, Drawn, News


class TensorBoardBoard:
    """Its own page of scalars, which lists the runs with their hyperparameters beside the charts."""

    name = "TensorBoard"
    package = "tensorboard"
    path = "/#timeseries"
    # A worker draws the chart on a canvas that nobody can look into: its axis comes with the lines.
    drawn = """
        const rows = all("tb-data-table-content-row");
        const told = performance.getEntriesByType("resource").some((one) => one.name.endsWith("/timeSeries"));
        return rows.length >= Math.min(15, runs) && told && all("line-chart text").length > 4;
    """
    waited_for = (
        "15 rows of the runs' list, the first chart's series loaded and its axis drawn (no scatter plot here)"
    )
    # Its page does not look again unless told to, and then every 30 seconds; it takes no shorter time.
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
    """tensorboardX begins each file; points are appended with TensorBoard's own record writer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, Path] = {}
        self._end = b""

    def write(self, runs: list[Drawn]) -> None:
        """All runs, those that have ended as ended."""
        for run in runs:
            self._begin(run)
            self._append(run, _points(run, 1, POINTS, range(1, EPOCHS + 1)), ended=run.state != "running")

    def change(self, news: list[News]) -> None:
        """One more epoch each."""
        for one in news:
            self._append(one.run, _points(one.run, one.first, one.last, [one.epoch]), ended=False)

    def close(self) -> None:
        """Every file is closed already."""

    def _begin(self, run: Drawn) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        place = self._folder / f"{run.number:05d}"
        with SummaryWriter(str(place)) as writer:
            chosen = {"learning_rate": run.learning_rate, "l2": run.l2}
            experiment, session, end = hparams(chosen, {"cost": 0.0, "val_accuracy": 0.0})
            writer.file_writer.add_summary(experiment)
            writer.file_writer.add_summary(session)
        self._end = end.SerializeToString()
        (self._files[run.number],) = place.iterdir()

    def _append(self, run: Drawn, points: Iterable[tuple[str, int, float]], *, ended: bool) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self._files[run.number].open("ab") as file:
            records = RecordWriter(file)
            for tag, step, value in points:
                told = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                records.write(Event(wall_time=1e9 + step, step=step, summary=told).SerializeToString())
            if ended:
                told = Summary.FromString(self._end)
                records.write(Event(wall_time=1e9 + POINTS, summary=told).SerializeToString())


def _points(run: Drawn, first: int, last: int, epochs: Iterable[int]) -> Iterable[tuple[str, int, float]]:
    for step, cost in enumerate(run.costs(first, last).tolist(), start=first):
        yield "cost", step, cost
    for epoch in epochs:
        yield "val_accuracy", min(epoch * STEPS, last), run.accuracy(epoch)
