from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.errors import RecipeError
from babysit.training.population import signature, stack


def test_member_returns_what_was_stacked():
    models = [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.1)) for _ in range(3)]
    population = stack(models)
    for index, model in enumerate(models):
        own = population.member(index)
        assert set(own) == set(model.state_dict())
        assert all(torch.equal(own[name], value) for name, value in model.state_dict().items())


def test_every_dropout_keeps_its_members_rate():
    def model(rate):
        twice = nn.Dropout(rate)
        return nn.Sequential(
            nn.Linear(3, 4), twice, nn.BatchNorm1d(4), twice, nn.Sequential(nn.Dropout(rate / 2))
        )

    population = stack([model(rate) for rate in (0.2, 0.6)])
    rates = {name: value.tolist() for name, value in population.buffers.items() if name.endswith("rate")}
    assert rates == {
        "1.rate": pytest.approx([0.2, 0.6]),
        "3.rate": pytest.approx([0.2, 0.6]),
        "4.0.rate": pytest.approx([0.1, 0.3]),
    }
    assert set(population.member(0)) == set(model(0.2).state_dict())
    assert stack([nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.4))]).has_dropout


def test_released_members_leave_and_the_last_take_their_places():
    models = [nn.Linear(2, 1) for _ in range(5)]
    population = stack(models)
    before = population.parameters["weight"].data_ptr()
    assert population.release([0, 3]) == [4, 1, 2]
    assert population.size == 3
    found = population.parameters["weight"]
    assert found.requires_grad
    assert found.is_leaf
    assert found.data_ptr() == before  # no other member was copied
    for slot, was in enumerate([4, 1, 2]):
        assert torch.equal(found[slot], models[was].weight)


def test_newcomers_take_the_free_slots():
    mine, theirs = ([nn.Linear(2, 1) for _ in range(3)] for _ in range(2))
    population, newcomers = stack(mine), stack(theirs)
    population.release([1, 2])
    newcomers.release([0])
    place = population.parameters["weight"].data_ptr()
    population.admit(newcomers)
    assert population.size == 3
    assert population.parameters["weight"].data_ptr() == place
    for slot, model in enumerate([mine[0], theirs[2], theirs[1]]):
        assert torch.equal(population.parameters["weight"][slot], model.weight)


def test_room_is_made_for_more_newcomers_than_slots():
    models = [nn.Linear(2, 1) for _ in range(5)]
    population = stack(models[:2])
    population.admit(stack(models[2:]))
    assert population.size == 5
    assert all(torch.equal(population.parameters["weight"][k], models[k].weight) for k in range(5))
    assert population.parameters["weight"].is_leaf


def test_weights_are_not_biases_norms_or_slopes():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.PReLU(), nn.Flatten(), nn.Linear(8, 2))
    assert stack([model, model]).weights == ["0.weight", "4.weight"]


class Scaled(nn.Module):
    def __init__(self, scale, act=torch.relu):
        super().__init__()
        self.layer, self.scale, self.act = nn.Linear(2, 2), scale, act

    def forward(self, x):
        return self.act(self.layer(x) * self.scale)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (lambda: nn.Linear(2, 3), lambda: nn.Linear(2, 3), True),
        (lambda: nn.Linear(2, 3), lambda: nn.Linear(2, 3, bias=False), False),
        (lambda: nn.ELU(1.0), lambda: nn.ELU(0.5), False),
        (lambda: nn.Sequential(nn.ReLU()), lambda: nn.Sequential(nn.Tanh()), False),
        (lambda: nn.Dropout(0.1), lambda: nn.Dropout(0.7), True),
        (lambda: Scaled(1.0), lambda: Scaled(1.0), True),
        (lambda: Scaled(1.0), lambda: Scaled(2.0), False),
        (lambda: Scaled([1, 2]), lambda: Scaled([1, 3]), False),
        (lambda: Scaled(1.0, torch.relu), lambda: Scaled(1.0, torch.tanh), False),
        (lambda: Scaled(1.0, lambda x: x), lambda: Scaled(1.0, lambda x: -x), False),
        (lambda: Scaled(torch.ones(2)), lambda: Scaled(torch.zeros(2)), False),
    ],
)
def test_signature_tells_architectures_apart(one, other, equal):
    assert (signature(one()) == signature(other())) is equal


def test_different_architectures_are_refused():
    with pytest.raises(RecipeError, match="different architectures"):
        stack([nn.Linear(2, 3), nn.Linear(2, 4)])


def test_a_model_without_parameters_is_refused():
    with pytest.raises(RecipeError, match="no parameter"):
        stack([nn.ReLU()])
