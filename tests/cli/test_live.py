"""`babysit live`: one frame on request; in a terminal it ends with the run, or when somebody presses q."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

import pytest

from babysit.records import State
from babysit.store.writer import Writer
from browser.stores import write_search
from views.dashboard.test_run_page import write_run

pty = pytest.importorskip("pty")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Study 1 is a run that has ended, 2 one that goes on, 3 a search of which three trials run."""
    path = str(tmp_path_factory.mktemp("live") / "runs.db")
    with Writer(path) as writer:
        write_run(writer)
        write_run(writer, "[red]<b>", ended=False)
        write_search(writer, "cifar10", running=3)
    return path


@pytest.mark.slow
def test_one_frame_of_the_newest_study(store):
    found = subprocess.run(
        [sys.executable, "-m", "babysit", "live", "--once", "--store", store],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("study 3: cifar10, search: running")


def in_terminal(store, *words, keys=b""):
    """Runs the command in a terminal of its own, types once something is shown, and returns what it wrote."""
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "babysit", "live", *words, "--every", "0.2", "--store", store]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    shown, end = b"", time.monotonic() + 120
    try:
        while time.monotonic() < end:
            ready, _, _ = select.select([mine], [], [], 0.1)
            try:
                shown += os.read(mine, 65536) if ready else b""
            except OSError:  # the other side is closed
                break
            if keys and b"q leaves" in shown:
                os.write(mine, keys)
                keys = b""
            if not ready and process.poll() is not None:
                break
        return process.wait(30), shown.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(mine)


@pytest.mark.slow
def test_q_leaves_a_run_that_goes_on(store):
    code, shown = in_terminal(store, "2", keys=b"xq")
    assert code == 0
    assert "running" in shown


@pytest.mark.slow
def test_it_ends_with_the_run(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = write_run(writer, ended=False)
        writer.finish_study(study, State.STOPPED, {})
    code, shown = in_terminal(path, "1")
    assert code == 0
    assert "q leaves" not in shown
