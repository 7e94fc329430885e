"""Detectors of an output that does not fit the loss: activation, shape, sign, constant answers."""

from __future__ import annotations

import math

from babysit.diagnosis.problem import Detection, Need, detects, evidence
from babysit.diagnosis.problems.course import CONSTANT_OUTPUT
from babysit.diagnosis.problems.data import LABELS_OUTSIDE_RANGE
from babysit.diagnosis.problems.loss import (
    ACTIVATION_BEFORE_CROSS_ENTROPY,
    BOUNDED_OUTPUT,
    LOSS_BROADCASTS,
    NLL_WITHOUT_LOG_SOFTMAX,
    ONE_UNIT_SOFTMAX,
    SIGMOID_BEFORE_LOGITS_LOSS,
    SOFTMAX_BEFORE_CROSS_ENTROPY,
)
from babysit.diagnosis.problems.wiring import SIGN_FLIPPED
from babysit.watching.detect.shared import ENOUGH, GRAPH, MANY_OUTPUTS, OUTPUT, newer_half
from babysit.watching.sample import WatchLog, middle

BINARY_TARGETS = Need[WatchLog](
    lambda log: (
        log.graph is None
        or log.graph.kind != "binary cross-entropy"
        or sum(sample.targets is not None for sample in log.samples) >= ENOUGH
    ),
    "no targets were seen: watch(..., loss=criterion) shows them",
    applies=False,
)


_BOTTOMLESS = 1e4
"""Times the first loss, below zero; densities and rewards stay above a hundredth of that."""


@detects(LOSS_BROADCASTS, reason="every prediction is compared with every target", needs=(GRAPH,))
def loss_broadcasts(log: WatchLog) -> Detection | None:
    """Finds N predictions that are stretched to N x N in the loss's graph."""
    if log.graph is None or log.graph.stretched is None:
        return None
    small, large = log.graph.stretched
    return Detection(
        where="loss",
        message=f"predictions of shape {small} were stretched to {large} against the targets: "
        "every prediction is compared with every target, and the best answer is their mean",
        evidence=evidence(
            "compared pairs", math.prod(large), f"{math.prod(small)}", "one target a prediction"
        ),
        since=1,
    )


@detects(
    SIGN_FLIPPED,
    reason="cross-entropy and squared errors cannot be below 0; densities and rewards sink to 40 x the first",
    needs=(GRAPH,),
)
def sign_flipped(log: WatchLog) -> Detection | None:
    """Finds a negative loss whose floor is 0, one that is maximized, or one below -1e4 x the first."""
    graph = log.graph
    is_explained = labels_outside_range(log) is not None or _takes_bare_scores(log)
    has_floor = graph is not None and graph.alone and graph.fed_by != "no logarithm" and not is_explained
    # One step to -1e-9 is rounding.
    below = [step for step, loss in enumerate(log.losses, 1) if loss < -1e-6]
    if has_floor and (len(below) >= ENOUGH or log.setup.maximize):
        kind = graph.kind if graph else "loss"
        return Detection(
            where="loss",
            message=f"the sign is flipped: the {kind} is made larger, not smaller",
            evidence=evidence("loss", log.last, "0 or more", f"a {kind} has a floor of 0"),
            since=below[0] if below else 1,
        )
    # Other losses have no floor of 0, but no likelihood or distance falls that far below it.
    level = -_BOTTOMLESS * max(abs(log.first), 1.0)
    if is_explained or log.steps < 20 or not -math.inf < log.last < level:
        return None
    return Detection(
        where="loss",
        message=f"the loss falls without end, from {log.first:.4g} to {log.last:.3g}: "
        "a part has the wrong sign",
        evidence=evidence("loss", log.last, "a floor", "what is maximized by mistake has none"),
        since=next(step for step, loss in enumerate(log.losses, 1) if loss < level),
    )


