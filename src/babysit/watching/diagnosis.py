"""A run's or a log's readings as a report: what the rules found, each with how sure it is."""

from __future__ import annotations

from babysit.records import Cause, Run
from babysit.verdict.cards import RuleCard
from babysit.verdict.report import Report, ranked
from babysit.watching.remedies import card
from babysit.watching.rules import RULES, Context, diagnose

APPLIES = "train, search, diagnose"


def report_on(run: Run, context: Context, name: str = "", when: str = "") -> Report:
    """The verdict on a run's readings.

    A symptom whose cause was found is not in it: readings are too coarse to tell it apart.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        name: what to call it.
        when: what was seen of it, in words.

    Example:
        >>> from babysit.records import Reading, State
        >>> readings = tuple(Reading(e, e * 490, 2.3025 - 1e-5 * e, 0.19, 0.19, 1e-6) for e in range(1, 11))
        >>> run = Run(State.COMPLETE, readings, first_cost=2.302576)
        >>> print(report_on(run, Context(2.302585, 0.1, {"learning_rate": 1e-6}), "slow").headline)
        slow: not healthy: 1 warning
    """
    certainty = {rule.name: rule.certainty for rule in RULES}
    found = diagnose(run, context)
    causes = ranked(Cause(finding, certainty[finding.rule]) for finding in found)
    names = {finding.rule for finding in found}
    return Report(name, causes, when=when, rules=tuple(each for each in cards() if each.name in names))


def cards() -> tuple[RuleCard, ...]:
    """What the table says of every rule."""
    return tuple(card(rule, APPLIES, rule.severity) for rule in RULES)
