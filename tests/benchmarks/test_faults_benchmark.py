"""The benchmark of faults: its counting, and what it makes of the peers' findings."""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks.peers import fault_finders
from tests.faults import FAULTY, FIELD
from tests.faults.field import Job
from torch import nn

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


def test_meanings_are_names_of_rules():
    from babysit.checks.faults import FAULTS
    from babysit.watching.live_rules import LIVE_RULES
    from babysit.watching.rules import RULES

    known = {rule.name for table in (FAULTS, LIVE_RULES, RULES) for rule in table}
    meant = {cause for causes in fault_finders.MEANING.values() for cause in causes.split()}
    watched = {cause for causes in faults.WATCHED.values() for cause in causes.split()}
    answers = {cause for program in FIELD for cause in (*program.check, *program.watch)}
    assert meant <= known
    assert watched <= known
    assert answers <= known


def test_the_zoo_is_trained_by_the_usual_loop():
    program = faults.of_zoo(next(case for case in FAULTY if "softmax_before_cross_entropy" in case.causes))
    losses = []
    program.build().run(3, lambda loss: losses.append(float(loss.detach())))
    assert len(losses) == 3
    assert program.watch == ("output_loss_mismatch",)


@pytest.mark.parametrize("name", sorted(fault_finders.FINDERS))
def test_a_peer_answers(name):
    pytest.importorskip(fault_finders.FINDERS[name][0])
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    batch = (torch.randn(16, 3), torch.randn(16, 1))
    job = Job(model, nn.MSELoss(), [batch], torch.optim.SGD(model.parameters(), lr=1e-9))
    said = fault_finders.quietly(fault_finders.FINDERS[name][1], job, 40)
    assert all(one.severity in fault_finders.RANK for one in said)
