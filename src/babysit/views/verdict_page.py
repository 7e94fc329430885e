"""A report as one HTML page: the verdict first, then what it rests on, each with a way to its figure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from babysit.records import Cause, CheckResult, Finding, Severity
from babysit.verdict.report import Report
from babysit.verdict.words import counts_text, evidence_text, explains_text, place_text
from babysit.views import figures, watched
from babysit.views.line_figures import legend_html, lines_svg
from babysit.views.lines import Lines, Mark
from babysit.views.pages import render
from babysit.views.report import gap_text
from babysit.views.series import Scores
from babysit.views.words import percent_text
from babysit.watching.quantities import Log, Setup


class Shown(NamedTuple):
    """One figure of the page.

    Attributes:
        key: what links jump to.
        heading: its name.
        svg: the drawing.
        legend: names beside their colours, escaped; may be empty.
        caption: what it shows, and what is usual.
    """

    key: str
    heading: str
    svg: str
    legend: str
    caption: str


class Told(NamedTuple):
    """One cause on the page; links are keys of figures, empty where none shows it."""

    number: int
    finding: Finding
    place: str
    evidence: tuple[tuple[str, str], ...]
    explains: str
    distinguish: str
    link: str


_WORDS = (
    ("update ratio", "updates"),
    ("gradient", "gradients"),
    ("saturat", "saturation"),
    ("dead", "layers"),
    ("silent", "layers"),
    ("activation", "spread"),
    ("output", "spread"),
    ("accurac", "scores"),
    ("validation", "scores"),
    ("gap", "scores"),
    ("learning rate", "rates"),
    ("schedule", "rates"),
    ("rate", "rates"),
    ("loss", "loss"),
    ("cost", "loss"),
)
"""What is spoken of -> the figure that shows it; the first that is found."""

_CAPTIONS = {
    "loss": "The loss of every step. Chance is what the best constant answer reaches.",
    "scores": "After every epoch, the gap between training and validation shaded.",
    "updates": "|change of W| / |W| of each weight tensor. The band is a factor of ten round 1e-3, "
    "where most healthy runs lie; adaptive optimizers may lie above.",
    "gradients": "The gradient of a typical single weight. Layers that lie orders of magnitude apart "
    "learn at different paces.",
    "means": "The mean of each layer's output.",
    "spread": "The standard deviation of each layer's output: steady from layer to layer is healthy, "
    "shrinking to nothing or growing without end is not.",
    "saturation": "The share of outputs at the ends of a sigmoid or tanh, where hardly any gradient passes.",
    "rates": "The learning rate of each parameter group.",
}


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
    serious = [cause for cause in report.causes if cause.finding.severity is not Severity.INFO]
    causes = [_told(number, cause, keys) for number, cause in enumerate(serious, 1)]
    broken = watched.broken_from(log)
    shown = [_shown(key, *drawing, causes, broken) for key, drawing in drawings.items()]
    if scores:
        shown.insert(1, _shown_scores(scores, log, report.healthy))
    contents = {
        "report": report,
        "counts": counts_text(report.findings) or "nothing looks wrong",
        "causes": causes,
        "remarks": [
            (finding, _link_of(finding, keys), list(map(evidence_text, finding.evidence)))
            for finding in report.quiet
        ],
        "figures": shown,
        "layers": rows,
        "checks": checks,
    }
    return render("verdict.html.j2", contents)


def _shown_scores(scores: Scores, log: Log, healthy: bool) -> Shown:
    caption = "After every epoch."
    if math.isfinite(scores.gap):
        caption = f"{_CAPTIONS['scores']} It is {percent_text(scores.gap)} at the end"
        caption += f": {gap_text(scores.gap, log.epochs[-1].train_accuracy)}" if healthy else "."
    return Shown("scores", scores.y.label.capitalize(), figures.scores_svg(scores), "", caption)


def _shown(key: str, heading: str, data: Lines, causes: Sequence[Told], broken: int) -> Shown:
    ended = f" From step {broken} on it is no number." if key == "loss" and broken else ""
    marks = tuple(
        Mark(data.x.place(told.finding.since), str(told.number), told.finding.message)
        for told in causes
        if told.link == key and told.finding.since
    )
    drawing = lines_svg(data._replace(marks=marks), heading)
    return Shown(key, heading, drawing, legend_html(data.lines), _CAPTIONS[key] + ended)


def _told(number: int, cause: Cause, keys: Collection[str]) -> Told:
    finding = cause.finding
    evidence = tuple((evidence_text(each), _link(each.what, keys)) for each in finding.evidence)
    link = _link_of(finding, keys)
    return Told(number, finding, place_text(cause), evidence, explains_text(cause), cause.distinguish, link)


def _link_of(finding: Finding, keys: Collection[str]) -> str:
    """The figure that a finding speaks of: in its evidence first, then its place, then its message."""
    spoken = [*(each.what for each in finding.evidence), finding.where, finding.message]
    return next((link for words in spoken if (link := _link(words, keys))), "")


def _link(words: str, keys: Collection[str]) -> str:
    """The figure that shows what is spoken of; empty where there is none."""
    lowered = words.lower()
    return next((key for word, key in _WORDS if word in lowered and key in keys), "")


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
