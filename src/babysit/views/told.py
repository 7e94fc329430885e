"""What a page tells of a cause, and which figure shows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from babysit.records import Cause, Finding, Severity
from babysit.verdict.report import Report
from babysit.verdict.words import evidence_text, explains_text, place_text


class Told(NamedTuple):
    """One cause on the page; links are keys of figures, empty where none shows it."""

    number: int
    finding: Finding
    place: str
    evidence: tuple[tuple[str, str], ...]
    explains: str
    distinguish: str
    link: str


class Remark(NamedTuple):
    """A quiet finding on the page."""

    finding: Finding
    link: str
    evidence: tuple[str, ...]


_WORDS = (
    ("update ratio", "updates"),
    ("gradient", "gradients"),
    ("saturat", "saturation"),
    ("dead", "dead"),
    ("silent", "dead"),
    ("dead", "layers"),
    ("silent", "layers"),
    ("activation", "spread"),
    ("output", "spread"),
    ("accurac", "scores"),
    ("validation", "scores"),
    ("gap", "scores"),
    ("learning rate", "rates"),
    ("schedule", "rates"),
    ("rate", "rates"),
    ("loss", "loss"),
    ("cost", "loss"),
)
"""What is spoken of -> the figure that shows it; the first that is found, and that there is."""


def causes_told(report: Report, keys: Collection[str]) -> list[Told]:
    """The causes that are no mere remarks, the likeliest first.

    Args:
        report: what was found.
        keys: of the figures that there are.
    """
    serious = [cause for cause in report.causes if cause.finding.severity is not Severity.INFO]
    return [_told(number, cause, keys) for number, cause in enumerate(serious, 1)]


def remarks_told(report: Report, keys: Collection[str]) -> list[Remark]:
    """The quiet findings.

    Args:
        report: what was found.
        keys: of the figures that there are.
    """
    return [
        Remark(finding, link_of(finding, keys), tuple(map(evidence_text, finding.evidence)))
        for finding in report.quiet
    ]


def _told(number: int, cause: Cause, keys: Collection[str]) -> Told:
    finding = cause.finding
    evidence = tuple((evidence_text(each), _link([each.what], keys)) for each in finding.evidence)
    link = link_of(finding, keys)
    return Told(number, finding, place_text(cause), evidence, explains_text(cause), cause.distinguish, link)


def link_of(finding: Finding, keys: Collection[str]) -> str:
    """The figure that a finding speaks of: in its evidence first, then its place, then its message.

    Example:
        >>> from babysit.records import Evidence
        >>> seen = (Evidence("dead units", 1.0, "below 0.5", ""),)
        >>> finding = Finding("dead_units", Severity.WARNING, "3", 1, "", seen, "", "")
        >>> link_of(finding, {"loss", "dead"}), link_of(finding, {"loss"})
        ('dead', '')
    """
    return _link([*(each.what for each in finding.evidence), finding.where, finding.message], keys)


def _link(spoken: Sequence[str], keys: Collection[str]) -> str:
    """The figure that shows the first thing spoken of that any shows; empty where none does."""
    found = (key for words in spoken for word, key in _WORDS if word in words.lower() and key in keys)
    return next(found, "")
