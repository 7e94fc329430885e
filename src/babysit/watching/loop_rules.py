"""Faults of the loop and its wiring that no statistic names."""

from __future__ import annotations

import math

from babysit.records import Evidence, Severity
from babysit.watching.evidence import ENOUGH, Seen, fares_well, late, named, stepped
from babysit.watching.layer_rules import dead_units, saturated
from babysit.watching.quantities import Log, Sample, middle


def graph_cut(log: Log) -> Seen | None:
    """The loss does not lead back to the parameters."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    dry = len(samples) >= ENOUGH and all(_without_gradient(sample) for sample in samples)
    flat = log.graph.flat if log.graph is not None and len(samples) >= ENOUGH else ""
    flat = flat if all(stat.gradient == 0 for sample in samples for stat in sample.tensors.values()) else ""
    if not dry and not flat and not (log.graph is not None and log.graph.cut):
        return None
    what = (
        "the loss comes from no operation" if log.graph and log.graph.cut else "no parameter gets a gradient"
    )
    what = f"every gradient is exactly 0 behind {flat}(), which has no slope" if flat else what
    return Seen(
        Severity.ERROR,
        "loss",
        1,
        f"the graph is cut between the parameters and the loss: {what}",
        "look for .item(), .detach(), .data, torch.tensor(...), numpy() or no_grad() on the way to the loss",
        0.97,
        (Evidence("parameters with a gradient", 0.0, "all that train", "no gradient, no learning"),),
    )


def gradients_discarded(log: Log) -> Seen | None:
    """The loss leads back to the parameters, and at the step they have no gradient."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    reaches = log.graph is not None and bool(log.graph.leaves & log.setup.stepped)
    if (
        not reaches
        or fares_well(log)
        or len(samples) < ENOUGH
        or not all(_without_gradient(sample) for sample in samples)
    ):
        return None
    return Seen(
        Severity.ERROR,
        "gradients",
        samples[0].step,
        "the gradients are gone before the step: backward() made them, and they were zeroed at once",
        "call zero_grad() before backward(), or after step(), and not between the two",
        0.97,
        (Evidence("parameters with a gradient at the step", 0.0, "all that train", "nothing to step by"),),
    )


def _without_gradient(sample: Sample) -> bool:
    return all(math.isnan(stat.gradient) and not stat.update for stat in sample.tensors.values())


def parameters_unreached(log: Log) -> Seen | None:
    """Some parameters never get a gradient though others do."""
    samples = [sample for sample in stepped(log) if sample.tensors]
    if len(samples) < ENOUGH or all(_without_gradient(sample) for sample in samples):
        return None
    names = [name for name in samples[-1].tensors if all(_dry(sample, name) for sample in samples)]
    if not names:
        return _of_zero_gradient(log, samples)
    ran = [name for name in names if any(name.rpartition(".")[0] in sample.layers for sample in samples)]
    return Seen(
        Severity.WARNING if ran else Severity.INFO,
        (ran or names)[0],
        samples[0].step,
        f"{named(ran or names)} never got a gradient"
        + (", though the layer ran: the graph is cut behind it" if ran else ": the loss does not use it"),
        "look for .detach(), .data or no_grad() behind that layer"
        if ran
        else "freeze or remove what is not used",
        0.85 if ran else 0.5,
        (Evidence("tensors without a gradient", len(names), "0", "they never learn"),),
    )


def _of_zero_gradient(log: Log, samples: list[Sample]) -> Seen | None:
    """Layers whose gradient is exactly 0 at every look."""
    zeros = _at_zero(samples)
    names = zeros or _unweighed(log, samples)
    if not names:
        return None
    why = (
        "two layers of zeros in a row keep each other at zero"
        if zeros
        else "what they say changes nothing, as behind a softmax over a single score"
    )
    return Seen(
        Severity.WARNING,
        names[0],
        samples[0].step,
        f"the gradient of {named(names)} is exactly 0 at every look: {why}",
        "start one of the two at random, the other may be zero"
        if zeros
        else "look at the axis of the softmax behind that layer, and at factors that are zero",
        0.85,
        (Evidence("tensors with a gradient of 0", len(names), "0", "they never learn"),),
    )


def _at_zero(samples: list[Sample]) -> list[str]:
    """Weights that are all zero and stay so: two layers of zeros in a row keep each other there."""
    return [
        name
        for name, stat in samples[-1].tensors.items()
        if stat.dims >= 2 and all(_still(sample, name) and not _size(sample, name) for sample in samples)
    ]


