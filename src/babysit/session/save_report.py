"""``babysit.save_report``: writes a verdict as HTML, JSON or SARIF."""

from __future__ import annotations

import os
from pathlib import Path

from babysit.diagnosis.report import Report
from babysit.errors import InputError
from babysit.watching.watch import Watch

FORMS = (".html", ".json", ".sarif")


def save_report(found: Report | Watch, path: str | os.PathLike[str]) -> Path:
    """Writes a verdict to a file in the form that its suffix names.

    Args:
        found: the report of ``babysit.check`` or ``watch.report()``, or the watch itself, whose page also
            shows the measurements: loss, update ratios, gradients, activations, learning rates.
        path: ``.html`` for one self-contained page, ``.json`` for plain data, ``.sarif`` for code hosts.

    Returns:
        The file's path.

    Raises:
        InputError: another suffix, neither a report nor a watch, or a file that cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_report(Report(name="mnist", steps=500), Path(folder) / "run.html").name
        'run.html'
    """
    from babysit.views.html.pages import write_page  # the template engine loads only when a page is written
    from babysit.views.html.verdict_page import verdict_page

    if not isinstance(found, Report | Watch):
        raise InputError(
            f"save_report cannot write a {type(found).__name__}",
            fix="pass the report of babysit.check, watch.report(), or the watch itself",
        )
    form = Path(path).suffix.lower()
    if form not in FORMS:
        raise InputError(f"{path}: there is no report in this form", fix=f"end it in {', '.join(FORMS)}")
    report = found if isinstance(found, Report) else found.report()
    if form == ".json":
        page = report.as_json()
    elif form == ".sarif":
        page = report.as_sarif()
    else:
        page = verdict_page(report, None if isinstance(found, Report) else found.log())
    return write_page(page, path)
