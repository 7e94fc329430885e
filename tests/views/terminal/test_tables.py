"""The terminal: the lecture's lines to the letter, 80 columns, no user's markup, plain in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from babysit.records import Reading, Result, Stage, Trial
from babysit.tuning.search import Progress
from babysit.verdicts import Status
from babysit.views.data.ranked_trials import tied_with_best
from babysit.views.terminal import tables
from babysit.views.terminal.tables import SearchProgress, epoch_line, trial_line
from views.studies import CHECKS, EDGE, EVIL, NAN, complete, exploded, regression, search, study


def shown(content: RenderableType, width: int = 80) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(content)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


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
    lines = shown(tables.results_table(results, 3, tied_with_best(results, 100))).splitlines()
    assert "best 3 of 12 trials" in lines[0]
    assert lines[2].split()[:2] == ["★", "0/11"]
    assert lines[3].split()[:2] == ["≈", "0/10"]
    assert "tie" in lines[-1]


@pytest.mark.parametrize(
    "results", [[], [exploded(0)], [regression(0, 2.0), exploded(1)], [complete(0, 0.1)]]
)
def test_tables_of_little(results: list[Result]) -> None:
    assert f"best {len(results)} of {len(results)} trials" in shown(tables.results_table(results))
    assert "nan" not in shown(tables.results_table(results))


def test_user_names_are_not_markup() -> None:
    results = [
        Result(Trial(0, number, {EVIL: number, "[/]": EVIL}), complete(0, 0.3).run) for number in range(2)
    ]
    check = replace(CHECKS[0], name=EVIL, expected=EVIL, advice=EVIL)
    stage = Stage(0, EVIL, {EVIL: {"kind": "choice", "choices": [EVIL, "b"]}, "odd": "[/]"}, 1, 1, EVIL)
    edge = replace(EDGE, name=EVIL, message=EVIL)
    contents: list[RenderableType] = [
        tables.results_table(results),
        tables.checks_table([check]),
        tables.stage_panel(stage),
        tables.edges_panel([edge]),
        tables.studies_table([study(name=EVIL)], {7: 3}),
    ]
    for content in contents:
        assert "[red]" in shown(content, width=400)


def test_nothing_is_wider_than_the_terminal() -> None:
    view = search(30)
    contents: list[RenderableType] = [
        tables.results_table(view.results, 10),
        tables.checks_table(view.checks),
        tables.stage_panel(view.stages[0]),
        tables.edges_panel([EDGE, EDGE]),
        tables.studies_table([view.study]),
    ]
    for content in contents:
        assert max(map(len, shown(content).splitlines())) <= 80


def test_checks_say_what_was_expected() -> None:
    text = shown(tables.checks_table(CHECKS))
    assert "✓ pass" in text
    assert "✗ fail" in text
    assert "2.302585 (ln 10)" in text
    assert "Subtract the mean image." in text
    assert set(tables.STATUS_MARKS) == set(Status)


def test_silence_is_said() -> None:
    assert "inside the searched ranges" in shown(tables.edges_panel([]))


def test_the_edge_names_the_new_range() -> None:
    assert "search learning_rate from 1e-4 to 0.01 next" in shown(tables.edges_panel([EDGE]))


def test_studies_show_their_best() -> None:
    text = shown(tables.studies_table([study({"best": {"val_accuracy": 0.531}}), study()], {7: 12}))
    assert "53.1 %" in text
    assert "12" in text


def test_explosions_in_words() -> None:
    assert tables.exploded_lines(search().results)[0] == "trial 0/0 exploded at step 60: cost nan"


def ticking(seconds: float) -> Callable[[], float]:
    times = iter(range(100_000))
    return lambda: next(times) * seconds


def now(
    stage: str,
    done: int,
    trials: int,
    epochs_done: int,
    epochs: int,
    best: Result | None = None,
    exploded: int = 0,
    pruned: int = 0,
) -> Progress:
    named = Stage(0, stage, {}, trials, 5)
    return Progress(named, done, trials, epochs_done, epochs, best, exploded, pruned)


def run_search(console: Console, seconds: float = 0.001) -> str:
    with SearchProgress(console, ticking(seconds)) as progress:
        for stage, best in (("coarse", None), ("fine", complete(0, 0.531))):
            for done in range(101):
                progress.update(now(stage, done, 100, done * 5, 500, best, done // 10))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_plain_lines_at_every_tenth() -> None:
    text = run_search(Console(file=StringIO(), width=80))
    lines = text.splitlines()
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(lines) == 20
    assert lines[0].startswith("coarse: 10/100 trials, best –, 1 exploded, ")
    assert lines[-1] == "fine: 100/100 trials, best 53.1 %, 10 exploded"


def test_the_pruned_are_counted_where_there_are_any() -> None:
    console = Console(file=StringIO(), width=80)
    with SearchProgress(console) as progress:
        progress.update(now("coarse", 10, 10, 50, 50, exploded=1, pruned=6))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "coarse: 10/10 trials, best –, 1 exploded, 6 pruned\n"


def test_the_last_line_of_a_stage_comes_when_all_trials_are_done() -> None:
    console = Console(file=StringIO(), width=80)
    with SearchProgress(console) as progress:
        for done in range(4):  # the last epoch is known before any trial of it has ended
            progress.update(now("coarse", done, 3, 15, 15))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue() == "coarse: 3/3 trials, best –, 0 exploded\n"


def test_a_slow_search_is_not_silent() -> None:
    lines = run_search(Console(file=StringIO(), width=80), seconds=5.0).splitlines()
    assert len(lines) > 60
    assert any(line.endswith("left") and "min" in line for line in lines)


def test_a_terminal_gets_a_live_line() -> None:
    text = run_search(Console(file=StringIO(), width=80, force_terminal=True))
    assert "\x1b" in text
    assert "53.1 %" in text
    assert "100/100" in text


def test_a_search_of_nothing() -> None:
    console = Console(file=StringIO(), width=80)
    with SearchProgress(console) as progress:
        progress.update(now("[red]", 0, 0, 0, 0))
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().startswith("[red]: 0/0 trials")
