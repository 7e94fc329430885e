"""Style, palette and files of the lab's figures; matplotlib's global settings stay unchanged."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from babysit.errors import InputError
from babysit.lab.experiment import ExperimentResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe and Ito (2008), "Color Universal Design": distinct for every kind of colour vision.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#000000"
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
INK, MUTED, FAINT = "#222222", "#6B6B6B", "#E4E4E4"

WIDTH_PIXELS = 1200
_DPI = 150
_INCHES = WIDTH_PIXELS / _DPI

_STYLE: Any = {  # matplotlib has a type for each of its 300 setting names
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.color": INK,
    "svg.hashsalt": "babysit",  # equal figures give equal files
    "figure.max_open_warning": 0,
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorates a drawing function so that it draws in the lab's style and restores matplotlib's settings."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return inside


def canvas(
    rows: int = 1, columns: int = 1, *, height: float = 3.4, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Creates an empty figure 1200 pixels wide and its axes, row by row.

    Args:
        rows, columns: the grid of axes.
        height: in inches; the width is 8.
        options: for ``Figure.subplots``, e.g. ``width_ratios`` or ``sharey``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_INCHES, height), dpi=_DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(np.asarray(axes).flat)


def name_axes(axes: Axes, x: str, y: str, heading: str = "") -> None:
    """Names both axes, and the panel where there is more than one."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if heading:
        axes.set_title(heading)


def beside(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    """Writes a line's name next to it, in its colour, a little away from the point (x, y)."""
    settings = {"xytext": (5, 0), "va": "center", "ha": "left", **options}
    axes.annotate(text, (x, y), textcoords="offset points", color=colour, fontsize=8, **settings)


def ends(
    axes: Axes, xs: Sequence[float], lines: Sequence[tuple[Sequence[float], str, str]], *, gap: float = 0.06
) -> None:
    """Names several lines at their right ends, pushed apart so that no two names overlap.

    Args:
        axes: with its final limits and scales.
        xs: where the lines end, in data units: the last is used.
        lines: (values, name, colour); the name goes next to the last value if there is room.
        gap: least distance between names, as a share of the axes' height.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [float(to_axes.transform((xs[-1], values[-1]))[1]) for values, _, _ in lines]
    right = float(to_axes.transform((xs[-1], lines[0][0][-1]))[0])
    for place, (_, name, colour) in zip(_apart(wanted, gap), lines, strict=True):
        axes.text(right + 0.015, place, name, color=colour, fontsize=8, va="center", transform=axes.transAxes)


def whole_numbers(axes: Axes) -> None:
    """Puts ticks of the x-axis at whole numbers only, for epochs and layers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Computes positions at least ``gap`` apart, in the same order, close to the wanted ones.

    Example:
        >>> _apart([0.5, 0.5, 0.9], 0.1)
        [0.45, 0.55, 0.9]
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    clusters: list[list[int]] = []
    for index in order:
        clusters.append([index])
        while (
            len(clusters) > 1
            and _middle(clusters[-1], wanted) - _middle(clusters[-2], wanted)
            < gap * (len(clusters[-1]) + len(clusters[-2])) / 2 - 1e-12
        ):
            clusters[-2:] = [clusters[-2] + clusters[-1]]
    placed = dict.fromkeys(range(len(wanted)), 0.0)
    for cluster in clusters:
        start = _middle(cluster, wanted) - gap * (len(cluster) - 1) / 2
        placed.update({index: round(start + gap * rank, 6) for rank, index in enumerate(cluster)})
    return [placed[index] for index in range(len(wanted))]


def _middle(cluster: Sequence[int], wanted: Sequence[float]) -> float:
    return sum(wanted[index] for index in cluster) / len(cluster)


def require_matplotlib() -> None:
    """Checks that figures can be drawn, before an experiment runs for minutes.

    Raises:
        InputError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise InputError(
            "the lab draws its figures with matplotlib, which is not installed",
            fix='pip install "babysit[lab]"',
        )


def save(outcome: ExperimentResult, folder: Path) -> list[Path]:
    """Draws an experiment's figures and writes each as PNG (1200 pixels wide) and SVG.

    Args:
        outcome: the experiment's result.
        folder: created if absent.

    Returns:
        The files, in the order of the figures.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, draw in outcome.figures.items():
        with matplotlib.rc_context(_STYLE):
            figure = draw()
            for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                path = folder / f"{name}.{kind}"
                figure.savefig(path, dpi=_DPI, metadata=metadata)
                written.append(path)
    return written
