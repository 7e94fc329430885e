"""SARIF 2.1.0: findings as code hosts, editors and CI systems read them.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babysit.records import Cause, Finding, Severity
from babysit.verdict.cards import RuleCard, card_of, spoken

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def document(
    name: str,
    findings: Sequence[Finding],
    causes: Sequence[Cause],
    rules: Sequence[RuleCard] = (),
    file: str = "",
) -> dict[str, Any]:
    """A whole SARIF log with one run.

    Args:
        name: what was looked at.
        findings: every finding, symptoms included.
        causes: those that no other explains.
        rules: what the table says of the rules; a rule that it lacks is told from its finding.
        file: the file that the findings are shown at; empty for none.

    Example:
        >>> finding = Finding("plateau", Severity.INFO, "cost", 7, "it stands still", (), "wait", "row 109")
        >>> log = document("run", [finding], [])
        >>> log["version"], log["runs"][0]["results"][0]["level"]
        ('2.1.0', 'note')
    """
    known = {card.name: card for card in rules}
    cards = {each.rule: known.get(each.rule) or card_of(each) for each in findings}
    places = {rule: number for number, rule in enumerate(cards)}
    sureness = {cause.finding: cause for cause in causes}
    explained = {symptom: cause for cause in causes for symptom in cause.symptoms}
    run: dict[str, Any] = {
        "tool": {"driver": {**_driver(), "rules": [_rule(card) for card in cards.values()]}},
        "columnKind": "utf16CodeUnits",
        "results": [
            {
                **_result(finding, places[finding.rule]),
                **_rank(sureness.get(finding)),
                "locations": [_location(finding, file)],
                "properties": _properties(finding, sureness.get(finding), explained.get(finding)),
            }
            for finding in findings
        ],
    }
    if name:
        run["automationDetails"] = {"id": f"babysit/{name}/"}
    if file:
        run["artifacts"] = [{"location": {"uri": _uri(file)}}]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _driver() -> dict[str, Any]:
    try:
        return {"name": "babysit", "version": version("babysit")}
    except PackageNotFoundError:  # run from its sources
        return {"name": "babysit"}


def _rule(card: RuleCard) -> dict[str, Any]:
    full = ". ".join(part for part in (card.title, card.reason) if part)
    help_text = card.advice or full
    return {
        "id": card.name,
        "name": "".join(word.capitalize() for word in card.name.split("_")),
        "shortDescription": {"text": spoken(card.name)},
        "fullDescription": {"text": full},
        "help": {"text": help_text, "markdown": f"{help_text}\n\nSource: {card.source}"},
        "defaultConfiguration": {"level": LEVELS[card.severity]},
        "properties": {"tags": ["training"], "source": card.source, "symptomOf": list(card.symptom_of)},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    where = f"{finding.rule} {finding.where}"
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. What to do: {finding.advice}"},
        # Known again in the next run of the same program, though the numbers in its message differ.
        "partialFingerprints": {"ruleAndPlace/v1": hashlib.sha256(where.encode()).hexdigest()[:16]},
    }


def _rank(cause: Cause | None) -> Mapping[str, float]:
    return {} if cause is None else {"rank": round(100 * cause.confidence, 1)}


def _location(finding: Finding, file: str) -> dict[str, Any]:
    place: dict[str, Any] = {"logicalLocations": [{"name": finding.where, "kind": "member"}]}
    if file:
        # Code hosts show nothing without a line; the first one stands for the file.
        artifact = {"uri": _uri(file), "index": 0}
        place["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": 1}}
    return place


def _uri(file: str) -> str:
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _properties(finding: Finding, cause: Cause | None, explained_by: Cause | None) -> dict[str, Any]:
    data = finding.as_data()
    kept = {name: data[name] for name in ("where", "since", "unit", "evidence", "advice", "source")}
    if cause is not None:
        symptoms = [symptom.rule for symptom in cause.symptoms]
        return {**kept, "role": "cause", "confidence": cause.confidence, "symptoms": symptoms}
    if explained_by is not None:
        return {**kept, "role": "symptom", "explainedBy": explained_by.rule}
    return {**kept, "role": "remark"}
