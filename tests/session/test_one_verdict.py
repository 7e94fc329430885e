"""One run, one verdict: the report, the store, the command line, the pages and the files say the same."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
import torch
from rich.console import Console
from starlette.testclient import TestClient
from torch import nn

import babysit as bs
from babysit.diagnosis.report import Report
from babysit.store import run_queries
from babysit.store.reader import Reader
from babysit.verdicts import Health, Verdict
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.state import OpenStore, Serving
from babysit.views.data.recorded_run import load_trial_view
from babysit.views.terminal.live import run_frame
from babysit.views.terminal.trial import trial_view
from cli.conftest import babysit as babysit
from views.dashboard.conftest import HOST

CASES = {
    "two faults": {"zero": False, "softmaxes": 2},
    "healthy": {},
    "rate 30": {"rate": 30.0},
    "three steps": {"steps": 3},
}
OUTLINES = {
    "two faults": (
        Health.UNHEALTHY,
        {"gradients_not_zeroed": [], "softmax_before_cross_entropy": []},
    ),
    "healthy": (Health.HEALTHY, {}),
    "rate 30": (Health.UNHEALTHY, {"learning_rate_too_high": ["loss_not_finite"]}),
    "three steps": (Health.UNDECIDED, {}),
}
"""The health of each case, and its causes with their symptoms."""


def loop(store, *, rate=0.1, zero=True, softmaxes=0, steps=120):
    """Trains a small classifier under a watch, with the faults that are asked for."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3), *(nn.Softmax(1) for _ in range(softmaxes))]
        model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
        x = torch.randn(256, 6)
        y = x[:, :3].argmax(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        with bs.watch(model, optimizer, loss=criterion, name="mine", store=store) as watch:
            for _ in range(steps):
                rows = torch.randperm(256)[:64]
                if zero:
                    optimizer.zero_grad()
                loss = criterion(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                watch.step(loss)
    return watch


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def store(case, tmp_path_factory):
    return str(tmp_path_factory.mktemp("verdict") / "runs.db")


@pytest.fixture(scope="module")
def watch(case, store):
    return loop(store, **CASES[case])


@pytest.fixture
def view(store, watch):
    with Reader(store) as reader:
        return load_trial_view(reader, 1, (0, 0))


def outline(verdict: Verdict):
    """Every cause with its symptoms, by name."""
    return [(cause.rule, [each.rule for each in cause.symptoms]) for cause in verdict.causes]


def outline_of_data(data):
    return [(cause["rule"], [each["rule"] for each in cause["symptoms"]]) for cause in data["causes"]]


def outline_of_texts(texts):
    """The name that each text about a cause has in brackets, and the symptoms that it lists."""
    found = []
    for text in texts:
        symptoms = re.search(r"explains: (\w+(?:, \w+)*)", text)
        (rule,) = re.findall(r"\((\w+), \d+% sure\)", text)
        found.append((rule, symptoms[1].split(", ") if symptoms else []))
    return found


def outline_of_terminal(renderable):
    console = Console(file=io.StringIO(), width=300, color_system=None)
    console.print(renderable)
    text = " ".join(console.file.getvalue().replace("│", " ").split())
    return text, outline_of_texts(re.split(r"\d+\. (?=error: |warning: )", text)[1:])


def outline_of_page(page, pattern):
    """The text of a page, and the outline of those of its parts that are about causes."""
    return words_of(page), outline_of_texts(map(words_of, re.findall(pattern, page)))


def words_of(page):
    body = re.sub(r"<(style|script)\b[\s\S]*?</\1>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def assert_says(report: Report, text: str, found) -> None:
    """A text names the causes with their symptoms, then the remarks, both in order, and what stayed open."""
    assert found == outline(Verdict(report.serious))
    assert WORDS[report.health] in text.lower()
    for group in ([cause.finding for cause in report.serious], report.quiet):
        places = [text.find(" ".join(finding.message.split())) for finding in group]
        assert -1 not in places
        assert places == sorted(places)
    for question in report.unanswered:
        assert question.rule.replace("_", " ") in text


WORDS = {Health.HEALTHY: "healthy", Health.UNDECIDED: "undecided", Health.UNHEALTHY: "not healthy"}


def test_the_cases_are_what_they_are_called(case, watch):
    report = watch.report()
    assert (report.health, dict(outline(report))) == OUTLINES[case]
    assert watch.log().failures == (0, "")


def test_the_store_holds_the_report(store, watch):
    report = watch.report()
    with Reader(store) as reader:
        kept = run_queries.verdict(reader, 1, (0, 0))
    assert repr(kept.causes) == repr(report.causes)  # as text: NaN differs from itself
    assert kept.questions == report.questions
    assert (kept.facts, kept.steps, kept.when) == (report.facts, report.steps, report.when)
    assert kept.health is report.health


@pytest.mark.parametrize("what", ["1/0/0", "mine/0"])
def test_show_says_the_same(babysit, store, watch, what):
    report = watch.report()
    answer = babysit("show", what, "--store", store, "--json")
    assert answer.code == 0
    assert (answer.data["trial"], answer.data["verdict"]) == ("1/0/0", str(report.health))
    assert outline_of_data(answer.data) == outline(report)
    assert answer.data["causes"] == report.as_data()["causes"]
    assert answer.data["questions"] == report.as_data()["questions"]


def test_a_watched_study_is_shown_too(babysit, store, watch):
    assert babysit("show", "1", "--store", store, "--json").data["kind"] == "watch"
    wrong = babysit("show", "1/0/7", "--store", store)
    assert (wrong.code, "choose one of 1/0/0" in wrong.err) == (2, True)


@pytest.mark.parametrize("shown", [trial_view, lambda view: run_frame(view, 300)], ids=["show", "live"])
def test_the_terminal_says_the_same(view, watch, shown):
    report = watch.report()
    assert_says(report, *outline_of_terminal(shown(view)))


def test_the_dashboard_says_the_same(store, watch):
    report = watch.report()
    serving = Serving(OpenStore(store), RequestRules(token="a token"))
    answer = TestClient(create_app(serving), base_url=HOST).get("/r/1/0/0")
    serving.store.close()
    assert answer.status_code == 200
    assert_says(report, *outline_of_page(answer.text, r"<article class=\"note[\s\S]*?</article>"))


def test_the_files_say_the_same(watch, tmp_path):
    report = watch.report()
    data = json.loads(bs.save_report(watch, tmp_path / "run.json").read_text())
    assert (data["verdict"], outline_of_data(data)) == (str(report.health), outline(report))
    page = bs.save_report(watch, tmp_path / "run.html").read_text(encoding="utf-8")
    assert_says(report, *outline_of_page(page, r"<div class=\"note cause[\s\S]*?</details>"))
    (run,) = json.loads(bs.save_report(watch, tmp_path / "run.sarif").read_text())["runs"]
    found = []
    for result in run["results"]:
        if result["properties"]["role"] == "symptom":
            assert result["properties"]["explainedBy"] == found[-1][0]
            found[-1][1].append(result["ruleId"])
        else:
            found.append((result["ruleId"], []))
    assert found == outline(report)
    assert run["properties"]["verdict"] == str(report.health)


def test_a_training_says_the_same_as_its_run_in_the_store(babysit, tmp_path):
    options = ("-s", "learning_rate=1e6", "-s", "hidden=7", "-s", "epochs=2", "--out", tmp_path, "--json")
    trained = babysit("train", "digits", *options)
    shown = babysit("show", "1/0/0", "--out", tmp_path, "--json")
    assert outline_of_data(trained.data) == outline_of_data(shown.data) != []
    assert trained.data["verdict"] == shown.data["verdict"] == "unhealthy"
    assert trained.data["causes"] == shown.data["causes"]
