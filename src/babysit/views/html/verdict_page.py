"""A report as one HTML page: the verdict, its causes, each linked to its figure, and the measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from babysit.diagnosis.report import Report
from babysit.diagnosis.wording import open_lines
from babysit.verdicts import CheckResult
from babysit.views.data import watched_run
from babysit.views.data.lines import Lines, Mark
from babysit.views.data.links import LinkedCause, linked_causes, linked_remarks
from babysit.views.data.series import Scores
from babysit.views.html.pages import render
from babysit.views.svg import figures
from babysit.views.svg.captions import CAPTIONS, Shown, scores_caption, shown_lines
from babysit.views.terminal.verdict import HEALTH_WORDS, found_line
from babysit.watching.sample import Log, Setup


def verdict_page(report: Report, log: Log | None = None, checks: Sequence[CheckResult] = ()) -> str:
    """Renders a report as HTML.

    Args:
        report: the verdict.
        log: what was measured, for the figures; None for a report without any.
        checks: the answers of a recipe's checks.

    Returns:
        One self-contained page: no request goes out.
    """
    log = log or Log(Setup())
    drawings, scores, rows = _drawings(log), watched_run.score_lines(log), watched_run.layer_rows(log)
    keys = {*drawings, *(["scores"] if scores else ()), *(["layers"] if rows else ())}
    causes = linked_causes(report, keys)
    broken = watched_run.broken_from(log)
    shown = [_shown(key, *drawing, causes, broken) for key, drawing in drawings.items()]
    if scores:
        shown.insert(1, _shown_scores(scores, log, alarmed=bool(report.serious)))
    contents = {
        "report": report,
        "word": HEALTH_WORDS[report.health],
        "found": found_line(report),
        "causes": causes,
        "remarks": linked_remarks(report.quiet, keys),
        "open": open_lines(report),
        "figures": shown,
        "layers": rows,
        "checks": checks,
    }
    return render("verdict.html.j2", contents)


def _shown_scores(scores: Scores, log: Log, *, alarmed: bool) -> Shown:
    train = math.nan if alarmed else log.epochs[-1].train_accuracy
    return Shown(
        "scores", scores.y.label.capitalize(), figures.scores_svg(scores), "", scores_caption(scores, train)
    )


def _shown(key: str, heading: str, data: Lines, causes: Sequence[LinkedCause], broken: int) -> Shown:
    ended = f" From step {broken} on it is NaN or infinite." if key == "loss" and broken else ""
    marks = tuple(
        Mark(data.x.place(each.finding.since), str(each.number), each.finding.message)
        for each in causes
        if each.link == key and each.finding.since
    )
    return shown_lines(key, heading, data._replace(marks=marks), CAPTIONS[key] + ended)


def _drawings(log: Log) -> dict[str, tuple[str, Lines]]:
    """Key -> heading and data of every figure over the steps that there is something to draw in."""
    drawn = {
        "loss": ("Loss", watched_run.loss_lines(log)),
        "updates": ("Update ratio", watched_run.ratio_lines(log)),
        "gradients": ("Gradients", watched_run.gradient_lines(log)),
        "spread": ("Activations: standard deviation", watched_run.std_lines(log)),
        "means": ("Activations: mean", watched_run.mean_lines(log)),
        "saturation": ("Saturation", watched_run.saturation_lines(log)),
        "rates": ("Learning rate", watched_run.rate_lines(log)),
    }
    return {key: (heading, data) for key, (heading, data) in drawn.items() if data is not None}
