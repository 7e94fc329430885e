"""Detectors of faults in the loop and its wiring: graph, gradients, optimizer, mode."""

from __future__ import annotations

import math

from babysit.diagnosis.problem import Detection, Need, detects, evidence
from babysit.diagnosis.problems.processes import WATCH_FAILED
from babysit.diagnosis.problems.rate import LEARNING_RATE_ZERO
from babysit.diagnosis.problems.start import SYMMETRIC_UNITS
from babysit.diagnosis.problems.wiring import (
    GRADIENTS_DISCARDED,
    GRADIENTS_NOT_ZEROED,
    LAYERS_WITHOUT_GRADIENT,
    LOSS_NOT_CONNECTED,
    NOTHING_TO_TRAIN,
    OPTIMIZER_HOLDS_OTHER_MODEL,
    OPTIMIZER_NEVER_STEPS,
    PARAMETERS_NOT_IN_OPTIMIZER,
    TRAINED_IN_EVAL_MODE,
    UNUSED_PARAMETERS,
)
from babysit.diagnosis.wording import named
from babysit.verdicts import Severity
from babysit.watching.detect.layers import dead_units, saturated_units
from babysit.watching.detect.shared import BEGAN, ENOUGH, GRAPH, STEPPED, learns_well, stepped
from babysit.watching.sample import Sample, WatchLog

LEADS_BACK = Need[WatchLog](
    lambda log: log.graph is not None or STEPPED.met(log),
    "neither a loss with a graph nor enough optimizer steps were seen",
)


@detects(LOSS_NOT_CONNECTED, reason="without a path there is nothing to learn from", needs=(LEADS_BACK,))
def loss_not_connected(log: WatchLog) -> Detection | None:
    """Finds a loss without a graph, no gradient in 3 sampled steps, or only zeros behind a round()."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    dry = len(samples) >= ENOUGH and all(_without_gradient(sample) for sample in samples)
    flat = log.graph.flat if log.graph is not None and len(samples) >= ENOUGH else ""
    flat = flat if all(stat.gradient == 0 for sample in samples for stat in sample.tensors.values()) else ""
    if not dry and not flat and not (log.graph is not None and log.graph.cut):
        return None
    if flat:
        what = f"every gradient is exactly 0 behind {flat}(), which has no slope"
    elif log.graph and log.graph.cut:
        what = "the loss comes from no operation"
    else:
        what = "no parameter gets a gradient"
    return Detection(
        where="loss",
        message=f"the graph is cut between the parameters and the loss: {what}",
        evidence=evidence("parameters with a gradient", 0.0, "all that train", "no gradient, no learning"),
        since=1,
    )


@detects(
    GRADIENTS_DISCARDED,
    reason="gradients of backward() are there at the step, unless they were zeroed in between",
    needs=(STEPPED, GRAPH),
)
def gradients_discarded(log: WatchLog) -> Detection | None:
    """Finds no gradient of any parameter in 3 sampled steps, though the loss's graph leads to them."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    reaches = log.graph is not None and bool(log.graph.leaves & log.setup.stepped)
    if (
        not reaches
        or learns_well(log)
        or len(samples) < ENOUGH
        or not all(_without_gradient(sample) for sample in samples)
    ):
        return None
    return Detection(
        where="gradients",
        message="the gradients are gone before the step: backward() made them, and they were zeroed at once",
        evidence=evidence(
            "parameters with a gradient at the step", 0.0, "all that train", "nothing to step by"
        ),
        since=samples[0].step,
    )


def _without_gradient(sample: Sample) -> bool:
    return all(math.isnan(stat.gradient) and not stat.update for stat in sample.tensors.values())


def _never_reached(log: WatchLog) -> list[str]:
    """Lists the parameters that have no gradient in any sample, where others have one.

    A gradient that is NaN looks like none, so only steps with a finite loss count.
    """
    samples = [
        sample for sample in stepped(log) if sample.tensors and math.isfinite(log.losses[sample.step - 1])
    ]
    if len(samples) < ENOUGH or all(_without_gradient(sample) for sample in samples):
        return []
    return [
        name
        for name in samples[-1].tensors
        if all(name in one.tensors and math.isnan(one.tensors[name].gradient) for one in samples)
    ]


