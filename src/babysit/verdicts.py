"""The records of a diagnosis: findings, causes, questions, and their verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """The importance of a finding."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for the most severe.

        Example:
            >>> Severity.ERROR.rank, Severity.INFO.rank
            (0, 2)
        """
        return (Severity.ERROR, Severity.WARNING, Severity.INFO).index(self)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measured value behind a finding, beside what was expected and why."""

    what: str
    value: float
    expected: str
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem that a rule found in a program, a run or a log.

    Attributes:
        rule: the rule's name, e.g. "learning_rate_too_low".
        severity: its importance.
        where: the layer, tensor or quantity it concerns.
        since: the first epoch, step or line at which it holds; 0 for none, as before training.
        message: the verdict in one sentence.
        evidence: the measured values behind it.
        advice: what to do next.
        source: the slide, paper or library behind it.
        unit: the unit of ``since``: "epoch", "step", or the "line" of a log that names neither.
        confidence: the share of right causes among those that the detector named, in [0, 1]. Default: 0.5.
    """

    rule: str
    severity: Severity
    where: str
    since: int
    message: str
    evidence: tuple[Evidence, ...]
    advice: str
    source: str
    unit: str = "epoch"
    confidence: float = 0.5

    @property
    def moment(self) -> str:
        """The moment from which it holds, in words; empty without one.

        Example:
            >>> Finding("plateau", Severity.INFO, "cost", 7, "", (), "", "", unit="step").moment
            'since step 7'
        """
        return f"since {self.unit} {self.since}" if self.since else ""

    def as_data(self) -> dict[str, Any]:
        """Returns the finding as plain data that JSON can hold; NaN and infinite values become null."""
        seen = [
            {**asdict(each), "value": each.value if math.isfinite(each.value) else None}
            for each in self.evidence
        ]
        return {**asdict(self), "severity": str(self.severity), "evidence": seen}


@dataclass(frozen=True, slots=True)
class Cause:
    """A finding that no other explains.

    Attributes:
        finding: the problem.
        symptoms: the findings that it explains.
        distinguish: a test that distinguishes it from the next cause, if both are about as likely.
    """

    finding: Finding
    symptoms: tuple[Finding, ...] = ()
    distinguish: str = ""

    @property
    def rule(self) -> str:
        """The finding's rule."""
        return self.finding.rule

    @property
    def confidence(self) -> float:
        """The finding's confidence."""
        return self.finding.confidence

    def as_data(self) -> dict[str, Any]:
        """Returns the cause as plain data: its finding's, with the symptoms."""
        symptoms = [symptom.as_data() for symptom in self.symptoms]
        return {**self.finding.as_data(), "symptoms": symptoms, "distinguish": self.distinguish}


class Answer(StrEnum):
    """The outcome of a question about a program, a run or a log."""

    ANSWERED = "answered"
    NOT_ANSWERED = "not answered"
    DOES_NOT_APPLY = "does not apply"


@dataclass(frozen=True, slots=True)
class Question:
    """One question behind a verdict: is this problem there?

    Attributes:
        rule: the problem's name.
        answer: its outcome.
        reason: why it was not answered; empty if it was.
        matters: True if the problem is a warning or an error.
    """

    rule: str
    answer: Answer = Answer.ANSWERED
    reason: str = ""
    matters: bool = True

    def as_data(self) -> dict[str, str | bool]:
        """Returns the question as plain data."""
        return {**asdict(self), "answer": str(self.answer)}


class Health(StrEnum):
    """The verdict in one word.

    Undecided: nothing wrong was found, and a question that matters was not answered.
    """

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """The outcome of a diagnosis, as the store keeps it.

    Attributes:
        causes: findings that no other explains, with their symptoms, the most severe first.
        questions: one per problem.
        facts: the measurements in words, one line each.
        steps: the number of observed steps.
        when: the observed part, in words: "before training", "in this log". Default: the steps.
    """

    causes: tuple[Cause, ...] = ()
    questions: tuple[Question, ...] = ()
    facts: tuple[str, ...] = ()
    steps: int = 0
    when: str = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding once, symptoms included, the most severe first."""
        every = [each for cause in self.causes for each in (cause.finding, *cause.symptoms)]
        once = {(each.rule, each.where, each.since): each for each in every}
        return tuple(sorted(once.values(), key=lambda finding: finding.severity.rank))

    @property
    def serious(self) -> tuple[Cause, ...]:
        """The causes that are a warning or an error."""
        return tuple(cause for cause in self.causes if cause.finding.severity is not Severity.INFO)

    @property
    def quiet(self) -> tuple[Finding, ...]:
        """The info findings, without those that a serious cause explains."""
        explained = [symptom for cause in self.serious for symptom in cause.symptoms]
        return tuple(
            each for each in self.findings if each.severity is Severity.INFO and each not in explained
        )

    @property
    def health(self) -> Health:
        """Unhealthy with a warning or an error; healthy where every question that matters was answered."""
        if self.serious:
            return Health.UNHEALTHY
        asked = any(each.answer is Answer.ANSWERED for each in self.questions)
        return Health.HEALTHY if asked and not self.unanswered else Health.UNDECIDED

    @property
    def healthy(self) -> bool:
        """True if every question that matters was answered, and nothing is wrong."""
        return self.health is Health.HEALTHY

    @property
    def unanswered(self) -> tuple[Question, ...]:
        """The questions that matter and were not answered."""
        return tuple(each for each in self.questions if each.answer is Answer.NOT_ANSWERED and each.matters)


class Status(StrEnum):
    """The outcome of a check."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer to one question asked before training.

    Attributes:
        name: the check's name, e.g. "initial_loss".
        status: pass, warn or fail.
        value: the measured value.
        expected: the value of a healthy set-up, in words.
        advice: what to do if it fails; on a pass, what the pass shows.
        details: further measured values by name.
    """

    name: str
    status: Status
    value: float
    expected: str
    advice: str
    details: Mapping[str, Any] = field(default_factory=dict)
