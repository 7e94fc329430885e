"""Fills templates into self-contained HTML pages and writes them to files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from babysit.errors import InputError
from babysit.views.data.formatting import duration_text, moment_text, number_text, percent_text, value_text


def prose(text: str) -> Markup:
    """Escapes a sentence for a page and sets text between backticks as code.

    Example:
        >>> prose("run `babysit check` if x < 1")
        Markup('run <code>babysit check</code> if x &lt; 1')
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:  # an unpaired backtick
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if number % 2 else part for number, part in enumerate(parts))


FILTERS = {
    "number": number_text,
    "percent": percent_text,
    "value": value_text,
    "duration": duration_text,
    "moment": moment_text,
    "prose": prose,
}
"""The filters of the templates, by name."""


def render(template: str, contents: Mapping[str, Any]) -> str:
    """Renders a template; every value is escaped.

    Args:
        template: the template's file name.
        contents: the values by name; a missing name is an error.
    """
    environment = Environment(
        loader=PackageLoader("babysit.views.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template(template).render(contents)


def write_page(page: str, path: str | os.PathLike[str]) -> Path:
    """Writes a page, or any text, to a file.

    Args:
        page: the text.
        path: the file; its folder is created.

    Returns:
        The file's path.

    Raises:
        InputError: the file cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"the report {target} cannot be written ({error.strerror})",
            fix="name a file that you may write to",
        ) from error
    return target
