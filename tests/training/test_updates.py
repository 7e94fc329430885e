"""Every update rule equals torch.optim's where torch has it, for every member with its own rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from babysit.errors import RecipeError
from babysit.training.gradients import Dense, OuterProduct, Penalized
from babysit.training.updates import UPDATES, update_named

TORCH = {
    "sgd": lambda p, r: torch.optim.SGD(p, lr=r["learning_rate"]),
    "momentum": lambda p, r: torch.optim.SGD(p, lr=r["learning_rate"], momentum=r["momentum"]),
    "nesterov": lambda p, r: torch.optim.SGD(p, lr=r["learning_rate"], momentum=r["momentum"], nesterov=True),
    "adagrad": lambda p, r: torch.optim.Adagrad(p, lr=r["learning_rate"], eps=r["epsilon"]),
    "rmsprop": lambda p, r: torch.optim.RMSprop(
        p, lr=r["learning_rate"], alpha=r["squares_decay"], eps=r["epsilon"]
    ),
    "adam": lambda p, r: torch.optim.Adam(
        p, lr=r["learning_rate"], betas=(r["beta1"], r["beta2"]), eps=r["epsilon"]
    ),
    "adamw": lambda p, r: torch.optim.AdamW(
        p,
        lr=r["learning_rate"],
        betas=(r["beta1"], r["beta2"]),
        eps=r["epsilon"],
        weight_decay=r["weight_decay"],
    ),
}
MEMBERS = [
    {"learning_rate": 1e-3},
    {"learning_rate": 0.1, "momentum": 0.5, "beta1": 0.8, "squares_decay": 0.9},
    {"learning_rate": 1e-2, "momentum": 0.99, "beta2": 0.9, "weight_decay": 0.2, "epsilon": 1e-4},
]


def rates_of(rule):
    return [{**rule.defaults, **member} for member in MEMBERS]


@pytest.mark.parametrize("name", UPDATES)
def test_equals_torch_for_every_member(name):
    rule, steps = UPDATES[name], 20
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    gradients = torch.randn(steps, 3, 4, 5, generator=generator, dtype=torch.float64)
    each = rates_of(rule)
    rates = {key: torch.tensor([float(r.get(key, 0)) for r in each], dtype=torch.float64) for key in each[0]}
    ours, state = start.clone(), rule.init(start)
    for gradient in gradients:
        rule.update(ours, Dense(gradient.clone()), state, rates)
    for index, own in enumerate(each):
        theirs = start[index].clone().requires_grad_()
        optimizer = TORCH[name]([theirs], own)
        for gradient in gradients:
            theirs.grad = gradient[index].clone()
            optimizer.step()
        torch.testing.assert_close(ours[index], theirs.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("penalized", [True, False])
@pytest.mark.parametrize("name", UPDATES)
def test_a_factored_gradient_does_what_the_dense_one_does(name, penalized, shared):
    rule, each = UPDATES[name], rates_of(UPDATES[name])
    rates = {key: torch.tensor([float(r.get(key, 0)) for r in each], dtype=torch.float64) for key in each[0]}
    if penalized:
        rates |= {"l2": torch.tensor([0.0, 0.3, 2.0]).double(), "l1": torch.tensor([0.1, 0.0, 0.5]).double()}
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    start = random(3, 4, 5)
    factored, dense = start.clone(), start.clone()
    states = [rule.init(start), rule.init(start)]
    for _ in range(5):
        errors, inputs = random(3, 7, 4), random(7, 5) if shared else random(3, 7, 5)
        full = torch.einsum("pnh,nd->phd" if shared else "pnh,pnd->phd", errors, inputs)
        for weight, gradient, state in ((factored, OuterProduct(errors, inputs), 0), (dense, Dense(full), 1)):
            wrapped = Penalized(gradient, weight, rates) if penalized else gradient
            rule.update(weight, wrapped, states[state], rates)
    torch.testing.assert_close(factored, dense, rtol=1e-12, atol=1e-12)
    assert not torch.equal(dense, start)


def test_every_rule_was_compared():
    assert set(TORCH) == set(UPDATES)


def grids(low_high, *more):
    n, d = 4, 5
    made = [np.linspace(*bounds, n * d).reshape(1, n, d) for bounds in (low_high, *more)]
    return [torch.from_numpy(grid) for grid in made]


def test_momentum_on_the_assignments_grid():
    """CS231n assignment 2: sgd_momentum with learning rate 1e-3."""
    w, dw, v = grids((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9))
    state = {"velocity": v}
    rates = {"learning_rate": torch.tensor([1e-3]), "momentum": torch.tensor([0.9])}
    UPDATES["momentum"].update(w, Dense(dw), state, rates)
    assert w[0, 0, 0].item() == pytest.approx(0.1406, abs=1e-7)
    assert w[0, -1, -1].item() == pytest.approx(1.4096, abs=1e-7)
    assert state["velocity"][0, 0, 0].item() == pytest.approx(0.5406, abs=1e-7)
    assert state["velocity"][0, -1, -1].item() == pytest.approx(0.8096, abs=1e-7)


def test_rmsprop_on_the_assignments_grid():
    w, dw, cache = grids((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9))
    state = {"squares": cache}
    rates = {
        "learning_rate": torch.tensor([1e-2]),
        "squares_decay": torch.tensor([0.99], dtype=torch.float64),
        "epsilon": torch.tensor([1e-8]),
    }
    UPDATES["rmsprop"].update(w, Dense(dw), state, rates)
    assert w[0, 0, 0].item() == pytest.approx(-0.39223849, abs=1e-7)
    assert w[0, -1, -1].item() == pytest.approx(0.59576619, abs=1e-7)
    assert cache[0, 0, 0].item() == pytest.approx(0.5976, abs=1e-7)


def test_adam_on_the_assignments_grid():
    w, dw, m, v = grids((-0.4, 0.6), (-0.6, 0.4), (0.6, 0.9), (0.7, 0.5))
    state = {"mean": m, "squares": v, "steps": torch.tensor([5.0], dtype=torch.float64)}
    rates = {
        name: torch.tensor([value], dtype=torch.float64)
        for name, value in {"learning_rate": 1e-2, **UPDATES["adam"].defaults}.items()
    }
    UPDATES["adam"].update(w, Dense(dw), state, rates)
    assert w[0, 0, 0].item() == pytest.approx(-0.40094747, abs=1e-7)
    assert w[0, -1, -1].item() == pytest.approx(0.59801459, abs=1e-7)
    assert m[0, 0, 0].item() == pytest.approx(0.48, abs=1e-7)
    assert v[0, 0, 0].item() == pytest.approx(0.69966, abs=1e-7)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(RecipeError, match=r"(?s)'adamm'.*sgd, momentum"):
        update_named("adamm")
