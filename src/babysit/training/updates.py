"""The update rules over a leading member axis, simplest first.

A rule is a pair of functions. ``init(parameter)`` makes the state of one stacked parameter; ``update``
changes parameter and state in place. Every tensor has a leading member axis P, and every rate is a vector of
P values, so P members with P learning rates are one call. Rules that only add the gradient to a tensor leave
it factored (``gradients.py``); the others read it as a dense tensor and may overwrite that.

The order of the file is didactic: a plain step, momentum, its look-ahead form, per-parameter scaling, and
their combination.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from babysit.errors import RecipeError
from babysit.training.gradients import Gradient, Rates, per_member

UpdateState = dict[str, Tensor]


class UpdateRule(NamedTuple):
    """One update rule.

    Attributes:
        name: the name used in a recipe.
        init: stacked parameter [P, ...] -> state.
        update: (parameter, gradient, state, rates) -> None; changes parameter and state in place.
        defaults: its hyperparameters beside the learning rate, with their defaults.
        about: the formula.
    """

    name: str
    init: Callable[[Tensor], UpdateState]
    update: Callable[[Tensor, Gradient, UpdateState, Rates], None]
    defaults: Mapping[str, float]
    about: str


def _velocity(parameter: Tensor) -> UpdateState:
    return {"velocity": torch.zeros_like(parameter)}


def _momentum(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    velocity = state["velocity"].mul_(per_member(rates["momentum"], parameter))
    gradient.add_to(velocity, -rates["learning_rate"])
    parameter.add_(velocity)


def _nesterov(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    momentum = per_member(rates["momentum"], parameter)
    change = gradient.dense().mul_(-per_member(rates["learning_rate"], parameter))
    velocity = state["velocity"].mul_(momentum).add_(change)
    # -mu * v_previous + (1 + mu) * v  =  mu * v - learning_rate * gradient
    parameter.add_(change.addcmul_(velocity, momentum))


def _squares(parameter: Tensor) -> UpdateState:
    return {"squares": torch.zeros_like(parameter)}


def _step_scaled(parameter: Tensor, direction: Tensor, root: Tensor, rates: Rates) -> None:
    """Subtracts learning_rate * direction / (root + epsilon) from the parameter; overwrites the root."""
    root.add_(per_member(rates["epsilon"], root))
    parameter.addcmul_(direction / root, per_member(rates["learning_rate"], parameter), value=-1)


def _adagrad(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    g = gradient.dense()
    squares = state["squares"].addcmul_(g, g)
    _step_scaled(parameter, g, squares.sqrt(), rates)


def _decayed_squares(g: Tensor, state: UpdateState, decay: Tensor) -> Tensor:
    kept = per_member(decay, g)
    return state["squares"].mul_(kept).addcmul_(g * g, 1 - kept)


def _rmsprop(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    g = gradient.dense()
    squares = _decayed_squares(g, state, rates["squares_decay"])
    _step_scaled(parameter, g, squares.sqrt(), rates)


def _moments(parameter: Tensor) -> UpdateState:
    steps = torch.zeros(parameter.shape[0], dtype=torch.float64, device=parameter.device)
    return {"mean": torch.zeros_like(parameter), "squares": torch.zeros_like(parameter), "steps": steps}


def _adam(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    g, steps = gradient.dense(), state["steps"].add_(1)
    beta1, beta2 = rates["beta1"], rates["beta2"]
    kept = per_member(beta1, g)
    mean = state["mean"].mul_(kept).addcmul_(g, 1 - kept)
    squares = _decayed_squares(g, state, beta2)
    root = (squares / per_member(1 - beta2**steps, squares)).sqrt_()
    _step_scaled(parameter, mean / per_member(1 - beta1**steps, mean), root, rates)


def _adamw(parameter: Tensor, gradient: Gradient, state: UpdateState, rates: Rates) -> None:
    parameter.mul_(per_member(1 - rates["learning_rate"] * rates["weight_decay"], parameter))
    _adam(parameter, gradient, state, rates)


def _rule(
    name: str,
    init: Callable[[Tensor], UpdateState],
    update: Callable[[Tensor, Gradient, UpdateState, Rates], None],
    about: str,
    **defaults: float,
) -> UpdateRule:
    return UpdateRule(name, init, update, MappingProxyType(defaults), about)


_ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}

UPDATES: dict[str, UpdateRule] = {
    rule.name: rule
    for rule in (
        _rule(
            "sgd",
            lambda parameter: {},
            lambda parameter, gradient, state, rates: gradient.add_to(parameter, -rates["learning_rate"]),
            "x += -learning_rate * g",
        ),
        _rule("momentum", _velocity, _momentum, "v = mu v - learning_rate * g; x += v", momentum=0.9),
        _rule("nesterov", _velocity, _nesterov, "x += -mu v_prev + (1 + mu) v", momentum=0.9),
        _rule("adagrad", _squares, _adagrad, "s += g^2; x -= lr g / (sqrt(s) + eps)", epsilon=1e-10),
        _rule(
            "rmsprop",
            _squares,
            _rmsprop,
            "s = d s + (1 - d) g^2; x -= lr g / (sqrt(s) + eps)",
            squares_decay=0.99,
            epsilon=1e-8,
        ),
        _rule("adam", _moments, _adam, "Adam with bias correction (Kingma and Ba 2015)", **_ADAM),
        _rule(
            "adamw",
            _moments,
            _adamw,
            "Adam with decoupled weight decay (Loshchilov and Hutter 2019)",
            weight_decay=0.01,
            **_ADAM,
        ),
    )
}


def update_named(name: str) -> UpdateRule:
    """Returns the update rule of that name.

    Raises:
        RecipeError: there is none; the message lists the names.

    Example:
        >>> from babysit.training.gradients import Dense
        >>> rule = update_named("momentum")
        >>> weights = torch.ones(2, 3)
        >>> rates = {"learning_rate": torch.tensor([0.1, 1.0]), "momentum": torch.zeros(2)}
        >>> rule.update(weights, Dense(torch.ones(2, 3)), rule.init(weights), rates)
        >>> weights[:, 0].tolist()
        [0.8999..., 0.0]

    Source: CS231n notes, neural networks part 3.
    """
    if name not in UPDATES:
        raise RecipeError(f"there is no update rule named {name!r}", fix=f"use one of {', '.join(UPDATES)}")
    return UPDATES[name]
