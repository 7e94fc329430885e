"""The dashboard as a process of its own: its end, and beside a run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

import babysit
from babysit.session.dashboard import dashboard_beside
from babysit.store.writer import Writer
from browser.stores import write_search

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")


@pytest.fixture
def path(tmp_path):
    made = str(tmp_path / "runs.db")
    with Writer(made) as writer:
        write_search(writer)
    return made


def crowd():
    """How many want each core at this moment, at least one: by so much does everything take longer."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def address_in(process):
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise AssertionError("it said no address")


def test_ctrl_c_ends_it_within_two_seconds_though_a_page_is_open(path, chromium):
    process = subprocess.Popen(
        [sys.executable, "-m", "babysit", "dashboard", "--store", path, "--no-open", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(f"{address_in(process)}s/1")
        page.locator("#rows tr").first.wait_for()
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - started < 2 * crowd()
        assert "Traceback" not in process.stdout.read()
    finally:
        context.close()
        process.kill()
        process.wait()
        process.stdout.close()


def test_beside_a_run_it_answers_and_ends_with_it(path):
    told, heard = [], threading.Event()

    def tell(line):
        told.append(line)
        heard.set()

    with dashboard_beside(path, tell):
        assert heard.wait(timeout=60)
        url = re.search(r"http://\S+(?=/)", told[0])[0]
        with urllib.request.urlopen(f"{url}/s/1", timeout=10) as answer:
            assert answer.status == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/healthz", timeout=2)


def test_it_ends_though_the_run_is_killed(path):
    told = (
        "import sys, time; from babysit.session.dashboard import dashboard_beside\n"
        f"with dashboard_beside({path!r}, lambda line: print(line, flush=True)): time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", told], stdout=subprocess.PIPE, text=True)
    url = address_in(run).rstrip("/,")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    run.stdout.close()
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=2).close()
        except OSError:
            return
        time.sleep(0.1)
    pytest.fail("it went on")


def test_unwanted_it_is_not_started():
    with dashboard_beside("nothing.db", pytest.fail, wanted=False):
        pass


def test_a_watched_loop_is_shown_while_it_runs(tmp_path, capfd):
    import torch

    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.arange(12.0).reshape(4, 3) / 12
    said = ""
    with babysit.watch(model, optimizer, store=str(tmp_path / "runs.db"), dashboard=True) as watch:
        for _ in range(600):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            watch.step(loss)
            said += capfd.readouterr().err
            if "dashboard: " in said:
                break
            time.sleep(0.1)
        url = re.search(r"http://\S+(?=/)", said)[0]
        with urllib.request.urlopen(f"{url}/s/1", timeout=10) as answer:
            assert "Linear" in answer.read().decode()


def test_a_watch_without_a_store_has_nothing_to_show():
    import torch

    model = torch.nn.Linear(3, 1)
    with pytest.raises(babysit.InputError, match="nothing to show"):
        babysit.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), dashboard=True)
