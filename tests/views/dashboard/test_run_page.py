"""The page of one run, and its series as a page asks for them: whole, bounded, polite to nonsense."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from babysit.records import Details, Histogram, Reading, Result, Run, Snapshot, Stage, State, Trial
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.verdicts import Answer, Cause, Evidence, Finding, Question, Severity, Verdict
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import EVIL, FINDING
from views.dashboard.conftest import HOST
from views.html.test_report import WellFormed

STEPS = 20_000
SPIKE = 13_337
RNG = np.random.default_rng(0)
DEAD = Finding(
    "dead_units", Severity.WARNING, "3", 2, f"units are silent {EVIL}",
    (Evidence("dead units", 1.0, "below 0.5", "why"), Evidence("update ratio", math.nan, "1e-3", "")),
    "lower it", "row 21",
)  # fmt: skip
SYMPTOM = replace(DEAD, rule="plateau", severity=Severity.INFO, message=f"it stands still {EVIL}")
REMARK = replace(DEAD, rule="underfitting", severity=Severity.INFO, message=f"it could be larger {EVIL}")
VERDICT = Verdict(
    (Cause(DEAD, (SYMPTOM,), f"a lower rate would tell {EVIL}"), Cause(FINDING), Cause(REMARK)),
    (Question("dead_units"), Question("overfitting", Answer.NOT_ANSWERED, f"no validation {EVIL}")),
    (f"3 ms a step {EVIL}",),
    when="after 4 epochs",
)


def costs():
    found = 2.3 * np.exp(-np.arange(STEPS) / 5000) + 0.01 * RNG.random(STEPS)
    found[SPIKE - 1] = 50.0
    found[-3:] = math.nan
    return found


def write_run(writer, name="a run", ended=True):
    """A run with everything that can be recorded, of which the last three steps are no numbers."""
    study = writer.begin_study(
        name=name, recipe="digits", kind="train", seed=3, fingerprint="f",
        settings={"chance_loss": math.log(10), "environment": {"python": "3.11", "torch": EVIL}},
    )  # fmt: skip
    trial = Trial(0, 0, {"learning_rate": 1e-3, "update": EVIL})
    box = {"learning_rate": {"kind": "log_uniform", "low": 1e-6, "high": 1e-3, "log": True}}
    writer.begin_stage(study, Stage(0, "train", box, 1, 4))
    writer.begin_trials(study, [trial])
    looks = np.arange(1, STEPS, 400)
    layers = {
        "update_ratio": 1e-3,
        "gradient_norm": 0.1,
        "dead": 1.0,
        "std": 1.0,
        "mean": 0.0,
        "saturated": 0.5,
    }
    series = {
        f"layers/{layer}/{what}": (looks, np.full(len(looks), value))
        for layer in ("0.weight", EVIL)
        for what, value in layers.items()
    }
    edges, counts = np.linspace(-1, 1, 41, dtype=np.float32), RNG.integers(0, 9, 40).astype(np.int32)
    pictures = [
        Histogram(f"{what}/{EVIL}", step, edges, counts)
        for what in ("activations", "gradients")
        for step in (1, 9)
    ]
    snapshots = [
        Snapshot("0.weight", step, RNG.normal(size=(5, 1, 8, 8)).astype(np.float16)) for step in (1, 401)
    ]
    writer.details(
        study,
        trial,
        Details({"learning_rate": (looks, 1e-3 * 0.5 ** (looks // 9000)), **series}, pictures, snapshots),
    )
    readings = [Reading(n, n * STEPS // 4, 1.0 / n, 0.2 * n, 0.19 * n, 1e-3, 1.5) for n in range(1, 5)]
    found = costs()
    for index, reading in enumerate(readings):
        part = slice(index * STEPS // 4, (index + 1) * STEPS // 4)
        writer.epoch(study, trial, reading, np.arange(1, STEPS + 1)[part], found[part])
    if ended:
        run = Run(State.COMPLETE, tuple(readings), float(found[0]), None, 12.0, STEPS)
        writer.finish_trials(study, [Result(trial, run)], {trial.key: VERDICT})
        writer.finish_study(study, State.COMPLETE, {})
    writer.flush()
    return study


@pytest.fixture(scope="module")
def path(new_address):
    path = new_address()
    with Writer(path) as writer:
        write_run(writer)
        write_run(writer, EVIL, ended=False)
        waiting = writer.begin_study(name="w", recipe="r", kind="search", seed=0, fingerprint="", settings={})
        writer.begin_trials(waiting, [Trial(0, 0, {})])
    return path


@pytest.fixture(scope="module")
def client(path):
    serving = Serving(OpenStore(path))
    yield TestClient(create_app(serving), base_url=HOST)
    serving.store.close()


def page_of(client, study=1):
    answer = client.get(f"/r/{study}/0/0")
    assert answer.status_code == 200
    parser = WellFormed()
    parser.feed(answer.text)
    assert parser.open == []
    assert not re.search(r"<script>alert|style=\"|https?://(?!www\.w3\.org)", answer.text)
    return answer.text


def test_every_part_is_there_and_every_link_arrives(client):
    page = page_of(client)
    ids = set(re.findall(r'\bid="([\w-]+)"', page))
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= ids
    drawn = re.findall(r'<figure class="card" id="(\w+)"[^>]*>', page)
    shown = [key for key in drawn if f'id="{key}" tabindex="-1" hidden' not in page]
    assert {"loss", "scores", "updates", "gradients", "dead", "saturation", "activations", "weights"} <= set(
        shown
    )
    assert page.index("units are silent") < page.index('id="loss"')  # causes first
    assert page.index("units are silent") < page.index("the loss barely changes")
    assert re.search(r'class="verdict unhealthy".*Not healthy', page)
    assert "after 4 epochs, 2 warnings, 1 remark, 1 not answered" in page
    assert "explains: plateau" in page
    assert "it stands still" not in page  # a symptom is named, its advice is the cause's
    assert page.count("it could be larger") == 1
    assert 'href="#dead">show' in page
    for told in (
        "chance",
        "row 21",
        "below 0.5",
        "1e-6 to 1e-3, log",
        "1e-3 to 5e-4",
        "3.11",
        "step 20,000",
        "a lower rate would tell",
        "not answered (no validation &lt;script&gt;",
        "3 ms a step",
    ):
        assert told in page


@pytest.mark.parametrize("study", [2, 3])
def test_a_run_that_goes_on_or_waits_has_a_page(client, study):
    page = page_of(client, study)
    assert '"live": true' in page
    assert "nothing" in page  # looks wrong so far, or is measured yet


@pytest.mark.parametrize(
    "address",
    ["/r/9/0/0", "/r/1/0/7", "/r/1/9999999999/0", "/r/1/0/x", "/r/1/0/0/weights/2", "/r/3/0/0/weights/1",
                "/r/9/0/0/changes", "/plotly/1.0.0.js", "/r/3/0/0/series", "/r/1/0/0/..%2f..%2fetc/passwd"],
)  # fmt: skip
def test_what_is_not_there_is_404(client, address):
    assert client.get(address).status_code == 404


def test_only_parts_that_differ_are_sent(client):
    told = client.get("/r/1/0/0/changes?since=0", headers={"accept": "application/json"}).json()
    assert {"loss", "findings", "facts", "readings"} <= told["parts"].keys()
    assert told["weights"] == [1, 401]
    have = ",".join(f"{key}:{digest}" for key, digest in told["digests"].items())
    again = client.get(f"/r/1/0/0/changes?since=0&have={have}").json()
    assert again["parts"] == {}
    less = client.get(f"/r/1/0/0/changes?since=0&have={have.replace('loss:', 'loss:0')}").json()
    assert less["parts"].keys() == {"loss"}


@pytest.mark.parametrize("have", ["", ",,,", "x", ":::", "loss:", "a:b,c", "%00:%ff", "loss:1,loss:2"])
def test_nonsense_in_have_gets_everything(client, have):
    told = client.get(f"/r/1/0/0/changes?have={have}")
    assert told.status_code == 200
    assert "loss" in told.json()["parts"]


def test_a_running_run_sends_what_is_new(path, client):
    before = client.get("/r/2/0/0/changes").json()
    with Writer(path) as writer:
        writer.verdict(2, Trial(0, 0, {"learning_rate": 1e-3, "update": EVIL}), VERDICT)
    have = ",".join(f"{key}:{digest}" for key, digest in before["digests"].items())
    after = client.get(f"/r/2/0/0/changes?have={have}").json()
    assert "findings" in after["parts"]
    assert "units are silent &lt;script&gt;" in after["parts"]["findings"]


def test_the_weights_of_a_step_are_a_picture(client):
    answer = client.get("/r/1/0/0/weights/401")
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")
    assert answer.content != client.get("/r/1/0/0/weights/1").content


def series(client, **query):
    answer = client.get("/r/1/0/0/series", params=query, headers={"accept": "application/json"})
    assert answer.status_code == 200
    return answer.json()


def test_a_spike_of_one_step_is_seen_at_every_zoom(client):
    for first, last in ((0, STEPS), (SPIKE - 3000, SPIKE + 900), (SPIKE, SPIKE)):
        told = series(client, **{"from": first, "to": last, "px": 50})
        assert max(value for value in told["high"] if value is not None) == 50.0
        assert len(told["first"]) <= 50
    assert told["points"] == 1


@pytest.mark.slow
@given(st.integers(0, STEPS), st.integers(0, STEPS), st.integers(1, 4000))
def test_a_range_holds_its_points_and_no_other(client, one, other, pixels):
    first, last = min(one, other), max(one, other)
    told = series(client, **{"from": first, "to": last, "px": pixels})
    inside = [step for step in (first, last) if 1 <= step <= STEPS]
    assert told["points"] == max(0, min(last, STEPS) - max(first, 1) + 1)
    assert len(told["low"]) == len(told["high"]) == len(told["middle"]) == min(pixels, told["points"])
    if told["points"]:
        assert told["first"][0] == max(first, 1)
        assert told["last"][-1] == min(last, STEPS)
    assert (told["broken"] != []) == any(
        max(first, 1) <= step <= last for step in (STEPS - 2, STEPS - 1, STEPS)
    )
    assert all(told["first"][0] <= step <= told["last"][-1] for step in inside)


@pytest.mark.parametrize(
    "query",
    ["from=-1", "from=x", "to=1e3", "to=²", "px=0", "px=4001", "px=", "from=5&to=2", "key=nothing", "key=",
     "key=%00", "key=../../etc/passwd", "from=99999999999999999999"],
)  # fmt: skip
def test_what_is_no_question_is_told_so(client, query):
    answer = client.get(f"/r/1/0/0/series?{query}", headers={"accept": "application/json"})
    assert answer.status_code == 400
    assert len(answer.json()["problem"]) > 10


def test_every_series_can_be_asked_for(client):
    names = client.get("/r/1/0/0/series/names").json()["names"]
    assert names[0] == "cost"
    assert f"layers/{EVIL}/dead" in names
    for name in names:
        assert series(client, key=name)["points"] > 0


def test_plotly_is_served_once_and_for_ever(client):
    pytest.importorskip("plotly")
    url = client.get("/r/1/0/0/series/names").json()["plotly"]
    assert "plotly" not in re.findall(r'src="([^"]*)"', client.get("/r/1/0/0").text)
    answer = client.get(url)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.content) > 1_000_000


def test_styles_are_free_where_plotly_draws_and_nowhere_else(client):
    assert "style-src 'self' 'unsafe-inline'" in client.get("/r/1/0/0").headers["content-security-policy"]
    for address in ("/", "/compare?r=1-0-0&r=2-0-0", "/lab", "/s/1"):
        assert "unsafe" not in client.get(address).headers["content-security-policy"]


def test_two_runs_are_compared_by_what_differs(client):
    answer = client.get("/compare?r=1-0-0&r=2-0-0&r=3-0-0&r=1-0-0")
    assert answer.status_code == 200
    assert "Compare 3 runs" in answer.text
    assert "<script>alert" not in answer.text
    rows = re.findall(r'<th scope="row">([^<]*)</th>', answer.text)
    assert "learning_rate" in rows
    same = client.get("/compare?r=1-0-0&r=2-0-0").text
    assert "learning_rate" not in re.findall(r'<th scope="row">([^<]*)</th>', same)
    assert "differ by chance alone" in same


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("r=1-0-0", 400), ("r=1-0-0&r=1-0-0", 400), ("r=1-0-0&r=x", 400), ("r=1-0-0&r=1-0", 400),
     ("r=1-0-0&r=9-0-0", 404), ("r=1-0-0&r=1-0-5", 404), ("r=1-0-0&r=1-0-99999999999", 400),
     ("&".join(f"r=1-0-{n}" for n in range(9)), 400), ("r=1-0-0&r=٣-0-0", 400)],
)  # fmt: skip
def test_what_cannot_be_compared_is_told_so(client, query, status):
    answer = client.get(f"/compare?{query}")
    assert answer.status_code == status
    assert "Traceback" not in answer.text


def test_reading_a_page_changes_nothing(path, client):
    with Reader(path) as reader, reader.connect() as connection:
        before = connection.exec_driver_sql("select count(*), sum(version) from run_summary").all()
    page_of(client)
    series(client)
    with Reader(path) as reader, reader.connect() as connection:
        assert connection.exec_driver_sql("select count(*), sum(version) from run_summary").all() == before
