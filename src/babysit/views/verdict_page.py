"""A report as one HTML page: the verdict first, then what it rests on, each with a way to its figure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from babysit.records import CheckResult
from babysit.verdict.report import Report
from babysit.verdict.words import counts_text
from babysit.views import figures, watched
from babysit.views.lines import Lines, Mark
from babysit.views.pages import render
from babysit.views.series import Scores
from babysit.views.shown import CAPTIONS, Shown, scores_caption, shown_lines
from babysit.views.told import Told, causes_told, remarks_told
from babysit.watching.quantities import Log, Setup


def verdict_page(report: Report, log: Log | None = None, checks: Sequence[CheckResult] = ()) -> str:
    """A report as HTML.

    Args:
        report: what was found.
        log: what was measured, for the figures; None for a report without any.
        checks: the answers of a recipe's checks.

    Returns:
        One self-contained page: no request goes out.
    """
    log = log or Log(Setup())
    drawings, scores, rows = _drawings(log), watched.score_lines(log), watched.layer_rows(log)
    keys = {*drawings, *(["scores"] if scores else ()), *(["layers"] if rows else ())}
    causes = causes_told(report, keys)
    broken = watched.broken_from(log)
    shown = [_shown(key, *drawing, causes, broken) for key, drawing in drawings.items()]
    if scores:
        shown.insert(1, _shown_scores(scores, log, report.healthy))
    contents = {
        "report": report,
        "counts": counts_text(report.findings) or "nothing looks wrong",
        "causes": causes,
        "remarks": remarks_told(report, keys),
        "figures": shown,
        "layers": rows,
        "checks": checks,
    }
    return render("verdict.html.j2", contents)


def _shown_scores(scores: Scores, log: Log, healthy: bool) -> Shown:
    train = log.epochs[-1].train_accuracy if healthy else math.nan
    return Shown(
        "scores", scores.y.label.capitalize(), figures.scores_svg(scores), "", scores_caption(scores, train)
    )


def _shown(key: str, heading: str, data: Lines, causes: Sequence[Told], broken: int) -> Shown:
    ended = f" From step {broken} on it is no number." if key == "loss" and broken else ""
    marks = tuple(
        Mark(data.x.place(told.finding.since), str(told.number), told.finding.message)
        for told in causes
        if told.link == key and told.finding.since
    )
    return shown_lines(key, heading, data._replace(marks=marks), CAPTIONS[key] + ended)


def _drawings(log: Log) -> dict[str, tuple[str, Lines]]:
    """Key -> heading and data of every figure over the steps that there is something to draw in."""
    drawn = {
        "loss": ("Loss", watched.loss_lines(log)),
        "updates": ("Update ratio", watched.ratio_lines(log)),
        "gradients": ("Gradients", watched.gradient_lines(log)),
        "spread": ("Activations: standard deviation", watched.std_lines(log)),
        "means": ("Activations: mean", watched.mean_lines(log)),
        "saturation": ("Saturation", watched.saturation_lines(log)),
        "rates": ("Learning rate", watched.rate_lines(log)),
    }
    return {key: (heading, data) for key, (heading, data) in drawn.items() if data is not None}
