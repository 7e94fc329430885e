"""What every rule tells of itself, whichever table it stands in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from babysit.records import Finding, Severity


@dataclass(frozen=True, slots=True)
class RuleCard:
    """One rule in words.

    Attributes:
        name: the rule's name.
        applies: where it is asked: "check", "watch" or "train, search, diagnose".
        severity: of its finding; a remark of a check may become a warning where it explains one.
        about: the signal and its threshold.
        reason: why the threshold lies there; empty where ``about`` says it.
        advice: what to do, where the run's own numbers are not yet known.
        source: the lecture row or paper behind it.
        symptom_of: rules that explain this one away.

    Example:
        >>> card = RuleCard("exploded", "watch", Severity.ERROR, "a loss above 3 x its first", "", "", "")
        >>> card.title
        'exploded: a loss above 3 x its first'
    """

    name: str
    applies: str
    severity: Severity
    about: str
    reason: str
    advice: str
    source: str
    symptom_of: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name in words, and what it looks for."""
        return f"{spoken(self.name)}: {self.about}"

    def as_data(self) -> dict[str, Any]:
        """The card as plain data."""
        return {
            "name": self.name,
            "applies": self.applies,
            "severity": str(self.severity),
            "about": self.about,
            "reason": self.reason,
            "advice": self.advice,
            "source": self.source,
            "symptom_of": list(self.symptom_of),
        }


def card_of(finding: Finding) -> RuleCard:
    """What a finding tells of a rule that stands in no table."""
    about = "; ".join(f"{each.what}: {each.expected}" for each in finding.evidence)
    return RuleCard(
        name=finding.rule,
        applies="",
        severity=finding.severity,
        about=about or finding.message,
        reason="",
        advice=finding.advice,
        source=finding.source,
    )


def spoken(name: str) -> str:
    """A rule's name as people say it.

    Example:
        >>> spoken("learning_rate_too_low")
        'learning rate too low'
    """
    return name.replace("_", " ")
