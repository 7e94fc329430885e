"""The dashboard benchmark: the same runs for everybody, a page that is drawn, a spike in every zoom."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from benchmarks.dashboard import measure, options_of, page
from benchmarks.peers.boards import BOARDS
from benchmarks.peers.boards.browser import chromium
from benchmarks.peers.boards.runs import POINTS, Drawn, changes, drawn
from benchmarks.peers.boards.spikes import zooms

from babysit.store import overview, run_queries
from babysit.store.reader import Reader


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Five runs, babysit alone, one visit, changes for two seconds."""
    if not chromium():
        pytest.skip("there is no Chromium here: apt-get install chromium")
    pytest.importorskip("playwright.sync_api")
    words = "--runs 5 --alone --rounds 1 --seconds 2 --points 2000"
    return measure(options_of(words.split()))


@pytest.mark.slow
def test_a_page_is_measured(found: dict[str, Any]) -> None:
    assert found["skipped"] == []
    (row,) = found["rows"]
    assert row["board"] == "babysit"
    assert row["useful_ms"] > 0
    assert row["first_load_requests"] > 5
    assert row["first_load_bytes"] > 10_000
    assert row["dom_nodes"] > 100
    assert row["main_thread_ms_per_second"] > 0
    assert 0 < row["changed_runs_per_second"] <= 1
    assert row["outside_requests"] == row["console_errors"] == []
    assert row["queries"]["table_rows"] == 5


@pytest.mark.slow
def test_every_zoom_shows_the_spike(found: dict[str, Any]) -> None:
    for part in ("server", "page"):
        assert found["spike"][part]["with_spike"] == found["spike"][part]["zooms"] > 3


@pytest.mark.slow
def test_the_answer_is_a_table_and_a_document(found: dict[str, Any]) -> None:
    assert "| 5 runs | babysit" in page(found)
    assert json.loads(json.dumps(found))["machine"]["cores"] >= 1


def test_the_runs_are_always_the_same() -> None:
    assert drawn(7) == drawn(9)[:7]
    assert [run.state for run in drawn(200)].count("running") == 40
    assert {run.state for run in drawn(200)} == {"running", "complete", "exploded"}


def test_a_tenth_changes_each_second() -> None:
    runs = drawn(100)
    first, second, third = islice(changes(runs), 3)
    assert len(first) == len(second) == 10
    assert {one.run.number for one in first}.isdisjoint(one.run.number for one in second)
    assert [one.run for one in first] == [one.run for one in third]
    assert [one.first for one in third] == [one.last + 1 for one in first]
    assert {one.epoch for one in first + third} == {11, 12}


def test_zooms_hold_the_spike_and_go_down_to_a_hundred_steps() -> None:
    found = zooms(100_000)
    assert found[0] == (1, 100_000)
    assert all(first <= 73_211 <= last for first, last in found)
    assert 100 <= found[-1][1] - found[-1][0] + 1 < 200


def read_from_babysit(folder: Path, run: Drawn) -> list[float]:
    reader = Reader(str(folder / "babysit.sqlite"))
    values = run_queries.series_between(reader, 1, (0, run.number), "cost", 0, 2**31 - 1)[1]
    assert len(overview.lines(reader, 1)) == 5
    reader.close()
    return list(values.tolist())


def read_from_tensorboard(folder: Path, run: Drawn) -> list[float]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "events" / f"{run.number:05d}"), {"scalars": 0})
    return [one.value for one in events.Reload().Scalars("cost")]


def read_from_optuna(folder: Path, run: Drawn) -> list[float]:
    import optuna

    study = optuna.load_study(study_name="benchmark", storage=f"sqlite:///{folder / 'optuna.sqlite3'}")
    trial = study.get_trials()[run.number]
    assert trial.params == {"learning_rate": run.learning_rate, "l2": run.l2}
    return [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]


READ = {"babysit": read_from_babysit, "tensorboard": read_from_tensorboard, "optuna": read_from_optuna}


@pytest.mark.parametrize("name", BOARDS)
def test_all_boards_get_the_same_data(name: str, tmp_path: Path) -> None:
    for needed in {"tensorboard": ("tensorboard", "tensorboardX"), "optuna": ("optuna",)}.get(name, ()):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    runs = drawn(5)
    author = BOARDS[name].author(tmp_path)
    author.write(runs)
    author.change(next(changes(runs)))
    author.close()
    running = next(run for run in runs if run.state == "running")
    for run in (runs[0], running):
        last = POINTS + 10 * (run is running)
        assert READ[name](tmp_path, run) == pytest.approx(run.costs(1, last).tolist(), rel=1e-6)
