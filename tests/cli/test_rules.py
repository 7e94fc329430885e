"""`babysit rules`, and its page of the documentation: every problem once, with the signals of each door."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from docs.rules import PAGE, TABLE, rules_page, signals_table

from babysit.checks.detectors import DETECTORS as CHECKS
from babysit.checks.of_recipe import OF_RECIPE
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.signals import explained_by, signals_of
from babysit.readings.detectors import DETECTORS as READINGS
from babysit.verdicts import Severity
from babysit.views.terminal.rules import rules_data
from babysit.watching.detectors import DETECTORS as WATCH
from cli.test_bad_input import assert_refused

DETECTORS = (*CHECKS, *OF_RECIPE, *WATCH, *READINGS)
FOUND_ELSEWHERE = {"best_at_edge_of_range"}
"""By the judgement of a search, which is not a detector."""


@pytest.mark.parametrize("problem", CATALOGUE.values(), ids=lambda problem: problem.name)
def test_every_problem_is_documented(problem):
    assert f"| {problem.name} | {problem.severity.value} |" in PAGE.read_text()
    assert problem.summary.endswith(".")
    assert problem.fix
    assert problem.source
    assert "row" not in problem.source.split()
    assert signals_of(problem) or problem.name in FOUND_ELSEWHERE


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.key)
def test_every_detector_says_what_it_looks_at_and_why(detector):
    assert len(detector.signal) > 15
    assert len(detector.reason) > 10 or detector.key.startswith("checks.")  # there the signal says it
    assert detector.problem is CATALOGUE[detector.problem.name]


def test_no_two_detectors_have_one_key():
    assert len({detector.key for detector in DETECTORS}) == len(DETECTORS)


def test_the_page_is_made_from_the_catalogue():
    assert json.loads(TABLE.read_text()) == signals_table(), "run `python -m docs.rules`"
    assert PAGE.read_text() == rules_page(), "run `python -m docs.rules`"


def _source_with_helpers(look):
    """The code of a detector, with the private functions that make its detections."""
    text = inspect.getsource(look)
    called = [getattr(inspect.getmodule(look), name, None) for name in re.findall(r"return (_\w+)\(", text)]
    return text + "".join(inspect.getsource(each) for each in called if inspect.isfunction(each))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.key)
def test_no_detection_is_more_severe_than_its_problem(detector):
    named = [Severity[name] for name in re.findall(r"Severity\.(\w+)", _source_with_helpers(detector.look))]
    assert all(severity.rank >= detector.problem.severity.rank for severity in named)


def test_the_list_names_every_problem(babysit):
    answer = babysit("rules")
    assert answer.code == 0
    for words in ("Learning rate and regularization", "Several processes", "dead_units"):
        assert words in answer.out


def test_the_list_as_json(babysit):
    rules = babysit("rules", "--json").data["rules"]
    assert [rule["name"] for rule in rules] == list(CATALOGUE)
    assert rules == rules_data()


def test_a_problem_is_shown_once_with_each_doors_signal(babysit):
    text = " ".join(babysit("rules", "learning-rate-too-low").out.split())
    problem = CATALOGUE["learning_rate_too_low"]
    assert text.count(problem.summary) == 1
    assert {signal.door for signal in signals_of(problem)} == {
        "babysit.check",
        "babysit.watch",
        "babysit train, search, diagnose",
    }
    for signal in signals_of(problem):
        for words in (signal.door, signal.words, signal.reason):
            assert words in text
    for words in (problem.fix, problem.source, ", ".join(explained_by(problem)[:8]) + " and "):
        assert words in text


def test_an_old_name_finds_the_new_ones(babysit):
    assert [rule["name"] for rule in babysit("rules", "graph_cut", "--json").data["rules"]] == [
        "loss_not_connected",
        "layers_without_gradient",
    ]
    assert "loss_broadcasts" in babysit("rules", "broadcast loss").out


def test_an_unknown_rule_gets_a_hint(babysit):
    assert_refused(babysit("rules", "dead_unitts"), "dead_unitts", "did you mean dead_units")
    assert_refused(babysit("rules", "zzzzzz"), "babysit rules")