def _ran(log: WatchLog, name: str) -> bool:
    return any(name.rpartition(".")[0] in sample.layers for sample in stepped(log))


@detects(
    LAYERS_WITHOUT_GRADIENT,
    reason="a layer that runs and trains has a gradient",
    severity=Severity.WARNING,
    needs=(STEPPED,),
)
def layers_without_gradient(log: WatchLog) -> Detection | None:
    """Finds a layer that ran and has no gradient in any sample, or one of exactly 0 without dead units."""
    ran = [name for name in _never_reached(log) if _ran(log, name)]
    if ran:
        return Detection(
            where=ran[0],
            message=f"{named(ran)} never got a gradient, though the layer ran: the graph is cut behind it",
            evidence=evidence("tensors without a gradient", len(ran), "0", "they never learn"),
            since=stepped(log)[0].step,
        )
    samples = [sample for sample in stepped(log) if sample.tensors]
    still = [] if _never_reached(log) or _at_zero(samples) else _without_effect(log, samples)
    if not still:
        return None
    return Detection(
        where=still[0],
        message=f"the gradient of {named(still)} is exactly 0 in every sample: what they compute "
        f"changes nothing",
        evidence=evidence("tensors with a gradient of 0", len(still), "0", "they never learn"),
        since=samples[0].step,
        fix="look for a factor that is zero behind that layer, and at the axis of a softmax",
    )


@detects(
    UNUSED_PARAMETERS, reason="a layer that runs has an output", severity=Severity.INFO, needs=(STEPPED,)
)
def unused_parameters(log: WatchLog) -> Detection | None:
    """Finds a layer that never ran and has no gradient in any sample."""
    unused = [name for name in _never_reached(log) if not _ran(log, name)]
    if not unused or len(unused) < len(_never_reached(log)):
        return None
    return Detection(
        where=unused[0],
        message=f"{named(unused)} never got a gradient: the loss does not use it",
        evidence=evidence("tensors without a gradient", len(unused), "0", "they never learn"),
        since=stepped(log)[0].step,
    )


