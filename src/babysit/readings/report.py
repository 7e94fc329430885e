"""The verdict on a run's readings."""

from __future__ import annotations

from babysit.diagnosis.detection import run_detectors
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.readings.context import Context, Readings
from babysit.readings.detectors import DETECTORS
from babysit.records import Run


def report_on(run: Run, context: Context, name: str = "", when: str = "") -> Report:
    """Makes the report of a run from its readings alone.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        name: what to call it.
        when: what was seen of it, in words.

    Example:
        >>> from babysit.records import Reading, State
        >>> readings = tuple(Reading(e, e * 490, 2.3025 - 1e-5 * e, 0.19, 0.19, 1e-6) for e in range(1, 11))
        >>> run = Run(State.COMPLETE, readings, first_cost=2.302576)
        >>> report = report_on(run, Context(2.302585, 0.1, {"learning_rate": 1e-6}), "slow")
        >>> report.headline, report.causes[0].rule
        ('slow: not healthy: 1 warning', 'learning_rate_too_low')
    """
    asked = run_detectors(DETECTORS, Readings(run, context), unit=context.unit)
    return diagnose(*asked, name=name, when=when)
