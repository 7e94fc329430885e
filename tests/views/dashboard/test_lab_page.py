"""The lab: an experiment is done by a process of its own, one at a time, and its answer is kept."""

from __future__ import annotations

import json
import sys
import time
from urllib.request import urlopen

import pytest
from starlette.testclient import TestClient

from babysit.cli.lab import EXPERIMENTS
from babysit.session.dashboard import make_server
from babysit.session.lab_cache import laboratory
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.lab_runner import ANSWER, ExperimentCard, Laboratory
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.state import OpenStore, Serving
from views.dashboard.conftest import HOST, TOKEN

CARDS = [
    ExperimentCard(name, name.title(), f"about {name} <b>", "row 1") for name in ("quick", "slow", "broken")
]
PROGRAM = """
import json, pathlib, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[4])
if name == "broken":
    sys.exit("no such data <b>")
while name == "slow" and not (folder / "go").exists():
    time.sleep(0.01)
(folder / "one.png").write_bytes(b"png of " + name.encode())
print(json.dumps({"lines": ["a <b>"], "remark": "so it is", "figures": [str(folder / "one.png"), "one.svg"],
    "tables": [{"title": "t", "headings": ["x", "y"], "rows": [["1", "<i>"]]}]}))
"""


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def lab(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    made = Laboratory(CARDS, tmp_path / "kept", (sys.executable, str(program)))
    yield made
    made.close()


@pytest.fixture
def client(lab, store):
    serving = Serving(OpenStore(store), RequestRules(token=TOKEN), lab=lab)
    yield TestClient(create_app(serving), base_url=HOST)
    serving.store.close()


def test_an_experiment_is_measured_on_request_and_kept(lab, client, asking):
    assert client.get("/lab/quick/state").json() == {"state": "absent"}
    assert "Measure it" in client.get("/lab/quick").text
    assert client.post("/lab/quick", headers=asking, json={}).status_code == 202
    wait_until(lambda: lab.state("quick") == "done")
    page = client.get("/lab/quick").text
    for told in ("so it is", "a &lt;b&gt;", "&lt;i&gt;", "Measure again", "/lab/quick/figures/one.png"):
        assert told in page
    assert client.get("/lab/quick/figures/one.png").content == b"png of quick"
    kept = Laboratory(CARDS, lab.folder)
    assert kept.state("quick") == "done"


def test_one_is_done_at_a_time_and_the_server_answers_meanwhile(lab, client, asking):
    for name in ("slow", "quick", "slow", "quick"):
        client.post(f"/lab/{name}", headers=asking, json={})
    assert (lab.state("slow"), lab.state("quick")) == ("running", "waiting")
    assert "measuring" in client.get("/lab/slow").text
    assert "waits for another" in client.get("/lab/quick").text
    assert client.get("/healthz").text == "ok"
    wait_until((lab.folder / "slow").is_dir)
    (lab.folder / "slow" / "go").touch()
    wait_until(lambda: lab.state("quick") == "done")
    assert lab.state("slow") == "done"


def test_a_failure_is_told(lab, client, asking):
    client.post("/lab/broken", headers=asking, json={})
    wait_until(lambda: lab.state("broken") == "failed")
    page = client.get("/lab/broken").text
    assert "no such data &lt;b&gt;" in page
    assert "Measure it" in page


def test_closing_ends_what_runs(lab):
    lab.start("slow")
    wait_until(lambda: lab._process is not None)
    lab.close()
    wait_until(lambda: lab.state("slow") != "running")
    lab.start("quick")
    assert lab.state("quick") == "absent"


@pytest.mark.parametrize(
    "address",
    ["/lab/none", "/lab/none/state", "/lab/quick/figures/one.png", "/lab/..%2f..%2fetc",
     "/lab/quick/figures/..%2fanswer.png"],
)  # fmt: skip
def test_only_what_is_known_is_found(client, address):
    assert client.get(address).status_code == 404


def test_nothing_is_measured_without_the_token(lab, client):
    assert client.post("/lab/quick", json={}, headers={"origin": HOST}).status_code == 403
    assert lab.state("quick") == "absent"


def test_an_answer_that_is_damaged_is_no_answer(lab, client):
    (lab.folder / "quick").mkdir(parents=True)
    for text in ("", "[1", "[]", json.dumps({"figures": None, "tables": None})):
        (lab.folder / "quick" / ANSWER).write_text(text)
        assert client.get("/lab/quick").status_code == 200


def test_every_experiment_of_the_catalogue_is_offered(store):
    assert [card.name for card in laboratory().cards] == list(EXPERIMENTS)
    server = make_server(store)
    with server, urlopen(f"{server.url}lab") as answer:
        page = answer.read().decode()
    assert all(f'href="/lab/{name}"' in page for name in EXPERIMENTS)
