"""The lecture's five runs on the real CIFAR-10, told right through every door.

A recipe with `babysit train`; a hand-written loop under `babysit.watch`; and what that loop prints, with
`babysit diagnose`.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from benchmarks.lecture import cifar
from torch import nn
from torch.nn.functional import cross_entropy

import babysit
from babysit.diagnosis.report import Report
from babysit.recipe.building import prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.records import State
from babysit.session.diagnose import diagnose_log
from babysit.session.jobs.job import Job
from babysit.session.jobs.train import train
from babysit.verdicts import Health, Severity

pytestmark = [
    pytest.mark.cifar,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "BABYSIT_DATA" not in os.environ, reason="needs the real CIFAR-10: set BABYSIT_DATA to its folder"
    ),
]


class Lesson(NamedTuple):
    """One run of the lecture.

    Attributes:
        rate: its learning rate.
        epochs: enough of them to judge it.
        live: what the watch calls its cause, and the symptom of it; "healthy" for none.
        printed: what a log says, or a recipe's run.
        log: the verdict on the log in one word; six epochs are too few to exclude swings.
        images: how many it trains on; twenty are one batch, and are their own validation.
    """

    rate: float
    epochs: int
    live: tuple[str, ...]
    printed: str
    log: Health
    images: int


LESSONS = {
    "too_low": Lesson(1e-6, 5, ("learning_rate_too_low",), "learning_rate_too_low", Health.UNHEALTHY, 20_000),
    "exploding": Lesson(
        3e-3, 8, ("learning_rate_too_high", "loss_not_finite"), "exploded", Health.UNHEALTHY, 49_000
    ),
    "nan": Lesson(
        1e6, 1, ("learning_rate_too_high", "loss_not_finite"), "exploded", Health.UNHEALTHY, 20_000
    ),
    "overfit": Lesson(1e-3, 200, ("healthy",), "healthy", Health.HEALTHY, 20),
    "good": Lesson(7e-4, 6, ("healthy",), "healthy", Health.UNDECIDED, 20_000),
}


@cache
def dataset(images):
    found = cifar().dataset
    if images == 20:
        return found.tiny(20)
    return replace(found, train=found.sample(found.train, images, seed=0))


@cache
def tensors(images):
    """Training and validation tensors, as the lecture has them: pixels minus the mean image."""
    found = dataset(images)
    return [
        torch.from_numpy(np.ascontiguousarray(array))
        for part in (found.train, found.val)
        for array in (found.inputs(part.x).reshape(len(part), -1), part.y)
    ]


@cache
def by_hand(name) -> tuple[Report, str]:
    """The loop as a student writes it: two layers, plain gradient descent; its report and its log."""
    lesson = LESSONS[name]
    x, y, val_x, val_y = tensors(lesson.images)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3072, 50), nn.ReLU(), nn.Linear(50, 10))
    for layer in (model[0], model[2]):
        nn.init.normal_(layer.weight, std=1e-4)
        nn.init.zeros_(layer.bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=lesson.rate)
    size, lines = min(100, lesson.images), []
    with babysit.watch(model, optimizer, loss=cross_entropy, name=name) as watching:
        for epoch in range(1, lesson.epochs + 1):
            for batch in torch.randperm(len(x)).split(size):
                loss = cross_entropy(model(x[batch]), y[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                watching.step(loss)
            seen = accuracy(model, x[:1000], y[:1000]), accuracy(model, val_x, val_y)
            watching.epoch(train_accuracy=seen[0], val_accuracy=seen[1])
            lines.append(
                f"Finished epoch {epoch} / {lesson.epochs}: cost {loss.item():f}, train: {seen[0]:f}, "
                f"val {seen[1]:f}, lr {lesson.rate:e}"
            )
            if not math.isfinite(loss.item()):
                break
    return watching.report(), "\n".join(lines)


@torch.no_grad()
def accuracy(model, x, y):
    return float((model(x).argmax(1) == y).float().mean())


@pytest.mark.parametrize("name", LESSONS)
def test_a_loop_by_hand_under_the_watch(name):
    report, _ = by_hand(name)
    causes = [(cause.rule, *(each.rule for each in cause.symptoms)) for cause in report.causes]
    assert (causes or [("healthy",)]) == [LESSONS[name].live], str(report)
    assert report.healthy is (not causes)
    if name in ("exploding", "nan"):
        (cause,) = report.causes
        (broken,) = cause.symptoms
        assert "the learning rate is too high" in cause.finding.message
        assert "learning rate is too high" in str(broken)
        assert broken.severity is Severity.ERROR
        # at once, or after what grew is named
        assert broken.since <= 10 if name == "nan" else "grew" in broken.message


def expected(name, run):
    """The rules on a log or a recipe's run: an explosion is called by what the cost became."""
    if LESSONS[name].printed != "exploded":
        return [LESSONS[name].printed]
    assert run.state is State.EXPLODED
    return ["loss_exploded" if math.isfinite(run.explosion.cost) else "loss_not_finite"]


@pytest.mark.parametrize("name", LESSONS)
def test_its_printed_log(name, tmp_path):
    (tmp_path / "log.txt").write_text(by_hand(name)[1])
    found = diagnose_log(str(tmp_path / "log.txt"))
    assert serious(found.report) == expected(name, found.log.run), by_hand(name)[1]
    assert found.report.health is LESSONS[name].log
    if name == "good":
        assert [(each.rule, each.reason) for each in found.report.unanswered] == [
            ("oscillation", "fewer than 10 readings")
        ]


@pytest.mark.parametrize("name", ["nan", "overfit", "good"])  # test_cifar.py trains the other two
def test_a_recipe(name, tmp_path):
    lesson = LESSONS[name]
    settings = (f"learning_rate={lesson.rate}", f"epochs={lesson.epochs}", "learning_rate_decay=1", "l2=0")
    settings += (f"batch_size={min(100, lesson.images)}",)
    recipe = apply_settings(load_recipe("cifar10"), settings)
    recipe = replace(recipe, data=lambda: dataset(lesson.images))
    trained = train(Job("cifar10", settings, folder=tmp_path), prepare(recipe, seed=0))
    assert serious(trained.report) == expected(name, trained.run)
    assert trained.report.healthy is (lesson.printed == "healthy")
    if name == "overfit":
        assert trained.run.last.cost < 0.01
        assert trained.run.last.train_accuracy == 1.0


def serious(report):
    """The causes that are more than a remark, or "healthy" alone."""
    return [cause.rule for cause in report.serious] or ["healthy"]