def _misfed(log: WatchLog, message: str) -> Detection:
    """Makes the finding that the last activation does not fit the loss."""
    return Detection(
        where="output",
        message=message,
        evidence=evidence("loss", log.last, "able to reach 0", "squashed twice it has a higher floor"),
        since=1,
    )


@detects(ONE_UNIT_SOFTMAX, reason="the exponential of a number over itself is 1", needs=(GRAPH,))
def one_unit_softmax(log: WatchLog) -> Detection | None:
    """Finds a softmax along an axis of length one in the loss's graph."""
    if log.graph is None or log.graph.lone_softmax is None:
        return None
    shape = log.graph.lone_softmax
    return Detection(
        where="output",
        message=f"a softmax is taken over an axis of one, of scores of shape {shape}: it is always 1",
        evidence=evidence("scores to weigh against each other", 1, "2 or more", "look at its dim"),
        since=1,
    )


@detects(
    SOFTMAX_BEFORE_CROSS_ENTROPY,
    reason="a loss over C classes of a softmax over probabilities is at least ln(1 + (C - 1) / e)",
    needs=(GRAPH,),
)
def softmax_before_cross_entropy(log: WatchLog) -> Detection | None:
    """Finds a softmax that feeds cross-entropy in the loss's graph, or outputs whose rows all sum to 1."""
    if log.graph is None or not (_is_fed(log, "cross-entropy", "softmax") or _gives_probabilities(log)):
        return None
    return _misfed(
        log, "a softmax already made probabilities of the scores, and the loss squashes them once more"
    )


@detects(
    SIGMOID_BEFORE_LOGITS_LOSS,
    reason="squashed twice, the loss has a floor above 0 and small gradients",
    needs=(GRAPH,),
)
def sigmoid_before_logits_loss(log: WatchLog) -> Detection | None:
    """Finds a sigmoid, softmax or ReLU that feeds BCE-with-logits in the loss's graph."""
    squashed = _is_fed(log, "binary cross-entropy", "sigmoid", "softmax", "relu")
    if log.graph is None or not squashed:
        return None
    return _misfed(
        log, f"a {log.graph.fed_by} already squashed the scores, and the loss applies its sigmoid to them"
    )


@detects(
    ACTIVATION_BEFORE_CROSS_ENTROPY,
    reason="scores in 0 to 1 give no class more than e times the share of another",
    needs=(GRAPH,),
)
def activation_before_cross_entropy(log: WatchLog) -> Detection | None:
    """Finds a sigmoid or ReLU that feeds cross-entropy in the loss's graph."""
    if log.graph is None or not _is_fed(log, "cross-entropy", "sigmoid", "relu"):
        return None
    return _misfed(
        log, f"the class scores come out of a {log.graph.fed_by}, which keeps them from being free"
    )


@detects(NLL_WITHOUT_LOG_SOFTMAX, reason="without a log-softmax the loss falls without end", needs=(GRAPH,))
def nll_without_log_softmax(log: WatchLog) -> Detection | None:
    """Finds a softmax without logarithm that feeds the negative log-likelihood, or a negative value of it."""
    if log.graph is not None and log.graph.fed_by == "no logarithm":
        return _misfed(log, "the negative log-likelihood was given probabilities, not their logarithms")
    if _takes_bare_scores(log):
        return _misfed(log, "the negative log-likelihood was given bare scores, and falls without end")
    return None