def _unweighed(log: Log, samples: list[Sample]) -> list[str]:
    """Layers whose gradient is exactly zero, always, with no dead or saturated unit to blame for it."""
    if dead_units(log) is not None or saturated(log) is not None:
        return []
    own = [name for name in samples[-1].tensors if name not in log.setup.lookups]
    still = {name for name in own if all(_still(sample, name) for sample in samples)}
    layers = {name.rpartition(".")[0] for name in own if name not in still}
    found = [name for name in own if name in still and name.rpartition(".")[0] not in layers]
    return found if any(samples[-1].tensors[name].dims >= 2 for name in found) else []


def _still(sample: Sample, name: str) -> bool:
    stat = sample.tensors.get(name)
    return stat is not None and stat.gradient == 0 and not stat.update


def _size(sample: Sample, name: str) -> float:
    return sample.tensors[name].weight


def _dry(sample: Sample, name: str) -> bool:
    return name in sample.tensors and math.isnan(sample.tensors[name].gradient)


def optimizer_never_steps(log: Log) -> Seen | None:
    """Many steps were told, none was made."""
    # Gradients may be accumulated over many batches; not over more than an epoch or 200 batches.
    # A loss that falls well says that something else makes the steps.
    seen = log.setup.optimizers and not log.failures[0] and not log.fall > 0.5
    if log.updates or not seen or log.steps < 20 or not (log.epochs or log.steps >= 200):
        return None
    return Seen(
        Severity.ERROR,
        "optimizer",
        1,
        f"the optimizer made no step in {log.steps} steps of the loop",
        "call optimizer.step() after loss.backward(), on the optimizer that the watch was given",
        0.97,
        (Evidence("optimizer steps", 0.0, "about one a batch", "only a step changes weights"),),
    )


def foreign_parameters(log: Log) -> Seen | None:
    """The optimizer works on tensors that are not this model's."""
    setup = log.setup
    if not setup.trainable or set(setup.left_out) != set(setup.trainable):
        return None
    return Seen(
        Severity.ERROR,
        "optimizer",
        1,
        f"the optimizer holds none of the model's parameters ({setup.foreign} tensors of something else)",
        "make the optimizer after the model, from this model's parameters()",
        0.97,
        (Evidence("model tensors in the optimizer", 0.0, f"{len(setup.trainable)}", "the rest never moves"),),
    )


def parameters_left_out(log: Log) -> Seen | None:
    """Some trainable parameters are in no optimizer; of the last layer that is a fault."""
    setup = log.setup
    if not setup.left_out or set(setup.left_out) == set(setup.trainable):
        return None
    head = setup.trainable[-1] in setup.left_out and not _is_opponent(log)
    return Seen(
        Severity.WARNING if head else Severity.INFO,
        setup.left_out[0],
        1,
        f"{named(setup.left_out)} asks for gradients, but no optimizer holds it",
        "make the optimizer when the model is complete; freeze what shall not train (requires_grad_(False))",
        0.8 if head else 0.4,
        (Evidence("tensors left out", len(setup.left_out), "0", "they keep their first values"),),
    )


def _is_opponent(log: Log) -> bool:
    """Whether the one answer is always wanted: a generator is trained to fool a critic, which stays."""
    targets = [sample.targets for sample in log.samples if sample.targets is not None]
    return len(targets) >= ENOUGH and all(abs(each.square - each.mean**2) < 1e-9 for each in targets)


def gradients_not_zeroed(log: Log) -> Seen | None:
    """The last step's gradients are still there when the next backward pass begins."""
    checked = [sample for sample in log.samples if sample.leftover is not None]
    left = [sample for sample in checked if sample.leftover]
    if len(left) < ENOUGH or len(left) < 0.8 * len(checked):
        return None
    return Seen(
        Severity.ERROR,
        "gradients",
        left[0].step,
        "gradients are not zeroed: after each optimizer step the next backward pass adds to the old gradient",
        "call optimizer.zero_grad() once before each backward pass (or each accumulation of them)",
        0.97,
        (Evidence("sampled steps with old gradients", len(left), "0", "sums of stale gradients overshoot"),),
    )


def eval_mode(log: Log) -> Seen | None:
    """Training batches go through the model in eval mode."""
    known = [sample for sample in log.samples if sample.training is not None]
    wrong = [sample for sample in known if not sample.training]
    if not log.setup.moody or len(wrong) < ENOUGH or any(sample.training for sample in known[-ENOUGH:]):
        return None
    return Seen(
        Severity.WARNING,
        "model",
        wrong[0].step,
        "the model trains in eval mode: dropout is off and batch norm uses its stored statistics",
        "call model.train() at the start of every epoch, after each evaluation",
        0.9,
        (Evidence("training batches in eval mode", len(wrong), "0", "eval() is for evaluation"),),
    )


