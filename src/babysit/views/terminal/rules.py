"""The catalogue of problems with the signals of each door, in the terminal and as a documentation page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from babysit.checks.detectors import DETECTORS as CHECKS
from babysit.checks.of_recipe import OF_RECIPE
from babysit.checks.questions.ask import CHECKS as QUESTIONS
from babysit.diagnosis.catalogue import CATALOGUE, SUBJECTS, problems_named, rows
from babysit.diagnosis.confidence import Count, confidence_of, counts
from babysit.diagnosis.problem import Detector, Problem
from babysit.diagnosis.wording import named
from babysit.readings.detectors import DETECTORS as READINGS
from babysit.verdicts import Severity
from babysit.views.terminal.verdict import STYLES
from babysit.watching.detectors import DETECTORS as WATCH

CHECK, RECIPE = "babysit.check", "babysit check RECIPE"
LOOP, NUMBERS = "babysit.watch", "babysit train, search, diagnose"
HEADINGS = ("problem", "severity", "what it is", "how it is found", "what fixes it", "source")

_INTRODUCTION = """# The rules

What babysit looks for: one catalogue of problems, whatever door it comes in by. `babysit rules` lists it,
`babysit rules NAME` shows one problem in full; a name of an older version finds the one of today.

- `babysit.check` asks on copies of a program, before it trains. A finding of severity info becomes a warning
  where it explains a warning that nothing else explains.
- `babysit.watch` asks of a run's sampled steps whenever `report()` is called.
- `babysit train`, `search` and `diagnose` ask of readings: one an epoch, or what a printed log holds.

A percentage says how often the problem was the right one where that question named a cause, over the
programs of `tests/faults` and the made curves of `tests/readings`, with a prior for few cases
(`python -m benchmarks.faults --calibrate`); `n` counts the causes that it named there. This page is made by
`python -m docs.rules`; do not edit it.
"""


class Signal(NamedTuple):
    """One way in which a door finds a problem.

    Attributes:
        door: the command or function that asks.
        words: what it looks at, with its threshold.
        reason: why the threshold lies there; empty where the words say it.
        severity: of its findings.
        confidence: how often it was right where it named a cause, in [0, 1].
        named: how many causes it named when that was measured.
    """

    door: str
    words: str
    reason: str
    severity: Severity
    confidence: float
    named: int


def signals_of(problem: Problem) -> list[Signal]:
    """Lists the signals of every door that can find a problem."""
    return [signal for found, signal in _signals() if found is problem]


def _signals() -> Iterator[tuple[Problem, Signal]]:
    doors: Sequence[tuple[str, Iterable[Detector[Any]]]] = (
        (CHECK, CHECKS),
        (RECIPE, OF_RECIPE),
        (LOOP, WATCH),
        (NUMBERS, READINGS),
    )
    for door, detectors in doors:
        for detector in detectors:
            severity = detector.severity or detector.problem.severity
            yield (
                detector.problem,
                _signal(door, detector.signal, detector.reason, severity, detector.key),
            )
    for question, problem in QUESTIONS.items():
        yield (
            problem,
            _signal(RECIPE, _first_line(question), "", problem.severity, "checks." + question.__name__),
        )


def _signal(door: str, words: str, reason: str, severity: Severity, key: str) -> Signal:
    return Signal(door, words, reason, severity, confidence_of(key), counts().get(key, Count(0, 0)).named)


def _first_line(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().splitlines()[0]


def explained_by(problem: Problem) -> list[str]:
    """Names the problems of which one is a symptom."""
    return [
        other.name
        for other in CATALOGUE.values()
        if other is not problem and (problem.effect in other.produces or problem.name in other.explains)
    ]


def rules_data(name: str = "") -> list[dict[str, Any]]:
    """Returns the problems of one name, or all, as plain data.

    Args:
        name: a name of today or of an older version; empty for all.

    Raises:
        InputError: no problem is called that.

    Example:
        >>> [problem["name"] for problem in rules_data("broadcasting")]
        ['loss_broadcasts']
    """
    problems = problems_named(name) if name else list(CATALOGUE.values())
    return [
        {
            "name": problem.name,
            "severity": str(problem.severity),
            "summary": problem.summary,
            "fix": problem.fix,
            "source": problem.source,
            "formerly": list(problem.formerly),
            "symptom_of": explained_by(problem),
            "signals": [
                {**signal._asdict(), "severity": str(signal.severity)} for signal in signals_of(problem)
            ],
        }
        for problem in problems
    ]


def rules_page() -> str:
    """Renders the page docs/rules.md.

    Example:
        >>> print(rules_page().splitlines()[0])
        # The rules
    """
    sections = (_section(title, rows(subject)) for title, subject in SUBJECTS.items())
    return "\n".join((_INTRODUCTION, *sections))


def _section(title: str, problems: Sequence[Problem]) -> str:
    cells = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, problems)]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells]
    return "\n".join((f"## {title}", "", *lines, ""))


def _cells(problem: Problem) -> tuple[str, ...]:
    found = "<br>".join(
        f"`{signal.door}`: {signal.words}"
        + (f" ({signal.reason})" if signal.reason else "")
        + f" *{signal.confidence:.0%}, n = {signal.named}*"
        for signal in signals_of(problem)
    )
    return (problem.name, problem.severity.value, problem.summary, found, problem.fix, problem.source)


def rules_table() -> RenderableType:
    """Renders the list for the terminal; the rest is shown problem by problem."""
    parts: list[RenderableType] = []
    for title, subject in SUBJECTS.items():
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for heading in HEADINGS[:3]:
            table.add_column(heading, overflow="fold", no_wrap=heading == "severity")
        for problem in rows(subject):
            severity = Text(problem.severity.value, style=STYLES[problem.severity])
            table.add_row(Text(problem.name, overflow="fold"), severity, Text(problem.summary))
        parts += [table, Text()]
    return Group(*parts, Text("babysit rules NAME shows one in full: signals, thresholds, fix", style="dim"))


def rule_in_full(name: str) -> RenderableType:
    """Renders everything about the problems of one name.

    Args:
        name: a name of today or of an older version.

    Raises:
        InputError: no problem is called that.
    """
    return Group(*(part for problem in problems_named(name) for part in _in_full(problem)))


def _in_full(problem: Problem) -> list[RenderableType]:
    head = Text.assemble((problem.name, f"bold {STYLES[problem.severity]}"), f"  {problem.severity.value}")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for signal in signals_of(problem):
        share = f"right in {signal.confidence:.0%} of cases (n = {signal.named})"
        why = f"\nwhy there: {signal.reason}" if signal.reason else ""
        table.add_row(signal.door, Text(f"{signal.words}{why}\n{signal.severity}, {share}"))
    rest = {
        "fix": problem.fix,
        "source": problem.source,
        "symptom of": named(explained_by(problem), most=8),
        "formerly": ", ".join(problem.formerly),
    }
    for what, words in rest.items():
        if words:
            table.add_row(what, Text(words))
    return [head, Padding(Text(problem.summary), (0, 0, 0, 2)), Padding(table, (0, 0, 1, 2))]