@detects(
    BOUNDED_OUTPUT, reason="the loss stays at the part that is out of reach", needs=(GRAPH, BINARY_TARGETS)
)
def bounded_output(log: WatchLog) -> Detection | None:
    """Finds 5% of a regression's targets below 0 and an output that ends in a ReLU, sigmoid or softmax; or a
    softmax that shares 1 among outputs of which more than one, or none, is to be 1.
    """
    if log.graph is not None and log.graph.fed_by == "one softmax":
        # One-hot labels are fine: the targets of each example sum to 1, as a softmax does.
        seen = [(sample.output, sample.targets) for sample in log.samples]
        sums = [
            out.mean / target.mean
            for out, target in seen
            if out is not None and target is not None and target.mean
        ]
        if len(sums) >= ENOUGH and not all(0.9 < each < 1.1 for each in sums):
            return _misfed(
                log, "a softmax shares 1 among the outputs, and more than one of them is to be 1, or fewer"
            )
    shares = [sample.targets.negative for sample in log.samples if sample.targets is not None]
    share = middle(shares)
    if log.graph is None or not log.graph.above_zero or len(shares) < ENOUGH or not share > 0.05:
        return None
    return Detection(
        where="output",
        message=f"{share:.0%} of the targets are negative, and the output's last activation keeps "
        f"it above zero",
        evidence=evidence("targets out of reach", share, "none", "the loss cannot fall below their part"),
        since=1,
    )


def _is_fed(log: WatchLog, kind: str, *by: str) -> bool:
    return log.graph is not None and log.graph.fed == kind and log.graph.fed_by in by


def _takes_bare_scores(log: WatchLog) -> bool:
    """Tells whether a cross-entropy is below zero though no minus was set and no softmax was taken."""
    graph = log.graph
    bare = graph is not None and graph.kind == "cross-entropy" and graph.alone and not graph.from_scores
    below = sum(loss < -1e-6 for loss in log.losses)
    return bare and below >= ENOUGH and not log.setup.maximize


def _gives_probabilities(log: WatchLog) -> bool:
    """Finds a softmax that the graph does not show: rows sum to 1, and the loss is above its floor."""
    graph = log.graph
    seen = [sample for sample in log.samples if sample.output is not None and sample.targets is not None]
    classes = {len(sample.targets.shares) for sample in seen if sample.targets is not None}
    if graph is None or not (graph.alone and graph.from_scores) or len(seen) < ENOUGH or len(classes) != 1:
        return False
    (count,) = classes
    summed = all(abs(sample.output.mean * count - 1) < 1e-4 for sample in seen if sample.output is not None)
    floor = math.log1p((count - 1) / math.e)
    return count > 1 and summed and log.last > 0.98 * floor


@detects(
    LABELS_OUTSIDE_RANGE,
    reason="of numbers between 0 and 1 each square is at most the number",
    needs=(GRAPH, BINARY_TARGETS),
)
def labels_outside_range(log: WatchLog) -> Detection | None:
    """Finds binary cross-entropy with targets whose mean square is above their mean, in all samples."""
    targets = [sample.targets for sample in log.samples if sample.targets is not None]
    binary = log.graph is not None and log.graph.kind == "binary cross-entropy"
    beyond = [stat for stat in targets if stat.square > stat.mean + 1e-3]
    if not binary or len(beyond) < ENOUGH or len(beyond) < len(targets):
        return None
    return Detection(
        where="labels",
        message="binary cross-entropy gets labels outside 0 to 1: its loss has no floor",
        evidence=evidence(
            "mean square of the labels", beyond[0].square, f"at most {beyond[0].mean:.3g}", "0 to 1"
        ),
        since=1,
    )


@detects(CONSTANT_OUTPUT, reason="rounding alone leaves 1e-7", needs=(MANY_OUTPUTS, OUTPUT))
def constant_output(log: WatchLog) -> Detection | None:
    """Finds a spread of the output over a batch below 1e-5 of the output."""
    outputs = [sample.output for sample in newer_half(log.samples) if sample.output is not None]
    batches = [each for each in outputs if each.examples >= 4 and each.finite]
    if len(batches) < ENOUGH:
        return None
    share = middle(each.spread / (abs(each.mean) + each.std or math.inf) for each in batches)
    # Rounding leaves about 1e-7; a network that distinguishes its examples is far above.
    if not share < 1e-5:
        return None
    return Detection(
        where="output",
        message="the model gives every example of a batch the same answer",
        evidence=evidence(
            "spread over examples", share, "above 1e-5 of the output", "answers depend on inputs"
        ),
        since=log.samples[len(log.samples) // 2].step,
    )
