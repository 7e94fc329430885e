"""One standing of a study: the same best trial, ties and alarms in terminal, report and page."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from io import StringIO

import pytest
from rich.console import Console
from starlette.testclient import TestClient
from typer.testing import CliRunner

from babysit.cli.app import app
from babysit.records import State
from babysit.store import overview
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.state import OpenStore, Serving
from babysit.views.data.status import study_status
from babysit.views.data.study import load_study_view
from babysit.views.data.trial_table import read_board
from babysit.views.html.report import render_report
from babysit.views.terminal.live import study_frame
from browser.stores import SCALED, STOPPED, begin, ended, trial, write_epochs, write_results
from views.studies import EDGE

AT_EDGE, INSIDE = 9.7e-4, 3e-5
ALARM = "next to the upper edge"
NO_ALARM = "no edge alarm"


def shown(path: str, study: int) -> dict[str, str]:
    """Every view of a study as text, without line breaks."""
    with Reader(path) as reader:
        found = overview.lines(reader, study)
        board = read_board(reader, study, found)
        frame = study_frame(board, found, study_status(reader, board, found), 100)
    console = Console(file=StringIO(), width=100)
    console.print(frame)
    serving = Serving(OpenStore(path))
    client = TestClient(create_app(serving), base_url="http://localhost")
    page = client.get(f"/s/{study}").text
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    changes = client.get(f"/changes?study={study}&since={data['cursor']}&edition={data['edition']}").json()
    serving.store.close()
    views = {
        "live": console.file.getvalue(),
        "show": CliRunner().invoke(app, ["show", str(study), "--store", path]).output,
        "report": render_report(load_study_view(path, study)),
        "page": page,
        "changes": changes["head"],
    }
    assert changes["best"] == data["best"]
    return {name: " ".join(re.sub(r"[│╭╰─╮╯]", " ", text).split()) for name, text in views.items()} | {
        "best": data["best"],
        "ties": data["ties"],
    }


@pytest.fixture
def store(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        yield path, writer, begin(writer)


VIEWS = ("live", "show", "report", "page", "changes")


def test_the_best_value_at_the_edge_is_alarmed_in_every_view(store):
    path, writer, study = store
    write_results(writer, study, ended(0, 0.5, AT_EDGE), ended(1, 0.3, INSIDE))
    found = shown(path, study)
    assert found["best"] == [0, 0]
    for view in VIEWS:
        assert ALARM in found[view], view
        assert NO_ALARM not in found[view].lower(), view


def test_a_stopped_trial_at_an_edge_raises_no_alarm_beside_the_running_best(store):
    path, writer, study = store
    running = trial(0, 0, INSIDE)
    writer.begin_trials(study, [running])
    write_epochs(writer, study, running, 0.994, range(1, 5))
    write_results(writer, study, ended(1, 0.439, AT_EDGE, State.STOPPED, STOPPED))
    writer.flush()
    found = shown(path, study)
    assert (found["best"], found["ties"]) == ([0, 0], [])
    for view in VIEWS:
        assert ALARM not in found[view], view
        assert "no edge alarm yet: the best trial is still running" in found[view].lower(), view


ODD = {
    "stopped": (State.STOPPED, STOPPED, "was stopped"),
    "pruned": (State.PRUNED, (), "was pruned"),
    "failed": (State.FAILED, (), "failed"),
    "changed": (State.COMPLETE, SCALED, "had its learning rate changed by the user"),
}


@pytest.mark.parametrize("kind", ODD)
def test_where_no_trial_can_raise_an_alarm_every_view_says_why(store, kind):
    path, writer, study = store
    state, touches, why = ODD[kind]
    write_results(writer, study, ended(0, 0.5, AT_EDGE, state, touches))
    found = shown(path, study)
    assert found["best"] == [0, 0]
    for view in VIEWS:
        assert ALARM not in found[view], view
        assert f"and the best one {why}" in found[view], view


def test_an_alarm_that_an_older_version_recorded_for_a_stopped_trial_is_not_shown(store):
    path, writer, study = store
    write_results(writer, study, ended(0, 0.5, AT_EDGE, State.STOPPED, STOPPED))
    edge = {**asdict(EDGE), "message": ALARM}
    writer.finish_study(study, State.STOPPED, {"edges": [edge], "silenced": [edge], "ties": [[0, 0]]})
    found = shown(path, study)
    for view in VIEWS:
        assert ALARM not in found[view], view
        assert "was stopped" in found[view], view


def test_a_recorded_judgement_is_read_and_what_it_lacks_is_left_out(store):
    path, writer, study = store
    write_results(writer, study, ended(0, 0.5, INSIDE), ended(1, 0.49, INSIDE))
    edges = [{"name": "l2"}, {**asdict(EDGE), "message": ALARM, "of a later version": 1}, None]
    outcome = {"edges": edges, "silenced": None, "ties": [[0, 0], [0, 1], [7, 7]], "advice": ["stop here"]}
    writer.finish_study(study, State.COMPLETE, outcome)
    standing = load_study_view(path, study).standing
    assert [edge.message for edge in standing.edges] == [ALARM]
    assert [result.trial.key for result in standing.ties] == [(0, 0), (0, 1)]
    assert (standing.best.trial.key, standing.advice) == ((0, 0), ("stop here",))
