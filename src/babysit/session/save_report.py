"""``babysit.save_report``: a verdict as a file, for people, code hosts or scripts."""

from __future__ import annotations

import os
from pathlib import Path

from babysit.diagnosis.report import Report
from babysit.errors import InputError
from babysit.watching.watch import Watch

FORMS = (".html", ".json", ".sarif")


def save_report(found: Report | Watch, path: str | os.PathLike[str]) -> Path:
    """Writes a verdict to a file; its ending says in which form.

    Args:
        found: what ``babysit.check`` or ``watch.report()`` returned, or the watch itself, whose page also
            shows what was measured: loss, update ratios, gradients, activations, rates.
        path: ``.html`` for one self-contained page, ``.json`` for plain data, ``.sarif`` for code hosts.

    Returns:
        The file's path.

    Raises:
        InputError: another ending, neither a report nor a watch, or a file that cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_report(Report(name="mnist", steps=500), Path(folder) / "run.html").name
        'run.html'
    """
    from babysit.views.html.pages import write_page  # the templates' engine loads only when a page is written

    if not isinstance(found, Report | Watch):
        raise InputError(
            f"save_report cannot write a {type(found).__name__}",
            fix="give it what babysit.check returned, watch.report(), or the watch itself",
        )
    form = Path(path).suffix.lower()
    if form not in FORMS:
        raise InputError(f"{path}: there is no report in this form", fix=f"end it in {', '.join(FORMS)}")
    return write_page(_written(found, form), path)


def _written(found: Report | Watch, form: str) -> str:
    from babysit.views.html.verdict_page import verdict_page

    report = found if isinstance(found, Report) else found.report()
    if form == ".json":
        return report.as_json()
    if form == ".sarif":
        return report.as_sarif()
    return verdict_page(report, None if isinstance(found, Report) else found.log())
