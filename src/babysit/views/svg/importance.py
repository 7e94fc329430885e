"""The importance of the hyperparameters as a figure: a bar for each, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babysit.views.data.formatting import MISSING
from babysit.views.data.importance import bars
from babysit.views.svg.elements import ACCENT, GRID, INK, MUTED, document, element, shortened, text, title

_ROW, _HEAD, _NAMES = 46.0, 34.0, 150.0


def importance_svg(stages: Sequence[Mapping[str, Any]], width: float = 560) -> str:
    """Draws the bars of all stages below one another; grey if chance explains the importance.

    Args:
        stages: stage names and importances, as in a study's outcome.
        width: the width of the figure.
    """
    parts, y = [], 0.0
    left = _NAMES + 10
    length = width - left - 10
    for stage in stages:
        found = bars(stage)
        parts.append(text(shortened(str(stage.get("stage", ""))), 4.0, y + 22, font_weight=600))
        y += _HEAD
        for bar in found:  # a name, its bar on a track of full length, and its figures below
            place = {"x": left, "y": y + 5, "height": 10, "rx": 3}
            track = element("rect", **place, width=length, fill=GRID)
            fill = ACCENT if bar.matters else MUTED
            filled = element("rect", **place, width=length * bar.share, fill=fill) if bar.share else ""
            name = text(shortened(bar.name, 18), _NAMES, y + 14, "end", fill=INK if bar.matters else MUTED)
            share = "" if bar.fanova == MISSING else f"; {bar.fanova} of the variance"
            words = text(f"{bar.kind} {bar.figure}{share}", left, y + 31, fill=MUTED, font_size=11)
            parts.append(element("g", title(bar.name) + name + track + filled + words))
            y += _ROW
    return document(width, max(y, _HEAD), "importance of each hyperparameter", parts)
