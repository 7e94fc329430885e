"""babysit's command center beside TensorBoard and Optuna Dashboard: the same runs, in a real browser.

    python -m benchmarks.dashboard [--runs 200 1000] [--json FILE] [--alone] [--rounds 5] [--urgent]

Each dashboard is fed with the same runs of 1000 points (benchmarks/peers/boards/runs.py), started on
127.0.0.1, and visited once it can answer with all of them:

- of use: milliseconds from the start of a visit with an empty cache until what is named under the table is
  laid out; the median of five visits, and of three through what feels like a tunnel (40 ms, 20 Mbit/s);
- first load: bytes over the wire and requests until then;
- main thread: processor time of the page's main thread, while a tenth of the runs change each second for 30
  seconds (TensorBoard looks again every 30 seconds, Optuna Dashboard every 10, babysit each second); the
  server's processor time, the heap and the DOM of the same page;
- start: seconds from the server's start to its open port, and to its first answer with all runs.

Of babysit also the store's two queries, and 100,000 points in a run with a spike of one of them, which every
zoom must show. ``--urgent`` gives browser and server the processor before everybody else (SCHED_FIFO, for
root) where a machine is shared, for two minutes a dashboard at most. One that is not installed, or not
of use within a minute, is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.boards import BOARDS, queries, spikes
from benchmarks.peers.boards.board import Board, version_of
from benchmarks.peers.boards.browser import Visit, browsing, chromium, screenshot, typical
from benchmarks.peers.boards.runs import drawn
from benchmarks.peers.boards.serving import AuthorProcess, Served, TooSlowError, family_of, served
from benchmarks.search import machine

Row = dict[str, Any]

TUNNEL_ROUNDS = 3

URGENT_SECONDS = 120.0
"""The longest that others on the machine are kept waiting."""


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All rows, what was left out and why, and the machine."""
    rows, skipped = [], []
    for count in options.runs:
        for name in _taking_part(options):
            try:
                rows.append(_measured(name, count, options))
            except Exception as error:  # what a dashboard cannot do is a result
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                skipped.append({"board": BOARDS[name].name, "runs": count, "reason": reason})
    found: dict[str, Any] = {"machine": _machine(), "rows": rows, "skipped": skipped}
    if options.points:
        found["spike"] = _spike(options)
    return found


def _taking_part(options: argparse.Namespace) -> list[str]:
    return [
        name
        for name in BOARDS
        if name in (options.only or BOARDS) and not (options.alone and name != "babysit")
    ]


def _measured(name: str, count: int, options: argparse.Namespace) -> Row:
    board = BOARDS[name]
    if not version_of(board):
        raise TooSlowError(f"{board.package} is not installed")
    with _folder() as folder, AuthorProcess(name, folder, count) as author, _urgent(options.urgent):
        with served(board, folder, count) as server, browsing() as browser:
            row: Row = {
                "board": board.name,
                "version": version_of(board),
                "runs": count,
                "waited_for": board.waited_for,
                "write_seconds": author.seconds,
                "start_to_port_seconds": server.to_port,
                "start_to_data_seconds": server.to_data,
                "server_memory_bytes": server.memory(),
            }
            row |= _visits(browser, board, server, count, options)
            row |= _changing(browser, board, server, author, count, options)
        if name == "babysit":
            row["queries"] = queries.measure(folder, count)
    return row


def _visits(browser: Any, board: Board, server: Served, count: int, options: argparse.Namespace) -> Row:
    visits: dict[bool, list[Any]] = {False: [], True: []}
    for tunnel, rounds in ((False, options.rounds), (True, min(TUNNEL_ROUNDS, options.rounds))):
        for _ in range(rounds):
            visit = _visit(browser, board, server, count, tunnel=tunnel)
            visits[tunnel].append(visit.load)
            visit.close()
    return {**typical(visits[False]), "tunnel_useful_ms": typical(visits[True])["useful_ms"]}


def _visit(browser: Any, board: Board, server: Served, count: int, *, tunnel: bool = False) -> Visit:
    complete = sum(run.state == "complete" for run in drawn(count))
    return Visit(browser, board, server.url, count, complete, tunnel=tunnel)


def _changing(
    browser: Any, board: Board, server: Served, author: AuthorProcess, count: int, options: argparse.Namespace
) -> Row:
    visit, seconds = _visit(browser, board, server, count), options.seconds
    visit.wait(2)
    before, worked = visit.costs(), server.processor_seconds()
    author.change(seconds)
    visit.wait(seconds)
    after, done = visit.costs(), server.processor_seconds()
    if options.pictures:
        screenshot(visit, options.pictures / f"{board.package}-{count}.png")
    visit.close()
    changed = author.changed()
    return {
        "main_thread_ms_per_second": 1000 * (after["TaskDuration"] - before["TaskDuration"]) / seconds,
        "server_ms_per_second": 1000 * (done - worked) / seconds,
        "traffic_bytes_per_second": (after["bytes"] - before["bytes"]) / seconds,
        "heap_bytes": int(after["JSHeapUsedSize"]),
        "dom_nodes": int(after["Nodes"]),
        "changed_runs_per_second": changed,
    }


def _spike(options: argparse.Namespace) -> Row:
    """A long run: the series that the server gives, and what the page draws."""
    with _folder() as folder:
        spikes.write(folder, options.points)
        with _urgent(options.urgent), served(BOARDS["babysit"], folder, 1) as server, browsing() as browser:
            return {
                "points": options.points,
                "server": spikes.measure_server(server.url, options.points),
                "page": spikes.measure_page(browser, server.url, options.points),
            }


