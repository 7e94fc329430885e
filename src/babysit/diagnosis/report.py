"""The diagnosis report of a program, a watched run, a log or a recipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from babysit.diagnosis import html, sarif
from babysit.diagnosis.wording import cause_lines, headline, open_lines, remark_text, verdict_of
from babysit.verdicts import Health, Verdict

_WIDTH = 100


@dataclass(frozen=True, slots=True, repr=False)
class Report(Verdict):
    """A verdict with a name: the most severe cause first, each with its evidence as data.

    A report is false when unhealthy, so a test says ``assert report, report``.

    Attributes:
        causes: findings that no other explains, with their symptoms, the most severe first.
        questions: one per problem, those not answered with the reason.
        facts: the measurements in words, one line each.
        steps: the number of watched steps.
        when: the observed part, in words: "before training", "in this log". Default: the steps.
        name: the name of the program, run, log or recipe.

    Example:
        >>> from babysit.verdicts import Question
        >>> Report(name="mnist", steps=500, questions=(Question("plateau"),))
        mnist: healthy after 500 steps: nothing wrong in 1 question
        >>> Report(name="mnist").health.value
        'undecided'
    """

    name: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code of a command: 1 when unhealthy, else 0."""
        return 1 if self.health is Health.UNHEALTHY else 0

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return headline(self, self.name)

    def __bool__(self) -> bool:
        return self.health is not Health.UNHEALTHY

    def raise_if_unhealthy(self) -> None:
        """Raises when something is wrong.

        Raises:
            AssertionError: with the report as its message.
        """
        if not self:
            raise AssertionError(str(self))

    def as_data(self) -> dict[str, Any]:
        """Returns the report as plain data that JSON can hold; NaN and infinite values become null."""
        return {
            "name": self.name,
            "when": self.when,
            "steps": self.steps,
            "verdict": str(self.health),
            "healthy": self.healthy,
            "causes": [cause.as_data() for cause in self.causes],
            "findings": [finding.as_data() for finding in self.findings],
            "questions": [question.as_data() for question in self.questions],
            "facts": list(self.facts),
        }

    def as_json(self) -> str:
        """Returns ``as_data`` as JSON."""
        return json.dumps(self.as_data(), indent=2, allow_nan=False)

    def as_sarif(self, file: str = "") -> str:
        """Returns the report as SARIF 2.1.0 in JSON, which code hosts and editors read.

        Args:
            file: the recipe, script or log that the findings are shown at. Default: none.
        """
        return json.dumps(sarif.document(self, self.name, file), indent=2, allow_nan=False)

    def __str__(self) -> str:
        lines: list[str] = []
        for number, cause in enumerate(self.serious, 1):
            lines.append(_wrapped(f"{number}. {verdict_of(cause.finding)}", ""))
            lines += [_wrapped(detail, "   ") for detail in cause_lines(cause)]
            lines.append(_wrapped(f"-> {cause.finding.advice}", "   "))
        lines += [_wrapped(remark_text(each), "") for each in self.quiet]
        lines += [_wrapped(line, "  ") for line in (*open_lines(self), *self.facts)]
        return "\n".join([self.headline, *lines])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Returns the report as HTML for a notebook, with its evidence folded."""
        return html.fragment(self, self.headline)


def _wrapped(text: str, indent: str) -> str:
    return fill(text, _WIDTH, initial_indent=indent, subsequent_indent="   ")
