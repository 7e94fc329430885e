"""What a check saw, and the row that says what it means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from babysit.checks.measuring import Measured
from babysit.records import Evidence, Severity


@dataclass(frozen=True, slots=True)
class Seen:
    """One fault as it was seen in a program.

    Attributes:
        where: the layer, parameter or quantity.
        message: the verdict in one sentence.
        evidence: the measured values.
        severity: where it differs from the fault's own.
    """

    where: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    Attributes:
        name: the rule's name.
        look: the check: what it saw, or None.
        about: when it fires, the threshold with its reason.
        advice: what to do.
        source: the lecture row or paper behind it.
        severity: its own.
        certainty: how sure it is to be the cause once seen, in [0, 1].
        explains: the faults that it brings about; those are then its symptoms. A fault of severity info
            is a mere peculiarity, until one of these needs an explanation.
        needs_run: False for a check that can tell without a model that runs.
    """

    name: str
    look: Callable[[Measured], Seen | None]
    about: str
    advice: str
    source: str
    severity: Severity = Severity.ERROR
    certainty: float = 0.95
    explains: tuple[str, ...] = ()
    needs_run: bool = True


def evidence(what: str, value: float, expected: str, why: str = "") -> tuple[Evidence, ...]:
    """One measured value as the evidence of a fault."""
    return (Evidence(what, float(value), expected, why),)
