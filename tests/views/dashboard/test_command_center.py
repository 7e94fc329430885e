"""The rows, axes and status of a study, and the changes since a page last asked."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from babysit.records import State
from babysit.store import overview, queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.state import OpenStore, Serving
from babysit.views.data.formatting import exponent_text
from babysit.views.data.status import study_status
from babysit.views.data.trial_table import COLUMNS, read_board
from browser.stores import (
    FINE,
    SCALED,
    begin,
    ended,
    finished,
    trial,
    write_epochs,
    write_results,
    write_search,
    written,
)


@pytest.fixture(scope="module")
def store(new_address):
    return written(new_address())


def page_data(answer):
    return json.loads(re.search(r'id="data">(.*?)</script>', answer.text, re.S)[1])


def rows_of(data, columns=COLUMNS):
    return {(row[0], row[1]): dict(zip(columns, row, strict=True)) for row in data["rows"]}


def test_the_rows_say_what_the_summaries_say(client, store):
    data = page_data(client.get("/s/1"))
    rows = rows_of(data)
    with Reader(store) as reader:
        summaries = {one.key: one for one in queries.run_summaries(reader, 1)}
        found = queries.verdicts(reader, 1)
    assert rows.keys() == summaries.keys()
    for key, row in rows.items():
        told = summaries[key]
        assert row["state"] == told.state
        assert (row["epochs"], row["steps"], row["version"]) == (told.epochs, told.steps, told.version)
        assert row["findings"] == (len(found[key].causes) if key in found else 0)
        assert row["values"][0] == exponent_text(told.hyperparameters["learning_rate"])
        if told.state is State.EXPLODED:
            assert row["score"] is None
            assert row["note"] == "exploded at step 20: cost 4.0 x its first"
        else:
            assert row["score"] == pytest.approx(told.best_score, rel=1e-4)
            assert row["gap"] == pytest.approx(told.train_accuracy - told.val_accuracy, rel=1e-4)


def test_places_lie_on_the_axis_that_the_stages_span(client):
    data = page_data(client.get("/s/1"))
    names = [knob["name"] for knob in data["board"]["knobs"]]
    assert names == ["learning_rate", "l2"]  # what no stage searched has no axis
    rate = data["board"]["knobs"][0]
    assert rate["log"]
    assert rate["maker"] == "log_uniform({}, {})"
    [coarse, fine] = rate["boxes"]
    assert coarse[0] < fine[0] < fine[1] == coarse[1]
    for row in rows_of(data).values():
        low, high = rate["boxes"][row["stage"]]
        assert low <= row["places"][0] <= high


def test_no_series_is_read_for_the_table(client, monkeypatch):
    def refuse(*_):
        raise AssertionError("a series was read")

    monkeypatch.setattr(queries, "costs", refuse)
    monkeypatch.setattr(queries, "all_costs", refuse)
    monkeypatch.setattr(queries, "results", refuse)
    assert client.get("/s/1").status_code == 200
    assert client.get("/s/1/curves").status_code == 200


def test_the_best_value_at_the_edge_raises_the_alarm_while_it_runs(store):
    with Reader(store) as reader:
        found = overview.lines(reader, 1)
        stands = study_status(reader, read_board(reader, 1), found)
    assert stands.best.key == (1, 6)
    assert dict(stands.best.values)["learning_rate"] == exponent_text(7.26e-4)
    assert stands.counts == {"complete": 18, "exploded": 2}
    assert [(one.name, one.ended, one.share) for one in stands.stages] == [
        ("coarse", 12, 1.0),
        ("fine", 8, 1.0),
    ]


def test_an_alarm_brings_the_command_that_looks_beyond(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = begin(writer)
        tried = [trial(0, number, rate) for number, rate in enumerate([1e-5, 1e-4, 3e-4, 9.7e-4])]
        writer.begin_trials(study, tried)
        writer.finish_trials(study, [finished(one, 0.1 * (number + 1)) for number, one in enumerate(tried)])
    with Reader(path) as reader:
        stands = study_status(reader, read_board(reader, study), overview.lines(reader, study))
    [alarm] = stands.alarms
    assert "next to the upper edge" in alarm.message
    assert alarm.command.startswith("babysit search cifar10 -s 'learning_rate=log_uniform(")
    assert alarm.command.endswith("--stages coarse:12x4,fine:8x4")
    assert alarm.strip.searched[1] < alarm.strip.proposed[1]


def test_a_trial_that_the_user_changed_is_not_the_best(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = begin(writer)
        write_results(writer, study, ended(0, 0.9, 3e-5, touches=SCALED), ended(1, 0.5, 4e-5))
    with Reader(path) as reader:
        stands = study_status(reader, read_board(reader, study), overview.lines(reader, study))
    assert stands.best.key == (0, 1)


def test_a_finished_search_says_its_own_judgement(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = write_search(writer)
        outcome = {
            "edges": [],
            "silenced": [],
            "ties": [[1, 5], [1, 6]],
            "advice": ["stop here"],
            "wall_seconds": 75,
        }
        writer.finish_study(study, State.COMPLETE, outcome)
    with Reader(path) as reader:
        stands = study_status(reader, read_board(reader, study), overview.lines(reader, study))
    assert stands.ties == ((1, 5), (1, 6))
    assert stands.advice == ("stop here",)
    assert (stands.alarms, stands.elapsed, stands.left) == ((), "1 min 15 s", "–")


@pytest.fixture
def live(new_address):
    """A search under way, its writer, and a client."""
    path = new_address()
    with Writer(path) as writer:
        study = write_search(writer, running=3)
        writer.flush()
        serving = Serving(OpenStore(path))
        yield writer, study, TestClient(create_app(serving), base_url="http://localhost")
        serving.store.close()


def changes(client, study, data):
    answer = client.get(f"/changes?study={study}&since={data['cursor']}&edition={data['edition']}")
    assert answer.status_code == 200
    return answer.json()


def test_only_what_changed_is_sent(live):
    writer, study, client = live
    data = page_data(client.get(f"/s/{study}"))
    nothing = changes(client, study, data)
    assert "rows" not in nothing
    assert nothing["cursor"] == data["cursor"]
    write_epochs(writer, study, trial(1, 6, 7.26e-4), 0.5, [2])
    writer.flush()
    news = changes(client, study, data)
    assert list(rows_of(news)) == [(1, 6)]
    assert rows_of(news)[1, 6]["epochs"] == 2
    assert news["cursor"] > data["cursor"]
    assert "rows" not in changes(client, study, {**data, "cursor": news["cursor"]})


def test_a_new_stage_means_new_axes_and_so_everything(live):
    writer, study, client = live
    data = page_data(client.get(f"/s/{study}"))
    wider = {**FINE, "learning_rate": {"kind": "log_uniform", "low": 1e-4, "high": 1e-1, "log": True}}
    from babysit.records import Stage

    writer.begin_stage(study, Stage(2, "finer", wider, 2, 4, "wider"))
    news = changes(client, study, data)
    assert len(news["rows"]) == 20
    assert [stage["name"] for stage in news["board"]["stages"]] == ["coarse", "fine", "finer"]
    assert news["edition"] != data["edition"]


def test_a_store_that_was_made_anew_is_told_whole(live):
    _, study, client = live
    data = page_data(client.get(f"/s/{study}"))
    assert len(changes(client, study, {**data, "cursor": data["cursor"] + 1000})["rows"]) == 20


def test_another_study_changes_nothing_here(live):
    writer, study, client = live
    data = page_data(client.get(f"/s/{study}"))
    write_search(writer, "another")
    assert "rows" not in changes(client, study, data)


def test_an_empty_and_a_missing_store_have_a_page(tmp_path):
    for url in (str(tmp_path / "none.db"),):
        serving = Serving(OpenStore(url))
        client = TestClient(create_app(serving), base_url="http://localhost")
        answer = client.get("/")
        assert answer.status_code == 200
        assert "babysit demo" in answer.text
        assert client.get("/s/1").status_code == 404
    with Writer(str(tmp_path / "none.db")) as writer:
        assert "No study yet" in client.get("/").text  # it is found once it is there
        write_search(writer)
        assert "cifar10" in client.get("/").text
    serving.store.close()


def test_a_store_that_was_deleted_or_replaced_is_not_read_on(tmp_path):
    path = tmp_path / "runs.db"
    serving = Serving(OpenStore(str(path)))
    client = TestClient(create_app(serving), base_url="http://localhost")
    with Writer(str(path)) as writer:
        write_search(writer, "the first")
    assert "the first" in client.get("/").text
    for file in tmp_path.iterdir():
        file.unlink()
    assert "No study yet" in client.get("/").text
    with Writer(str(path)) as writer:
        write_search(writer, "the second")
    assert "the second" in client.get("/").text
    serving.store.close()


def test_a_study_without_trials_and_one_without_a_search_have_a_page(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        writer.begin_study(name="bare", recipe="", kind="watch", seed=0, fingerprint="", settings={})
        study = writer.begin_study(name="w", recipe="", kind="watch", seed=0, fingerprint="", settings={})
        write_epochs(writer, study, trial(0, 0, 1e-3), 0.4, [1, 2])
    serving = Serving(OpenStore(path))
    client = TestClient(create_app(serving), base_url="http://localhost")
    assert client.get("/s/1").status_code == 200
    assert len(page_data(client.get("/s/2"))["rows"]) == 1
    serving.store.close()


def test_a_regression_is_told_by_its_loss(tmp_path):
    nan = float("nan")
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = begin(writer, loss="mse")
        one = trial(0, 0, 1e-3)
        result = finished(one, 0.3)
        from dataclasses import replace

        readings = tuple(
            replace(each, train_accuracy=nan, val_accuracy=nan, val_loss=4.0 / each.epoch)
            for each in result.run.readings
        )
        writer.begin_trials(study, [one])
        writer.finish_trials(study, [replace(result, run=replace(result.run, readings=readings))])
    serving = Serving(OpenStore(path))
    client = TestClient(create_app(serving), base_url="http://localhost")
    answer = client.get(f"/s/{study}")
    assert "Lowest validation loss" in answer.text
    assert page_data(answer)["rows"][0][COLUMNS.index("score")] == -1.0
    assert page_data(answer)["board"]["accuracy"] is False
    serving.store.close()


@pytest.mark.parametrize("show", ["best", "running", "diverged"])
def test_loss_curves_can_be_chosen(client, show):
    answer = client.get(f"/s/2/curves?show={show}")
    assert answer.status_code == 200
    assert answer.text.count("data-key") == {"best": 19, "running": 3, "diverged": 1}[show]
    assert client.get("/s/2/curves?show=none").status_code == 400
