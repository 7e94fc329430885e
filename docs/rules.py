"""Writes docs/rules.md, and the signals that `babysit rules` shows: ``python -m docs.rules``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from babysit import diagnosis
from babysit.checks.detectors import DETECTORS as CHECKS
from babysit.checks.of_recipe import OF_RECIPE
from babysit.checks.questions.ask import CHECKS as QUESTIONS
from babysit.diagnosis import signals
from babysit.diagnosis.catalogue import SUBJECTS, rows
from babysit.diagnosis.problem import Detector, Problem
from babysit.diagnosis.signals import signals_of
from babysit.readings.detectors import DETECTORS as READINGS
from babysit.watching.detectors import DETECTORS as WATCH

PAGE = Path(__file__).parent / "rules.md"
TABLE = Path(diagnosis.__path__[0]) / signals.TABLE

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


def signals_table() -> dict[str, list[dict[str, str]]]:
    """Collects the signals of all detectors: problem -> one row a signal."""
    doors: Sequence[tuple[str, Iterable[Detector[Any]]]] = (
        (CHECK, CHECKS),
        (RECIPE, OF_RECIPE),
        (LOOP, WATCH),
        (NUMBERS, READINGS),
    )
    found = [
        (detector.problem, door, detector.signal, detector.reason, detector.severity, detector.key)
        for door, detectors in doors
        for detector in detectors
    ]
    for question, problem in QUESTIONS.items():
        first = (question.__doc__ or "").strip().splitlines()[0]
        found.append((problem, RECIPE, first, "", None, f"checks.{question.__name__}"))
    table: dict[str, list[dict[str, str]]] = {}
    for problem, door, words, reason, severity, detector in found:
        row = {"door": door, "words": words, "reason": reason}
        row |= {"severity": str(severity or problem.severity), "detector": detector}
        table.setdefault(problem.name, []).append(row)
    return table


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


if __name__ == "__main__":
    TABLE.write_text(json.dumps(signals_table(), indent=1) + "\n")
    PAGE.write_text(rules_page())
