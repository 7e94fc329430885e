"""Which hyperparameter mattered, as bars: in the terminal, and as plain facts for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.views.data.formatting import MISSING, percent_text

_CELLS = 16
_RATIO = "correlation ratio"


class Bar(NamedTuple):
    """One hyperparameter's importance.

    Attributes:
        name: the hyperparameter.
        share: 0 to 1, the bar's length.
        figure: the same as a number, signed where it has a direction.
        kind: what it is: a rank correlation, or of a choice a correlation ratio.
        matters: False for what chance explains.
        fanova: its share of the scores' variance in words; a dash where it was not computed.
    """

    name: str
    share: float
    figure: str
    kind: str
    matters: bool
    fanova: str


def bars(stage: Mapping[str, Any]) -> list[Bar]:
    """The bars of a stage, the greatest first.

    Example:
        >>> knob = {"name": "l2", "strength": 0.4, "correlation": -0.4, "matters": True, "fanova": None}
        >>> bars({"stage": "coarse", "knobs": [knob]})
        [Bar(name='l2', share=0.4, figure='-0.40', kind='rank correlation', matters=True, fanova='–')]
    """
    return [_bar(knob) for knob in stage.get("knobs") or () if isinstance(knob, Mapping)]


def _bar(knob: Mapping[str, Any]) -> Bar:
    strength, correlation, fanova = knob.get("strength"), knob.get("correlation"), knob.get("fanova")
    share = min(1.0, max(0.0, float(strength or 0.0)))
    return Bar(
        name=str(knob.get("name", "")),
        share=share,
        figure=f"{share:.2f}" if correlation is None else f"{correlation:+.2f}",
        kind=_RATIO if correlation is None else "rank correlation",
        matters=bool(knob.get("matters")),
        fanova=MISSING if fanova is None else percent_text(fanova),
    )


def importance_view(stages: Sequence[Mapping[str, Any]], note: str = "") -> RenderableType:
    """The importance of every hyperparameter, stage by stage; what chance explains is dim.

    Args:
        stages: each with its name and its knobs, as a study's outcome has them.
        note: why something is missing; default nothing is.
    """
    if not stages:
        return Text("Too few trials completed to say which hyperparameter mattered.", style="dim")
    found = [(str(stage.get("stage", "")), bars(stage)) for stage in stages]
    told = any(bar.fanova != MISSING for _, group in found for bar in group)
    table = Table(title="what mattered", title_justify="left", box=None, pad_edge=False)
    for heading in ("stage", "hyperparameter", "", "correlation", *(["variance share"] if told else [])):
        right = heading in ("correlation", "variance share")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=not heading)
    for stage, group in found:
        for place, bar in enumerate(group):
            cells = [escape(stage) if place == 0 else "", escape(bar.name), _drawn(bar.share), bar.figure]
            table.add_row(*cells, *([bar.fanova] if told else []), style="" if bar.matters else "dim")
    all_bars = [bar for _, group in found for bar in group]
    caption = ["dim: no more than chance explains"] if any(not bar.matters for bar in all_bars) else []
    caption += ["of a choice: the correlation ratio"] if any(bar.kind == _RATIO for bar in all_bars) else []
    table.caption = "; ".join(caption) or None
    return Group(table, *([Text(note, style="dim")] if note else []))


def _drawn(share: float) -> str:
    filled = round(share * _CELLS)
    return "█" * filled + "░" * (_CELLS - filled)
