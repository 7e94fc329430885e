"""Requests from a page: written down, answered by whoever trains, expired where nobody listens."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import living, write_search
from store.records import let_pass

HOST = "http://localhost"
HEADERS = {"origin": HOST, "x-babysit-token": "t", "content-type": "application/json"}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "runs.db")


@pytest.fixture
def client(path):
    with Writer(path) as writer:
        write_search(writer, running=3)
        serving = Serving(OpenStore(path), RequestRules(token="t"))
        yield TestClient(create_app(serving), base_url=HOST)
        serving.store.close()


def ask(client, address, **body):
    return client.post(address, content=json.dumps(body), headers=HEADERS)


def log(client):
    return client.get("/changes?study=1&since=0").json()["commands"]


def test_a_request_is_asked_seen_and_applied(client, path):
    answer = ask(client, "/r/1/1/6/commands", kind="scale_learning_rate", argument=0.5)
    assert answer.status_code == 202
    assert log(client)["list"][0]["state"] == "asked"
    with living(path, 1) as trainer:
        [seen] = trainer.take(1)
        assert log(client)["list"][0]["state"] == "seen"
        trainer.applied(seen.id, step=120)
    [told] = log(client)["list"]
    assert (told["what"], told["state"], told["step"], told["trial"]) == (
        "learning rate × 0.5",
        "applied",
        120,
        [1, 6],
    )


def test_a_study_can_be_stopped_and_extended(client, path):
    with living(path, 1):
        assert ask(client, "/s/1/commands", kind="stop_study").status_code == 202
        assert ask(client, "/s/1/commands", kind="extend_study", argument=30).status_code == 202
        assert [one["what"] for one in log(client)["list"]] == [
            "extend the last stage to 30 trials",
            "stop the study",
        ]


@pytest.mark.parametrize(
    ("address", "body", "status"),
    [
        ("/r/1/1/0/commands", {"kind": "stop"}, 409),  # it has ended
        ("/r/1/1/6/commands", {"kind": "stop_study"}, 409),
        ("/r/1/1/6/commands", {"kind": "scale_learning_rate", "argument": -1}, 409),
        ("/r/1/1/6/commands", {"kind": "scale_learning_rate"}, 409),
        ("/r/1/9/6/commands", {"kind": "stop"}, 404),
        ("/s/9/commands", {"kind": "stop_study"}, 404),
        ("/s/1/commands", {"kind": "extend_study", "argument": 1.5}, 409),
        ("/s/1/commands", {"kind": "explode"}, 400),
        ("/s/1/commands", {"kind": "stop_study", "argument": "1"}, 400),
        ("/s/1/commands", {"kind": "extend_study", "argument": True}, 400),
        ("/s/1/commands", {}, 400),
        ("/s/1/commands", [], 400),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(client, address, body, status):
    answer = client.post(address, content=json.dumps(body), headers=HEADERS)
    assert answer.status_code == status
    assert log(client)["list"] == []
    if status in (404, 409):
        assert answer.json()["problem"]


def test_a_request_to_a_silent_run_says_that_it_will_expire(client, path):
    ask(client, "/r/1/1/6/commands", kind="stop")
    assert log(client)["silence"] == "the run has sent no heartbeat, the request will expire"
    with living(path, 1):
        assert log(client)["silence"] == ""
    let_pass(path, 14)
    assert re.fullmatch(r"no heartbeat for \d+ s, the request will expire", log(client)["silence"])
    let_pass(path, 100)
    [told] = log(client)["list"]
    assert told["state"] == "expired"
    assert "no process answered" in told["detail"]
