"""What is compared, read from the store: a trial, or a study by its best trial and what was asked of it."""

from __future__ import annotations

from babysit.session.references import resolve
from babysit.store import queries
from babysit.store.queries import Reader
from babysit.views.comparison import Compared, study_settings


def compared(reader: Reader, text: str) -> Compared:
    """The trial or study that a text names.

    Args:
        reader: the store.
        text: as :func:`babysit.session.references.resolve` reads it.

    Raises:
        InputError: the store has none such.
    """
    study, key = resolve(reader, text)
    results = {result.trial.key: result for result in queries.results(reader, study.id)}
    findings = queries.findings(reader, study.id)
    if key is not None:
        return Compared(text, study, results[key], findings=findings.get(key, ()))
    scored = [result for result in results.values() if result.score > float("-inf")]
    best = max(scored, key=lambda result: result.score, default=None)
    seen = findings.get(best.trial.key, ()) if best else ()
    return Compared(text, study, best, study_settings(study), len(results), seen)