def broadcasting(log: Log) -> Seen | None:
    """Every prediction is compared with every target."""
    if log.graph is None or log.graph.stretched is None:
        return None
    small, large = log.graph.stretched
    return Seen(
        Severity.ERROR,
        "loss",
        1,
        f"predictions of shape {small} were stretched to {large} against the targets: "
        "every prediction is compared with every target, and the best answer is their mean",
        "give both the same shape: squeeze(1) the predictions or unsqueeze(1) the targets",
        0.97,
        (Evidence("compared pairs", math.prod(large), f"{math.prod(small)}", "one target a prediction"),),
    )


def sign_flipped(log: Log) -> Seen | None:
    """A loss that cannot be negative is, or an optimizer climbs."""
    graph = log.graph
    known = graph is not None and graph.alone and graph.fed_by != "no logarithm"
    known = known and not _bare_scores(log) and labels_outside_range(log) is None
    # One step to -1e-9 is rounding.
    below = [step for step, loss in enumerate(log.losses, 1) if loss < -1e-6]
    if not known or not (len(below) >= ENOUGH or log.setup.maximize):
        return _without_floor(log)
    return Seen(
        Severity.ERROR,
        "loss",
        below[0] if below else 1,
        f"the sign is flipped: the {graph.kind if graph else 'loss'} is made larger, not smaller",
        "remove the minus before the loss (or maximize=True in the optimizer)",
        0.97,
        (Evidence("loss", log.last, "0 or more", f"a {graph.kind if graph else 'loss'} has a floor of 0"),),
    )


_BOTTOMLESS = 1e4
"""Times its first size: densities and rewards stay above a hundredth of that."""


def _without_floor(log: Log) -> Seen | None:
    """The loss falls far below zero, as no likelihood or distance does."""
    level = -_BOTTOMLESS * max(abs(log.first), 1.0)
    explained = labels_outside_range(log) is not None or bool(_bare_scores(log))
    if explained or log.steps < 20 or not -math.inf < log.last < level:
        return None
    return Seen(
        Severity.ERROR,
        "loss",
        next(step for step, loss in enumerate(log.losses, 1) if loss < level),
        f"the loss falls without end, from {log.first:.4g} to {log.last:.3g}: a part has the wrong sign",
        "look at the sign of each term of the loss: what is to be large takes a minus",
        0.85,
        (Evidence("loss", log.last, "a floor", "what is maximized by mistake has none"),),
    )


_MISFED = {
    "one softmax": "a softmax shares 1 among the outputs, and more than one of them is to be 1, or fewer",
    "softmax": "a softmax already made probabilities of the scores, and the loss squashes them once more",
    "sigmoid": "a sigmoid already squashed the scores, and the loss squashes them once more",
    "relu": "a ReLU cuts off all negative scores before the loss",
    "bare scores": "the negative log-likelihood was given bare scores, and falls without end",
    "no logarithm": "the negative log-likelihood was given probabilities, not their logarithms",
}


def output_loss_mismatch(log: Log) -> Seen | None:
    """The last activation does not fit the loss."""
    if log.graph is not None and log.graph.above_zero:
        return _out_of_reach(log)
    fed_by = (log.graph.fed_by if log.graph is not None else "") or _probabilities(log) or _bare_scores(log)
    if not fed_by or (fed_by == "one softmax" and _is_one_of_several(log)):
        return None
    return Seen(
        Severity.WARNING,
        "output",
        1,
        _MISFED[fed_by],
        "give CrossEntropyLoss and BCEWithLogitsLoss the raw scores of the last linear layer; "
        "NLLLoss wants log_softmax",
        0.93,
        (Evidence("loss", log.last, "able to reach 0", "squashed twice it has a higher floor"),),
    )


def _is_one_of_several(log: Log) -> bool:
    """Whether the targets of each example sum to 1, as a softmax does: one-hot labels are fine there."""
    seen = [(sample.output, sample.targets) for sample in log.samples]
    shares = [
        out.mean / told.mean for out, told in seen if out is not None and told is not None and told.mean
    ]
    return len(shares) < ENOUGH or all(0.9 < share < 1.1 for share in shares)


