"""A recipe as a training program, so that the checks of any program look at it as well."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from babysit.checks.inputs import IMAGES
from babysit.checks.measuring import measure
from babysit.checks.program import Batch, copied
from babysit.checks.program_check import looked
from babysit.checks.report import report
from babysit.checks.seen import Fault, Seen, evidence
from babysit.data.batches import evaluation_tensors
from babysit.data.dataset import Split
from babysit.data.preprocessing import Standardize
from babysit.recipe.building import Prepared
from babysit.recipe.space import Fixed, Numeric
from babysit.records import Severity, Value
from babysit.training.gradients import Dense, Penalized
from babysit.training.regularization import REGULARIZATION, project
from babysit.training.updates import UpdateRule, update_named
from babysit.verdict.report import Report

if TYPE_CHECKING:
    from torch.optim import Optimizer

_ANSWERED = {"learning_rate_range", "weight_decay_unseen", "wrong_gradient", "initial_loss_high"}
"""What the recipe's own checks answer: the bracket, the regularization in the cost, gradients, first loss."""

_OF_THE_RATE = {"learning_rate_too_high", "learning_rate_too_low", "weight_decay_too_strong"}
"""What says nothing where the rate is still to be searched: the middle of a range is nobody's choice."""

_LOGARITHMIC = ("learning_rate", "weight_decay", "l2", "l1")
_MOST_BATCHES = 100
_VALIDATION_ROWS = 500

LINEAR_SPACE = Fault(
    "linear_search_space",
    lambda _: None,
    "a recipe's learning rate, l2, l1 or weight decay in a linear range of a factor of ten or more",
    "use bs.log_uniform: they multiply, so every decade deserves as many trials",
    "CS231n lecture 6, rows 94 and 114",
    Severity.INFO,
)
SCALED_IMAGES = Fault(
    "images_standardized",
    lambda _: None,
    "a recipe that divides each pixel by its standard deviation",
    "the mean image, or each channel's mean, is enough: pixels have one scale already",
    "CS231n lecture 6, row 37",
    Severity.INFO,
)

LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": lambda out, y: F.cross_entropy(out.flatten(1), y),
    "hinge": lambda out, y: F.multi_margin_loss(out.flatten(1), y) * out.flatten(1).shape[1],
    "binary": lambda out, y: F.binary_cross_entropy_with_logits(out, y.to(out.dtype).view_as(out)),
    "mse": lambda out, y: F.mse_loss(out, y.view_as(out)),
}
"""The recipe's losses by torch's own names, which the checks can read."""


class RuleOptimizer:
    """One of the trainer's update rules with the face of a torch optimizer, for one model.

    Args:
        model: whose trainable parameters it holds; those of two dimensions or more are regularized.
        rule: the update rule.
        hyperparameters: its rates, and l2, l1 and max_norm; what is missing takes its default.

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
        # torch's name, by which the checks switch it off; a rule with a weight decay of its own keeps that.
        rates.setdefault("weight_decay", rates.pop("l2"))
        trained = [p for p in model.parameters() if p.requires_grad]
        weights, others = [p for p in trained if p.dim() > 1], [p for p in trained if p.dim() <= 1]
        free = {**rates, "l1": 0.0, "max_norm": 0.0}
        free["weight_decay"] = rates["weight_decay"] if "weight_decay" in rule.defaults else 0.0
        self.param_groups: list[dict[str, Any]] = [{"params": weights, **rates}, {"params": others, **free}]

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            rates = {name: torch.tensor([value]) for name, value in group.items() if name != "params"}
            rates["learning_rate"] = rates.pop("lr")
            if "weight_decay" not in self.rule.defaults:
                rates["l2"] = rates.pop("weight_decay")
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, rates, group["max_norm"])

    def _update(self, p: Tensor, rates: dict[str, Tensor], max_norm: float) -> None:
        stacked = p.detach().unsqueeze(0)
        state = self.state[p] or self.rule.init(stacked)
        self.state[p] = state
        gradient = Dense(p.grad.detach().clone().unsqueeze(0)) if p.grad is not None else Dense(stacked * 0)
        self.rule.update(stacked, Penalized(gradient, stacked, rates), state, rates)
        if max_norm:
            project(stacked, rates)


def program_report(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Report:
    """What the checks of any program find in a recipe: causes ranked, and quiet advice.

    What the recipe's own checks answer better is left to them, and where the recipe's rates are still to be
    searched, the middle of their ranges is not judged.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them, e.g. the middle of every range.

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
    with copied(
        model,
        LOSSES[prepared.recipe.loss],
        itertools.islice(batches, _MOST_BATCHES),
        (cast("Optimizer", optimizer),),
        val_batches=[_validation(prepared)],
        num_classes=prepared.dataset.num_classes if prepared.loss.is_classification else None,
        seed=prepared.seed,
    ) as program:
        left_out = _ANSWERED | (set() if _is_chosen(prepared) else _OF_THE_RATE)
        seen = list(looked(measure(program), left_out))
        return report([*seen, *_of_recipe(prepared)])


def _is_chosen(prepared: Prepared) -> bool:
    return isinstance(prepared.recipe.full_space()["learning_rate"], Fixed)


def _validation(prepared: Prepared) -> Batch:
    val = prepared.dataset.val
    first = Split(val.x[:_VALIDATION_ROWS], val.y[:_VALIDATION_ROWS])
    return evaluation_tensors(prepared.dataset, first)


def _of_recipe(prepared: Prepared) -> Iterator[tuple[Fault, Seen]]:
    """What only a recipe has: a space to search, and preprocessing by name."""
    space = prepared.recipe.full_space()
    for name in _LOGARITHMIC:
        asked = space.get(name)
        if isinstance(asked, Numeric) and not asked.log and asked.high >= 10 * asked.low:
            message = (
                f"{name} is searched in a linear range, {asked}: most trials fall into its highest decade"
            )
            yield LINEAR_SPACE, Seen(name, message, evidence("highest value", asked.high, "log_uniform"))
    is_image = len(prepared.dataset.input_shape) == IMAGES - 1
    if is_image and any(isinstance(step, Standardize) for step in prepared.dataset.preprocessing):
        yield (
            SCALED_IMAGES,
            Seen("inputs", "the images are centred and each pixel divided by its deviation too"),
        )
