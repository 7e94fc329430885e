"""What is compared, read from the store: a trial, or a study by its best trial and what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from babysit.records import Study, Value
from babysit.session.references import resolve
from babysit.store import queries
from babysit.store.queries import Reader
from babysit.views.comparison import Compared

_ASKED = ("loss", "update", "schedule", "epochs", "dataset", "train_examples", "precision")


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
    return Compared(text, study, best, _settings(study), len(results), seen)


def _settings(study: Study) -> dict[str, Value]:
    told: Mapping[str, Any] = study.settings
    stages = ",".join(f"{name}:{trials}x{epochs}" for name, trials, epochs in told.get("stages") or ())
    found: dict[str, Value] = {"recipe": study.recipe, "seed": study.seed, "stages": stages}
    return found | {name: told[name] for name in _ASKED if name in told}
