"""`babysit stop`, `touch`, `extend` and `commands`, as they are typed, to a study that somebody plays."""

from __future__ import annotations

import pytest

from babysit.records import CommandKind, Stage, State, Trial
from babysit.session.commands import poll
from babysit.session.commands.poll import CommandPoller
from babysit.store.writer import Writer


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of one stage with two running trials, and a process that answers what it is asked."""
    monkeypatch.setattr(poll, "POLL_SECONDS", 0.01)
    url = str(tmp_path / "runs.db")

    def handle(command):
        if command.kind is CommandKind.EXTEND_STUDY:
            poller.refused(command.id, "its trials are done")
        else:
            poller.applied(command.id, 1200, f"{command.kind} after step 1200")

    with Writer(url) as writer:
        number = writer.begin_study(
            name="<mine>", recipe="digits", kind="search", seed=0, fingerprint="f", settings={}
        )
        writer.begin_stage(number, Stage(0, "coarse", {}, 2, 5))
        writer.begin_trials(number, [Trial(0, one, {"learning_rate": 1e-3}) for one in range(2)])
        poller = CommandPoller(url, number, handle)
        with poller:
            yield url, writer


@pytest.fixture
def typed(babysit, study):
    return lambda *words: babysit(*words, "--store", study[0])


def test_a_learning_rate_is_touched(typed):
    answer = typed("touch", "1/coarse/1", "--learning-rate", "x0.5", "--json")
    assert answer.code == 0
    told = answer.data
    assert (told["kind"], told["trial"], told["argument"]) == ("scale_learning_rate", [0, 1], 0.5)
    assert (told["state"], told["step"]) == ("applied", 1200)
    assert "asked: learning rate x 0.5 of 1/0/1 (request 1)" in answer.err
    assert "applied: scale_learning_rate after step 1200" in answer.err


def test_a_trial_and_a_study_are_stopped(typed):
    for what, text in (("1/0/0", "stop 1/0/0"), ("1", "stop study 1"), ("<mine>", "stop study 1")):
        answer = typed("stop", what)
        assert answer.code == 0
        assert f"asked: {text} " in answer.out
    listed = typed("commands", "1", "--json").data["commands"]
    assert [one["kind"] for one in listed] == ["stop", "stop_study", "stop_study"]
    assert [one["trial"] for one in typed("commands", "1/0/0", "--json").data["commands"]] == [[0, 0]]


def test_what_is_refused_has_exit_code_1(typed):
    answer = typed("extend", "1", "--trials", "60")
    assert answer.code == 1
    assert "refused: its trials are done" in answer.out
    table = typed("commands", "1").out
    assert "refused" in table
    assert "extend study 1" in " ".join(table.split())


def test_an_answer_that_does_not_come_in_time(typed, study, monkeypatch):
    monkeypatch.setattr(poll, "POLL_SECONDS", 30)
    answer = typed("stop", "1", "--wait", "0.1")
    while answer.code == 0:  # the poller's last look was still to come
        answer = typed("stop", "1", "--wait", "0.1")
    assert answer.code == 1
    assert "not answered within 0.1 s; see `babysit commands 1` later" in answer.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["touch", "1/0/1", "--learning-rate", "1e-4"], "write x0.5 to halve it"),
        (["touch", "1", "--learning-rate", "x2"], "study 1 has many trials"),
        (["stop", "1/0/7"], "has no trial '0/7'"),
        (["stop", "9"], "there is no study '9'"),
        (["extend", "1/0/1", "--trials", "9"], "is one trial"),
        (["stop", "1", "--wait", "soon"], "cannot read the time"),
        (["commands", "nobody"], "there is no study"),
    ],
)
def test_what_cannot_be_asked_has_exit_code_2(typed, words, told):
    answer = typed(*words)
    assert answer.code == 2
    assert told in " ".join(answer.err.split())
    assert "fix:" in answer.err
    assert typed("commands", "1", "--json").data["commands"] == []


def test_what_has_ended_is_not_asked(typed, study):
    study[1].finish_study(1, State.COMPLETE, {})
    answer = typed("stop", "1")
    assert answer.code == 2
    assert "study 1 is complete" in answer.err
    assert "no command was sent to 1" in typed("commands", "1").out


def test_where_nobody_listens_it_says_so(babysit, tmp_path):
    url = str(tmp_path / "quiet.db")
    with Writer(url) as writer:
        writer.begin_study(name="a", recipe="a", kind="search", seed=0, fingerprint="f", settings={})
    answer = babysit("commands", "1", "--store", url)
    assert "study 1: no heartbeat; new commands will expire" in answer.out
    answer = babysit("stop", "1", "--wait", "0.5", "--store", url)
    assert answer.code == 1
    assert "no heartbeat: the request will expire" in answer.out
