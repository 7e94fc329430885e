"""A verdict at the terminal: the gravest first, no user's markup, narrow enough."""

from __future__ import annotations

from dataclasses import replace

from babysit.records import Cause, Severity
from babysit.verdict.report import Report, ranked
from babysit.views.verdict import headline_view, verdict_view
from views.studies import EVIL, FINDING
from views.test_terminal import shown

WORSE = replace(FINDING, severity=Severity.ERROR, message="It diverged.", rule="diverging")
QUIET = replace(FINDING, severity=Severity.INFO, message="It could be larger.", rule="underfitting")


def report(*findings, **options):
    return Report("run", ranked(Cause(finding, 0.8) for finding in findings), **options)


def test_the_worst_finding_comes_first() -> None:
    text = shown(verdict_view(report(FINDING, WORSE)), width=100)
    assert text.index("1. error: It diverged.") < text.index("2. warning: The cost barely moves.")
    assert "run: not healthy: 1 error, 1 warning" in text
    assert "cost, since epoch 1 (diverging, 80% sure)" in text
    assert "fall 7e-05, expected 1e-2: why" in text
    assert "→ Raise it." in text


def test_remarks_stand_below_and_facts_last() -> None:
    text = shown(verdict_view(report(QUIET, facts=("loss 2 -> 1",), when="after 3 epochs")))
    assert text.splitlines() == [
        "run: healthy after 3 epochs: 1 remark".ljust(len(text.splitlines()[0])),
        "info: It could be larger. (Raise it.)".ljust(len(text.splitlines()[1])),
        "  loss 2 -> 1".ljust(len(text.splitlines()[2])),
    ]


def test_silence_is_said() -> None:
    assert "run: healthy, nothing looks wrong" in shown(verdict_view(report()))
    assert headline_view(report()).style == "green"
    assert headline_view(report(WORSE)).style == "bold red"


def test_user_names_are_not_markup_and_nothing_is_too_wide() -> None:
    odd = replace(FINDING, message=EVIL * 3, where=EVIL, advice=EVIL)
    text = shown(verdict_view(report(odd, replace(QUIET, message=EVIL))))
    assert "[red]" in text
    assert max(map(len, text.splitlines())) <= 80
