"""Requests change the requested member exactly as specified, and no other member."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
import torch

from babysit.data.batches import Batches
from babysit.data.folds import folds
from babysit.data.sources import digits
from babysit.nn.networks import mlp, two_layer
from babysit.records import CommandKind, State, Touch
from babysit.seeding import seeded
from babysit.training.evaluation import evaluation_of
from babysit.training.folds import FoldTrainer
from babysit.training.losses import LOSSES
from babysit.training.plan import FoldRows
from babysit.training.requests import MemberRequest
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES

STOP, SCALE = CommandKind.STOP, CommandKind.SCALE_LEARNING_RATE
RATES = (3e-3, 1e-2, 2e-2)


class Asking:
    """Asks for things once so many looks were taken; remembers at which step each was done."""

    def __init__(self, after=None):
        self.after = dict(after or {})
        self.looks = 0
        self.done = defaultdict(list)

    def __call__(self, alive):
        self.looks += 1
        return [
            MemberRequest(member, Touch(kind, 0, argument), self.done[member, kind].append)
            for member, kind, argument in self.after.pop(self.looks, ())
        ]


@pytest.fixture(scope="module")
def data():
    return digits()


def trained(data, asking=None, *, rates=RATES, update="momentum", schedule="multiplicative", epochs=3):
    members = []
    for index, rate in enumerate(rates):
        with seeded(0, "member", index):
            members.append(
                Candidate(mlp(64, [16], 10, dropout=0.2), {"learning_rate": rate, "l2": 0.1}, index)
            )
    plan = Plan(LOSSES["softmax"], UPDATES[update], SCHEDULES[schedule], epochs)
    trainer = Trainer(members, plan, Batches(data, 50, seed=0), evaluation_of(data, seed=0), keep_best=True)
    if asking is not None:
        trainer.requests = asking
    return trainer, list(trainer.epochs())


def costs_of(reports, member):
    return np.concatenate([report.costs[member] for report in reports if member in report.costs])


def same_member(first, second, member):
    (one, reports), (other, others) = first, second
    runs = one.runs()[member], other.runs()[member]
    assert runs[0].readings == runs[1].readings
    assert (runs[0].state, runs[0].steps, runs[0].touches) == (runs[1].state, runs[1].steps, runs[1].touches)
    assert costs_of(reports, member).tolist() == costs_of(others, member).tolist()
    weights = one.weights(member), other.weights(member)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_an_empty_request_list_changes_nothing(data):
    asking = Asking()
    plain, asked = trained(data), trained(data, asking)
    for member in range(len(RATES)):
        same_member(plain, asked, member)
    steps = asked[0].step // 3  # of an epoch
    assert asking.looks == 3 * (1 + (steps - 1) // 8)  # before each epoch, and every 8 steps


@pytest.mark.parametrize("update", ["sgd", "momentum", "adam"])
def test_a_changed_learning_rate_is_the_members_own(data, update):
    plain = trained(data, update=update)
    asking = Asking({3: [(1, SCALE, 0.25)]})
    touched = trained(data, asking, update=update)
    for member in (0, 2):
        same_member(plain, touched, member)
    assert asking.done[1, SCALE] == [16]
    run, before = touched[0].runs()[1], plain[0].runs()[1]
    assert run.touches == (Touch(SCALE, 16, 0.25),)
    assert run.is_touched
    assert run.learning_rate_factor == 0.25
    rates = [reading.learning_rate for reading in run.readings]
    assert rates == [0.25 * reading.learning_rate for reading in before.readings]
    ours, theirs = costs_of(touched[1], 1), costs_of(plain[1], 1)
    assert ours[:17].tolist() == theirs[:17].tolist()  # the cost of a step comes before its update
    assert not np.array_equal(ours[17:], theirs[17:])


def test_before_the_first_step_it_is_another_trial(data):
    touched = trained(data, Asking({1: [(1, SCALE, 0.5)]}))
    other = trained(data, rates=(RATES[0], RATES[1] / 2, RATES[2]))
    assert touched[0].runs()[1].touches == (Touch(SCALE, 0, 0.5),)
    assert costs_of(touched[1], 1).tolist() == costs_of(other[1], 1).tolist()
    assert touched[0].runs()[1].readings == other[0].runs()[1].readings


@pytest.mark.slow
def test_every_later_rate_of_a_schedule_is_scaled(data):
    for schedule in SCHEDULES:
        plain = trained(data, schedule=schedule, epochs=4)[0].runs()[0]
        touched = trained(data, Asking({6: [(0, SCALE, 0.5)]}), schedule=schedule, epochs=4)[0].runs()[0]
        ratios = [
            one.learning_rate / other.learning_rate
            for one, other in zip(touched.readings, plain.readings, strict=True)
        ]
        assert ratios == [1.0, 0.5, 0.5, 0.5], schedule


def test_factors_multiply(data):
    run = trained(data, Asking({2: [(0, SCALE, 0.5), (0, SCALE, 0.5)], 9: [(0, SCALE, 8.0)]}))[0].runs()[0]
    assert run.learning_rate_factor == 2.0
    assert run.readings[-1].learning_rate == pytest.approx(2 * RATES[0] * 0.95**2)


def test_a_stopped_member_leaves_and_the_others_stay(data):
    plain = trained(data)
    asking = Asking({8: [(0, STOP, math.nan)]})
    touched = trained(data, asking)
    for member in (1, 2):
        same_member(plain, touched, member)
    run, before = touched[0].runs()[0], plain[0].runs()[0]
    assert (run.state, run.steps) == (State.STOPPED, asking.done[0, STOP][0])
    assert run.was_stopped_by_user
    assert run.is_final
    assert not run.is_touched
    assert run.readings == before.readings[:1]
    ours = costs_of(touched[1], 0)
    assert len(ours) == run.steps
    assert ours.tolist() == costs_of(plain[1], 0)[: run.steps].tolist()
    assert [list(report.stopped) for report in touched[1]] == [[], [0], []]
    assert touched[0].alive == [2, 1]


def test_a_stop_before_the_first_step_trains_nothing(data):
    trainer, reports = trained(data, Asking({1: [(1, STOP, math.nan)]}))
    run = trainer.runs()[1]
    assert (run.state, run.steps, run.readings) == (State.STOPPED, 0, ())
    assert math.isnan(run.first_cost)
    assert len(reports[0].costs[1]) == 0


def test_a_stop_between_epochs_keeps_the_finished_one(data):
    plain = trained(data)[0].runs()[0]
    looks_of_one_epoch = 1 + (trained(data, epochs=1)[0].step - 1) // 8
    run = trained(data, Asking({looks_of_one_epoch + 1: [(0, STOP, math.nan)]}))[0].runs()[0]
    assert run.readings == plain.readings[:1]
    assert run.steps == plain.readings[0].step


def test_all_may_be_stopped(data):
    asking = Asking({4: [(member, STOP, math.nan) for member in range(3)]})
    trainer, reports = trained(data, asking)
    assert trainer.alive == []
    assert len(reports) == 1
    assert not reports[0].readings
    assert {run.state for run in trainer.runs()} == {State.STOPPED}


def test_a_request_after_a_stop_has_no_effect(data):
    asking = Asking({2: [(0, STOP, math.nan), (0, SCALE, 0.5), (1, SCALE, 0.5)]})
    runs = trained(data, asking)[0].runs()
    assert runs[0].touches == (Touch(STOP, 8),)
    assert asking.done[0, SCALE] == []
    assert asking.done[1, SCALE] == [8]


def test_a_changed_run_resumes_from_a_checkpoint_bit_for_bit(data):
    whole = trained(data, Asking({3: [(0, SCALE, 0.5)]}))
    first, _ = trained(data, Asking({3: [(0, SCALE, 0.5)]}), epochs=1)
    first.plan = first.plan._replace(epochs=3)
    second, _ = trained(data, epochs=0)
    second.plan = second.plan._replace(epochs=3)
    second.restore(*first.snapshot())
    list(second.epochs())
    assert second.runs()[0].touches == whole[0].runs()[0].touches == (Touch(SCALE, 16, 0.5),)
    assert second.runs()[0].readings == whole[0].runs()[0].readings


def in_folds(data, asking=None):
    found = folds(data, 3, seed=1)
    plan = Plan(LOSSES["softmax"], UPDATES["sgd"], SCHEDULES["constant"], epochs=2)
    batches, evaluation = Batches(found.dataset, 30, seed=2), evaluation_of(found.dataset, seed=0)
    sample = found.dataset.sample(type(found.dataset.train)(found.fold_of[:, None], found.fold_of), 1000, 0).y
    rows = FoldRows(found.fold_of, sample)
    members = []
    for number, rate in enumerate((0.003, 0.01)):
        with seeded(0, "net", number):
            members.append(Candidate(two_layer(64, 8), {"learning_rate": rate}, number))
    trainer = FoldTrainer(members, 3, lambda some: Trainer(some, plan, batches, evaluation, folds=rows))
    if asking is not None:
        trainer.requests = asking
    return trainer, list(trainer.epochs())


def test_all_folds_of_a_trial_are_touched_together(data):
    asking = Asking({4: [(0, SCALE, 0.5)]})
    (plain, _), (touched, _) = in_folds(data), in_folds(data, asking)
    assert asking.done[0, SCALE] == [24]  # said once
    assert touched.runs()[0].touches == (Touch(SCALE, 24, 0.5),)
    assert touched.runs()[1] == replace_seconds(plain.runs()[1], touched.runs()[1])
    assert touched.runs()[0].readings[0].learning_rate == 0.0015


def test_all_folds_of_a_trial_stop_together(data):
    asking = Asking({4: [(1, STOP, math.nan)]})
    (plain, _), (touched, reports) = in_folds(data), in_folds(data, asking)
    run = touched.runs()[1]
    assert (run.state, run.steps, run.readings, run.folds) == (State.STOPPED, 24, (), ())
    assert touched.alive == [0]
    assert list(reports[0].stopped) == [1]
    assert len(reports[0].costs[1]) == 24
    assert touched.runs()[0] == replace_seconds(plain.runs()[0], touched.runs()[0])


def replace_seconds(run, other):
    """The same run with the other's time."""
    return type(run)(**{name: getattr(run, name) for name in run.__slots__} | {"seconds": other.seconds})
