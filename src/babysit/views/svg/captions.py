"""The figures of a page about one run: their names, drawings and captions."""

from __future__ import annotations

import math
from typing import NamedTuple

from babysit.views.data.formatting import percent_text
from babysit.views.data.lines import Lines
from babysit.views.data.series import Scores
from babysit.views.svg.line_figures import legend_html, lines_svg


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


CAPTIONS = {
    "loss": "The loss of every step. Chance is what the best constant answer reaches.",
    "scores": "After every epoch, the gap between training and validation shaded.",
    "updates": "|change of W| / |W| of each weight tensor. The band is a factor of ten round 1e-3, "
    "where most healthy runs lie; adaptive optimizers may lie above. At the foot: no move at all.",
    "gradients": "The gradient of a typical single weight. Layers that lie orders of magnitude apart "
    "learn at different paces.",
    "means": "The mean of each layer's output.",
    "spread": "The standard deviation of each layer's output: steady from layer to layer is healthy, "
    "shrinking to nothing or growing without end is not.",
    "saturation": "The share of outputs at the ends of a sigmoid or tanh, where hardly any gradient passes.",
    "rates": "The learning rate of each parameter group.",
    "dead": "The share of units that were silent in every one of the last looks. A ReLU that is silent half "
    "of the time is healthy; one that is always silent gets no gradient and never comes back.",
}


def shown_lines(key: str, heading: str, data: Lines, caption: str) -> Shown:
    """Curves over the steps as a figure of the page.

    Args:
        key: its name in links.
        heading: its title.
        data: the curves.
        caption: what it shows.
    """
    return Shown(key, heading, lines_svg(data, heading), legend_html(data.lines), caption)


def scores_caption(scores: Scores, train_accuracy: float) -> str:
    """What the figure of accuracies says, and what its gap means.

    Args:
        scores: the figure's data.
        train_accuracy: at the end; NaN where the gap is not to be judged.
    """
    if not math.isfinite(scores.gap):
        return "After every epoch."
    judged = f": {gap_text(scores.gap, train_accuracy)}" if math.isfinite(train_accuracy) else "."
    return f"{CAPTIONS['scores']} It is {percent_text(scores.gap)} at the end{judged}"


def gap_text(gap: float, train_accuracy: float) -> str:
    """Says what the gap between training and validation accuracy means.

    Source: CS231n lecture 6, 'Monitor and visualize the accuracy'.

    Example:
        >>> gap_text(0.01, 0.6)
        'small, so a larger network may do better.'
    """
    if gap > 0.1:
        return "large, so the network overfits: more regularization or more data."
    if gap >= 0.02:
        return "moderate."
    # A network that fits all its training data has capacity enough.
    return "small, so a larger network may do better." if train_accuracy < 0.95 else "small."
