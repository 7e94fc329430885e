"""The verdict on a run of our own trainer: its readings, and what was seen of its layers."""

from __future__ import annotations

from dataclasses import replace

from babysit.diagnosis.detection import run_detectors
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.readings.context import Context, Readings, learns
from babysit.readings.detectors import DETECTORS
from babysit.records import Run
from babysit.watching.detectors import OF_LAYERS
from babysit.watching.sample import WatchLog


def judged(run: Run, context: Context, log: WatchLog | None, name: str = "", when: str = "") -> Report:
    """Makes the report of a run.

    An odd layer is no alarm while the run learns; where it does not, a layer may be the cause of what the
    readings show.

    Args:
        run: the run, finished or not.
        context: its hyperparameters and its loss's chance level.
        log: the samples of its layers; None without any.
        name: of the run.
        when: the observed part of it, in words.

    Example:
        >>> from babysit.records import State
        >>> judged(Run(State.COMPLETE), Context(2.3, 0.1, {}), None).health.value
        'undecided'
    """
    findings, questions = run_detectors(DETECTORS, Readings(run, context), unit=context.unit)
    if log is not None and log.samples and not learns(run, context):
        of_layers, asked = run_detectors(OF_LAYERS, log)
        for finding in reversed(of_layers):  # from a step to the epoch that it belongs to, from 1
            after = (each.epoch for each in run.readings if finding.since <= each.step)
            findings = (replace(finding, since=next(after, len(run.readings) + 1)), *findings)
        questions = (*questions, *asked)
    return diagnose(findings, questions, name=name, when=when)
