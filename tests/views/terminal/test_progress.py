"""The progress of a search: a live line on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

from rich.console import Console

from babysit.records import Result, Stage
from babysit.tuning.search import Progress
from babysit.views.terminal.progress import SearchProgress
from views.studies import complete


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