def labels_outside_range(log: Log) -> Seen | None:
    """Binary cross-entropy with targets that are no share of 1."""
    targets = [sample.targets for sample in log.samples if sample.targets is not None]
    binary = log.graph is not None and log.graph.kind == "binary cross-entropy"
    # Of numbers between 0 and 1 each square is at most the number itself.
    beyond = [stat for stat in targets if stat.square > stat.mean + 1e-3]
    if not binary or len(beyond) < ENOUGH or len(beyond) < len(targets):
        return None
    return Seen(
        Severity.ERROR,
        "labels",
        1,
        "binary cross-entropy gets labels outside 0 to 1: its loss has no floor",
        "make labels of -1 and 1, or of 1 and 2, into 0 and 1",
        0.95,
        (Evidence("mean square of the labels", beyond[0].square, f"at most {beyond[0].mean:.3g}", "0 to 1"),),
    )


def _bare_scores(log: Log) -> str:
    """Cross-entropy below zero though no minus was set and no softmax was taken."""
    graph = log.graph
    bare = graph is not None and graph.kind == "cross-entropy" and graph.alone and not graph.from_scores
    below = sum(loss < -1e-6 for loss in log.losses)
    return "bare scores" if bare and below >= ENOUGH and not log.setup.maximize else ""


def _probabilities(log: Log) -> str:
    """A softmax that the graph does not show beside the loss: rows sum to 1, the loss is above its floor."""
    graph = log.graph
    seen = [sample for sample in log.samples if sample.output is not None and sample.targets is not None]
    classes = {len(sample.targets.shares) for sample in seen if sample.targets is not None}
    if graph is None or not (graph.alone and graph.from_scores) or len(seen) < ENOUGH or len(classes) != 1:
        return ""
    (count,) = classes
    summed = all(abs(sample.output.mean * count - 1) < 1e-4 for sample in seen if sample.output is not None)
    floor = math.log1p((count - 1) / math.e)
    return "softmax" if count > 1 and summed and log.last > 0.98 * floor else ""


def _out_of_reach(log: Log) -> Seen | None:
    """Targets below zero, and an output that ends in a ReLU, sigmoid or softmax."""
    shares = [sample.targets.negative for sample in log.samples if sample.targets is not None]
    share = middle(shares)
    if len(shares) < ENOUGH or not share > 0.05:
        return None
    return Seen(
        Severity.WARNING,
        "output",
        1,
        f"{share:.0%} of the targets are negative, and the output's last activation keeps it above zero",
        "end the model with a linear layer, or scale the targets into the activation's range",
        0.93,
        (Evidence("targets out of reach", share, "none", "the loss cannot fall below their part"),),
    )


def rate_is_zero(log: Log) -> Seen | None:
    """The learning rate is zero, or its schedule ended long before the run."""
    samples = stepped(log)
    rates = [max((rate for rate in sample.rates if rate == rate), default=math.nan) for sample in samples]
    top = max((rate for rate in rates if rate == rate), default=math.nan)
    # A cosine ends at zero too, but spends under 2% of its way below this share of its peak.
    over = [sample for sample, rate in zip(samples, rates, strict=True) if rate <= 1e-4 * top]
    if len(over) < ENOUGH or len(over) < 0.4 * len(samples) or rates[-1] > 1e-4 * top:
        return None
    return Seen(
        Severity.ERROR if top == 0 else Severity.WARNING,
        "learning rate",
        over[0].step,
        "the learning rate is zero: no weight moves"
        if top == 0
        else f"the schedule brought the learning rate down to {rates[-1]:.2g} at step {over[0].step}, "
        "and the rest of the run changes nothing",
        "set a learning rate above zero"
        if top == 0
        else "count the schedule in the steps you call it with: epochs or batches",
        0.95,
        (Evidence("learning rate", rates[-1], f"near its peak of {top:.2g}", "it scales every step"),),
    )


def constant_output(log: Log) -> Seen | None:
    """All examples of a batch get the same answer."""
    outputs = [sample.output for sample in late(list(log.samples)) if sample.output is not None]
    judged = [each for each in outputs if each.examples >= 4 and each.finite]
    if len(judged) < ENOUGH:
        return None
    share = middle(each.spread / (abs(each.mean) + each.std or math.inf) for each in judged)
    # Rounding leaves about 1e-7; a net that tells its examples apart is orders above.
    if not share < 1e-5:
        return None
    return Seen(
        Severity.WARNING,
        "output",
        log.samples[len(log.samples) // 2].step,
        "the model gives every example of a batch the same answer",
        (
            "scale the inputs first: the loss began far above chance; then "
            if log.first > 10 * log.chance
            else ""
        )
        + "look for dead or saturated layers, constant or lost inputs, and a batch dimension that mixes",
        0.45,
        (Evidence("spread over examples", share, "above 1e-5 of the output", "answers depend on inputs"),),
    )
