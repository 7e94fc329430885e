"""What a watched run comes to: findings, causes with their symptoms folded under them, words and data."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any

from babysit.records import Cause, Finding, Severity

_WIDTH = 100
_GRAVE = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a watched run.

    Attributes:
        name: what the user calls the run.
        causes: the likeliest first.
        facts: what was measured, in words, one line each.
        steps: how many steps were watched.

    Example:
        >>> print(Report("mnist", steps=500))
        mnist: healthy, nothing to report after 500 steps
    """

    name: str
    causes: tuple[Cause, ...] = ()
    facts: tuple[str, ...] = field(default=())
    steps: int = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, symptoms included, the gravest first."""
        found = [each for cause in self.causes for each in (cause.finding, *cause.symptoms)]
        return tuple(sorted(found, key=lambda finding: _GRAVE.index(finding.severity)))

    @property
    def healthy(self) -> bool:
        """No warning and no error."""
        return all(finding.severity is Severity.INFO for finding in self.findings)

    def as_data(self) -> dict[str, Any]:
        """The report as plain data that JSON can hold; numbers that are none become null."""
        return {
            "name": self.name,
            "steps": self.steps,
            "healthy": self.healthy,
            "causes": [cause.as_data() for cause in self.causes],
            "findings": [finding.as_data() for finding in self.findings],
            "facts": list(self.facts),
        }

    def as_json(self) -> str:
        """``as_data`` as JSON."""
        return json.dumps(self.as_data(), indent=2, allow_nan=False)

    def __str__(self) -> str:
        head = (
            "healthy, nothing to report" if not self.causes else "healthy" if self.healthy else "not healthy"
        )
        lines = [f"{self.name}: {head} after {self.steps} steps"]
        lines += [line for number, cause in enumerate(self.causes, 1) for line in _told(number, cause)]
        return "\n".join([*lines, *(f"  {fact}" for fact in self.facts)])


def _told(number: int, cause: Cause) -> list[str]:
    finding = cause.finding
    scope = f"({finding.where}, since step {finding.since}, {cause.confidence:.0%} sure)"
    head = f"{number}. {finding.severity.upper()} {finding.rule} {scope}"
    lines = [head, _wrapped(finding.message)]
    lines += [
        _wrapped(f"{each.what}: {each.value:.3g} (expected {each.expected})") for each in finding.evidence
    ]
    if cause.symptoms:
        lines.append(_wrapped("explains: " + ", ".join(symptom.rule for symptom in cause.symptoms)))
    return [*lines, _wrapped(f"-> {finding.advice}")]


def _wrapped(text: str) -> str:
    return fill(text, _WIDTH, initial_indent="   ", subsequent_indent="   ")