@detects(
    SYMMETRIC_UNITS,
    reason="two layers of zeros in a row keep each other at zero",
    severity=Severity.WARNING,
    needs=(STEPPED,),
)
def symmetric_units(log: WatchLog) -> Detection | None:
    """Finds weights that are all zero in every sample, with a gradient of exactly 0."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    zeros = _at_zero(samples)
    if not zeros or _never_reached(log):
        return None
    return Detection(
        where=zeros[0],
        message=f"{named(zeros)} is all zero and its gradient exactly 0 in every sample: "
        "two layers of zeros in a row keep each other at zero",
        evidence=evidence("tensors with a gradient of 0", len(zeros), "0", "they never learn"),
        since=samples[0].step,
        fix="start one of the two at random, the other may be zero",
    )


def _at_zero(samples: list[Sample]) -> list[str]:
    """Lists the weights that are all zero and stay so."""
    if len(samples) < ENOUGH or all(_without_gradient(sample) for sample in samples):
        return []
    return [
        name
        for name, stat in samples[-1].tensors.items()
        if stat.dims >= 2 and all(_still(one, name) and not one.tensors[name].weight for one in samples)
    ]


def _without_effect(log: WatchLog, samples: list[Sample]) -> list[str]:
    """Lists parameters of layers whose gradient is always exactly 0, without dead or saturated units."""
    if len(samples) < ENOUGH or all(_without_gradient(sample) for sample in samples):
        return []
    if dead_units(log) is not None or saturated_units(log) is not None:
        return []
    own = [name for name in samples[-1].tensors if name not in log.setup.lookups]
    still = {name for name in own if all(_still(sample, name) for sample in samples)}
    layers = {name.rpartition(".")[0] for name in own if name not in still}
    found = [name for name in own if name in still and name.rpartition(".")[0] not in layers]
    return found if any(samples[-1].tensors[name].dims >= 2 for name in found) else []


def _still(sample: Sample, name: str) -> bool:
    stat = sample.tensors.get(name)
    return stat is not None and stat.gradient == 0 and not stat.update


BEGAN_OR_ENDED = Need[WatchLog](lambda log: log.steps >= 1 or bool(log.ending), "no step was seen")
STEP_OR_TIME = Need[WatchLog](
    lambda log: bool(log.updates) or log.steps >= 200 or (log.steps >= 20 and bool(log.epochs)),
    "no optimizer step was seen in fewer than 200 steps",
)


@detects(
    OPTIMIZER_NEVER_STEPS, reason="gradients are not accumulated over more than that", needs=(STEP_OR_TIME,)
)
def optimizer_never_steps(log: WatchLog) -> Detection | None:
    """Finds no optimizer step in 20 steps and an epoch, or in 200 steps."""
    # Gradients may be accumulated over many batches; not over more than an epoch or 200 batches.
    # Where the loss falls well, something else makes the steps.
    seen = log.setup.optimizers and not log.failures[0] and not log.fall > 0.5
    if log.updates or not seen or log.steps < 20 or not (log.epochs or log.steps >= 200):
        return None
    return Detection(
        where="optimizer",
        message=f"the optimizer made no step in {log.steps} steps of the loop",
        evidence=evidence("optimizer steps", 0.0, "about one a batch", "only a step changes weights"),
        since=1,
    )


@detects(
    OPTIMIZER_HOLDS_OTHER_MODEL, reason="steps on other tensors leave the model as it is", needs=(BEGAN,)
)
def optimizer_holds_other_model(log: WatchLog) -> Detection | None:
    """Finds optimizers with none of the model's parameters, or with others in place of its last layer's."""
    setup = log.setup
    # A head that was replaced after the optimizer was made: as many tensors are missing as are foreign.
    replaced = 0 < setup.foreign == len(setup.left_out) and setup.trainable[-1] in setup.left_out
    if not setup.trainable or not (replaced or set(setup.left_out) == set(setup.trainable)):
        return None
    held = len(setup.trainable) - len(setup.left_out)
    return Detection(
        where="optimizer",
        message=f"the optimizer holds {setup.foreign} tensors of something else, and not the model's "
        f"{named(setup.left_out)}",
        evidence=evidence(
            "model tensors in the optimizer", held, f"{len(setup.trainable)}", "the rest never moves"
        ),
        since=1,
    )


@detects(NOTHING_TO_TRAIN, reason="an optimizer leaves such parameters as they are", needs=(BEGAN_OR_ENDED,))
def nothing_to_train(log: WatchLog) -> Detection | None:
    """Finds a model of which no parameter requires a gradient."""
    if log.setup.trainable or not log.setup.optimizers:
        return None
    return Detection(
        where="model",
        message="no parameter of the model requires a gradient",
        evidence=evidence("parameters that require a gradient", 0.0, "1 or more", "the rest stays as it is"),
        since=1,
    )


@detects(
    PARAMETERS_NOT_IN_OPTIMIZER,
    reason="leaving out the first layers is a common way to freeze them",
    needs=(BEGAN,),
)
def parameters_not_in_optimizer(log: WatchLog) -> Detection | None:
    """Finds trainable parameters in no optimizer; a warning if the last layer is among them."""
    setup = log.setup
    if not setup.left_out or set(setup.left_out) == set(setup.trainable):
        return None
    # A generator that is trained to fool a critic has one constant target, and the critic stays as it is.
    targets = [sample.targets for sample in log.samples if sample.targets is not None]
    is_constant = all(abs(each.square - each.mean**2) < 1e-9 for each in targets)
    is_critic = len(targets) >= ENOUGH and is_constant
    head = setup.trainable[-1] in setup.left_out and not is_critic
    return Detection(
        where=setup.left_out[0],
        message=f"{named(setup.left_out)} asks for gradients, but no optimizer holds it",
        evidence=evidence("tensors left out", len(setup.left_out), "0", "they keep their first values"),
        severity=Severity.WARNING if head else Severity.INFO,
        since=1,
    )


BACKWARDS = Need[WatchLog](
    lambda log: sum(sample.stale is not None for sample in log.samples) >= ENOUGH,
    f"the start of fewer than {ENOUGH} backward passes was seen",
)
MODES = Need[WatchLog](
    lambda log: (
        not log.setup.mode_dependent or sum(sample.training is not None for sample in log.samples) >= ENOUGH
    ),
    f"fewer than {ENOUGH} forward passes were seen",
)


@detects(
    GRADIENTS_NOT_ZEROED,
    reason="tested when backward starts, so zero_grad anywhere before counts; accumulation is no step",
    needs=(BACKWARDS,),
)
def gradients_not_zeroed(log: WatchLog) -> Detection | None:
    """Finds gradients of the last step unchanged when the next backward starts, in 3 samples and 80%."""
    checked = [sample for sample in log.samples if sample.stale is not None]
    left = [sample for sample in checked if sample.stale]
    if len(left) < ENOUGH or len(left) < 0.8 * len(checked):
        return None
    return Detection(
        where="gradients",
        message="gradients are not zeroed: after each optimizer step the next backward pass adds to "
        "the old gradient",
        evidence=evidence(
            "sampled steps with old gradients", len(left), "0", "sums of stale gradients overshoot"
        ),
        since=left[0].step,
    )


@detects(
    TRAINED_IN_EVAL_MODE,
    reason="without such layers the mode has no effect; frozen parts may be in eval mode",
    needs=(MODES,),
)
def trained_in_eval_mode(log: WatchLog) -> Detection | None:
    """Finds batches in eval mode, in the last 3 samples or more, in a model with dropout or batch norm."""
    known = [sample for sample in log.samples if sample.training is not None]
    wrong = [sample for sample in known if not sample.training]
    if (
        not log.setup.mode_dependent
        or len(wrong) < ENOUGH
        or any(sample.training for sample in known[-ENOUGH:])
    ):
        return None
    return Detection(
        where="model",
        message="the model trains in eval mode: dropout is off and batch norm uses its stored statistics",
        evidence=evidence("training batches in eval mode", len(wrong), "0", "eval() is for evaluation"),
        since=wrong[0].step,
    )


@detects(LEARNING_RATE_ZERO, reason="a cosine spends under 2% of its way there", needs=(STEPPED,))
def learning_rate_zero(log: WatchLog) -> Detection | None:
    """Finds a learning rate below 1e-4 of its peak in 40% of the samples and at the end."""
    samples = stepped(log)
    rates = [max((rate for rate in sample.rates if rate == rate), default=math.nan) for sample in samples]
    top = max((rate for rate in rates if rate == rate), default=math.nan)
    # A cosine ends at zero too, but spends under 2% of its way below this share of its peak.
    over = [sample for sample, rate in zip(samples, rates, strict=True) if rate <= 1e-4 * top]
    if len(over) < ENOUGH or len(over) < 0.4 * len(samples) or rates[-1] > 1e-4 * top:
        return None
    return Detection(
        where="learning rate",
        message="the learning rate is zero: no weight moves"
        if top == 0
        else f"the schedule brought the learning rate down to {rates[-1]:.2g} at step {over[0].step}, "
        "and the rest of the run changes nothing",
        evidence=evidence("learning rate", rates[-1], f"near its peak of {top:.2g}", "it scales every step"),
        severity=Severity.ERROR if top == 0 else Severity.WARNING,
        since=over[0].step,
        fix="set a learning rate above zero"
        if top == 0
        else "count the schedule in the steps you call it with: epochs or batches",
    )


@detects(WATCH_FAILED, reason="no exception of the watch may reach the loop")
def watch_failed(log: WatchLog) -> Detection | None:
    """Finds an exception inside the watch, which was swallowed."""
    count, first = log.failures
    return failed(count, first) if count else None


def failed(count: int, first: str) -> Detection:
    """Makes the finding that something went wrong inside the watch.

    Args:
        count: number of exceptions.
        first: the first of them.
    """
    return Detection(
        problem=WATCH_FAILED,
        where="watch",
        message=f"{count} exceptions inside the watch were swallowed; the first: {first}",
        since=1,
    )
