"""A study whose process was killed says so, and how to go on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from babysit.records import State, Study
from babysit.session.commands import liveness
from babysit.session.commands.liveness import (
    PROCESS,
    is_gone,
    is_interrupted,
    resume_command,
    this_process,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX alone says when a process started")


def study(state, outcome, **settings):
    return Study(1, "it", "my recipe.py", "search", 0, "f", settings, state, 0.0, outcome)


@pytest.fixture
def other():
    """Another process, and what names it."""
    process = subprocess.Popen(["sleep", "60"])
    yield process, {**this_process(), "pid": process.pid, "started": liveness._started(process.pid)}
    process.kill()
    process.wait()


def test_a_killed_process_is_gone_before_and_after_its_parent_notices(other):
    process, named = other
    assert not is_gone(named)
    process.kill()
    while process.returncode is None and not is_gone(named):
        pass
    assert is_gone(named)
    process.wait()
    assert is_gone(named)


def test_a_number_that_was_given_again_is_another_process(other):
    assert is_gone({**other[1], "started": this_process()["started"] + "0"})


@pytest.mark.parametrize("odd", [{}, {"pid": "x"}, {"pid": 1}, {"machine": None, "pid": 1, "started": "x"}])
def test_what_cannot_be_told_is_not_called_gone(odd):
    assert not is_gone(odd)


def test_without_proc_ps_tells(other, monkeypatch, tmp_path):
    monkeypatch.setattr(liveness, "_PROC", tmp_path)
    process, _ = other
    named = {**this_process(), "pid": process.pid, "started": liveness._started(process.pid)}
    assert named["started"]
    assert not is_gone(named)
    process.kill()
    process.wait()
    assert is_gone(named)


def test_only_a_study_that_runs_can_be_interrupted():
    gone = {PROCESS: {**this_process(), "started": "before"}}
    assert is_interrupted(study(State.RUNNING, gone))
    assert not is_interrupted(study(State.COMPLETE, gone))
    assert not is_interrupted(study(State.RUNNING, {PROCESS: this_process()}))
    assert not is_interrupted(study(State.RUNNING, {}))


def test_the_command_to_go_on_is_quoted():
    told = resume_command(study(State.RUNNING, {}, settings=["update=adam"], precision="medium"))
    assert told == "babysit search 'my recipe.py' -s update=adam --precision medium --resume"
