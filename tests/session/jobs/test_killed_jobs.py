"""Killed at any moment, interrupted by Ctrl-C: nothing finished is lost, nothing finished is repeated."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from babysit.errors import StoreError
from babysit.records import State
from babysit.session.commands.liveness import is_interrupted
from babysit.session.jobs import train as training
from babysit.store import queries
from babysit.store.reader import Reader
from forked import Command

STAGES = "coarse:48x6,fine:24x6,final:1x5"
# Few at a time, so that trials finish one after another and there is something to interrupt.
SMALL = ("--population", "3")
WORDS = ["search", "digits", "--stages", STAGES, "--json"]


def start(folder, *more):
    return Command(*WORDS, "--out", str(folder), *more)


def url(folder):
    return f"sqlite:///{folder}/babysit.sqlite"


def finished(folder):
    """(stage, number) -> run, of the trials that are finished in the store."""
    try:
        reader = Reader(url(folder))
    except StoreError:  # not there, or about to be made
        return {}
    with reader:
        study = queries.latest_study(reader)
        if study is None:
            return {}
        return {r.trial.key: r.run for r in queries.results(reader, study.id) if r.run.state.is_final}


def wait_for(condition, seconds, process):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)


def children(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    process = start(folder, "--workers", "2", *SMALL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out), finished(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "rounds"), [("1", 4), ("2", 2)])  # each round starts the workers anew
def test_killed_again_and_again_the_search_ends_as_if_undisturbed(tmp_path, undisturbed, workers, rounds):
    moments, kept, killed = random.Random(int(workers)), {}, 0
    for _ in range(rounds):
        process = start(tmp_path, "--workers", workers, "--resume", *SMALL)
        before = len(kept)
        wait_for(lambda before=before: len(finished(tmp_path)) > before, 30, process)
        time.sleep(moments.uniform(0, 0.6))
        if process.poll() is not None:
            process.communicate()
            break
        workers_of = children(process.pid)
        process.kill()
        process.communicate()
        killed += 1
        wait_for(lambda those=workers_of: not any(map(alive, those)), 10, start_nothing())
        assert not any(map(alive, workers_of)), "a worker outlived its parent"
        with Reader(url(tmp_path)) as reader:
            assert is_interrupted(queries.latest_study(reader))
        now = finished(tmp_path)
        assert all(now.get(key) == run for key, run in kept.items()), "a finished trial was lost or repeated"
        kept = now
    assert killed >= 2
    process = start(tmp_path, "--workers", workers, "--resume", *SMALL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    document, (whole, expected) = json.loads(out), undisturbed
    runs = finished(tmp_path)
    assert {key: run for key, run in runs.items() if key in kept} == kept
    assert set(runs) == set(expected)
    for key, run in runs.items():
        # Populations are grouped anew after a kill, so figures agree to float tolerance, not to the bit.
        assert run.state is expected[key].state
        assert run.first_cost == pytest.approx(expected[key].first_cost, rel=1e-4)
    assert document["best"]["val_accuracy"] == pytest.approx(whole["best"]["val_accuracy"], abs=0.012)
    with Reader(url(tmp_path)) as reader:
        assert len(queries.studies(reader)) == 1


def start_nothing():
    """A process that waits, so that ``wait_for`` has one to look at."""

    class Nothing:
        def poll(self):
            return None

    return Nothing()


@pytest.mark.slow
def test_ctrl_c_exits_with_130_and_keeps_the_finished_trials(tmp_path):
    process = start(tmp_path, "--workers", "2", "--stages", "coarse:200x30")
    wait_for(lambda: len(finished(tmp_path)) >= 8, 200, process)
    workers_of = children(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "--resume" in err
    assert "Traceback" not in err
    assert len(finished(tmp_path)) >= 8
    assert not any(map(alive, workers_of))
    with Reader(url(tmp_path)) as reader:
        assert queries.latest_study(reader).state is State.STOPPED


@pytest.mark.slow
def test_ctrl_c_ends_the_epoch_of_every_worker_and_prints_the_command_that_goes_on(tmp_path):
    process = start(tmp_path, "--workers", "2", "--stages", "coarse:200x4", *SMALL)
    wait_for(lambda: len(finished(tmp_path)) >= 4, 120, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "ending the running epoch; Ctrl-C again stops now" in err
    assert "resume with: babysit search digits --stages" in err
    assert "--resume" in err.splitlines()[-1]
    with Reader(url(tmp_path)) as reader:
        study = queries.latest_study(reader)
        runs = queries.results(reader, study.id)
    # Populations are of three and end together: whoever had its last epoch told, had all three told.
    complete = [result for result in runs if result.run.state is State.COMPLETE]
    assert len(complete) % 3 == 0
    assert 4 <= len(complete) < 200


@pytest.mark.slow
def test_ctrl_c_twice_stops_now(tmp_path):
    process = start(tmp_path, "--stages", "coarse:1x100000", "-s", "batch_size=1", "-s", "hidden=2000")
    wait_for(lambda: studies_in(tmp_path), 120, process)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    with Reader(url(tmp_path)) as reader:
        assert queries.latest_study(reader).state is State.STOPPED


def studies_in(folder):
    try:
        with Reader(url(folder)) as reader:
            return queries.studies(reader)
    except StoreError:
        return []


@pytest.mark.slow
def test_two_searches_may_write_one_store_at_the_same_time(tmp_path):
    both = [start(tmp_path, "--seed", seed, "--stages", "coarse:30x3", *SMALL) for seed in ("1", "2")]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    alone = start(tmp_path / "alone", "--seed", "2", "--stages", "coarse:30x3", *SMALL)
    out, err = alone.communicate(timeout=120)
    assert alone.returncode == 0, err
    document, expected = json.loads(answers[1][0]), json.loads(out)
    assert document["best"] == expected["best"]
    with Reader(url(tmp_path)) as reader:
        known = queries.studies(reader)
        counts = [len(queries.results(reader, study.id)) for study in known]
        theirs = {r.trial.key: r.run.readings for r in queries.results(reader, document["study"])}
    with Reader(url(tmp_path / "alone")) as reader:
        ours = {r.trial.key: r.run.readings for r in queries.results(reader, expected["study"])}
    assert {study.seed for study in known} == {1, 2}
    assert counts == [30, 30]
    assert theirs == ours


@pytest.mark.slow
def test_resume_without_an_earlier_search_starts_one(tmp_path):
    process = start(tmp_path, "--resume", "--stages", "coarse:4x1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err


@pytest.mark.slow
def test_a_different_command_is_not_resumed(tmp_path):
    for settings in ([], ["-s", "hidden=30"]):
        process = start(tmp_path, "--resume", "--stages", "coarse:4x1", *settings)
        process.communicate(timeout=60)
    with Reader(url(tmp_path)) as reader:
        assert len(queries.studies(reader)) == 2


def checkpoint_often():
    training.CHECKPOINT_SECONDS = 0.2


@pytest.mark.slow
def test_a_killed_training_resumes_bit_for_bit(tmp_path):
    def train(folder, *more):
        words = ["train", "digits", "-s", "epochs=100", "-s", "learning_rate=1e-3", "-s", "l2=1e-3"]
        return Command(*words, "--json", "--out", str(folder), *more, before=checkpoint_often)

    whole_folder, folder = tmp_path / "whole", tmp_path / "killed"
    whole = train(whole_folder)
    out, err = whole.communicate(timeout=120)
    assert whole.returncode == 0, err
    killed = train(folder)
    wait_for(lambda: any(folder.glob("*.checkpoint.safetensors")), 120, killed)
    time.sleep(0.1)
    killed.kill()
    killed.communicate()
    assert any(folder.glob("*.checkpoint.safetensors")), "it ended before it could be killed"
    resumed = train(folder, "--resume")
    again, err = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, err
    ours, theirs = json.loads(again), json.loads(out)
    assert ours["cost"] == theirs["cost"]
    assert ours["val_accuracy"] == theirs["val_accuracy"]
    weights = [Path(document["weights"]).read_bytes() for document in (ours, theirs)]
    assert tensors_of(weights[0]) == tensors_of(weights[1])
    assert not any(folder.glob("*.checkpoint.safetensors"))


def tensors_of(data):
    """The tensor bytes of a safetensors file, after its header."""
    return data[8 + int.from_bytes(data[:8], "little") :]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_with_a_fix(tmp_path):
    words = ["train", "digits", "-s", "epochs=400", "--out", str(tmp_path)]
    process = Command(*words, before=checkpoint_often)
    wait_for(lambda: any(tmp_path.glob("*.checkpoint.safetensors")), 120, process)
    process.kill()
    process.communicate()
    (checkpoint,) = tmp_path.glob("*.checkpoint.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    answer = subprocess.run(
        [sys.executable, "-m", "babysit", *words, "--resume"], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert "damaged" in answer.stderr
    assert "Traceback" not in answer.stderr