@contextmanager
def _folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="babysit-dashboards-"))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _urgent(wanted: bool) -> Iterator[None]:
    """Whatever is started meanwhile comes before everybody else on this machine, for two minutes at most."""
    if not wanted:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    end = threading.Timer(URGENT_SECONDS, _be_patient)
    end.start()
    try:
        yield
    finally:
        end.cancel()
        _be_patient()


def _be_patient() -> None:
    """This program and all that it has started wait for their turn again."""
    for pid in family_of(os.getpid()):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))


def _machine() -> dict[str, Any]:
    names = ("cpu", "cores", "load", "python", "babysit")
    shown = {name: value for name, value in machine().items() if name in names}
    return {**shown, "browser": chromium(), "playwright": version("playwright")}


def page(found: dict[str, Any]) -> str:
    """Markdown: one table a number of runs, dashboards side by side."""
    lines = ["machine: " + ", ".join(f"{key} {value}" for key, value in found["machine"].items())]
    for count in dict.fromkeys(row["runs"] for row in found["rows"]):
        lines += ["", *_table(count, [row for row in found["rows"] if row["runs"] == count])]
    waited = {row["board"]: row["waited_for"] for row in found["rows"]}
    lines += ["", *(f"- {board}: {words}" for board, words in waited.items())]
    for row in found["rows"]:
        if "queries" in row:
            lines += ["", _queries_line(row["queries"])]
    if "spike" in found:
        lines += ["", _spike_line(found["spike"])]
    if found["skipped"]:
        lines += ["", "Left out:", ""]
        lines += [f"- {one['board']}, {one['runs']} runs: {one['reason']}" for one in found["skipped"]]
    return "\n".join(lines)


def _table(count: int, rows: list[Row]) -> list[str]:
    heads = [f"{row['board']} {row['version']}" for row in rows]
    lines = [f"| {count} runs | {' | '.join(heads)} |", "|---" * (len(rows) + 1) + "|"]
    return lines + [f"| {name} | {' | '.join(tell(row) for row in rows)} |" for name, tell in _MEASURES]


_MEASURES = (
    ("**of use, cold (ms)**", lambda row: f"{row['useful_ms']:.0f} ({_range(row['useful_range_ms'])})"),
    ("of use, 40 ms and 20 Mbit/s away (ms)", lambda row: f"{row['tunnel_useful_ms']:.0f}"),
    ("first load (MB)", lambda row: f"{row['first_load_bytes'] / 1e6:.2f}"),
    ("requests", lambda row: f"{row['first_load_requests']}"),
    ("outside requests", lambda row: f"{len(row['outside_requests'])}"),
    ("runs that changed (per s)", lambda row: f"{row['changed_runs_per_second']:.0f}"),
    ("main thread meanwhile (ms per s)", lambda row: f"{row['main_thread_ms_per_second']:.0f}"),
    ("server's processor (ms per s)", lambda row: f"{row['server_ms_per_second']:.0f}"),
    ("traffic (kB per s)", lambda row: f"{row['traffic_bytes_per_second'] / 1e3:.1f}"),
    ("JS heap (MB)", lambda row: f"{row['heap_bytes'] / 1e6:.1f}"),
    ("DOM nodes", lambda row: f"{row['dom_nodes']:,}"),
    ("start to open port (s)", lambda row: f"{row['start_to_port_seconds']:.2f}"),
    ("start to all runs (s)", lambda row: f"{row['start_to_data_seconds']:.2f}"),
    ("server's memory (MB)", lambda row: f"{row['server_memory_bytes'] / 1e6:.0f}"),
)


def _range(ends: list[float]) -> str:
    return f"{ends[0]:.0f} to {ends[1]:.0f}"


def _queries_line(row: Row) -> str:
    table, news = row["table_ms"], row["changes_ms"]
    return (
        f"Store: the table of {row['table_rows']:,} runs {table['processor']:.2f} ms "
        f"({table['clock']:.2f} by the clock), the {row['changed_rows']:,} that changed last "
        f"{news['processor']:.2f} ms ({news['clock']:.2f})."
    )


def _spike_line(row: Row) -> str:
    server, plot = row["server"], row["page"]
    return (
        f"A run of {row['points']:,} points, a spike of one: in {server['with_spike']} of {server['zooms']} "
        f"zooms of the server's series (slowest {server['slowest_ms']:.0f} ms), "
        f"in {plot['with_spike']} of {plot['zooms']} in the page (slowest {plot['slowest_ms']:.0f} ms)."
    )


def options_of(words: list[str]) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dashboard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--rounds", type=int, default=5, help="visits with an empty cache")
    parser.add_argument("--seconds", type=int, default=30, help="for which runs change")
    parser.add_argument("--points", type=int, default=100_000, help="of the long run; 0 leaves it out")
    parser.add_argument("--only", nargs="+", choices=list(BOARDS), help="these dashboards alone")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    parser.add_argument("--urgent", action="store_true", help="before everybody else on this machine (root)")
    parser.add_argument("--json", type=Path, help="write everything to a file, too")
    parser.add_argument("--pictures", type=Path, help="a folder for what the pages looked like")
    return parser.parse_args(words)


def main() -> None:
    """Measures and prints."""
    options = options_of(sys.argv[1:])
    if not chromium():
        sys.exit("there is no Chromium here: apt-get install chromium")
    found = measure(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    print(page(found))


if __name__ == "__main__":
    main()
