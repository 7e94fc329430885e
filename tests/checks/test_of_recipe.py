"""A recipe looked at as any program: the same losses and updates, one report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from babysit.checks.of_recipe import LOSSES, RuleOptimizer, program_report
from babysit.checks.questions.initial_loss import initial_loss
from babysit.data.dataset import Dataset
from babysit.data.in_memory import arrays
from babysit.data.preprocessing import Standardize
from babysit.data.sources import digits
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform, middle, uniform
from babysit.training.losses import LOSSES as TRAINED
from babysit.training.updates import update_named
from babysit.verdicts import Severity, Status


def network(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))


def asked(**options):
    space = {"learning_rate": 0.05, **options.pop("space", {})}
    recipe = Recipe(**{"data": digits, "model": network, "batch_size": 50, "space": space, **options})
    return prepare(recipe, seed=0), middle(recipe.full_space())


def rules(report):
    return [finding.rule for finding in report.findings]


@pytest.mark.parametrize("name", list(TRAINED))
def test_the_losses_are_those_that_train(name):
    generator = torch.Generator().manual_seed(0)
    width = {"binary": 1, "mse": 2}.get(name, 4)
    out = torch.randn(6, width, generator=generator)
    y = {"binary": torch.tensor([0, 1, 1, 0, 1, 0]), "mse": torch.randn(6, 2, generator=generator)}.get(
        name, torch.tensor([0, 1, 2, 3, 0, 1])
    )
    trained = TRAINED[name].per_example(out.unsqueeze(0), y).mean()
    assert LOSSES[name](out, y).item() == pytest.approx(trained.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_the_updates_are_those_of_torch(name):
    torch.manual_seed(0)
    one, x, y = nn.Linear(4, 3), torch.randn(8, 4), torch.arange(8) % 3
    other = nn.Linear(4, 3)
    other.load_state_dict(one.state_dict())
    decay = {"weight_decay": 0.1} if name == "adamw" else {"l2": 0.1}
    ours = RuleOptimizer(one, update_named(name), {"learning_rate": 0.01, **decay})
    make = {
        "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99),
        "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
    }[name]
    bias_decay = 0.1 if name == "adamw" else 0.0
    theirs = make(
        [
            {"params": [other.weight], "weight_decay": 0.1},
            {"params": [other.bias], "weight_decay": bias_decay},
        ]
    )
    for _ in range(5):
        for model, optimizer in ((one, ours), (other, theirs)):
            model.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    assert torch.allclose(one.weight, other.weight, atol=1e-6)
    assert torch.allclose(one.bias, other.bias, atol=1e-6)


def test_a_healthy_recipe_and_its_random_state():
    before = torch.get_rng_state()
    report = program_report(*asked())
    assert report.healthy, report
    assert torch.equal(torch.get_rng_state(), before)


def test_a_recipe_with_a_softmax_too_many():
    def doubled(hp):
        return nn.Sequential(network(hp), nn.Softmax(dim=1))

    assert program_report(*asked(model=doubled)).causes[0].rule == "softmax_before_cross_entropy"


def test_a_rate_that_is_chosen_is_judged_and_one_to_be_searched_is_not():
    assert program_report(*asked(space={"learning_rate": 1e-9})).causes[0].rule == "learning_rate_too_low"
    assert program_report(*asked(space={"learning_rate": log_uniform(1e-10, 1e-8)})).healthy


def test_weight_decay_that_holds_the_network_down():
    report = program_report(*asked(space={"l2": 30.0, "learning_rate": 0.02}))
    assert "regularization_too_strong" in rules(report)


def test_quiet_advice_of_a_recipe():
    prepared, hp = asked(space={"learning_rate": uniform(1e-4, 1e-1)})
    assert "linear_search_range" in rules(program_report(prepared, hp))
    scaled = replace(prepared, dataset=digits(preprocess=[Standardize()]))
    report = program_report(scaled, hp)
    assert "pixels_standardized" in rules(report)
    assert {f.severity for f in report.findings} == {Severity.INFO}
    assert rules(program_report(*asked(space={"learning_rate": log_uniform(1e-4, 1e-1)}))) in (
        [],
        ["inputs_all_positive"],
    )


def rare() -> Dataset:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 64)).astype("float32")
    y = (np.arange(2000) % 25 == 0).astype("int64")
    return arrays(x[:1500], y[:1500], x[1500:], y[1500:])


@pytest.mark.parametrize(("bias", "status"), [(-3.18, Status.PASS), (0.0, Status.PASS), (3.0, Status.FAIL)])
def test_the_shares_of_the_classes_are_a_start_as_good_as_chance(bias, status):
    def model(hp):
        made = nn.Linear(64, 1)
        nn.init.zeros_(made.weight)
        nn.init.constant_(made.bias, bias)
        return made

    result = initial_loss(*asked(data=rare, model=model, loss="binary"))
    assert result.status is status
    if bias < 0:
        assert result.value == pytest.approx(result.details["prior"], rel=0.01)
