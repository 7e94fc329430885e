"""Detectors on connections: loss to parameters, parameters to the optimizer, layers to the model."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from babysit.checks.measured import Measured
from babysit.checks.needs import OPTIMIZER, RUNS
from babysit.diagnosis.problem import Detection, detects, evidence
from babysit.diagnosis.problems.wiring import (
    LAYERS_WITHOUT_GRADIENT,
    LOSS_NOT_CONNECTED,
    NOTHING_TO_TRAIN,
    OPTIMIZER_HOLDS_OTHER_MODEL,
    PARAMETERS_NOT_IN_OPTIMIZER,
    STRONG_DROPOUT,
    UNREGISTERED_PARAMETERS,
    UNUSED_PARAMETERS,
)
from babysit.diagnosis.wording import named
from babysit.verdicts import Severity

MOST_DROPPED = 0.9
"""Dropout probability from which at most one in ten units remains. Papers use 0.1 to 0.5, on inputs 0.2."""


def _trainable(measured: Measured) -> dict[str, nn.Parameter]:
    return {name: p for name, p in measured.program.model.named_parameters() if p.requires_grad}


def _held(measured: Measured) -> dict[int, Tensor]:
    groups = [group for optimizer in measured.program.optimizers for group in optimizer.param_groups]
    return {id(p): p for group in groups for p in group["params"]}


@detects(NOTHING_TO_TRAIN)
def nothing_to_train(measured: Measured) -> Detection | None:
    """Finds models without a parameter that has requires_grad."""
    if _trainable(measured):
        return None
    return Detection(
        where="model",
        message="no parameter of the model is trainable",
        evidence=evidence("trainable parameters", 0, "some"),
    )


@detects(LOSS_NOT_CONNECTED, needs=(RUNS,))
def loss_not_connected(measured: Measured) -> Detection | None:
    """Finds losses that give no parameter a gradient, or gradients of 0 behind a round() or sign()."""
    if measured.flat:
        return Detection(
            where="loss",
            message=f"every gradient is exactly 0: {measured.flat}() lies between the parameters "
            f"and the loss",
            evidence=evidence(
                "parameters with a gradient above 0", 0, f"{len(measured.gradients)}", "its slope is 0"
            ),
        )
    held, own = _held(measured), _trainable(measured)
    stepped = [name for name in measured.gradients if id(own.get(name)) in held]
    idle = bool(stepped) and all(measured.gradients[name] is None for name in stepped)
    if not own or (measured.connected and not idle):
        return None
    return Detection(
        where="loss",
        message="no gradient flows from the loss to any parameter"
        + (" that the optimizer holds" if measured.connected else ""),
        evidence=evidence(
            "parameters with a gradient", 0, f"{len(measured.gradients)}", "the graph is cut on the way"
        ),
    )


def _without_gradient(measured: Measured) -> list[str]:
    """Names trainable parameters without a gradient, of those in the optimizer where there is one."""
    if not measured.connected:
        return []
    held, own = _held(measured), _trainable(measured)
    wanted = [name for name in measured.gradients if not held or id(own[name]) in held]
    return [name for name in wanted if measured.gradients[name] is None]


@detects(LAYERS_WITHOUT_GRADIENT, needs=(RUNS,))
def layers_without_gradient(measured: Measured) -> Detection | None:
    """Finds layers that ran and are to be trained, yet get no gradient."""
    ran = {layer.name for layer in measured.layers}
    lost = [name for name in _without_gradient(measured) if name in ran]
    if not lost:
        return None
    return Detection(
        where=lost[0],
        message=f"{named(lost)} run forward, yet get no gradient: the graph is cut behind",
        evidence=evidence(
            "layers without a gradient", len(lost), "0", "detach(), .data, .numpy() or no_grad() on the way"
        ),
    )


@detects(UNUSED_PARAMETERS, needs=(RUNS,))
def unused_parameters(measured: Measured) -> Detection | None:
    """Finds trainable parameters that forward() does not use."""
    ran = {layer.name.rpartition(".")[0] for layer in measured.layers}
    unused = [name for name in _without_gradient(measured) if name.rpartition(".")[0] not in ran]
    if not unused:
        return None
    return Detection(
        where=unused[0],
        message=f"{named(unused)} get no gradient: forward() does not use them",
        evidence=evidence("parameters without a gradient", len(unused), "0"),
    )


@detects(UNREGISTERED_PARAMETERS, needs=(RUNS,))
def unregistered_parameters(measured: Measured) -> Detection | None:
    """Finds layers that ran and whose weights are not in model.parameters()."""
    unknown = [a for a in measured.layers if not a.name and isinstance(a.weight, nn.Parameter)]
    if not unknown:
        return None
    shape = tuple(unknown[0].weight.shape)
    return Detection(
        where="model",
        message=f"{len(unknown)} layers run that the model does not hold (first weight {shape}): "
        f"model.parameters() leaves them out",
        evidence=evidence(
            "unregistered layers", len(unknown), "0", "layers in a plain list or dict are not registered"
        ),
    )


@detects(OPTIMIZER_HOLDS_OTHER_MODEL, needs=(OPTIMIZER,))
def optimizer_holds_other_model(measured: Measured) -> Detection | None:
    """Finds optimizers that hold parameters of another model, and miss some of this one."""
    held = _held(measured)
    own = {id(p) for p in measured.program.model.parameters()}
    foreign = [p for key, p in held.items() if key not in own and p.requires_grad]
    missing = [name for name, p in _trainable(measured).items() if id(p) not in held]
    if not foreign or not missing:
        return None
    return Detection(
        where="optimizer",
        message=f"the optimizer holds {len(foreign)} parameters of another model, and not {named(missing)}",
        evidence=evidence("the model's parameters that it holds", len(own & held.keys()), str(len(own))),
    )


@detects(PARAMETERS_NOT_IN_OPTIMIZER, needs=(OPTIMIZER,))
def parameters_not_in_optimizer(measured: Measured) -> Detection | None:
    """Finds trainable parameters, also of the loss, that no optimizer holds; no backbone below a new head."""
    held, own = _held(measured), _trainable(measured)
    missing = [name for name, p in own.items() if id(p) not in held]
    missing += [f"the loss's {name}" for name, p in _loss_parameters(measured) if id(p) not in held]
    if not held or not missing or optimizer_holds_other_model(measured) is not None:
        return None
    names = list(own)
    # A backbone, all of whose parameters come before those of the head, stays as it is.
    if names[: len(missing)] == missing and names[0].split(".")[0] != names[-1].split(".")[0]:
        return None
    call, y = measured.call, measured.y
    scores = call is not None and call.kind not in ("softmax", "log probabilities") and isinstance(y, Tensor)
    # All targets are equal where a generator is trained to fool a critic, which is not trained with it.
    adversarial = scores and y.numel() > 1 and bool((y == y.flatten()[0]).all())
    return Detection(
        where=missing[0],
        message=f"the optimizer does not hold {named(missing)}, so they never change",
        evidence=evidence(
            "trainable parameters left out", len(missing), "0", "freeze them, if they are to stay"
        ),
        severity=Severity.INFO if adversarial else None,
    )


def _loss_parameters(measured: Measured) -> list[tuple[str, nn.Parameter]]:
    """Returns the trainable parameters of the loss's own layers; those in evaluation mode are left out."""
    loss = measured.program.loss
    if not isinstance(loss, nn.Module):
        return []
    model = {id(p) for p in measured.program.model.parameters()}
    training = [(name, layer) for name, layer in loss.named_modules() if layer.training]
    own = [
        (f"{at}.{name}".strip("."), p) for at, m in training for name, p in m.named_parameters(recurse=False)
    ]
    return [(name, p) for name, p in own if p.requires_grad and id(p) not in model]


@detects(STRONG_DROPOUT)
def strong_dropout(measured: Measured) -> Detection | None:
    """Finds dropout with p of 0.9 or more, which drops nine in ten units."""
    layers: list[tuple[str, Any]] = [
        (name, m) for name, m in measured.program.model.named_modules() if isinstance(m, _DropoutNd)
    ]
    strong = [(name, layer.p) for name, layer in layers if layer.p >= MOST_DROPPED]
    if not strong:
        return None
    name, p = strong[0]
    return Detection(
        where=name,
        message=f"dropout drops {p:.0%} of the units: p is the share dropped, not kept",
        evidence=evidence("p", p, "0.1 to 0.5"),
    )
