"""What a store must do that several processes share, whatever database is behind it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from babysit.records import Command, CommandState, State
from babysit.store import queries
from babysit.store.commands import Commands, commands_of
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from store.records import complete, feed, same

TESTS = Path(__file__).parents[1]
READ_IN_ANOTHER_PROCESS = """
import sys
from babysit.store import queries
from babysit.store.reader import Reader
with Reader(sys.argv[1]) as reader:
    print(len(queries.results(reader, 1)), len(queries.costs(reader, 1, (0, 0))[0]))
"""
WRITE_UNTIL_KILLED = """
import itertools, sys
from store.conftest import begin
from store.records import complete, feed
from babysit.store.writer import Writer
writer = Writer(sys.argv[1])
study = begin(writer)
for number in itertools.count():
    feed(writer, study, complete(number))
    writer.finish_trials(study, [complete(number)])
    print(number, flush=True)
"""
BEGIN_STUDIES = """
import sys
from store.conftest import begin
from store.forking import forked
from store.records import complete
from babysit.store.writer import Writer
def work(index):
    for _ in range(10):
        with Writer(sys.argv[1]) as writer:
            writer.finish_trials(begin(writer), [complete(0)])
forked(2, work)
"""
ASKING = """
import sys
from store.forking import forked
from babysit.records import CommandKind
from babysit.store.commands import Commands
def work(asker):
    with Commands(sys.argv[1]) as commands:
        for index in range(20):
            commands.ask(int(sys.argv[2]), CommandKind.STOP_STUDY, by=f"{asker}-{index}")
forked(2, work)
"""
WRITING = """
import random, sys
from store.conftest import begin
from store.forking import forked
from store.records import complete, epoch_costs, reading, trial
from babysit.store.writer import Writer
def work(index):
    chance = random.Random(index)
    with Writer(sys.argv[1]) as writer:
        study = begin(writer, str(index))
        for number in range(6):
            writer.begin_trials(study, [trial(number), trial(number, 1)])
            if chance.random() < 0.5:
                writer.epoch(study, trial(number, 1), reading(1), *epoch_costs(1))
                writer.flush()
            writer.finish_trials(study, [complete(number)])
forked(8, work)
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", script, *arguments], env=environment, text=True, **pipes)


class SharingContract:
    """The tests that every store passes; a fixture ``url`` names an empty store."""

    @pytest.mark.slow
    def test_another_process_reads_while_one_writes(self, writer: Writer, url: str, study: int) -> None:
        feed(writer, study, complete(0))
        writer.flush()
        # A transaction that is under way does not keep readers out.
        with writer._engine.begin(), python(READ_IN_ANOTHER_PROCESS, url) as process:
            output, _ = process.communicate(timeout=60)
        assert (process.returncode, output) == (0, "1 300\n")

    @pytest.mark.slow
    def test_a_killed_writer_loses_no_finished_trial(self, url: str) -> None:
        with python(WRITE_UNTIL_KILLED, url) as process:
            assert process.stdout is not None
            finished = [int(process.stdout.readline()) for _ in range(25)]
            process.send_signal(signal.SIGKILL)
            finished += [int(line) for line in process.stdout.read().splitlines()]
        with Writer(url) as writer, Reader(url) as reader:
            results = {result.trial.number: result for result in queries.results(reader, 1)}
            for number in finished:
                assert same(results[number], complete(number))
                assert len(queries.costs(reader, 1, (0, number))[0]) == 300
            writer.reopen_study(1)
            states = {result.run.state for result in queries.results(reader, 1)}
            assert states <= {State.COMPLETE, State.WAITING}

    @pytest.mark.slow
    def test_several_processes_make_and_share_one_store(self, url: str) -> None:
        with python(BEGIN_STUDIES, url) as process:
            process.communicate(timeout=120)
        assert process.returncode == 0
        with Reader(url) as reader:
            assert len(queries.studies(reader)) == 20
            changed = queries.changes(reader, 0)
            assert len({summary.version for summary in changed.summaries}) == 20

    @pytest.mark.slow
    def test_processes_that_ask_at_once_are_all_heard_in_order(
        self, reader: Reader, commands: Commands, url: str, study: int
    ) -> None:
        taken: list[Command] = []
        with python(ASKING, url, str(study)) as process:
            deadline = time.monotonic() + 120
            while len(taken) < 40 and time.monotonic() < deadline and not process.poll():
                for command in commands.take(study):
                    commands.applied(command.id, step=len(taken))
                    taken.append(command)
        assert process.returncode == 0
        assert [command.id for command in taken] == sorted(command.id for command in taken)
        for asker in (0, 1):
            mine = [command.by for command in taken if command.by.startswith(f"{asker}-")]
            assert mine == [f"{asker}-{index}" for index in range(20)]
        assert {command.state for command in commands_of(reader, study)} == {CommandState.APPLIED}
        versions = [command.version for command in commands_of(reader, study)]
        assert len(set(versions)) == 40

    @pytest.mark.slow
    def test_eight_writers_at_once_and_a_reader_that_misses_no_change(self, url: str) -> None:
        Writer(url).close()
        seen: dict[tuple[int, int, int], int] = {}
        polls = cursor = 0
        with python(WRITING, url) as process, Reader(url) as reader:
            while process.poll() is None:
                found, cursor = queries.changes(reader, cursor)
                assert all(seen.get((one.study, *one.key), 0) < one.version for one in found)
                seen |= {(one.study, *one.key): one.version for one in found}
                polls += bool(found)
            seen |= {(one.study, *one.key): one.version for one in queries.changes(reader, cursor).summaries}
            everything = queries.changes(reader, 0).summaries
        assert process.returncode == 0
        assert seen == {(one.study, *one.key): one.version for one in everything}
        assert len(everything) == 8 * 6 * 2
        assert polls > 8
