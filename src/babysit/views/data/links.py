"""Causes as a page shows them, each linked to the figure that shows it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.wording import cause_lines, evidence_text, explains_text, place_text
from babysit.verdicts import Cause, Finding, Verdict


class LinkedCause(NamedTuple):
    """A cause on a page.

    Attributes:
        number: its place among the causes, from 1; marks in figures bear it.
        cause: the cause.
        link: the key of its figure; empty where the page has none.
    """

    number: int
    cause: Cause
    link: str

    @property
    def finding(self) -> Finding:
        """The cause's finding."""
        return self.cause.finding

    @property
    def place(self) -> str:
        """The place, the moment, the problem and how sure it is, in words."""
        return place_text(self.finding)

    @property
    def explains(self) -> str:
        """The names of its symptoms; empty without any."""
        return explains_text(self.cause)

    @property
    def details(self) -> list[str]:
        """The evidence, the symptoms, and what would tell it from the next cause."""
        return cause_lines(self.cause)[1:]


class LinkedRemark(NamedTuple):
    """An info finding on a page.

    Attributes:
        finding: the finding.
        link: the key of its figure; empty where the page has none.
    """

    finding: Finding
    link: str

    @property
    def place(self) -> str:
        """The place, the moment, the problem and how sure it is, in words."""
        return place_text(self.finding)

    @property
    def evidence(self) -> list[str]:
        """The values it rests on, one line each."""
        return [evidence_text(each) for each in self.finding.evidence]


def linked_causes(verdict: Verdict, keys: Collection[str]) -> list[LinkedCause]:
    """Links the causes that are warnings or errors, in the order of the verdict.

    Args:
        verdict: the verdict.
        keys: of the figures that the page has.
    """
    return [
        LinkedCause(number, cause, link_of(cause.finding, keys))
        for number, cause in enumerate(verdict.serious, 1)
    ]


def linked_remarks(findings: Collection[Finding], keys: Collection[str]) -> list[LinkedRemark]:
    """Links info findings.

    Args:
        findings: the findings.
        keys: of the figures that the page has.
    """
    return [LinkedRemark(finding, link_of(finding, keys)) for finding in findings]


def link_of(finding: Finding, keys: Collection[str]) -> str:
    """Returns the key of the first figure of a finding's problem that a page has; empty without any.

    Args:
        finding: the finding.
        keys: of the figures that the page has.

    Example:
        >>> from babysit.verdicts import Severity
        >>> finding = Finding("dead_units", Severity.WARNING, "3", 1, "", (), "", "")
        >>> link_of(finding, {"loss", "dead"}), link_of(finding, {"loss"})
        ('dead', '')
    """
    problem = CATALOGUE.get(finding.rule)  # a store may name one that only a newer babysit knows
    figures = problem.figures if problem is not None else ()
    return next((key for key in figures if key in keys), "")
