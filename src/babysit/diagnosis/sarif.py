"""SARIF 2.1.0: findings as code hosts, editors and CI systems read them.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.problem import Problem
from babysit.verdicts import Cause, Finding, Severity, Verdict

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def document(verdict: Verdict, name: str = "", file: str = "") -> dict[str, Any]:
    """Builds a SARIF log with one run; its results have the order of the report's causes.

    Args:
        verdict: causes with their symptoms, and the questions behind them.
        name: the name of the program, run or log.
        file: the file that the findings are shown at; empty for none.

    Example:
        >>> finding = Finding("plateau", Severity.INFO, "cost", 7, "it stands still", (), "wait", "a slide")
        >>> log = document(Verdict((Cause(finding),)), "run")
        >>> log["version"], log["runs"][0]["results"][0]["level"]
        ('2.1.0', 'note')
    """
    found = [(finding, cause) for cause in verdict.causes for finding in (cause.finding, *cause.symptoms)]
    rules = {finding.rule: CATALOGUE.get(finding.rule, _unknown(finding)) for finding, _ in found}
    places = {rule: place for place, rule in enumerate(rules)}
    run: dict[str, Any] = {
        "tool": {"driver": {**_driver(), "rules": [_rule(each) for each in rules.values()]}},
        "columnKind": "utf16CodeUnits",
        "results": [_result(finding, cause, places[finding.rule], file) for finding, cause in found],
        "properties": {
            "verdict": str(verdict.health),
            "notAnswered": [each.as_data() for each in verdict.unanswered],
        },
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


def _unknown(finding: Finding) -> Problem:
    """Builds the problem of a finding that only a newer babysit knows."""
    return Problem(
        name=finding.rule,
        summary=finding.message,
        fix=finding.advice,
        source=finding.source,
        severity=finding.severity,
    )


def _rule(problem: Problem) -> dict[str, Any]:
    return {
        "id": problem.name,
        "name": "".join(word.capitalize() for word in problem.name.split("_")),
        "deprecatedIds": list(problem.formerly),
        "shortDescription": {"text": problem.title},
        "fullDescription": {"text": problem.summary},
        "help": {"text": problem.fix, "markdown": f"{problem.fix}\n\nSource: {problem.source}"},
        "defaultConfiguration": {"level": LEVELS[problem.severity]},
        "properties": {"tags": ["training"], "source": problem.source},
    }


def _result(finding: Finding, cause: Cause, rule_index: int, file: str) -> dict[str, Any]:
    key = f"{finding.rule} {finding.where}"
    location: dict[str, Any] = {"logicalLocations": [{"name": finding.where, "kind": "member"}]}
    if file:
        # Code hosts show nothing without a line; the first one stands for the file.
        artifact = {"uri": _uri(file), "index": 0}
        location["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": 1}}

    data = finding.as_data()
    properties = {name: data[name] for name in ("where", "since", "unit", "evidence", "advice", "source")}
    if finding is cause.finding:
        properties |= {
            "role": "remark" if finding.severity is Severity.INFO else "cause",
            "confidence": finding.confidence,
            "symptoms": [symptom.rule for symptom in cause.symptoms],
        }
    else:
        properties |= {"role": "symptom", "explainedBy": cause.rule}
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": LEVELS[finding.severity],
        "message": {"text": f"{finding.message}. What to do: {finding.advice}"},
        # Equal in the next run of the same program, though the numbers in its message differ.
        "partialFingerprints": {"ruleAndPlace/v1": hashlib.sha256(key.encode()).hexdigest()[:16]},
        **({"rank": round(100 * finding.confidence, 1)} if finding is cause.finding else {}),
        "locations": [location],
        "properties": properties,
    }


def _uri(file: str) -> str:
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
