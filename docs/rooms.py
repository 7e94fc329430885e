"""Draws docs/figures/rooms.svg, the rooms in the order of the import contract: ``python -m docs.rooms``."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "figures" / "rooms.svg"
WIDTH, ROW, GAP, LEFT = 960, 48, 8, 30
HEAD = 'font-size="13" font-weight="bold" fill="#1d3557"'
BODY = 'font-size="11" fill="#333"'


def layers() -> list[list[str]]:
    """Reads the layers of the package from pyproject.toml, the top one first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    rooms = next(each for each in contracts if each["name"] == "The rooms import one way only")
    return [[name.strip().removeprefix("babysit.") for name in row.split("|")] for row in rooms["layers"]]


def purpose(room: str) -> str:
    """Returns the first line of a room's docstring."""
    path = ROOT / "src" / "babysit" / room
    text = ast.get_docstring(
        ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text())
    )
    return (text or "").splitlines()[0]


def wrapped(text: str, columns: int) -> list[str]:
    """Breaks a purpose into at most two lines; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > columns:
            if len(lines) == 2:
                return [lines[0], lines[1] + " …"]
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def picture() -> str:
    """Draws every layer as a row of boxes; an arrow at the left says which way imports go."""
    rows = layers()
    height = len(rows) * (ROW + GAP) + GAP
    arrow = f"M14 {GAP} V{height - GAP} m-5 -10 l5 10 l5 -10"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<path d="{arrow}" fill="none" stroke="#667" stroke-width="2"/>',
    ]
    for index, rooms in enumerate(rows):
        top, width = GAP + index * (ROW + GAP), (WIDTH - LEFT) / len(rooms)
        for place, room in enumerate(rooms):
            left = LEFT + place * width
            box = f'x="{left:g}" y="{top}" width="{width - GAP:g}" height="{ROW}" rx="5"'
            parts.append(f'<rect {box} fill="#eef3fb" stroke="#8aa4cc"/>')
            lines = [room, *wrapped(purpose(room), int((width - 30) / 5.9))]
            for line, style in zip(lines, (HEAD, BODY, BODY), strict=False):
                y = top + 16 + 13 * lines.index(line)
                parts.append(f'<text x="{left + 10:g}" y="{y}" {style}>{escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture())
