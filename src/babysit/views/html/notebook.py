"""A figure for a notebook: an SVG with its title."""

from __future__ import annotations

import os
from pathlib import Path

from babysit.errors import InputError
from babysit.views.html.pages import write_page


class Drawing:
    """An SVG figure; a notebook draws it, ``save`` writes it.

    Args:
        svg: the figure.
        title: the figure's subject.

    Example:
        >>> Drawing("<svg/>", "nothing")
        Drawing('nothing')
    """

    def __init__(self, svg: str, title: str) -> None:
        self.svg, self.title = svg, title

    def __repr__(self) -> str:
        return f"Drawing({self.title!r})"

    def _repr_svg_(self) -> str:
        # An HTML page implies the namespace, a file does not.
        if "xmlns=" in self.svg.partition(">")[0]:
            return self.svg
        return self.svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)

    def _repr_html_(self) -> str:
        return f'<div style="max-width: 560px">{self.svg}</div>'

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the figure as an SVG file.

        Raises:
            InputError: the file's name does not end in .svg, or it cannot be written.
        """
        if Path(path).suffix != ".svg":
            raise InputError(f"{path} is not an SVG file", fix=f"write {Path(path).with_suffix('.svg')}")
        return write_page(self._repr_svg_(), path)
