"""A store under load: many processes write long runs while a dashboard answers requests like a browser's.

    python -m benchmarks.store [--trials 1000] [--points 100000] [--writers 8] [--store URL] [--json]

Each writer is a process that writes its share of the trials, one after the other: a cost for every step, a
reading for each of 20 epochs. Meanwhile `babysit dashboard` serves the store, in its own process, to a client
with a study's page, a run's page and the list of all studies: each page requests news once a second, and
every ten seconds all are opened again, with the curve of the run that trains by then. In addition a plain
reader reads the changes ten times a second. After the last writer has ended, both must have received the last
version of every trial. Reported are the points per second of all writers together, the response times of
every kind of answer, the size of the store per point, the memory of writers and dashboard at the start, the
end and the maximum, and the result of ``babysit store verify``. Exit code 1 if a change was missed, an answer
was an error, or the store is damaged.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.request import urlopen

from sqlalchemy import text

from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.verifying import verify
from babysit.store.writer import Writer
from benchmarks.loading.looking import Sizes, Waits, Watching, early, resident, waits
from benchmarks.loading.writing import EPOCHS, ended, forked
from benchmarks.peers.boards.serving import served

POLL_SECONDS = 0.1
SIZES_EVERY = 10
"""Polls between two looks at what is taken."""


@dataclass(frozen=True)
class Load:
    """What was measured.

    Attributes:
        trials, points, writers: what was written: points of one trial, and by how many processes.
        seconds: from the first writer's start to the last one's end.
        points_per_second: of all writers together.
        answers: what the dashboard was asked -> how long it took.
        failures: answers that were none, in words.
        poll: how long the bare reader waited for what had changed.
        missed, missed_by_reader: trials whose last version the dashboard's page, or the reader, had not seen.
        bytes_per_point: of the store, all tables.
        log_mib: the largest size of SQLite's write-ahead log.
        writer_mib, dashboard_mib: their memory early, in the end, and at its largest.
        verify_seconds, faults: how long verify took, and what it found.
    """

    trials: int
    points: int
    writers: int
    seconds: float
    points_per_second: float
    answers: dict[str, Waits]
    failures: list[str]
    poll: Waits
    missed: int
    missed_by_reader: int
    bytes_per_point: float
    log_mib: float
    writer_mib: tuple[float, float, float]
    dashboard_mib: tuple[float, float, float]
    verify_seconds: float
    faults: list[str]


class _Dashboard:
    """`babysit dashboard` of a store, as ``served`` starts it."""

    def __init__(self, store: str) -> None:
        self._store = store

    def command(self, _: Path, port: int) -> list[str]:
        words = ["dashboard", "--no-open", "--store", self._store, "--port", str(port)]
        return [sys.executable, "-m", "babysit", *words]

    def loaded(self, url: str, _: int) -> bool:
        with urlopen(f"{url}/healthz") as reply:
            return bool(reply.status == 200)


def measure(trials: int, points: int, writers: int, store: str, folder: Path) -> Load:
    """Writes, reads and looks at once."""
    Writer(store).close()
    with Reader(store) as reader:
        before = _bytes(reader, store)
        share = [trials // writers + (index < trials % writers) for index in range(writers)]
        with served(_Dashboard(store), folder, 0) as server:  # type: ignore[arg-type]
            started = time.perf_counter()
            living = {forked(store, index, count, points) for index, count in enumerate(share)}
            mine = _first_study(reader)
            watching = Watching(int(server.url.rpartition(":")[2]), mine)
            sizes = Sizes(store, server.pid)
            watching.start()
            polls, seen = _polled(reader, living, sizes)
            seconds = time.perf_counter() - started
            watching.end()
            dashboard = (early(sizes.dashboard), resident(server.pid), resident(server.pid, "VmHWM"))
            largest_writer = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        there = {(one.study, *one.key): one.version for one in queries.changes(reader, 0).summaries}
        written = trials * (points // EPOCHS) * EPOCHS
        per_point = (_bytes(reader, store) - before) / written
        began = time.perf_counter()
        faults = verify(reader)
        return Load(
            trials,
            points,
            writers,
            seconds,
            written / seconds,
            {word: waits(times) for word, times in sorted(watching.visitor.times.items())},
            watching.failures,
            waits(polls),
            watching.missed(store),
            sum(seen.get(key) != version for key, version in there.items()),
            per_point,
            max(sizes.log),
            (early(sizes.writers), sizes.writers[-1], largest_writer),
            dashboard,
            time.perf_counter() - began,
            faults,
        )


def _first_study(reader: Reader) -> int:
    """The number of the study that the first writer begins, once there is one."""
    while True:
        if found := [one.id for one in queries.studies(reader) if one.name == "load 0"]:
            return found[0]
        time.sleep(0.01)


def _polled(
    reader: Reader, living: set[int], sizes: Sizes
) -> tuple[list[float], dict[tuple[int, int, int], int]]:
    """Asks for changes until the last writer has ended, and once more; the seconds, and the versions seen."""
    polls: list[float] = []
    seen: dict[tuple[int, int, int], int] = {}
    cursor = 0
    while living:
        if len(polls) % SIZES_EVERY == 0:
            sizes.take(living)
        before = time.perf_counter()
        found, cursor = queries.changes(reader, cursor)
        polls.append(time.perf_counter() - before)
        seen |= {(one.study, *one.key): one.version for one in found}
        time.sleep(POLL_SECONDS)
        living -= ended(living)
    seen |= {(one.study, *one.key): one.version for one in queries.changes(reader, cursor).summaries}
    return polls, seen


def _bytes(reader: Reader, store: str) -> int:
    """How large the store is."""
    if "://" not in store:
        return sum(path.stat().st_size for path in (Path(store), Path(f"{store}-wal")) if path.exists())
    tables = "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class where relkind = 'r'"
    with reader.connect() as connection:
        return int(
            connection.execute(
                text(f"{tables} and relnamespace = current_schema()::regnamespace")
            ).scalar_one()
        )


def summary(load: Load) -> str:
    """What was measured, as text."""
    lines = [
        f"{load.trials:,} trials of {load.points:,} points by {load.writers} processes in "
        f"{load.seconds:.0f} s: {load.points_per_second / 1e6:.2f} million points a second",
        f"{'answers of the dashboard':26}{'count':>7}{'median':>10}{'p99':>10}{'worst':>10}",
    ]
    for word, one in {**load.answers, "(a bare reader's poll)": load.poll}.items():
        lines.append(
            f"  {word:24}{one.answers:7}{one.median_ms:7.1f} ms{one.p99_ms:7.1f} ms{one.worst_ms:7.1f} ms"
        )
    names = ("early", "in the end", "largest")
    for name, memory in (("a writer", load.writer_mib), ("the dashboard", load.dashboard_mib)):
        parts = ", ".join(f"{word} {mib:.0f}" for word, mib in zip(names, memory, strict=True))
        lines.append(f"memory of {name} in MiB: {parts}")
    lines += [
        f"changes missed: {load.missed} by the page, {load.missed_by_reader} by the reader; "
        f"answers that were none: {len(load.failures)}",
        f"size: {load.bytes_per_point:.2f} bytes a point; the largest write-ahead log {load.log_mib:.0f} MiB",
        f"verify: {len(load.faults)} faults in {load.verify_seconds:.0f} s",
        *(f"  {one}" for one in [*load.faults, *load.failures][:10]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Prints what was measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.store",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trials", type=int, default=1000, help="in all, default 1000")
    parser.add_argument("--points", type=int, default=100_000, help="costs of one trial, default 100000")
    parser.add_argument("--writers", type=int, default=8, help="processes, default 8")
    parser.add_argument(
        "--store", default="", help="an empty store on a server; default a file in a temporary folder"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="babysit-load-") as name:
        folder = Path(name)
        store = chosen.store or str(folder / "runs.sqlite")
        load = measure(chosen.trials, chosen.points, chosen.writers, store, folder)
    print(json.dumps(asdict(load), indent=2) if chosen.json else summary(load))
    raise SystemExit(1 if load.missed or load.missed_by_reader or load.faults or load.failures else 0)


if __name__ == "__main__":
    main()
