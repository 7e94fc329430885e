"""A search on a Ray cluster, as it is typed: killed, touched, interrupted once and twice, gone on with."""

from __future__ import annotations

import shlex
import signal
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")

from ray.cluster_utils import Cluster

from babysit.errors import StoreError
from babysit.records import CommandState, State
from babysit.store import queries
from babysit.store.commands import commands_of
from babysit.store.reader import Reader
from forked import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
]

# Networks of width 7 train freely; those of 8 and 9 stand still in a worker while the file of their width is
# there. So each test step finds exactly the trials finished that it expects, on a slow machine too.
RECIPE = """
    import os, time
    from pathlib import Path

    import babysit as bs
    from torch import nn

    HERE, FOLDER = os.getpid(), Path({folder!r})

    class Net(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.width = width
            self.inner = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

        def forward(self, x):
            if os.getpid() != HERE:
                self.wait()
            return self.inner(x.flatten(1))

        def wait(self):
            while (FOLDER / f"hold-{{self.width}}").exists():
                (FOLDER / f"held-{{self.width}}-{{os.getpid()}}").touch()
                time.sleep(0.01)
            time.sleep(0.03 if self.width == 8 else 0)  # time to be touched in

    recipe = bs.Recipe(
        bs.data.digits, lambda hp: Net(hp.width), batch_size=200,
        space=dict(learning_rate=bs.log_uniform(1e-3, 0.1), width=bs.choice(7, 8, 9)),
        enqueue=[dict(width=width) for width in (7, 8, 9) for _ in range(6)],
    )
"""
# Both workers get three of each width: those of 7 first, those of 9 last.
FREE, LAST = {(0, number) for number in range(6)}, {(0, number) for number in range(12, 18)}


class Search:
    """A search of 18 trials on a cluster of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"sqlite:///{folder}/babysit.sqlite"
        file = folder / "mine.py"
        file.write_text(textwrap.dedent(RECIPE.format(folder=str(folder))))
        self.words = ["search", str(file), "--stages", "coarse:18x4", "--population", "3", "--way", "vmap"]
        self.words += ["--out", str(folder), "--resume"]  # which leaves out the checks
        head = {"num_cpus": 2, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._raylet = self._cluster.head_node.all_processes["raylet"][0].process.pid

    def start(self, *words: str) -> Command:
        on_the_cluster = [*self.words, "--engine", "ray", "--address", self._cluster.address]
        return Command(*(words or on_the_cluster))

    def hold(self, *widths: int) -> None:
        for width in widths:
            for held in self.folder.glob(f"held-{width}-*"):
                held.unlink()
            (self.folder / f"hold-{width}").touch()

    def release(self, width: int) -> None:
        (self.folder / f"hold-{width}").unlink(missing_ok=True)

    def is_held(self, width: int) -> bool:
        return len(list(self.folder.glob(f"held-{width}-*"))) == 2  # by both workers

    @property
    def workers(self) -> list[str]:
        children = Path(f"/proc/{self._raylet}/task/{self._raylet}/children").read_text().split()
        return [child for child in children if "ray::Actor" in command_line(child)]

    @property
    def runs(self):
        try:
            with Reader(self.url) as reader:
                return {found.trial.key: found.run for found in queries.results(reader, 1)}
        except StoreError:  # not there, or about to be made
            return {}

    @property
    def finished(self):
        return {key: run for key, run in self.runs.items() if run.state.is_final}

    @property
    def state(self) -> State:
        with Reader(self.url) as reader:
            (study,) = queries.studies(reader)
        return study.state

    @property
    def asked(self) -> list[CommandState]:
        with Reader(self.url) as reader:
            return [command.state for command in commands_of(reader, 1)]

    def close(self) -> None:
        self._cluster.shutdown()


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()  # empty for one that has ended
    except FileNotFoundError:
        return ""


@pytest.fixture
def search(tmp_path):
    one = Search(tmp_path)
    yield one
    one.close()


def wait_for(condition, process, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_a_search_on_a_cluster_is_killed_touched_and_interrupted_and_loses_nothing(search, babysit):
    free = is_killed(search)
    kept, words = is_touched_and_interrupted_once(search, babysit)
    assert {key: run for key, run in kept.items() if key in FREE} == free
    is_interrupted_twice(search, words)
    assert search.finished == kept
    # What a cluster began, this machine may end.
    answer = babysit(*search.words, "--json")
    assert answer.code == 0, answer.err
    assert answer.data["states"] == {"complete": 17, "stopped": 1}
    assert search.state is State.COMPLETE
    assert {key: run for key, run in search.runs.items() if key in kept} == kept
    assert {len(search.runs[key].readings) for key in LAST} == {4}


def is_killed(search):
    """The driver is killed in the middle: its workers end with it, and what was finished is kept."""
    search.hold(8, 9)
    process = search.start()
    wait_for(lambda: search.is_held(8) and len(search.finished) == 6, process)
    assert len(search.workers) == 2
    process.kill()
    process.communicate()
    until_the_workers_are_gone(search)
    assert search.finished.keys() == FREE
    return search.finished


def is_touched_and_interrupted_once(search, babysit):
    """Gone on with: two trials are touched; Ctrl-C in the middle of an epoch waits for its end."""
    search.hold(8, 9)
    process = search.start()
    wait_for(lambda: search.is_held(8), process)
    where = "--out", search.folder, "--wait", "0.1"
    assert "asked: stop 1/0/6" in babysit("stop", "1/0/6", *where).out
    assert "asked: learning rate x 0.5" in babysit("touch", "1/0/9", "--learning-rate", "x0.5", *where).out
    wait_for(lambda: CommandState.ASKED not in search.asked, process)
    search.release(8)
    wait_for(lambda: len(search.finished) == 11 and search.is_held(9), process)
    assert search.asked == [CommandState.APPLIED, CommandState.APPLIED]
    assert search.runs[0, 6].state is State.STOPPED
    assert [touch.argument for touch in search.runs[0, 9].touches] == [0.5]
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "ending the running epoch; Ctrl-C again stops now" in process.errors, process)
    search.release(9)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert search.state is State.STOPPED
    assert [len(search.runs[key].readings) for key in sorted(LAST)] == 6 * [1]
    return search.finished, shlex.split(err.partition("resume with: babysit ")[2])


def is_interrupted_twice(search, words):
    """The command that was printed goes on, in an epoch without an end: the second Ctrl-C does not wait."""
    search.hold(9)
    process = search.start(*words)
    wait_for(lambda: search.is_held(9), process)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "ending the running epoch" in process.errors, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert search.state is State.STOPPED
    until_the_workers_are_gone(search)


def until_the_workers_are_gone(search):
    until = time.monotonic() + 60
    while search.workers:
        assert time.monotonic() < until, "a worker outlived its driver"
        time.sleep(0.02)
