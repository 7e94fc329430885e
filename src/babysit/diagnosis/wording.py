"""The wording of a verdict, the same in a printed report, on the command line and on a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from babysit.verdicts import Answer, Cause, Evidence, Finding, Health, Question, Severity, Verdict

_FEW = 3


def headline(verdict: Verdict, name: str = "") -> str:
    """Words a verdict in one line: its health, the number of findings, the open questions.

    Args:
        verdict: the verdict.
        name: the name of the program, run or log; may be empty.

    Example:
        >>> asked = Question("plateau"), Question("learned_nothing", Answer.NOT_ANSWERED, "only 3 steps")
        >>> headline(Verdict(questions=asked, steps=3), "mnist")
        'mnist: undecided after 3 steps: nothing wrong in 1 question; 1 not answered: only 3 steps'
        >>> headline(Verdict(when="in this log"))
        'undecided in this log: nothing was asked'
    """
    when = verdict.when or (f"after {verdict.steps} steps" if verdict.steps else "")
    word = "not healthy" if verdict.health is Health.UNHEALTHY else str(verdict.health)
    parts = [found_text(verdict)]
    if verdict.unanswered:
        reasons = list(dict.fromkeys(each.reason for each in verdict.unanswered))
        rest = len(reasons) - _FEW
        listed = ", ".join(reasons[:_FEW]) + (f" and {_plural(rest, 'more reason')}" if rest > 0 else "")
        why = "" if verdict.health is Health.UNHEALTHY else f": {listed}"
        parts.append(f"{len(verdict.unanswered)} not answered{why}")
    start = f"{name}: " if name else ""
    moment = f" {when}" if when else ""
    return f"{start}{word}{moment}: {'; '.join(parts)}"


def found_text(verdict: Verdict) -> str:
    """Counts errors, warnings and remarks in words; without any, the questions in which nothing is wrong."""
    serious = [each for each in verdict.findings if each.severity is not Severity.INFO]
    counts = counts_text([*serious, *verdict.quiet])
    asked = sum(each.answer is Answer.ANSWERED for each in verdict.questions)
    if verdict.serious:
        return counts
    nothing = "nothing was answered" if verdict.unanswered else "nothing was asked"
    if asked:
        nothing = f"nothing wrong in {_plural(asked, 'question')}"
    return f"{nothing}, {counts}" if counts else nothing


def counts_text(findings: Sequence[Finding]) -> str:
    """Counts errors, warnings and remarks in words; empty without any."""
    names = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "remark"}
    counts = {severity: sum(each.severity is severity for each in findings) for severity in names}
    return ", ".join(_plural(count, names[severity]) for severity, count in counts.items() if count)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def open_lines(verdict: Verdict) -> list[str]:
    """Lists the questions that were not answered or do not apply, one line per reason.

    Example:
        >>> open_lines(Verdict(questions=(Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps"),)))
        ['not answered (only 3 steps): dead units']
    """
    lines = []
    for answer in (Answer.NOT_ANSWERED, Answer.DOES_NOT_APPLY):
        mine = [each for each in verdict.questions if each.answer is answer and each.matters]
        for reason, group in groupby(sorted(mine, key=_reason), key=_reason):
            names = [each.rule.replace("_", " ") for each in group]
            lines.append(f"{answer} ({reason}): {', '.join(names)}")
    return lines


def _reason(question: Question) -> str:
    return question.reason


def verdict_of(finding: Finding) -> str:
    """Returns a finding's severity and message."""
    return f"{finding.severity}: {finding.message}"


def cause_lines(cause: Cause) -> list[str]:
    """Lists the place and confidence of a cause, its evidence, its symptoms, and its tie-breaker."""
    finding = cause.finding
    lines = [
        place_text(finding),
        *map(evidence_text, finding.evidence),
        explains_text(cause),
        cause.distinguish,
    ]
    return [line for line in lines if line]


def place_text(finding: Finding) -> str:
    """Words the place, the moment, the problem and the confidence of a finding.

    Example:
        >>> place_text(Finding("plateau", Severity.INFO, "cost", 7, "", (), "", "", confidence=0.5))
        'cost, since epoch 7 (plateau, 50% sure)'
    """
    place = ", ".join(part for part in (finding.where, finding.moment) if part)
    return f"{place} ({finding.rule}, {finding.confidence:.0%} sure)"


def evidence_text(evidence: Evidence) -> str:
    """Words one measured value beside the expected one, and why it is expected.

    Example:
        >>> evidence_text(Evidence("update ratio", 2e-7, "about 1e-3", "actual change of W over W"))
        'update ratio 2e-07, expected about 1e-3: actual change of W over W'
    """
    why = f": {evidence.why}" if evidence.why else ""
    return f"{evidence.what} {evidence.value:.4g}, expected {evidence.expected}{why}"


def explains_text(cause: Cause) -> str:
    """Names the symptoms of a cause; empty without any."""
    names = ", ".join(symptom.rule for symptom in cause.symptoms)
    return f"explains: {names}" if names else ""


def remark_text(finding: Finding) -> str:
    """Words an info finding in one line."""
    return f"{finding.severity}: {finding.message} ({finding.advice})"


def named(names: Iterable[str], most: int = 3) -> str:
    """Lists a few names, and counts the rest.

    Args:
        names: of layers, parameters or problems.
        most: the number of names to list.

    Example:
        >>> named(["a", "b", "c", "d"])
        'a, b, c and 1 more'
    """
    known = list(names)
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} more" if rest > 0 else "")
