"""`babysit diagnose` from the command line: what is shown, exit codes, bad input."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from cli.test_bad_input import assert_refused

ROOT = Path(__file__).parents[2]
LECTURE = ROOT / "tests" / "readings" / "logs" / "lecture"


def words(text):
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("row76_overfit", 0, ["read 25 epochs of cost, train accuracy", "memorizes", "healthy"]),
        ("row82_slow", 1, ["lecture-style lines", "learning rate is too low", "10 classes"]),
        ("row85_nan", 1, ["read 3 epochs", "too high"]),
        ("row88_exploding", 1, ["epoch 5", "too high"]),
        ("row97_coarse", 0, ["read 11 trials", "2 trials with l2 from 1200 on ruined", "search next"]),
        ("row101_fine", 1, ["best at 0.976 of 1e-4 to 1e-3", "worrying", "l2: best at 0.289", "ties: 5"]),
        ("row101_fine", 1, ["2 of the 5 best lie in the last 10%", "more trials with learning_rate beyond"]),
    ],
)
def test_the_lectures_logs(babysit, name, code, said):
    answer = babysit("diagnose", LECTURE / f"{name}.txt")
    assert answer.code == code
    for part in said:
        assert part in words(answer.out)
    assert len(answer.out.splitlines()) < 30


def test_a_log_on_standard_input(babysit, monkeypatch):
    text = io.TextIOWrapper(io.BytesIO((LECTURE / "row88_exploding.txt").read_bytes()))
    monkeypatch.setattr(sys, "stdin", text)
    assert babysit("diagnose", "-").code == 1


def test_json_holds_the_findings_and_nothing_else(babysit):
    answer = babysit("diagnose", LECTURE / "row88_exploding.txt", "--json")
    assert answer.code == 1
    assert answer.data["healthy"] is False
    assert answer.data["findings"][0]["rule"] == "loss_not_finite"
    assert len(answer.data["readings"]) == 4
    assert (answer.data["verdict"], answer.data["when"]) == ("unhealthy", "in this log")


def test_json_keeps_symptoms_under_their_cause_and_says_what_was_asked(babysit):
    data = babysit("diagnose", LECTURE / "row82_slow.txt", "--json").data
    (cause,) = data["causes"]
    assert cause["rule"] == "learning_rate_too_low"
    assert [symptom["rule"] for symptom in cause["symptoms"]] == ["plateau"]
    assert [finding["rule"] for finding in data["findings"]] == ["learning_rate_too_low", "plateau"]
    asked = {question["rule"]: question["answer"] for question in data["questions"]}
    assert asked["oscillation"] == asked["learning_rate_too_low"] == "answered"
    assert asked["regularization_too_strong"] == "does not apply"


def test_a_plateau_that_a_low_rate_makes_gives_no_advice_of_its_own(babysit):
    said = words(babysit("diagnose", LECTURE / "row82_slow.txt").out)
    assert "explains: plateau" in said
    assert "raise it: try a learning rate of 1e-05" in said
    assert "lower the learning rate" not in said


SHORT = "".join(f"epoch {epoch} loss {2.3 - 0.1 * epoch} lr 0.01\n" for epoch in range(1, 4))


def test_a_log_that_is_too_short_to_judge_is_undecided_and_no_failure(babysit, tmp_path):
    (tmp_path / "log").write_text(SHORT)
    answer = babysit("diagnose", "log")
    assert answer.code == 0
    said = words(answer.out)
    assert "undecided in this log: nothing wrong in" in said
    assert "not answered (fewer than 5 readings or 50 steps): learning rate too low" in said
    data = babysit("diagnose", "log", "--json").data
    assert (data["verdict"], data["healthy"], data["findings"]) == ("undecided", False, [])
    left = {each["rule"]: each["reason"] for each in data["questions"] if each["answer"] == "not answered"}
    assert left["learning_rate_too_high"] == "fewer than 6 readings"
    assert babysit("diagnose", "log", "--sarif", "found.sarif").code == 0
    run = json.loads((tmp_path / "found.sarif").read_text())["runs"][0]
    assert run["results"] == []
    assert run["properties"]["verdict"] == "undecided"
    assert {each["rule"] for each in run["properties"]["notAnswered"]} == {
        each["rule"] for each in data["questions"] if each["answer"] == "not answered" and each["matters"]
    }


def test_json_of_a_search(babysit):
    data = babysit("diagnose", LECTURE / "row101_fine.txt", "--json").data
    assert data["kind"] == "search"
    assert data["best"]["score"] == 0.531
    (edge,) = data["edges"]
    assert (edge["name"], edge["near"], edge["top"]) == ("learning_rate", 2, 5)
    assert [fact["value"] for fact in data["findings"][0]["evidence"]] == [pytest.approx(0.976, abs=1e-3), 2]
    assert len(data["advice"]) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"nothing here\n", "Finished epoch"),
        (b"\x00\x01\x02\xff", "no text"),
        (b"epoch,loss\n", "no line"),
        (b"epoch,loss\n1,abc\n", "no reading"),
        (b'{"loss": ', "no line"),
        (b"[1, 2, 3]", "no line"),
        (b"\xff\xfeloss", "no line"),
        (b"val_acc: nan, lr: 1e-3, reg: 1, (1 / 2)\nval_acc: nan, lr: 1e-2, reg: 1, (2 / 2)\n", "no trial"),
    ],
)
def test_a_log_that_cannot_be_read(babysit, tmp_path, content, said):
    (tmp_path / "log").write_bytes(content)
    assert_refused(babysit("diagnose", "log"), said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nowhere.txt",), "nowhere.txt"),
        ((".",), "folder"),
        (("log", "--format", "yaml"), "yaml"),
        (("log", "--classes", "1"), "--classes"),
        (("log", "--chance-loss", "-2"), "--chance-loss"),
        (("log", "--format", "keras"), "Keras"),
        (("log", "--format", "search"), "no trials"),
        (("-", "--format", "tensorboard"), "there is no -"),
        (("run.tfevents.1",), "run.tfevents.1"),
    ],
)
def test_what_cannot_be_asked(babysit, tmp_path, options, said):
    (tmp_path / "log").write_text("epoch 1 loss 0.5\n")
    assert_refused(babysit("diagnose", *options), said)


def test_a_diagnosis_as_sarif_names_the_log(babysit, tmp_path):
    answer = babysit("diagnose", LECTURE / "row88_exploding.txt", "--sarif", "out/found.sarif")
    assert answer.code == 1
    run = json.loads((tmp_path / "out" / "found.sarif").read_text())["runs"][0]
    assert [result["ruleId"] for result in run["results"]] == ["loss_not_finite"]
    assert run["artifacts"][0]["location"]["uri"].endswith("lecture/row88_exploding.txt")
    assert run["tool"]["driver"]["rules"][0]["help"]["text"]


def test_a_search_at_the_edge_is_a_warning_in_sarif(babysit, tmp_path):
    assert babysit("diagnose", LECTURE / "row101_fine.txt", "--sarif", "found.sarif").code == 1
    (result,) = json.loads((tmp_path / "found.sarif").read_text())["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("best_at_edge_of_range", "warning")
    assert result["locations"][0]["logicalLocations"][0]["name"] == "learning_rate"


def test_sarif_that_cannot_be_written(babysit, tmp_path):
    assert_refused(
        babysit("diagnose", LECTURE / "row88_exploding.txt", "--sarif", tmp_path), "cannot be written"
    )
