"""Reads from the store what is to be compared: a trial, or a study by its best trial and its settings."""

from __future__ import annotations

from babysit.session.references import resolve
from babysit.store import queries, run_queries
from babysit.store.reader import Reader
from babysit.tuning import ranking
from babysit.verdicts import Verdict
from babysit.views.data.comparison import Compared, study_settings


def compared(reader: Reader, text: str) -> Compared:
    """Reads the trial or study that a text names.

    Args:
        reader: the store.
        text: a reference, as :func:`babysit.session.references.resolve` reads it.

    Raises:
        InputError: the store has no such study or trial.
    """
    study, key = resolve(reader, text)
    results = {result.trial.key: result for result in queries.results(reader, study.id)}
    if key is not None:
        verdict = run_queries.verdict(reader, study.id, key)
        return Compared(text, study, results[key], verdict=verdict)
    best = ranking.best(results.values())
    verdict = run_queries.verdict(reader, study.id, best.trial.key) if best else Verdict()
    return Compared(text, study, best, study_settings(study), len(results), verdict)
