"""The verdict on a run of our own trainer: its readings, and what was seen of its layers."""

from __future__ import annotations

from dataclasses import replace

from babysit.diagnosis.asking import ask
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.readings.context import Context, Readings, learns
from babysit.readings.detectors import DETECTORS
from babysit.records import Run
from babysit.watching.detectors import OF_LAYERS
from babysit.watching.sample import Log


def judged(run: Run, context: Context, log: Log | None, name: str = "", when: str = "") -> Report:
    """Makes the report of a run.

    An odd layer is no alarm while the run learns; where it does not, a layer may be the cause of what the
    readings show.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        log: what was seen of its layers; None where nothing was.
        name: what to call it.
        when: what was seen of it, in words.

    Example:
        >>> from babysit.records import State
        >>> judged(Run(State.COMPLETE), Context(2.3, 0.1, {}), None).health.value
        'undecided'
    """
    findings, questions = ask(DETECTORS, Readings(run, context), unit=context.unit)
    if log is not None and log.samples and not learns(run, context):
        seen, asked = ask(OF_LAYERS, log)
        seen = tuple(replace(finding, since=_epoch(run, finding.since)) for finding in seen)
        findings, questions = (*seen, *findings), (*questions, *asked)
    return diagnose(findings, questions, name=name, when=when)


def _epoch(run: Run, step: int) -> int:
    """Returns the epoch that a step belongs to, from 1."""
    return next((each.epoch for each in run.readings if step <= each.step), len(run.readings) + 1)
