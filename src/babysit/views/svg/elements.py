"""Elements of SVG: escaped, sized by their viewBox, coloured by the page's variables.

Every colour is a CSS variable with a fallback, so that a figure also works by itself, in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from babysit.views.data.axes import Axis

# Viridis: even in lightness, and readable with every kind of colour vision. A dark page has its own shades.
RAMP = ("#440154", "#472c7a", "#3b518b", "#2c718e", "#21908d", "#27ad81", "#5cc863", "#aadc32", "#fde725")
INK = "var(--ink, currentColor)"
MUTED = "var(--muted, #777)"
GRID = "var(--grid, #8884)"
BAD = "var(--bad, #d03b3b)"
ACCENT = "var(--accent, #2a78c8)"


def ramp_colour(shade: float) -> str:
    """Returns the colour of a shade between 0 and 1, one of nine; grey for NaN.

    Example:
        >>> ramp_colour(0.0), ramp_colour(1.0)
        ('var(--shade-0, #440154)', 'var(--shade-8, #fde725)')
    """
    if math.isnan(shade):
        return MUTED
    index = round(min(1.0, max(0.0, shade)) * (len(RAMP) - 1))
    return f"var(--shade-{index}, {RAMP[index]})"


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """Writes an element. An underscore in a name becomes a hyphen, ``None`` leaves the attribute out.

    Args:
        tag: the element's name.
        content: the element's content, already escaped.
        attributes: the attributes, escaped here; floats have at most two decimals.

    Example:
        >>> element("line", x1=1.0, stroke_width=2, id="a<b")
        '<line x1="1" stroke-width="2" id="a&lt;b"/>'
    """
    written = ""
    for name, value in attributes.items():
        if value is not None:
            words = short(value) if isinstance(value, float) else escape(str(value))
            written += f' {name.rstrip("_").replace("_", "-")}="{words}"'
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def short(value: float) -> str:
    """Writes a coordinate with at most two decimals.

    Example:
        >>> short(1.0), short(1.256), short(-0.001)
        ('1', '1.26', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def text(content: str, x: float, y: float, anchor: str = "start", **attributes: object) -> str:
    """Writes a line of text, escaped."""
    return element("text", escape(content), x=x, y=y, text_anchor=anchor, **attributes)


def title(content: str) -> str:
    """Writes a tooltip, escaped."""
    return element("title", escape(content))


def path(points: Sequence[tuple[float, float]], decimals: int = 1) -> str:
    """Returns the ``d`` of a line through points."""
    pairs = (f"{x:.{decimals}f} {y:.{decimals}f}" for x, y in points)
    return "M" + "L".join(pairs).replace(".0 ", " ").replace(".0L", "L") if points else ""


def document(width: float, height: float, label: str, parts: Iterable[str]) -> str:
    """Writes a figure, as wide as the page allows.

    Args:
        width, height: the size of the viewBox.
        label: a description for screen readers.
        parts: the elements.
    """
    return element(
        "svg",
        "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {short(width)} {short(height)}",
        role="img",
        aria_label=label,
        font_family="inherit",
        font_size=12,
        fill=INK,
    )


class Frame:
    """A rectangle with two axes, in which positions from 0 to 1 have coordinates.

    Args:
        width, height: the size of the figure.
        left, right, top, bottom: the margins for labels.
    """

    def __init__(
        self,
        width: float,
        height: float,
        *,
        left: float = 58,
        right: float = 14,
        top: float = 14,
        bottom: float = 44,
    ) -> None:
        self.width, self.height = width, height
        self.left, self.top = left, top
        self.inner_width, self.inner_height = width - left - right, height - top - bottom
        self.right, self.bottom = width - right, height - bottom

    def x(self, place: float) -> float:
        """Returns the abscissa of a place between 0 (left) and 1 (right)."""
        return self.left + place * self.inner_width

    def y(self, place: float) -> float:
        """Returns the ordinate of a place between 0 (bottom) and 1 (top)."""
        return self.bottom - place * self.inner_height

    def points(self, places: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """Converts places to coordinates."""
        return [(self.x(x), self.y(y)) for x, y in places]

    def axes(self, x: Axis, y: Axis) -> list[str]:
        """Draws grid lines, tick labels and axis labels."""
        across = [tick for tick in x.ticks if -0.001 <= tick.position <= 1.001]
        up = [tick for tick in y.ticks if -0.001 <= tick.position <= 1.001]
        centre, middle = self.left + self.inner_width / 2, self.top + self.inner_height / 2
        turned = f"rotate(-90 13 {short(middle)})"
        return [
            *(self.vertical(tick.position, stroke=GRID) for tick in across),
            *(
                text(tick.label, self.x(tick.position), self.bottom + 16, "middle", fill=MUTED)
                for tick in across
            ),
            *(self.horizontal(tick.position, stroke=GRID) for tick in up),
            *(text(tick.label, self.left - 8, self.y(tick.position) + 4, "end", fill=MUTED) for tick in up),
            text(shortened(x.label), centre, self.bottom + 36, "middle"),
            text(shortened(y.label), 13.0, middle, "middle", transform=turned),
        ]

    def horizontal(self, place: float, **attributes: object) -> str:
        """Draws a line from side to side."""
        height = self.y(place)
        return element("line", x1=self.left, x2=self.right, y1=height, y2=height, **attributes)

    def vertical(self, place: float, **attributes: object) -> str:
        """Draws a line from top to bottom."""
        across = self.x(place)
        return element("line", x1=across, x2=across, y1=self.top, y2=self.bottom, **attributes)


def shortened(label: str, most: int = 40) -> str:
    """Cuts a label to fit."""
    return label if len(label) <= most else label[: most - 1] + "…"


def cross(x: float, y: float, tooltip: str = "", size: float = 4) -> str:
    """Draws a red cross, the mark of an explosion."""
    d = f"M{short(x - size)} {short(y - size)}l{2 * size} {2 * size}m0 {-2 * size}l{-2 * size} {2 * size}"
    return element("path", title(tooltip) if tooltip else "", d=d, stroke=BAD, stroke_width=1.8, fill="none")
