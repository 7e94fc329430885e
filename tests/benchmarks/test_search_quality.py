"""The benchmarks of search quality: what is drawn from courses, and one whole run of ours."""

from __future__ import annotations

import math

import pytest
from benchmarks.peers.task import Task, note, read_notes
from benchmarks.peers.training import Data, Trial
from benchmarks.search_quality import Asked, behind, curve, draw, measure, page

from benchmarks import deep_search, search_quality

OURS = [(2.0, 0.2), (4.0, 0.5)]
FIRST = [(1.0, 0.1), (3.0, 0.4)]
LATE = [(9.0, 0.3)]


def found(ours=OURS, budget=10.0):
    runs = [
        {
            "peer": peer,
            "seed": 0,
            "course": course,
            "first_seconds": course[0][0],
            "epochs": 7,
            "wall_seconds": budget,
            "cpu_seconds": budget,
            "other_cpu_seconds": 0.0,
        }
        for peer, course in (("babysit", ours), ("optuna", FIRST), ("ray", LATE))
    ]
    return {"asked": vars(Asked(budget=budget, seeds=1)), "runs": runs, "skipped": {}, "machine": {}}


def test_the_table_says_from_when_until_when_we_are_behind():
    first, late = behind(found())
    assert first == "babysit is behind Optuna, TPE + median pruner at 1.0 to 1.9 s and 3.0 to 3.9 s"
    assert late == "babysit is behind Ray Tune, ASHA never"
    assert f"- {first}" in page(found()).splitlines()


def test_who_never_found_anything_is_behind_everybody():
    nothing = {**found(), "runs": [run for run in found()["runs"] if run["peer"] != "babysit"]}
    assert behind(nothing) == []
    assert "1.0 to 10.0 s" in behind(found([(11.0, 0.9)]))[0]


def test_a_mean_exists_once_every_seed_has_a_score():
    runs = [{"course": FIRST}, {"course": OURS}]
    early, later, last = curve(runs, [1.5, 2.0, 5.0])
    assert math.isnan(early)
    assert (later, last) == (pytest.approx(0.15), pytest.approx(0.45))


def test_the_courses_are_drawn(tmp_path):
    draw(found(), tmp_path)
    assert (tmp_path / "search-quality.svg").read_text().count("Optuna") >= 1
    assert (tmp_path / "search-quality.png").stat().st_size > 1000


def test_the_deep_search_tells_the_last_rise_of_each_minute(tmp_path):
    noted = [(10.0, "coarse", 0.3), (50.0, "coarse", 0.5), (70.0, "fine", 0.4), (130.0, "final", 0.6)]
    final = {"val_accuracy": 0.6, "test_accuracy": 0.59, "hyperparameters": {}, "ensemble": None}
    measured = {"noted": noted, "seconds": 140.0, "cpu_seconds": 250.0, "outcome": {"final": final}}
    rows = [line for line in deep_search.page(measured).splitlines() if line.endswith("0 |")]
    assert rows == ["| 50 s | coarse | 0.5000 |", "| 130 s | final | 0.6000 |"]
    deep_search.draw(measured, tmp_path)
    assert (tmp_path / "deep-search.png").stat().st_size > 1000


def test_notes_of_several_processes_are_kept_whole(tmp_path):
    task = task_in(tmp_path)
    for accuracy in (0.25, 0.5):
        note(task, accuracy)
    assert [accuracy for _, accuracy in read_notes(task)] == [0.25, 0.5]
    assert read_notes(task_in(tmp_path / "nowhere")) == []


def test_a_peer_knows_when_its_weights_are_no_numbers():
    import torch

    x, y = torch.randn(20, 64), torch.zeros(20, dtype=torch.long)
    for rate, diverged in ((1e-3, False), (1e30, True)):
        trial = Trial(task_in("."), Data(x, y, x, y), (rate, 0.1))
        trial.epoch()
        trial.epoch()
        assert trial.diverged is diverged


def task_in(folder):
    box = ((1e-4, 1e-1), (1e-5, 1.0))
    return Task("", "two_layer", (64, 5), 1e-1, 10, (), box, 2, 1, True, "float32", 1, "", str(folder))


@pytest.mark.slow
def test_a_whole_run_of_ours_is_measured():
    told = measure(Asked("digits", ("babysit",), seeds=1, budget=120.0, epochs=3))
    (run,) = told["runs"]
    assert told["skipped"] == {}
    assert run["course"][-1][1] > 0.9
    assert 0 < run["first_seconds"] < run["wall_seconds"] < 120
    assert run["epochs"] >= 96 + 3  # every trial has an epoch at least, and so has the retraining
    assert search_quality.times(60)[-1] == 60
