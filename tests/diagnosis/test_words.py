"""The words of a verdict: its headline, what stayed open, and the same for a notebook."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.report import Report
from babysit.diagnosis.wording import (
    cause_lines,
    counts_text,
    evidence_text,
    explains_text,
    found_text,
    headline,
    open_lines,
    place_text,
    remark_text,
    verdict_of,
)
from babysit.verdicts import Answer, Cause, Evidence, Question, Severity, Verdict
from diagnosis.test_report import ASKED, CAUSE, OPEN, REMARK, SICK, SYMPTOM

HEALTHY = Report(name="mnist", questions=ASKED, steps=500)
UNDECIDED = Report(name="mnist", questions=(*ASKED, OPEN), steps=3)
EVIL = "<script>alert('x')</script> & \"more\""


def unanswered(rule, reason, answer=Answer.NOT_ANSWERED, matters=True):
    return Question(rule, answer, reason, matters)


# A report as text


@pytest.mark.parametrize("report", [SICK, HEALTHY, UNDECIDED, Report()])
def test_a_report_at_the_prompt_is_what_is_printed(report):
    assert repr(report) == str(report)
    assert str(report).splitlines()[0] == report.headline == headline(report, report.name)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (HEALTHY, "mnist: healthy after 500 steps: nothing wrong in 2 questions"),
        (
            UNDECIDED,
            "mnist: undecided after 3 steps: nothing wrong in 2 questions; 1 not answered: only 3 steps",
        ),
        (SICK, "mnist: not healthy after 500 steps: 1 error, 1 warning, 1 remark"),
        (
            replace(SICK, questions=(*ASKED, OPEN)),
            "mnist: not healthy after 500 steps: 1 error, 1 warning, 1 remark; 1 not answered",
        ),
        (
            replace(HEALTHY, causes=(Cause(REMARK),), when="before training"),
            "mnist: healthy before training: nothing wrong in 2 questions, 1 remark",
        ),
        (Report(), "undecided: nothing was asked"),
        (Report(name="mnist", when="in this log"), "mnist: undecided in this log: nothing was asked"),
        (Report(questions=(OPEN,)), "undecided: nothing was answered; 1 not answered: only 3 steps"),
        (
            Report(questions=(replace(OPEN, answer=Answer.DOES_NOT_APPLY),)),
            "undecided: nothing was asked",
        ),
        (Report(questions=ASKED[:1]), "healthy: nothing wrong in 1 question"),
        (Report(causes=(Cause(SYMPTOM), Cause(replace(SYMPTOM, where="else")))), "not healthy: 2 warnings"),
    ],
)
def test_the_headline_is_the_verdict_in_one_line(report, words):
    assert report.headline == words


def test_the_headline_names_three_reasons_and_how_many_more():
    few = [unanswered(rule, f"only {number} steps") for number, rule in enumerate(list(CATALOGUE)[:5])]
    for count, words in (
        (1, "only 0 steps"),
        (3, "only 0 steps, only 1 steps, only 2 steps"),
        (4, "only 0 steps, only 1 steps, only 2 steps and 1 more reason"),
        (5, "only 0 steps, only 1 steps, only 2 steps and 2 more reasons"),
    ):
        verdict = Verdict(questions=(*ASKED, *few[:count]))
        assert headline(verdict).endswith(f"; {count} not answered: {words}")
    same = Verdict(questions=(*ASKED, few[0], replace(few[1], reason="only 0 steps")))
    assert headline(same).endswith("; 2 not answered: only 0 steps")


def test_questions_that_do_not_matter_are_not_counted_as_open():
    quiet = unanswered("plateau", "only 3 steps", matters=False)
    assert headline(Verdict(questions=(*ASKED, quiet))) == "healthy: nothing wrong in 2 questions"


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ("", ""),
        ("info", "1 remark"),
        ("info info error", "1 error, 2 remarks"),
        ("warning error warning", "1 error, 2 warnings"),
    ],
)
def test_findings_are_counted_by_severity(severities, words):
    findings = [replace(CAUSE, severity=Severity(each)) for each in severities.split()]
    assert counts_text(findings) == words


def test_what_is_found_counts_symptoms_too():
    assert found_text(SICK) == "1 error, 1 warning, 1 remark"
    assert found_text(HEALTHY) == "nothing wrong in 2 questions"


def test_what_is_found_counts_no_remark_that_a_serious_cause_explains():
    """It is named beside its cause and not shown as a remark: the count is of what is shown."""
    explained = Verdict(causes=(Cause(SYMPTOM, (REMARK,)),), questions=ASKED)
    assert found_text(explained) == "1 warning"
    remarks = (Cause(replace(REMARK, rule="underfitting"), (REMARK,)),)
    assert found_text(Verdict(causes=remarks, questions=ASKED)) == "nothing wrong in 2 questions, 2 remarks"


# What stayed open


def test_open_questions_are_named_one_line_a_reason():
    verdict = Verdict(
        questions=(
            *ASKED,
            unanswered("dead_units", "only 3 steps"),
            unanswered("overfitting", "no validation"),
            unanswered("loss_exploded", "only 3 steps"),
            unanswered("constant_labels", "no labels", Answer.DOES_NOT_APPLY),
            unanswered("plateau", "only 3 steps", matters=False),
            unanswered("gradient_noise", "no labels", Answer.DOES_NOT_APPLY, matters=False),
        )
    )
    assert open_lines(verdict) == [
        "not answered (no validation): overfitting",
        "not answered (only 3 steps): dead units, loss exploded",
        "does not apply (no labels): constant labels",
    ]
    assert open_lines(HEALTHY) == []


def test_a_question_that_only_a_newer_babysit_knows_is_named_too():
    assert open_lines(Verdict(questions=(unanswered("moon_too_full", "no moon"),))) == [
        "not answered (no moon): moon too full"
    ]


def test_the_text_ends_with_what_stayed_open_and_the_facts():
    report = replace(UNDECIDED, facts=("loss 2 -> 1",))
    assert str(report).splitlines()[1:] == ["  not answered (only 3 steps): dead units", "  loss 2 -> 1"]


# A cause


def test_the_lines_of_a_cause():
    cause = Cause(CAUSE, (SYMPTOM, REMARK), "look at step 1")
    assert cause_lines(cause) == [
        "optimizer, since step 3 (gradients_not_zeroed, 95% sure)",
        "leftover share 1, expected 0: they add up",
        "odd nan, expected a number",
        "explains: learning_rate_too_high, plateau",
        "look at step 1",
    ]
    assert cause_lines(Cause(replace(CAUSE, evidence=()))) == [place_text(CAUSE)]


def test_a_place_without_a_moment_and_a_moment_without_a_place():
    assert place_text(replace(CAUSE, since=0)) == "optimizer (gradients_not_zeroed, 95% sure)"
    assert place_text(replace(CAUSE, where="")) == "since step 3 (gradients_not_zeroed, 95% sure)"


@pytest.mark.parametrize(
    ("value", "words"), [(math.nan, "nan"), (math.inf, "inf"), (123456.0, "1.235e+05"), (0.5, "0.5")]
)
def test_a_measured_value_stands_beside_what_was_expected(value, words):
    assert (
        evidence_text(Evidence("share", value, "below 1", "why")) == f"share {words}, expected below 1: why"
    )


def test_a_remark_and_a_verdict_in_one_line():
    assert verdict_of(CAUSE) == "error: the gradients are not zeroed"
    assert remark_text(REMARK) == "info: it stands still (call optimizer.zero_grad())"
    assert explains_text(Cause(CAUSE)) == ""


# In a notebook


class Checked(HTMLParser):
    """Reads a fragment: its tags must nest, and what is inside a folded part is kept apart."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.folded, self.shown = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = "details" in self.open and "summary" not in self.open
        (self.folded if inside else self.shown).append(data)


