"""The benchmark of faults: its counting, and what it makes of the peers' findings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from benchmarks.peers import fault_finders
from tests.faults import FAULTY, FIELD, ISSUES
from tests.faults import HEALTHY as CALM
from tests.faults.rebuilt_programs import Job
from tests.readings.logs.curves import HEALTHY, SICK
from torch import nn

from babysit.diagnosis import confidence
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.watching.detectors import DETECTORS as WATCH
from benchmarks import faults


def outcome(**given):
    usual = {"tool": "check", "name": "one", "part": "A", "faulty": True, "expected": ("x",), "said": ("x",)}
    rest = {"place": 1, "worst": "error", "seconds": 1.0}
    return faults.Outcome(**{**usual, **rest, **given})


def test_a_fault_without_a_name_is_no_miss():
    found = faults.summary([outcome(), outcome(expected=(), place=0)])
    assert (found["faulty"], found["right cause first"], found["faults it has no name for"]) == (1, 1, 1)


def test_alarms_are_counted_by_their_worst():
    quiet = outcome(faulty=False, expected=(), said=(), place=0, worst="info")
    loud = outcome(faulty=False, expected=(), said=("y",), place=0, worst="warning")
    found = faults.summary([quiet, loud])
    assert (found["healthy"], found["false errors"], found["false warnings"], found["info only"]) == (
        2,
        0,
        1,
        1,
    )


def test_the_watch_is_asked_where_the_check_is_silent():
    silent = outcome(said=(), place=0, worst="")
    watch = outcome(tool="watch", said=("y", "x"), place=2, worst="warning")
    assert faults.both(silent, watch).place == 2
    assert faults.both(outcome(), watch).place == 1


@pytest.mark.slow
def test_all_tools_on_one_program():
    found = faults.measure("three_outputs_for_one_target", steps=40)
    assert [o["tool"] for o in found["outcomes"]] == ["babysit", "check", "watch"] * 2
    table = found["figures"]["all"]["check"]
    assert (table["faulty"], table["right cause first"], table["healthy"]) == (1, 1, 1)
    json.dumps(found)


def test_a_program_that_raises_is_still_counted():
    def fails(job, steps):
        raise RuntimeError("no")

    program = FIELD[0]
    found = faults.ask("watch", "A", program, ("x",), fails, 5, 0.0)
    assert found.raised == "RuntimeError: no"
    assert found.place == 0


def test_a_program_is_asked_about_with_the_names_of_its_faults():
    program = faults.of_zoo(case_with("softmax_before_cross_entropy"))
    assert program.accepted("check") == program.accepted("watch") == ("softmax_before_cross_entropy",)
    either = replace(program, check=("inputs_not_scaled", "dead_units"), watch=("dead_units", "plateau"))
    assert either.accepted("check") == ("inputs_not_scaled", "dead_units", "plateau")
    assert either.accepted("check") == either.accepted("watch")
    blind = replace(program, check=("dead_units",), watch=())
    assert (blind.accepted("check"), blind.accepted("watch")) == (("dead_units",), ())


def test_meanings_and_answers_are_names_of_the_catalogue():
    meant = {cause for causes in fault_finders.MEANING.values() for cause in causes.split()}
    answers = {cause for program in [*FIELD, *ISSUES] for cause in (*program.check, *program.watch)}
    assert meant <= CATALOGUE.keys()
    assert answers <= CATALOGUE.keys()
    assert {cause for case in FAULTY for cause in case.causes} <= CATALOGUE.keys()
    assert {rule for _, rule in SICK.values()} <= CATALOGUE.keys()


def case_with(cause):
    return next(case for case in FAULTY if cause in case.causes)


def test_the_zoo_is_trained_by_the_usual_loop():
    program = faults.of_zoo(case_with("softmax_before_cross_entropy"))
    losses = []
    program.build().run(3, lambda loss: losses.append(float(loss.detach())))
    assert len(losses) == 3
    assert program.watch == ("softmax_before_cross_entropy",)


def test_the_watch_is_not_asked_for_a_fault_that_it_has_no_detector_for():
    named = {detector.problem.name for detector in WATCH} | {row[1].name for row in faults.KNOWN}
    unseen = next(case for case in FAULTY if not named & set(case.causes))
    assert faults.of_zoo(unseen).watch == ()
    assert faults.of_zoo(unseen).check == unseen.causes


def test_calibration_counts_causes_of_detectors_and_those_that_were_right(monkeypatch):
    """One program, under its own name and under a wrong one; and two curves, three seeds each."""
    right = faults.of_zoo(case_with("softmax_before_cross_entropy"))
    wrong = replace(right, name="wrong", check=("dead_units",), watch=("dead_units",))
    monkeypatch.setattr(faults, "programs", lambda: [("A", right), ("A", wrong)])
    monkeypatch.setattr(faults, "HEALTHY_CURVES", {"small gap": HEALTHY["small gap"]})
    monkeypatch.setattr(faults, "SICK_CURVES", {"dead metric": SICK["dead metric"]})
    named = []
    found = faults.calibrate(steps=30, progress=named.append)
    assert found.counts == {
        "checks.softmax_before_cross_entropy": [2, 1],
        "readings.metric_disagrees_with_loss": [3, 3],
        "watching.softmax_before_cross_entropy": [2, 1],
    }
    first = "softmax_before_cross_entropy"
    assert found.first == {name: {"check": first, "watch": first} for name in (right.name, wrong.name)}
    assert named == [right.name, wrong.name]


def test_a_program_that_only_a_loop_shows_is_not_counted_for_the_check(monkeypatch):
    program = replace(faults.of_zoo(case_with("softmax_before_cross_entropy")), checkable=False)
    monkeypatch.setattr(faults, "programs", lambda: [("A", program)])
    for curves in ("HEALTHY_CURVES", "SICK_CURVES"):
        monkeypatch.setattr(faults, curves, {})
    found = faults.calibrate(steps=30)
    assert found.counts == {"watching.softmax_before_cross_entropy": [1, 1]}
    assert found.first == {program.name: {"watch": "softmax_before_cross_entropy"}}


def test_a_healthy_program_has_no_first_cause(monkeypatch):
    healthy = faults.of_zoo(CALM[0])
    monkeypatch.setattr(faults, "programs", lambda: [("A", healthy)])
    for curves in ("HEALTHY_CURVES", "SICK_CURVES"):
        monkeypatch.setattr(faults, curves, {})
    assert faults.calibrate(steps=60) == faults.Calibration({}, {healthy.name: {"check": "", "watch": ""}})


def test_counts_are_written_where_the_reasoner_reads_them(monkeypatch, tmp_path):
    monkeypatch.setattr(confidence, "__file__", str(tmp_path / "confidence.py"))
    counts = {"watching.plateau": [1, 0], "checks.bounded_output": [4, 3]}
    faults.write_counts(counts)
    written = (tmp_path / "confidence.json").read_text()
    assert json.loads(written) == counts
    assert written.splitlines() == [
        "{",
        '  "checks.bounded_output": [4, 3],',
        '  "watching.plateau": [1, 0]',
        "}",
    ]
    faults.write_counts({})
    assert json.loads((tmp_path / "confidence.json").read_text()) == {}


@pytest.mark.parametrize("name", sorted(fault_finders.FINDERS))
def test_a_peer_answers(name):
    pytest.importorskip(fault_finders.FINDERS[name][0])
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    batch = (torch.randn(16, 3), torch.randn(16, 1))
    job = Job(model, nn.MSELoss(), [batch], torch.optim.SGD(model.parameters(), lr=1e-9))
    said = fault_finders.quietly(fault_finders.FINDERS[name][1], job, 40)
    assert all(one.severity in fault_finders.RANK for one in said)
