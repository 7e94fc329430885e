"""The report: one file, nothing from elsewhere, nothing from a user unescaped, whatever is missing."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from babysit.errors import InputError
from babysit.records import Result, Run, Snapshot, Stage, State, Trial
from babysit.store.writer import Writer
from babysit.verdicts import Cause, Severity, Verdict
from babysit.views.data.study import StudyView, load_study_view
from babysit.views.html.report import render_report, write_report
from views.studies import (
    CHECKS,
    EDGE,
    EVIL,
    FINDING,
    STEPS,
    complete,
    exploded,
    regression,
    search,
    study,
    view_of,
)

VOID = {"meta", "input", "br", "img", "link"}


class WellFormed(HTMLParser):
    """Fails on a tag that is closed out of turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(view: StudyView) -> str:
    page = render_report(view)
    parser = WellFormed()
    parser.feed(page)
    assert parser.open == []
    assert parser.scripts == 1
    outside = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    outside = re.sub(r'src="data:image/png;base64,[A-Za-z0-9+/=]+"', "", outside)  # it is in the page itself
    assert not re.search(r"https?://|url\(|@import|src=|href=", outside)
    return page


def final(accuracy: float) -> dict[str, Any]:
    readings = [asdict(reading) for reading in complete(0, accuracy).run.readings]
    return {
        "val_accuracy": accuracy,
        "test_accuracy": 0.4985,
        "epochs": 3,
        "costs": [2.3] * STEPS * 3,
        "readings": readings,
    }


LITTLE = {
    "empty": view_of([], stages=(), checks=()),
    "begun": view_of([Result(Trial(0, 0, {"l2": 0.1}), Run(State.RUNNING))]),
    "one": view_of([complete(0, 0.4)]),
    "exploded": view_of([exploded(number) for number in range(4)]),
    "stopped": replace(search(), study=study({"best": None, "edges": None, "ties": None, "advice": None})),
    "regression": view_of([regression(0, 1.0), regression(1, 2.0)]),
    "final": view_of([complete(0, 0.4)], {"final": final(0.5)}),
    "no costs": view_of([complete(0, 0.4)], costs={}),
    "odd outcome": view_of(
        [complete(0, 0.4)], {"edges": [{"name": "l2"}], "final": {}, "wall_seconds": math.nan}
    ),
}


@pytest.mark.parametrize("name", LITTLE)
def test_whatever_is_there_is_a_page(name: str) -> None:
    page = parsed(LITTLE[name])
    # The one check whose measured value is NaN says so; nowhere else is a missing number printed.
    assert ">nan" not in page.replace('<td class="num">nan</td><td>zero mean</td>', "")


def test_the_answer_comes_first() -> None:
    page = parsed(search())
    order = [
        "best validation accuracy",
        "43.3 %",
        "1 min 15 s",
        "What to do next",
        EDGE.message,
        "Train longer.",
    ]
    places = [page.index(words) for words in [*order, "Checks before training", "<h2>Stages", "<h2>Settings"]]
    assert places == sorted(places)
    assert page.count(EDGE.message) == 1
    assert "Search learning_rate from 1e-4 to 0.01 next." in page
    assert "so a tie: coarse 4." in page
    assert "in\n      2 trials: coarse 1, coarse 2" in page


def test_the_chosen_models_first_layer_is_drawn_and_the_stretching_is_said() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3, 32, 32)).astype(np.float16)
    page = parsed(replace(LITTLE["final"], first_layer=Snapshot("chosen/1.weight", 9, values)))
    assert "50 units of 1.weight, 32 × 32 × 3 each" in page
    assert 'src="data:image/png;base64,' in page
    assert "The contrast of each image is its own" in page
    assert "data:image/png" not in parsed(LITTLE["final"])


def test_the_spread_over_seeds_and_the_ensemble_are_shown() -> None:
    each = {"trial": [0, 0], "scores": [0.5, 0.52], "states": ["complete"] * 2, "mean": 0.51, "std": 0.0141}
    ensemble = {
        "members": 2,
        "val_accuracy": 0.531,
        "val_loss": 1.3,
        "test_accuracy": 0.522,
        "test_loss": 1.4,
    }
    told = {**final(0.52), "test_loss": 1.5, "finalists": [each], "ensemble": ensemble}
    page = parsed(view_of([complete(0, 0.4)], {"final": told}))
    assert "test accuracy of the ensemble of 2" in page
    assert "1 trial × 2 seeds, 3 epochs each" in page
    assert "50.0 %, 52.0 %" in page
    assert "validation accuracy 53.1 %, test accuracy 52.2 % (the chosen one alone: 49.9 %)" in page


