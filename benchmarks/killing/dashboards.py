"""Dashboards that are killed while a writer writes and a client reads pages and news and posts requests.

The dashboard is the command `babysit dashboard`, in a process that was forked with everything imported, so
that a kill often hits an answer and not an import. Each request that the client posts has its own factor, by
which it is found and counted in the store.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from babysit.cli.main import main as command_line
from babysit.records import CommandState
from babysit.session.lab_cache import laboratory
from babysit.store import queries
from babysit.store.commands import commands_of
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from benchmarks.killing.looking import Counts, Place, Runs, Tell, changed
from benchmarks.killing.processes import PATIENCE, Process, strike
from benchmarks.killing.working import Work, listen
from benchmarks.peers.boards.serving import free_port
from benchmarks.visiting import RefusedError, Visitor, digests

KILLS_OF_A_ROUND = 10
"""The number of kills before another study is started."""

SECONDS = 1.5
"""The latest moment of a kill, after the time that a dashboard needs until it answers."""

AT_ONCE = 10.0
"""How long a new dashboard may take until it answers, on a busy machine, in seconds."""


def killed_dashboards(root: Path, store: str, chance: random.Random, kills: int, tell: Tell) -> Counts:
    """Kills dashboards; each request must be in the store once or not at all."""
    laboratory()  # its modules are imported once, for all
    counts = Counts(more={"pages and news": 0, "requests": 0, "acknowledged": 0, "slowest start": 0.0})
    while counts.kills < kills:
        folder = root / f"dashboard-{counts.rounds}"
        name = f"{os.getpid()}-dashboard-{counts.rounds}"
        place = Place(folder, store or str(folder / "runs.sqlite"), name)
        folder.mkdir()
        _Round(place, counts).run(chance, min(kills - counts.kills, KILLS_OF_A_ROUND), tell)
        counts.rounds += 1
    return counts


class _Round:
    """One study, written by a writer that is not killed, and its dashboards."""

    def __init__(self, place: Place, counts: Counts) -> None:
        self._place, self._counts = place, counts
        Writer(place.store).close()
        self._writer = Process(listen, place)
        self._study = self._started_study()
        self._asked: set[float] = set()
        self._acknowledged: dict[float, int] = {}
        self._starting = 0.0
        self._serve_again()

    def _started_study(self) -> int:
        """Waits until the study has a trial, and returns its number."""
        deadline = time.monotonic() + PATIENCE
        with Reader(self._place.store) as reader:
            while time.monotonic() < deadline:
                for study in queries.studies(reader):
                    if study.name == self._place.name and queries.run_summaries(reader, study.id):
                        return study.id
                time.sleep(0.01)
        raise SystemExit(f"no study was started: {(self._place.folder / 'errors.txt').read_text()}")

    def run(self, chance: random.Random, kills: int, tell: Tell) -> None:
        """Kills, and checks the store after each kill."""
        for _ in range(kills):
            before = Runs(self._place)
            self._kill(chance.uniform(0, self._starting + SECONDS))
            self._counts.kills += 1
            now = Runs(self._place)
            self._break(now.broken + changed(before, now))
            self._counts.finished += len(now.finished)
            self._look_at_requests()
            self._serve_again()
            tell(self._counts)
        self._end()

    def _kill(self, seconds: float) -> None:
        port, log = free_port(), self._place.folder / "visits.jsonl"
        elsewhere = replace(self._place, folder=self._place.folder / "dashboard")
        first = 1 + len(self._asked)
        dashboard = Process(serve(port), elsewhere)
        client = Process(
            visit(port, self._study, first, log), replace(elsewhere, folder=log.parent / "client")
        )
        dashboard.wait(seconds)
        moment = time.monotonic()
        ended = strike(dashboard, 0)
        client.send(signal.SIGTERM)
        if not client.wait(PATIENCE):
            client.send()
            self._break(["a client waits for a dashboard that was killed"])
        if not ended.killed:
            self._break([f"a dashboard ended by itself: {(elsewhere.folder / 'errors.txt').read_text()}"])
        self._note([json.loads(line) for line in log.read_text().splitlines()], moment)
        log.unlink()

    def _note(self, visits: list[dict[str, Any]], killed: float) -> None:
        """Counts what the client reported."""
        more = self._counts.more
        for visit in visits:
            if "asked" in visit:
                self._asked.add(visit["asked"])
                more["requests"] += 1
            elif "acknowledged" in visit:
                self._acknowledged[visit["acknowledged"]] = visit["id"]
                more["acknowledged"] += 1
            elif "refused" in visit:
                self._break([visit["refused"]])
            elif "failed" in visit and visit["at"] < killed:
                self._break([f"before the dashboard was killed: {visit['failed']}"])
            more["pages and news"] += visit.get("answers", 0)

    def _look_at_requests(self, *, ended: bool = False) -> None:
        """Checks that each request is there once, or was not acknowledged and is not there."""
        with Reader(self._place.store) as reader:
            there = commands_of(reader, self._study)
        counted = Counter(command.argument for command in there)
        numbers = {command.argument: command.id for command in there}
        self._break(
            [f"the request {one} was written {count} times" for one, count in counted.items() if count > 1]
        )
        self._break([f"the request {one} was never posted" for one in counted.keys() - self._asked])
        for factor, number in self._acknowledged.items():
            if numbers.get(factor) != number:
                self._break([f"the request {factor} was acknowledged and is lost"])
        if ended:
            final = (CommandState.APPLIED, CommandState.EXPIRED)
            self._break([f"request {one.id} is {one.state}" for one in there if one.state not in final])

    def _serve_again(self) -> None:
        """Checks that a new dashboard answers at once, shows all requests, and ends on SIGTERM."""
        port = free_port()
        started = time.monotonic()
        dashboard = Process(serve(port), replace(self._place, folder=self._place.folder / "dashboard"))
        shown = _first_answer(Visitor(port), f"/s/{self._study}", started + AT_ONCE)
        if shown is None:
            self._break([f"a new dashboard does not answer in {AT_ONCE:.0f} s"])
        else:
            self._starting = time.monotonic() - started
            more = self._counts.more
            more["slowest start"] = max(more["slowest start"], self._starting)
            there = {one["id"] for one in shown["data"]["commands"]["list"]}
            lost = set(self._acknowledged.values()) - there
            self._break([f"a new dashboard does not show the requests {sorted(lost)}"] if lost else [])
        dashboard.send(signal.SIGTERM)
        if not dashboard.wait(AT_ONCE):
            self._break(["a dashboard does not end on SIGTERM"])
            dashboard.send()
        dashboard.reported()

    def _end(self) -> None:
        """Checks that the writer ends, and that all trials it reported are in the store."""
        if self._writer.poll() is not None:
            errors = (self._place.folder / "errors.txt").read_text()
            self._break([f"the writer beside killed dashboards ended: {errors}"])
        self._writer.send(signal.SIGTERM)
        self._writer.wait(PATIENCE)
        reported, now = self._writer.reported(), Runs(self._place)
        lost = set(reported) - {number for _, _, number in now.finished}
        self._break(now.broken + [f"trial {number} was committed and is lost" for number in lost])
        if self._writer.poll() != 0:
            self._break(["the writer beside killed dashboards did not come to its end"])
        self._look_at_requests(ended=True)

    def _break(self, promises: list[str]) -> None:
        self._counts.broken += promises


def _first_answer(visitor: Visitor, path: str, deadline: float) -> dict[str, Any] | None:
    """Returns the data of a page as soon as it answers; None after the deadline."""
    while time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            return visitor.page(path)[1]
        time.sleep(0.005)
    return None


def serve(port: int) -> Work:
    """Builds the work of `babysit dashboard`, as the command line starts it."""

    def work(place: Place, _: int) -> None:
        with (place.folder / "output.txt").open("w") as output:
            os.dup2(output.fileno(), 1)
        sys.argv = ["babysit", "dashboard", "--no-open", "--store", place.store, "--port", str(port)]
        command_line()

    return work


def visit(port: int, study: int, first: int, log: Path) -> Work:
    """Builds the work of a client that sends requests until SIGTERM, or until the dashboard is gone."""

    def work(_: Place, __: int) -> None:
        ending = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ending.set())
        visitor = Visitor(port, PATIENCE / 2)
        number = first
        with log.open("w", buffering=1) as report:
            while not ending.is_set():
                try:
                    _look_round(visitor, study)
                    _ask_for(visitor, study, 1 + number / 4096, report)
                    number += 1
                except RefusedError as error:
                    print(json.dumps({"refused": str(error)}), file=report)
                    break
                except (OSError, http.client.HTTPException) as error:
                    if visitor.times:
                        print(json.dumps({"failed": repr(error), "at": time.monotonic()}), file=report)
                        break
                    time.sleep(0.005)  # it is not there yet
            print(json.dumps({"answers": sum(map(len, visitor.times.values()))}), file=report)

    return work


def _look_round(visitor: Visitor, study: int) -> None:
    """Reads the pages, and the data that their scripts fetch."""
    visitor.page("/")
    _, found = visitor.page(f"/s/{study}")
    since, edition = found["data"]["cursor"], found["data"]["edition"]
    visitor.data("news", f"/changes?study={study}&since={since}&edition={edition}")
    page, found = visitor.page(f"/r/{study}/0/1")
    run = f"/r/{study}/0/1"
    visitor.data("news of a run", f"{run}/changes?since={found['run-data']['cursor']}&have={digests(page)}")
    visitor.data("series", f"{run}/series?key=cost")


def _ask_for(visitor: Visitor, study: int, factor: float, report: Any) -> None:
    """Posts a request to the trial that runs all the time."""
    print(json.dumps({"asked": factor}), file=report)
    given = {"kind": "scale_learning_rate", "argument": factor}
    answer = json.loads(visitor.ask("request", f"/r/{study}/0/0/commands", given))
    print(json.dumps({"acknowledged": factor, "id": answer["command"]["id"]}), file=report)
