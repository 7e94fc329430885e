"""What happens to an answer on its way out: a full disk, a closed pipe; and studies that were killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.cli import main as entry
from babysit.session.commands.liveness import PROCESS, this_process
from babysit.store.writer import Writer

LOG = Path(__file__).parents[1] / "readings" / "logs" / "lecture" / "row88_exploding.txt"
needs_posix = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture
def babysit_into(babysit, monkeypatch):
    """Runs the command line with another file as standard output."""
    monkeypatch.setattr(entry, "_drop_output", lambda: None)  # this process keeps its own

    def run(output, *words):
        monkeypatch.setattr(sys, "stdout", output)
        try:
            return babysit(*words)
        finally:
            with contextlib.suppress(OSError):
                output.close()

    return run


@needs_posix
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_is_an_error_and_no_traceback(babysit_into, options):
    full = open("/dev/full", "w")  # noqa: SIM115 - the fixture closes it
    answer = babysit_into(full, "diagnose", LOG, *options)
    assert answer.code == 2
    assert "error: cannot write: No space left on device" in answer.err


@needs_posix
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_closed_pipe_is_no_error_to_tell(babysit_into, options):
    reading, writing = os.pipe()
    os.close(reading)
    answer = babysit_into(os.fdopen(writing, "w"), "diagnose", LOG, *options)
    assert answer.code == 1
    assert "cannot write" not in answer.err


@needs_posix
@pytest.mark.slow
@pytest.mark.parametrize(("into", "said"), [("> /dev/full", "error: cannot write: No space"), ("| true", "")])
def test_the_interpreters_own_end_stays_quiet(into, said):
    answer = subprocess.run(
        ["bash", "-c", f"{{ {sys.executable} -m babysit diagnose {LOG} --json; }} {into}"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert said in answer.stderr
    assert not any(word in answer.stderr for word in ("Traceback", "Broken", "Exception"))


@pytest.fixture
def study(tmp_path):
    """A study in the usual store that names a process."""

    def begin(process):
        with Writer(f"sqlite:///{tmp_path}/babysit-runs/babysit.sqlite") as writer:
            asked = {"stages": [["coarse", 9, 2]]}
            number = writer.begin_study(
                name="it", recipe="digits", kind="search", seed=7, fingerprint="f", settings=asked
            )
            writer.note_study(number, {PROCESS: process})

    return begin


def test_a_killed_study_is_shown_as_interrupted(babysit, study):
    study({**this_process(), "started": "long ago"})
    answer = babysit("runs")
    assert "interrupted" in answer.out
    assert "babysit search digits --seed 7 --stages coarse:9x2 --resume" in answer.out
    assert babysit("runs", "--json").data["studies"][0]["state"] == "interrupted"


def test_a_study_that_runs_is_shown_as_running(babysit, study):
    study(this_process())
    answer = babysit("runs")
    assert "running" in answer.out
    assert "interrupted" not in answer.out
