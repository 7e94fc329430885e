"""The benchmark of kills, in small; and that it would notice what it looks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from benchmarks.killing.dashboards import _Round as DashboardRound
from benchmarks.killing.looking import Counts, Place, Runs, checked_files
from benchmarks.killing.rounds import Killing
from benchmarks.killing.working import write

from babysit.records import CommandKind, State, Trial
from babysit.store import queries
from babysit.store.commands import Commands
from babysit.store.reader import Reader
from babysit.store.writer import Writer


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_lost_or_done_twice():
    command = [sys.executable, "-m", "benchmarks.durability", "--kills", "6", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout)
    assert {kind: (one["kills"], one["broken"]) for kind, one in counts.items()} == {
        "search": (1, []),
        "workers": (1, []),
        "train": (1, []),
        "write": (1, []),
        "read": (1, []),
        "dashboard": (1, []),
    }
    assert counts["write"]["finished"] + counts["read"]["finished"] > 0
    assert counts["train"]["files"] > 0
    assert "dashboard: 1 of 1 kills, 0 broken promises" in done.stderr


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path, str(tmp_path / "runs.sqlite"), "round")
    read_end, write_end = os.pipe()
    write(place, write_end)
    os.close(read_end)
    os.close(write_end)
    return place


def broken(place, before, told=()):
    killing = Killing.__new__(Killing)
    killing.counts = type("Counts", (), {"finished": 0, "files": 0, "broken": []})()
    killing._check(place, before, Runs(place), list(told))
    return killing.counts.broken


def test_it_would_notice_a_trial_that_is_lost_or_written_again(place):
    before = Runs(place)
    assert len(before.finished) == 40
    assert broken(place, before, told=range(40)) == []
    with Writer(place.store) as writer, Reader(place.store) as reader:
        (result,) = (one for one in queries.results(reader, 1) if one.trial.number == 7)
        writer.finish_trials(1, [result])
    assert broken(place, before) == ["trial (1, 0, 7) had finished and was written again"]
    before = Runs(place)
    with Writer(place.store) as writer, Reader(place.store) as reader:
        first = queries.results(reader, 1)[0]
        run = type(first.run)(State.RUNNING)
        writer.finish_trials(1, [type(first)(first.trial, run)])
    told = broken(place, before, told=[0])
    assert "trial (1, 0, 0) had finished and is lost" in told
    assert "trial 0 was committed and is lost" in told


def test_it_would_notice_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"half of")
    told: list[str] = []
    assert checked_files(tmp_path, told) == 1
    assert "a.safetensors cannot be loaded" in told[0]


def test_it_would_notice_a_request_that_is_lost_or_written_twice(tmp_path):
    place = Place(tmp_path, str(tmp_path / "runs.sqlite"), "round")
    with Writer(place.store) as writer, Commands(place.store) as commands:
        study = writer.begin_study(name="", recipe="", kind="search", seed=0, fingerprint="", settings={})
        writer.begin_trials(study, [Trial(0, 0, {})])
        for _ in range(2):
            asked = commands.ask(study, CommandKind.SCALE_LEARNING_RATE, trial=(0, 0), argument=1.5)
    looked = DashboardRound.__new__(DashboardRound)
    looked._place, looked._study, looked._counts = place, study, Counts()
    looked._asked, looked._acknowledged = {1.5, 1.75}, {1.75: asked.id + 1}
    looked._look_at_requests()
    told = " ".join(looked._counts.broken)
    assert "the request 1.5 was written 2 times" in told
    assert "the request 1.75 was acknowledged and is lost" in told
