"""The checks of any training program, run on a recipe."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from babysit.checks.check import BEFORE
from babysit.checks.detect.inputs import IMAGES
from babysit.checks.detectors import DETECTORS
from babysit.checks.measured import measure
from babysit.checks.program import copied
from babysit.data.batches import evaluation_tensors
from babysit.data.dataset import Split
from babysit.data.preprocessing import Standardize
from babysit.diagnosis.detection import run_detectors
from babysit.diagnosis.problem import Detection, Detector, detects, evidence
from babysit.diagnosis.problems.data import PIXELS_STANDARDIZED
from babysit.diagnosis.problems.loss import WEIGHT_DECAY_UNSEEN
from babysit.diagnosis.problems.rate import (
    LEARNING_RATE_RANGE,
    LEARNING_RATE_TOO_HIGH,
    LEARNING_RATE_TOO_LOW,
    LINEAR_SEARCH_RANGE,
    REGULARIZATION_TOO_STRONG,
)
from babysit.diagnosis.problems.start import INITIAL_LOSS_HIGH
from babysit.diagnosis.problems.wiring import WRONG_GRADIENT
from babysit.diagnosis.reasoning import diagnose
from babysit.diagnosis.report import Report
from babysit.recipe.building import Prepared
from babysit.recipe.space import Fixed, Numeric
from babysit.records import Value
from babysit.training.gradients import Dense, Penalized
from babysit.training.regularization import REGULARIZATION, project
from babysit.training.updates import UpdateRule, update_named

if TYPE_CHECKING:
    from torch.optim import Optimizer

_ANSWERED = (LEARNING_RATE_RANGE, WEIGHT_DECAY_UNSEEN, WRONG_GRADIENT, INITIAL_LOSS_HIGH)
"""Problems that the recipe's own questions judge better: rates, regularization, gradients, first loss."""

_OF_THE_RATE = (LEARNING_RATE_TOO_HIGH, LEARNING_RATE_TOO_LOW, REGULARIZATION_TOO_STRONG)
"""Problems that are not judged where the learning rate is searched: the middle of a range is no choice."""

_LOGARITHMIC = ("learning_rate", "weight_decay", "l2", "l1")
_MOST_BATCHES = 100
_VALIDATION_ROWS = 500

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": lambda out, y: F.cross_entropy(out.flatten(1), y),
    "hinge": lambda out, y: F.multi_margin_loss(out.flatten(1), y) * out.flatten(1).shape[1],
    "binary": lambda out, y: F.binary_cross_entropy_with_logits(out, y.to(out.dtype).view_as(out)),
    "mse": lambda out, y: F.mse_loss(out, y.view_as(out)),
}
"""The recipe's losses, built of PyTorch's, which the checks can trace."""


class RuleOptimizer:
    """Adapter that gives an update rule of the trainer the interface of a PyTorch optimizer, for one model.

    Args:
        model: the model to train; parameters of two dimensions or more are regularized.
        rule: the update rule.
        hyperparameters: learning rate, the rule's parameters, l2, l1 and max_norm. Default of those that are
            missing: that of the rule, 0 for regularization.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> optimizer = RuleOptimizer(model, update_named("sgd"), {"learning_rate": 0.1})
        >>> model.weight.grad, before = torch.ones(1, 2), model.weight.detach().clone()
        >>> optimizer.step()
        >>> torch.allclose(model.weight, before - 0.1)
        True
    """

    def __init__(self, model: nn.Module, rule: UpdateRule, hyperparameters: Mapping[str, Value]) -> None:
        self.rule = rule
        self.state: defaultdict[Tensor, dict[str, Tensor]] = defaultdict(dict)
        names = {**REGULARIZATION, **rule.defaults}
        rates = {name: float(hyperparameters.get(name, default)) for name, default in names.items()}
        rates["lr"] = float(hyperparameters["learning_rate"])
        # The name in PyTorch, by which the checks switch it off. A rule with its own weight decay keeps that.
        rates.setdefault("weight_decay", rates.pop("l2"))
        trained = [p for p in model.parameters() if p.requires_grad]
        weights, others = [p for p in trained if p.dim() > 1], [p for p in trained if p.dim() <= 1]
        free = {**rates, "l1": 0.0, "max_norm": 0.0}
        free["weight_decay"] = rates["weight_decay"] if "weight_decay" in rule.defaults else 0.0
        self.param_groups: list[dict[str, Any]] = [{"params": weights, **rates}, {"params": others, **free}]

    @torch.no_grad()
    def step(self) -> None:
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            rates = {name: torch.tensor([value]) for name, value in group.items() if name != "params"}
            rates["learning_rate"] = rates.pop("lr")
            if "weight_decay" not in self.rule.defaults:
                rates["l2"] = rates.pop("weight_decay")
            for p in group["params"]:
                if p.grad is None:
                    continue
                stacked, gradient = p.detach().unsqueeze(0), Dense(p.grad.detach().clone().unsqueeze(0))
                self.state[p] = self.state[p] or self.rule.init(stacked)
                self.rule.update(stacked, Penalized(gradient, stacked, rates), self.state[p], rates)
                if group["max_norm"]:
                    project(stacked, rates)


