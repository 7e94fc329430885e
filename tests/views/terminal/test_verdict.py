"""A verdict at the terminal: in its own order, no user's markup, narrow enough."""

from __future__ import annotations

from dataclasses import replace

from babysit.diagnosis.report import Report
from babysit.verdicts import Answer, Cause, Question, Severity
from babysit.views.terminal.verdict import headline_view, verdict_view
from views.studies import EVIL, FINDING, printed

WORSE = replace(FINDING, severity=Severity.ERROR, message="It diverged.", rule="loss_exploded")
QUIET = replace(FINDING, severity=Severity.INFO, message="It could be larger.", rule="underfitting")


ASKED = (Question("plateau"), Question("learned_nothing"))


def report(*findings, **options):
    causes = tuple(Cause(replace(finding, confidence=0.8)) for finding in findings)
    return Report(causes, name="run", **{"questions": ASKED, **options})


def test_causes_keep_the_order_of_the_report() -> None:
    text = printed(verdict_view(report(WORSE, FINDING)), width=100)
    assert text.index("1. error: It diverged.") < text.index("2. warning: The cost barely moves.")
    assert "run: not healthy: 1 error, 1 warning" in text
    assert "cost, since epoch 1 (loss_exploded, 80% sure)" in text
    assert "fall 7e-05, expected 1e-2: why" in text
    assert "→ Raise it." in text


def test_remarks_stand_below_and_facts_last() -> None:
    text = printed(verdict_view(report(QUIET, facts=("loss 2 -> 1",), when="after 3 epochs")))
    assert [line.rstrip() for line in text.splitlines()] == [
        "run: healthy after 3 epochs: nothing wrong in 2 questions, 1 remark",
        "info: It could be larger. (Raise it.)",
        "  loss 2 -> 1",
    ]


def test_symptoms_and_what_would_tell_are_said() -> None:
    cause = Cause(WORSE, (FINDING, QUIET), "a tenth of the rate: does it fall?")
    text = printed(verdict_view(Report((cause,), ASKED)), width=100)
    assert "explains: learning_rate_too_low, underfitting" in text
    assert "a tenth of the rate: does it fall?" in text
    assert "2. " not in text


def test_silence_is_said() -> None:
    assert "run: healthy: nothing wrong in 2 questions" in printed(verdict_view(report()))
    assert headline_view(report()).style == "green"
    assert headline_view(report(WORSE)).style == "bold red"


def test_what_was_not_looked_at_is_said_and_is_not_healthy() -> None:
    asked = (*ASKED, Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps"))
    undecided = report(questions=asked)
    text = printed(verdict_view(undecided), width=100)
    assert "run: undecided: nothing wrong in 2 questions; 1 not answered: only 3 steps" in text
    assert "  not answered (only 3 steps): dead units" in text
    assert headline_view(undecided).style == "bold"


def test_user_names_are_not_markup_and_nothing_is_too_wide() -> None:
    odd = replace(FINDING, message=EVIL * 3, where=EVIL, advice=EVIL)
    text = printed(verdict_view(report(odd, replace(QUIET, message=EVIL))))
    assert "[red]" in text
    assert max(map(len, text.splitlines())) <= 80
