"""The terminal: the lecture's lines to the letter, 80 columns, no user's markup."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import RenderableType

from babysit.records import Reading, Result, Stage, Trial
from babysit.tuning.ranking import ties
from babysit.verdicts import Status
from babysit.views.terminal import studies
from babysit.views.terminal.checks import STATUS_MARKS, checks_table
from babysit.views.terminal.lecture_lines import epoch_line, trial_line
from babysit.views.terminal.search import edges_panel, results_table, stage_panel
from views.studies import CHECKS, EDGE, EVIL, NAN, complete, exploded, printed, regression, search, study


def test_the_epoch_line_is_the_lectures() -> None:
    line = epoch_line(Reading(1, 490, 2.302576, 0.08, 0.103, 1e-6), 10)
    assert line == "Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1.000000e-06"
    assert epoch_line(Reading(2, 490, NAN, 0.1, 0.087, 1e6), 10).startswith(
        "Finished epoch 2 / 10: cost nan, train: 0.1"
    )


def test_the_trial_line_is_the_lectures() -> None:
    result = complete(0, 0.412, rate=1.405206e-04, l2=4.793564e-01)
    assert trial_line(result, 1, 100) == "val_acc: 0.412000, lr: 1.405206e-04, reg: 4.793564e-01, (1 / 100)"
    assert trial_line(exploded(1), 0, 9).startswith("val_acc: nan, lr: 9.000000e-04")
    assert trial_line(regression(0, 1.0), 0, 9, also=["hidden"]) == (
        "val_loss: 1.333333, lr: 1.000000e-03, reg: 1.000000e-01, hidden: 50, (0 / 9)"
    )


def test_the_best_come_first_and_ties_are_marked() -> None:
    results = search(12).results
    tied = [result.trial.key for result in ties(results, 100)]
    lines = printed(results_table(results, 3, tied)).splitlines()
    assert "best 3 of 12 trials" in lines[0]
    assert lines[2].split()[:2] == ["★", "0/11"]
    assert lines[3].split()[:2] == ["≈", "0/10"]
    assert "tie" in lines[-1]


@pytest.mark.parametrize(
    "results", [[], [exploded(0)], [regression(0, 2.0), exploded(1)], [complete(0, 0.1)]]
)
def test_tables_of_little(results: list[Result]) -> None:
    assert f"best {len(results)} of {len(results)} trials" in printed(results_table(results))
    assert "nan" not in printed(results_table(results))


def test_user_names_are_not_markup() -> None:
    results = [
        Result(Trial(0, number, {EVIL: number, "[/]": EVIL}), complete(0, 0.3).run) for number in range(2)
    ]
    check = replace(CHECKS[0], name=EVIL, expected=EVIL, advice=EVIL)
    stage = Stage(0, EVIL, {EVIL: {"kind": "choice", "choices": [EVIL, "b"]}, "odd": "[/]"}, 1, 1, EVIL)
    edge = replace(EDGE, name=EVIL, message=EVIL)
    contents: list[RenderableType] = [
        results_table(results),
        checks_table([check]),
        stage_panel(stage),
        edges_panel([edge]),
        studies.studies_table([study(name=EVIL)], {7: 3}),
    ]
    for content in contents:
        assert "[red]" in printed(content, width=400)


def test_nothing_is_wider_than_the_terminal() -> None:
    view = search(30)
    contents: list[RenderableType] = [
        results_table(view.results, 10),
        checks_table(view.checks),
        stage_panel(view.stages[0]),
        edges_panel([EDGE, EDGE]),
        studies.studies_table([view.study]),
    ]
    for content in contents:
        assert max(map(len, printed(content).splitlines())) <= 80


def test_checks_say_what_was_expected() -> None:
    text = printed(checks_table(CHECKS))
    assert "✓ pass" in text
    assert "✗ fail" in text
    assert "2.302585 (ln 10)" in text
    assert "Subtract the mean image." in text
    assert set(STATUS_MARKS) == set(Status)


def test_silence_is_said() -> None:
    assert "inside the searched ranges" in printed(edges_panel([]))


def test_the_edge_names_the_new_range() -> None:
    assert "search learning_rate from 1e-4 to 0.01 next" in printed(edges_panel([EDGE]))


def test_studies_show_their_best() -> None:
    text = printed(studies.studies_table([study({"best": {"val_accuracy": 0.531}}), study()], {7: 12}))
    assert "53.1 %" in text
    assert "12" in text
