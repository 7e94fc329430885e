"""The verdict on a watched run: what its detectors found, with what was found before it trained."""

from __future__ import annotations

from babysit.diagnosis.asking import ask
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.watching.detect.processes import over_ranks
from babysit.watching.detect.shared import late, stepped, typical_ratio
from babysit.watching.detectors import DETECTORS
from babysit.watching.noise import signal_share
from babysit.watching.sample import Log


def judge(log: Log, name: str = "run", before: Report | None = None) -> Report:
    """Makes the report of a watched run.

    Args:
        log: what was measured.
        name: what to call the run.
        before: what ``babysit.check`` found; a symptom that is seen now is put under the cause found then.

    Example:
        >>> from babysit.watching.sample import Setup
        >>> judge(Log(Setup())).health.value
        'undecided'
    """
    findings, questions = ask(DETECTORS, log, unit="step")
    if before is not None:
        findings, questions = (*before.findings, *findings), (*before.questions, *questions)
    known = before.facts if before is not None else ()
    when = f"after {log.steps} steps"
    return diagnose(findings, questions, name=name, when=when, steps=log.steps, facts=(*known, *facts(log)))


def facts(log: Log) -> tuple[str, ...]:
    """Says what was measured, in a few words.

    Args:
        log: what was measured.
    """
    lines = [f"loss {log.first:.4g} -> {log.last:.4g}"] if log.losses else []
    ratio = typical_ratio(stepped(log))
    if ratio == ratio:
        lines.append(f"update ratio {ratio:.1e} (about 1e-3 is usual)")
    share = signal_share([sample.noise for sample in late(list(log.samples)) if sample.noise is not None])
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
