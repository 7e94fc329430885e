"""The one report: of a program before training, of a watched run, of a log, of a recipe's checks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from babysit.records import Cause, Finding, Severity
from babysit.verdict import sarif
from babysit.verdict.cards import RuleCard
from babysit.verdict.words import (
    GRAVEST_FIRST,
    evidence_text,
    explains_text,
    place_text,
    remark_text,
    verdict_of,
    verdict_text,
)

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, the likeliest cause first, with its evidence as data.

    Printed it reads in ten seconds; it is true when healthy, so that a test says ``assert report, report``.

    Attributes:
        name: what was looked at.
        causes: findings that no other explains, with their symptoms, the likeliest first.
        remarks: findings that are neither a cause nor a symptom of one.
        facts: what was measured, in words, one line each.
        steps: how many steps were watched.
        when: what was seen of it, in words: "before training", "in this log"; default the steps.
        rules: what the table says of the rules that found something.

    Example:
        >>> print(Report("mnist", steps=500))
        mnist: healthy, nothing looks wrong after 500 steps
    """

    name: str = ""
    causes: tuple[Cause, ...] = ()
    remarks: tuple[Finding, ...] = ()
    facts: tuple[str, ...] = ()
    steps: int = 0
    when: str = ""
    rules: tuple[RuleCard, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding once, symptoms included, the gravest first."""
        told = [each for cause in self.causes for each in (cause.finding, *cause.symptoms)]
        once = {(each.rule, each.where, each.since): each for each in (*told, *self.remarks)}
        return tuple(sorted(once.values(), key=_gravity))

    @property
    def healthy(self) -> bool:
        """No warning and no error."""
        return all(finding.severity is Severity.INFO for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """What a command ends with: 0 when healthy, else 1."""
        return 0 if self.healthy else 1

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        when = self.when or (f"after {self.steps} steps" if self.steps else "")
        return verdict_text(self.name, when, self.findings)

    def __bool__(self) -> bool:
        return self.healthy

    def raise_if_unhealthy(self) -> None:
        """Raises when something is wrong.

        Raises:
            AssertionError: with the report as its message.
        """
        if not self.healthy:
            raise AssertionError(str(self))

    def as_data(self) -> dict[str, Any]:
        """The report as plain data that JSON can hold; numbers that are none become null."""
        return {
            "name": self.name,
            "when": self.when,
            "steps": self.steps,
            "healthy": self.healthy,
            "causes": [cause.as_data() for cause in self.causes],
            "findings": [finding.as_data() for finding in self.findings],
            "facts": list(self.facts),
        }

    def as_json(self) -> str:
        """``as_data`` as JSON."""
        return json.dumps(self.as_data(), indent=2, allow_nan=False)

    def as_sarif(self, file: str = "") -> str:
        """The report in the form that code hosts and editors read: SARIF 2.1.0, as JSON.

        Args:
            file: the recipe, script or log that the findings are shown at; none by default.
        """
        log = sarif.document(self.name, self.findings, self.causes, self.rules, file)
        return json.dumps(log, indent=2, allow_nan=False)

    def __str__(self) -> str:
        serious = [cause for cause in self.causes if cause.finding.severity is not Severity.INFO]
        lines = [line for number, cause in enumerate(serious, 1) for line in _told(number, cause)]
        lines += [_wrapped(remark_text(each), "") for each in self.quiet]
        return "\n".join([self.headline, *lines, *(f"  {fact}" for fact in self.facts)])

    @property
    def quiet(self) -> tuple[Finding, ...]:
        """The findings of severity info."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.INFO)


def together(first: Report, second: Report) -> Report:
    """Two reports on one thing as one, under the first one's name.

    Args:
        first, second: what was found.

    Example:
        >>> together(Report("mine", facts=("fast",)), Report("other", facts=("small",))).facts
        ('fast', 'small')
    """
    return Report(
        first.name,
        ranked((*first.causes, *second.causes)),
        (*first.remarks, *second.remarks),
        (*first.facts, *second.facts),
        max(first.steps, second.steps),
        first.when,
        (*first.rules, *second.rules),
    )


def ranked(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Causes, the gravest first, of equal ones the surest.

    Args:
        causes: in the order that decides between equals.
    """
    return tuple(sorted(causes, key=lambda cause: (_gravity(cause.finding), -cause.confidence)))


def _gravity(finding: Finding) -> int:
    return GRAVEST_FIRST.index(finding.severity)


def _told(number: int, cause: Cause) -> list[str]:
    details = [place_text(cause), *map(evidence_text, cause.finding.evidence), explains_text(cause)]
    details.append(cause.distinguish)
    lines = [_wrapped(f"{number}. {verdict_of(cause.finding)}", "")]
    lines += [_wrapped(detail, "   ") for detail in details if detail]
    return [*lines, _wrapped(f"-> {cause.finding.advice}", "   ")]


def _wrapped(text: str, indent: str) -> str:
    return fill(text, _WIDTH, initial_indent=indent, subsequent_indent="   ")
