"""The words for a verdict that pages and terminal tables share."""

from __future__ import annotations

from babysit.diagnosis.wording import found_text
from babysit.verdicts import Health, Verdict

HEALTH_WORDS = {
    Health.HEALTHY: "healthy",
    Health.UNDECIDED: "undecided",
    Health.UNHEALTHY: "not healthy",
}


def found_line(verdict: Verdict) -> str:
    """Describes the findings of a verdict, and how many questions were not answered.

    Args:
        verdict: the verdict.

    Example:
        >>> from babysit.verdicts import Answer, Question
        >>> asked = Question("plateau"), Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps")
        >>> found_line(Verdict(questions=asked))
        'nothing wrong in 1 question, 1 not answered'
    """
    unanswered = f", {len(verdict.unanswered)} not answered" if verdict.unanswered else ""
    return f"{found_text(verdict)}{unanswered}"
