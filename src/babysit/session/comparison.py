"""What is compared, read from the store: a trial, or a study by its best trial and what was asked of it."""

from __future__ import annotations

from babysit.session.references import resolve
from babysit.store import queries, run_queries
from babysit.store.reader import Reader
from babysit.verdicts import Verdict
from babysit.views.terminal.comparison import Compared, study_settings


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
    if key is not None:
        verdict = run_queries.verdict(reader, study.id, key)
        return Compared(text, study, results[key], verdict=verdict)
    scored = [result for result in results.values() if result.score > float("-inf")]
    best = max(scored, key=lambda result: result.score, default=None)
    verdict = run_queries.verdict(reader, study.id, best.trial.key) if best else Verdict()
    return Compared(text, study, best, study_settings(study), len(results), verdict)
