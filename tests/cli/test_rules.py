"""`babysit rules`, and the page of the documentation: every rule of every table."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from babysit.checks.faults import FAULTS
from babysit.records import Severity
from babysit.views.rules import all_cards, cards_named, rules_page
from babysit.watching import remedies
from babysit.watching.live_rules import LIVE_RULES
from babysit.watching.rules import RULES
from cli.test_bad_input import assert_refused

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
CARDS = all_cards()


def test_every_table_is_in_the_list():
    listed = {(card.applies, card.name) for card in CARDS}
    assert {("check", fault.name) for fault in FAULTS} <= listed
    assert {("watch", rule.name) for rule in LIVE_RULES} <= listed
    assert {("train, search, diagnose", rule.name) for rule in RULES} <= listed
    assert len(listed) == len(CARDS)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.applies}-{card.name}")
def test_every_rule_is_documented(card):
    assert f"| {card.name} | {card.severity.value} |" in PAGE.read_text()
    assert len(card.about) > 15
    assert card.advice, "give it an entry in watching/remedies.py"
    assert card.source
    assert len(card.reason) > 10 or card.applies == "check"  # there the signal says it


def test_the_page_is_made_from_the_tables():
    assert PAGE.read_text() == rules_page(CARDS), "run `python -m docs.rules`"


def test_no_remedy_is_left_over():
    assert set(remedies.REMEDIES) == {rule.name for rule in (*LIVE_RULES, *RULES)}
    assert {rule.name for rule in LIVE_RULES} >= remedies.ERRORS | remedies.REMARKS


def _source_with_helpers(judge):
    """What a judge says, with the private functions that make its findings."""
    text = inspect.getsource(judge)
    called = [getattr(inspect.getmodule(judge), name, None) for name in re.findall(r"return (_\w+)\(", text)]
    return text + "".join(inspect.getsource(each) for each in called if each)


@pytest.mark.parametrize("rule", LIVE_RULES, ids=lambda rule: rule.name)
def test_the_severity_of_a_live_rule_is_the_gravest_in_its_code(rule):
    named = re.findall(r"Severity\.(\w+)", _source_with_helpers(rule.judge))
    order = list(Severity)
    assert max((Severity[name] for name in named), key=order.index) is remedies.gravest(rule.name)


def test_the_list_names_where_each_is_asked(babysit):
    answer = babysit("rules")
    assert answer.code == 0
    for words in ("babysit.check", "babysit.watch", "babysit train", "softmax_before_cross_entropy"):
        assert words in answer.out


def test_the_list_as_json(babysit):
    rules = babysit("rules", "--json").data["rules"]
    assert [(rule["applies"], rule["name"]) for rule in rules] == [
        (card.applies, card.name) for card in CARDS
    ]


def test_one_rule_in_full(babysit):
    text = " ".join(babysit("rules", "learning-rate-too-low").out.split())
    for card in cards_named("learning_rate_too_low"):
        for words in (card.about, card.advice, card.source, card.reason):
            assert words in text
    data = babysit("rules", "exploded", "--json").data["rules"]
    assert {rule["applies"] for rule in data} == {"watch", "train, search, diagnose"}


def test_an_unknown_rule_gets_a_hint(babysit):
    assert_refused(babysit("rules", "graph_cutt"), "graph_cutt", "did you mean graph_cut?")
    assert_refused(babysit("rules", "zzzzzz"), "babysit rules")