def test_the_final_training_and_its_test_score_are_shown() -> None:
    page = parsed(LITTLE["final"])
    assert "test accuracy" in page
    assert "49.9 %" in page or "49.8 %" in page
    assert "How the final training learned" in page


def test_a_search_that_only_exploded_says_so() -> None:
    page = parsed(LITTLE["exploded"])
    assert "Every trial exploded: lower the learning rates" in page
    assert "no trial has a validation score" in page


def test_regression_shows_losses() -> None:
    page = parsed(LITTLE["regression"])
    assert "lowest validation loss" in page
    assert "1.333" in page
    assert '<th class="num">val loss</th>' in page


def test_causes_are_grouped_over_trials_with_their_symptoms() -> None:
    worse = replace(FINDING, rule="loss_exploded", severity=Severity.ERROR, message="It exploded.")
    plateau = replace(FINDING, rule="plateau", message="It stands still.")
    slow = Cause(FINDING, (plateau,), "Ten times the rate would tell.")
    found = {
        (0, 1): Verdict((slow,)),
        (0, 2): Verdict((slow, Cause(worse))),
        (0, 3): Verdict((slow,)),
    }
    page = parsed(replace(search(), verdicts=found))
    assert page.index("It exploded.") < page.index("The cost barely moves.")
    assert "in\n      3 trials: coarse 1, coarse 2, coarse 3" in page
    assert "explains: plateau" in page
    assert "Ten times the rate would tell." in page
    assert "It stands still." not in page  # a symptom
    assert page.count('title="causes">⚑1') == 2
    assert page.count('title="causes">⚑2') == 1


def test_a_hostile_study_is_only_text() -> None:
    stage = Stage(
        0, EVIL, {EVIL: {"kind": "log_uniform", "low": 1e-3, "high": 1.0, "log": True}, "c": EVIL}, 2, 3, EVIL
    )
    results = [
        Result(Trial(0, number, {EVIL: 0.1 + number, "c": EVIL}), complete(0, 0.2).run) for number in range(2)
    ]
    edge = {**asdict(EDGE), "name": EVIL, "message": EVIL}
    odd = replace(FINDING, rule=EVIL, message=EVIL, where=EVIL, advice=EVIL, source=EVIL)
    view = StudyView(
        replace(
            study({"edges": [edge], "advice": [EVIL], "ties": [[0, 1]]}, EVIL, **{EVIL: {EVIL: [EVIL]}}),
            recipe=EVIL,
        ),
        [replace(CHECKS[0], name=EVIL, expected=EVIL, advice=EVIL)],
        [stage],
        results,
        verdicts={(0, 0): Verdict((Cause(odd, (odd,), EVIL),))},
    )
    page = parsed(view)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_settings_say_how_to_do_it_again() -> None:
    view = replace(
        search(), study=study(command="babysit search digits", versions={"torch": "2.9"}, epochs=[1, 2])
    )
    page = parsed(view)
    assert "babysit search digits" in page
    assert "torch 2.9" in page
    assert "<dt>seed</dt><dd>3</dd>" in page


def test_a_thousand_trials_stay_small() -> None:
    view = search(1000)
    page = parsed(view)
    assert len(page.encode()) < 3_000_000
    assert page.count('class="spark"') == 1000


def test_the_page_is_written_and_a_bad_path_is_refused(tmp_path: Path) -> None:
    path = write_report(search(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match=r"cannot be written[\s\S]*fix"):
        write_report(search(), path / "report.html")


def test_a_view_is_loaded_from_a_store(tmp_path: Path) -> None:
    url = str(tmp_path / "runs.db")
    view = search()
    with Writer(url) as writer:
        number = writer.begin_study(name="n", recipe="r", kind="search", seed=1, fingerprint="f", settings={})
        writer.checks(number, view.checks)
        writer.begin_stage(number, view.stages[0])
        for result in view.results:
            for reading in result.run.readings[-1:]:
                writer.epoch(number, result.trial, reading, *view.costs[result.trial.key])
        writer.finish_trials(number, view.results, view.verdicts)
        writer.finish_study(number, State.COMPLETE, view.study.outcome)
    loaded = load_study_view(url, number)
    assert repr(loaded.results) == repr(view.results)
    assert loaded.verdicts == view.verdicts
    assert loaded.study.outcome == view.study.outcome
    strip = re.compile(r"<section class=\"headline\">[\s\S]*<h2>Settings")
    first, second = strip.search(parsed(loaded)), strip.search(parsed(view))
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
