"""What mattered as a figure: a bar for every hyperparameter, stage by stage, for a page and a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from babysit.views.data.formatting import MISSING
from babysit.views.svg.elements import ACCENT, GRID, INK, MUTED, document, element, shortened, text, title
from babysit.views.terminal.importance import Bar, bars

_ROW, _HEAD, _NAMES = 46.0, 34.0, 150.0


def importance_svg(stages: Sequence[Mapping[str, Any]], width: float = 560) -> str:
    """The bars of all stages below one another; what chance explains is grey, and so named.

    Args:
        stages: each with its name and its knobs, as a study's outcome has them.
        width: of the figure.
    """
    parts, y = [], 0.0
    for stage in stages:
        found = bars(stage)
        parts.append(text(shortened(str(stage.get("stage", ""))), 4.0, y + 22, font_weight=600))
        parts += [_row(bar, y + _HEAD + _ROW * place, width) for place, bar in enumerate(found)]
        y += _HEAD + _ROW * len(found)
    return document(width, max(y, _HEAD), "importance of each hyperparameter", parts)


def _row(bar: Bar, y: float, width: float) -> str:
    """One name, its bar on a track of the greatest length, and its figures below."""
    left, colour = _NAMES + 10, ACCENT if bar.matters else MUTED
    length = width - left - 10
    place = {"x": left, "y": y + 5, "height": 10, "rx": 3}
    track = element("rect", **place, width=length, fill=GRID)
    filled = element("rect", **place, width=length * bar.share, fill=colour) if bar.share else ""
    name = text(shortened(bar.name, 18), _NAMES, y + 14, "end", fill=INK if bar.matters else MUTED)
    words = text(_figures(bar), left, y + 31, fill=MUTED, font_size=11)
    return element("g", title(bar.name) + name + track + filled + words)


def _figures(bar: Bar) -> str:
    share = "" if bar.fanova == MISSING else f"; {bar.fanova} of the variance"
    return f"{bar.kind} {bar.figure}{share}"
