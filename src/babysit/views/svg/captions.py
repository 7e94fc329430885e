"""Names and captions of the figures of a page about one run."""

from __future__ import annotations

import math
from typing import NamedTuple

from babysit.views.data.formatting import percent_text
from babysit.views.data.lines import Lines
from babysit.views.data.series import Scores
from babysit.views.svg.line_figures import legend_html, lines_svg


class Figure(NamedTuple):
    """One figure of the page.

    Attributes:
        key: the target of links.
        heading: the title.
        svg: the drawing.
        legend: names beside their colours, escaped; may be empty.
        caption: the quantity shown, and its usual values.
    """

    key: str
    heading: str
    svg: str
    legend: str
    caption: str


CAPTIONS = {
    "loss": "The loss of every step. Chance is the loss of the best constant output.",
    "scores": "After every epoch, the gap between training and validation shaded.",
    "updates": "|change of W| / |W| of each weight tensor. The band is a factor of ten around 1e-3, "
    "usual for healthy runs; adaptive optimizers may lie above. At the bottom: no change at all.",
    "gradients": "The gradient of a typical single weight. Layers that differ by orders of magnitude "
    "learn at different speeds.",
    "means": "The mean of each layer's output.",
    "spread": "The standard deviation of each layer's output: similar in all layers is healthy, "
    "shrinking or growing from layer to layer is not.",
    "saturation": "The share of outputs at the ends of a sigmoid or tanh, where the gradient vanishes.",
    "rates": "The learning rate of each parameter group.",
    "dead": "The share of units that were zero in all of the last samples. A ReLU that is zero half of the "
    "time is healthy; one that is always zero gets no gradient and stays dead.",
}


def line_figure(key: str, heading: str, data: Lines, caption: str) -> Figure:
    """Draws curves over the steps as a figure of the page.

    Args:
        key: the target of links.
        heading: the title.
        data: the curves.
        caption: the text below the figure.
    """
    return Figure(key, heading, lines_svg(data, heading), legend_html(data.lines), caption)


def scores_caption(scores: Scores, train_accuracy: float) -> str:
    """Returns the caption of the accuracies, with the meaning of the gap.

    Args:
        scores: the figure's data.
        train_accuracy: the last one; NaN if the gap is not to be judged.
    """
    if not math.isfinite(scores.gap):
        return "After every epoch."
    judged = f": {gap_text(scores.gap, train_accuracy)}" if math.isfinite(train_accuracy) else "."
    return f"{CAPTIONS['scores']} It is {percent_text(scores.gap)} at the end{judged}"


def gap_text(gap: float, train_accuracy: float) -> str:
    """Describes the meaning of the gap between training and validation accuracy.

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