def program_report(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Report:
    """Runs the checks of any training program on a recipe.

    Problems that the recipe's own questions judge better are left out. Where the learning rate is searched,
    the middle of its range is not judged.

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check, e.g. the middle of every range.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> program_report(prepare(recipe, seed=0), middle(recipe.full_space())).healthy
        True
    """
    model = prepared.model(hyperparameters, ("check",))
    rule = hyperparameters.get("update", prepared.recipe.update)
    optimizer = RuleOptimizer(model, update_named(str(rule)), hyperparameters)
    batches = prepared.batches(int(hyperparameters["batch_size"])).epoch(1)
    val = prepared.dataset.val
    held_out = Split(val.x[:_VALIDATION_ROWS], val.y[:_VALIDATION_ROWS])
    is_rate_fixed = isinstance(prepared.recipe.full_space()["learning_rate"], Fixed)
    with copied(
        model,
        LOSSES[prepared.recipe.loss],
        itertools.islice(batches, _MOST_BATCHES),
        (cast("Optimizer", optimizer),),
        val_batches=[evaluation_tensors(prepared.dataset, held_out)],
        num_classes=prepared.dataset.num_classes if prepared.loss.is_classification else None,
        seed=prepared.seed,
    ) as program:
        left_out = _ANSWERED if is_rate_fixed else (*_ANSWERED, *_OF_THE_RATE)
        of_program = run_detectors(DETECTORS, measure(program), left_out=left_out)
        of_recipe = run_detectors(OF_RECIPE, prepared)
        return diagnose(
            (*of_program.findings, *of_recipe.findings),
            (*of_program.questions, *of_recipe.questions),
            when=BEFORE,
        )


@detects(LINEAR_SEARCH_RANGE)
def linear_search_range(prepared: Prepared) -> Detection | None:
    """Finds a learning rate, l2, l1 or weight decay searched in a linear range of a factor of ten or more."""
    space = prepared.recipe.full_space()
    for name in _LOGARITHMIC:
        searched = space.get(name)
        if isinstance(searched, Numeric) and not searched.log and searched.high >= 10 * searched.low:
            return Detection(
                where=name,
                message=f"{name} is searched in a linear range, {searched}: most trials fall into its "
                f"highest decade",
                evidence=evidence("highest value", searched.high, "log_uniform"),
            )
    return None


@detects(PIXELS_STANDARDIZED)
def pixels_standardized(prepared: Prepared) -> Detection | None:
    """Finds preprocessing that divides each pixel by its standard deviation."""
    is_image = len(prepared.dataset.input_shape) == IMAGES - 1
    if not is_image or not any(isinstance(step, Standardize) for step in prepared.dataset.preprocessing):
        return None
    return Detection(
        where="inputs", message="the images are centred and each pixel divided by its deviation too"
    )


OF_RECIPE: tuple[Detector[Prepared], ...] = (linear_search_range, pixels_standardized)
"""The detectors that only a recipe needs: for its space, and its preprocessing by name."""
