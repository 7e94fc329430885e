"""The report of a watched run: findings of its detectors, and of the check before it trained."""

from __future__ import annotations

from babysit.diagnosis.detection import run_detectors
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.watching.detect.processes import over_ranks
from babysit.watching.detect.shared import newer_half, stepped, typical_ratio
from babysit.watching.detectors import DETECTORS
from babysit.watching.noise import signal_share
from babysit.watching.sample import WatchLog


def report_on(log: WatchLog, name: str = "run", before: Report | None = None) -> Report:
    """Makes the report of a watched run.

    Args:
        log: what was measured.
        name: what to call the run.
        before: the report of ``babysit.check``; a symptom of the run is listed under a cause found there.

    Example:
        >>> from babysit.watching.sample import Setup
        >>> report_on(WatchLog(Setup())).health.value
        'undecided'
    """
    findings, questions = run_detectors(DETECTORS, log, unit="step")
    if before is not None:
        findings, questions = (*before.findings, *findings), (*before.questions, *questions)
    known = before.facts if before is not None else ()
    when = f"after {log.steps} steps"
    return diagnose(findings, questions, name=name, when=when, steps=log.steps, facts=(*known, *facts(log)))


def facts(log: WatchLog) -> tuple[str, ...]:
    """Lists the main measurements, as short texts.

    Args:
        log: what was measured.
    """
    lines = [f"loss {log.first:.4g} -> {log.last:.4g}"] if log.losses else []
    ratio = typical_ratio(stepped(log))
    if ratio == ratio:
        lines.append(f"update ratio {ratio:.1e} (about 1e-3 is usual)")
    share = signal_share(
        [sample.noise for sample in newer_half(list(log.samples)) if sample.noise is not None]
    )
    if share == share:
        lines.append(f"signal in a gradient {max(share, 0):.1%} (what two successive ones share)")
    if log.seconds == log.seconds:
        lines.append(f"{1000 * log.seconds:.3g} ms a step")
    together = over_ranks(log)
    if together:
        lines.append(together)
    if log.setup.compiled:
        lines.append("compiled: activations inside are not seen")
    return tuple(lines)
