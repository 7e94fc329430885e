"""HTML pages that need nothing else: templates filled, files written."""

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
    """A sentence for a page: escaped, and what stands between backticks set as code.

    Example:
        >>> prose("run `babysit check` if x < 1")
        Markup('run <code>babysit check</code> if x &lt; 1')
    """
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without its other one
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
"""What templates may call on a value, by name."""


def render(template: str, contents: Mapping[str, Any]) -> str:
    """A page from one of the templates; every value is escaped.

    Args:
        template: its file's name.
        contents: what it shows, by name; a name that it lacks is an error.
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
        path: the file; its folder is made.

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
