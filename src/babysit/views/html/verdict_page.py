"""Renders a report as one HTML page: verdict, causes linked to their figures, and measurements."""

from __future__ import annotations

import math
from collections.abc import Sequence

from babysit.diagnosis.report import Report
from babysit.diagnosis.wording import open_lines
from babysit.verdicts import CheckResult
from babysit.views.data import watched_run
from babysit.views.data.lines import Lines, Mark
from babysit.views.data.links import LinkedCause, linked_causes, linked_remarks
from babysit.views.data.verdict import HEALTH_WORDS, found_line
from babysit.views.html.pages import render
from babysit.views.svg import figures
from babysit.views.svg.captions import CAPTIONS, Figure, line_figure, scores_caption
from babysit.watching.sample import Setup, WatchLog


def verdict_page(report: Report, log: WatchLog | None = None, checks: Sequence[CheckResult] = ()) -> str:
    """Renders a report as HTML.

    Args:
        report: the verdict.
        log: the measurements, for the figures. Default: None, a page without figures.
        checks: the answers of a recipe's checks.

    Returns:
        One self-contained page: no request goes out.
    """
    log = log or WatchLog(Setup())
    drawn = {
        "loss": ("Loss", watched_run.loss_lines(log)),
        "updates": ("Update ratio", watched_run.ratio_lines(log)),
        "gradients": ("Gradients", watched_run.gradient_lines(log)),
        "spread": ("Activations: standard deviation", watched_run.std_lines(log)),
        "means": ("Activations: mean", watched_run.mean_lines(log)),
        "saturation": ("Saturation", watched_run.saturation_lines(log)),
        "rates": ("Learning rate", watched_run.rate_lines(log)),
    }
    drawings = {key: (heading, data) for key, (heading, data) in drawn.items() if data is not None}
    scores, rows = watched_run.score_lines(log), watched_run.layer_rows(log)
    keys = {*drawings, *(["scores"] if scores else ()), *(["layers"] if rows else ())}
    causes = linked_causes(report, keys)
    broken = watched_run.broken_from(log)
    shown = [_shown(key, *drawing, causes, broken) for key, drawing in drawings.items()]
    if scores:
        train = math.nan if report.serious else log.epochs[-1].train_accuracy
        heading, caption = scores.y.label.capitalize(), scores_caption(scores, train)
        shown.insert(1, Figure("scores", heading, figures.scores_svg(scores), "", caption))
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


def _shown(key: str, heading: str, data: Lines, causes: Sequence[LinkedCause], broken: int) -> Figure:
    ended = f" From step {broken} on it is NaN or infinite." if key == "loss" and broken else ""
    marks = tuple(
        Mark(data.x.place(each.finding.since), str(each.number), each.finding.message)
        for each in causes
        if each.link == key and each.finding.since
    )
    return line_figure(key, heading, data._replace(marks=marks), CAPTIONS[key] + ended)