def test_a_notebook_shows_verdict_and_advice_and_folds_the_evidence():
    page = Checked(SICK._repr_html_())
    shown, folded = " ".join(page.shown), " ".join(page.folded)
    assert SICK.headline in shown
    assert "error: the gradients are not zeroed" in shown
    assert "→ call optimizer.zero_grad()" in shown
    assert "info: it stands still (call optimizer.zero_grad())" in shown
    assert "leftover share" not in shown
    for line in (*cause_lines(SICK.causes[0]), "loss 2 -> 1"):
        assert line in folded
    assert re.search(r"<details><summary>evidence</summary><ul><li>optimizer, since", SICK._repr_html_())
    assert "<details open" not in SICK._repr_html_()


def test_a_notebook_folds_what_stayed_open():
    page = Checked(UNDECIDED._repr_html_())
    assert "not looked at" in page.shown
    assert page.folded == ["not answered (only 3 steps): dead units"]


@pytest.mark.parametrize("report", [SICK, HEALTHY, UNDECIDED, Report()])
def test_a_fragment_has_neither_scripts_nor_styles_of_a_page(report):
    page = Checked(report._repr_html_())
    assert set(page.tags) <= {"div", "p", "b", "ol", "ul", "li", "br", "details", "summary"}
    assert report._repr_html_().startswith("<div>")


def test_a_notebook_shows_no_markup_that_a_program_smuggled_in():
    """Names of layers, messages of exceptions and targets come from the program that is looked at."""
    evil = replace(
        CAUSE, message=EVIL, where=EVIL, advice=EVIL, evidence=(Evidence(EVIL, 1.0, EVIL, EVIL),), rule=EVIL
    )
    report = Report(
        name=EVIL,
        causes=(
            Cause(evil, (replace(evil, where="else"),), EVIL),
            Cause(replace(evil, severity=Severity.INFO, where="there")),
        ),
        questions=(unanswered("dead_units", EVIL),),
        facts=(EVIL,),
        when=EVIL,
    )
    page = report._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 10
    assert set(Checked(page).tags) <= {"div", "p", "b", "ol", "ul", "li", "br", "details", "summary"}


def test_the_verdict_has_a_colour_of_its_own():
    colours = {re.search(r"color:(#\w+)", each._repr_html_())[1] for each in (SICK, HEALTHY, UNDECIDED)}
    assert len(colours) == 3
