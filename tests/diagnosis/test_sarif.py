"""SARIF: the parts of the 2.1.0 schema that babysit writes, checked key by key."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import urlparse

import pytest

from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.report import Report
from babysit.verdicts import Cause
from diagnosis.test_report import CAUSE, OPEN, SICK, SYMPTOM


def message(value):
    assert set(value) <= {"text", "markdown"}
    assert value["text"]


def check_rule(rule):
    assert set(rule) == {
        *("id", "name", "deprecatedIds", "shortDescription", "fullDescription", "help"),
        *("defaultConfiguration", "properties"),
    }
    assert all(isinstance(name, str) for name in rule["deprecatedIds"])
    assert len(set(rule["deprecatedIds"])) == len(rule["deprecatedIds"])
    for part in ("shortDescription", "fullDescription", "help"):
        message(rule[part])
    assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    assert all(isinstance(tag, str) for tag in rule["properties"]["tags"])


def check_location(location, artifacts):
    assert set(location) <= {"logicalLocations", "physicalLocation"}
    assert all(set(each) <= {"name", "kind"} and each["name"] for each in location["logicalLocations"])
    if "physicalLocation" in location:
        place = location["physicalLocation"]
        assert (
            artifacts[place["artifactLocation"]["index"]]["location"]["uri"]
            == place["artifactLocation"]["uri"]
        )
        assert place["region"]["startLine"] >= 1


def check_result(result, run):
    assert {"ruleId", "message", "level", "locations"} <= set(result)
    assert set(result) <= {
        *("ruleId", "ruleIndex", "level", "message", "locations", "properties", "partialFingerprints", "rank")
    }
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert result["level"] in {"none", "note", "warning", "error"}
    assert 0 <= result.get("rank", 0) <= 100
    message(result["message"])
    for location in result["locations"]:
        check_location(location, run.get("artifacts", []))


def checked(text):
    """The log's one run, after the checks."""
    log = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    assert urlparse(log["$schema"]).scheme == "https"
    (run,) = log["runs"]
    assert set(run) <= {"tool", "results", "columnKind", "automationDetails", "artifacts", "properties"}
    assert run["properties"].keys() == {"verdict", "notAnswered"}
    driver = run["tool"]["driver"]
    assert driver["name"] == "babysit"
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    for rule in driver["rules"]:
        check_rule(rule)
    for result in run["results"]:
        check_result(result, run)
    return run


def test_every_finding_is_a_result_with_its_level_and_role():
    run = checked(SICK.as_sarif())
    assert [(each["ruleId"], each["level"], each["properties"]["role"]) for each in run["results"]] == [
        ("gradients_not_zeroed", "error", "cause"),
        ("learning_rate_too_high", "warning", "symptom"),
        ("plateau", "note", "remark"),
    ]
    cause, symptom, _ = run["results"]
    assert (cause["rank"], cause["properties"]["confidence"]) == (95.0, 0.95)
    assert cause["properties"]["symptoms"] == ["learning_rate_too_high"]
    assert symptom["properties"]["explainedBy"] == "gradients_not_zeroed"
    assert cause["properties"]["evidence"][0]["what"] == "leftover share"
    assert cause["properties"]["unit"] == "step"


def test_rules_come_from_the_catalogue_with_the_names_that_they_had():
    rules = checked(SICK.as_sarif())["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["gradients_not_zeroed", "learning_rate_too_high", "plateau"]
    for rule in rules:
        problem = CATALOGUE[rule["id"]]
        assert rule["fullDescription"]["text"] == problem.summary
        assert (rule["help"]["text"], rule["properties"]["source"]) == (problem.fix, problem.source)
        assert rule["help"]["markdown"] == f"{problem.fix}\n\nSource: {problem.source}"
        assert rule["deprecatedIds"] == list(problem.formerly)
    known, _, remark = rules
    assert (known["name"], known["shortDescription"]["text"]) == (
        "GradientsNotZeroed",
        "gradients not zeroed",
    )
    assert known["defaultConfiguration"]["level"] == "error"
    assert remark["defaultConfiguration"]["level"] == "note"


def test_the_verdict_and_what_was_not_answered_are_kept():
    assert checked(SICK.as_sarif())["properties"] == {"verdict": "unhealthy", "notAnswered": []}
    left = replace(SICK, causes=(), questions=(*SICK.questions, OPEN))
    assert checked(left.as_sarif())["properties"] == {"verdict": "undecided", "notAnswered": [OPEN.as_data()]}


@pytest.mark.parametrize(
    ("file", "uri"), [("my recipe.py", "my%20recipe.py"), ("logs/ä.txt", "logs/%C3%A4.txt")]
)
def test_a_file_is_where_the_findings_are_shown(file, uri):
    run = checked(SICK.as_sarif(file))
    assert run["artifacts"] == [{"location": {"uri": uri}}]
    assert all("physicalLocation" in each["locations"][0] for each in run["results"])


def test_an_absolute_path_becomes_a_uri(tmp_path):
    (artifact,) = checked(SICK.as_sarif(str(tmp_path / "run.log")))["artifacts"]
    assert artifact["location"]["uri"].startswith("file:///")


def test_a_healthy_report_has_no_result():
    run = checked(Report(name="run", steps=5, questions=SICK.questions).as_sarif())
    assert run["results"] == run["tool"]["driver"]["rules"] == []
    assert run["properties"]["verdict"] == "healthy"


def test_a_finding_is_known_again_by_its_rule_and_place():
    later = Report(name="run", causes=(Cause(replace(CAUSE, since=9, message="again", confidence=0.1)),))
    other = Report(name="run", causes=(Cause(SYMPTOM),))
    prints = [checked(each.as_sarif())["results"][0]["partialFingerprints"] for each in (SICK, later, other)]
    assert prints[0] == prints[1] != prints[2]
    assert re.fullmatch(r"[0-9a-f]{16}", prints[0]["ruleAndPlace/v1"])
