"""The table of the live watch's rules, and how findings become ranked causes.

Loop faults stand first: they explain whatever the statistics show. A rule names those that explain it away;
where one of them finds its cause, it becomes a symptom of it.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from babysit.records import Cause, Finding, Severity
from babysit.verdict.cards import RuleCard
from babysit.verdict.report import Report, ranked
from babysit.watching import course_rules, data_rules, layer_rules, loop_rules, loss_rules, validation_rules
from babysit.watching.distinguish import told_apart
from babysit.watching.evidence import Seen, late, stepped, typical_ratio
from babysit.watching.noise import signal_share
from babysit.watching.quantities import Log
from babysit.watching.remedies import card, gravest


@dataclass(frozen=True, slots=True)
class LiveRule:
    """One rule of the live watch.

    Attributes:
        name: its name.
        judge: what it sees in a log, or nothing.
        about: the signal and its threshold.
        reason: why this threshold.
        source: where it comes from.
        symptom_of: rules that explain this one away.
    """

    name: str
    judge: Callable[[Log], Seen | None]
    about: str
    reason: str
    source: str
    symptom_of: tuple[str, ...] = ()


_WIRING = (
    "raised",
    "graph_cut",
    "gradients_discarded",
    "optimizer_never_steps",
    "foreign_parameters",
    "sign_flipped",
    "broadcasting",
)
_LOOP = (
    *_WIRING,
    "labels_outside_range",
    "gradients_not_zeroed",
    "output_loss_mismatch",
    "rate_is_zero",
    "parameters_left_out",
)
_LABELS = ("constant_labels", "one_class_batches", "label_in_inputs")
_LOUD = (*_LOOP, "not_finite", "exploded", "regularization_dominates")
_STUCK = (*_LOUD, "rate_too_high", "dead_units", "saturated", "vanishing_gradients", "exploding_gradients")

LIVE_RULES: tuple[LiveRule, ...] = (
    LiveRule(
        "raised",
        course_rules.raised,
        "an exception left the watched loop, other than one that ends runs on purpose",
        "what PyTorch says of shapes, types and devices names a tensor, not the cure",
        "PyTorch's own messages",
    ),
    LiveRule(
        "graph_cut",
        loop_rules.graph_cut,
        "the loss has no graph, or in 3 sampled steps no gradient, or only zeros behind a round()",
        "without a path there is nothing to learn from",
        "autograd: only what has a path to the loss gets a gradient",
        ("gradients_discarded",),
    ),
    LiveRule(
        "gradients_discarded",
        loop_rules.gradients_discarded,
        "in 3 sampled steps or more no parameter has a gradient, though the loss's graph leads to them",
        "what backward() makes is there at the step, unless it was zeroed in between",
        "torch.optim: a step uses what .grad holds",
    ),
    LiveRule(
        "foreign_parameters",
        loop_rules.foreign_parameters,
        "no trainable parameter of the model is in any optimizer",
        "steps on other tensors leave the model as it is",
        "torch.optim: an optimizer changes the tensors it was given and no others",
    ),
    LiveRule(
        "optimizer_never_steps",
        loop_rules.optimizer_never_steps,
        "no optimizer step in 20 steps and an epoch, or in 200 steps",
        "gradients are not accumulated over more than that",
        "torch.optim: weights change in step() alone",
    ),
    LiveRule(
        "broadcasting",
        loop_rules.broadcasting,
        "the loss's graph stretches N predictions to N x N",
        "every prediction is compared with every target",
        "PyTorch's broadcasting; the loss warns of it once",
        ("graph_cut",),
    ),
    LiveRule(
        "labels_outside_range",
        loop_rules.labels_outside_range,
        "binary cross-entropy with targets whose mean square is above their mean, in all samples",
        "of numbers between 0 and 1 each square is at most the number",
        "the definition of binary cross-entropy",
    ),
    LiveRule(
        "sign_flipped",
        loop_rules.sign_flipped,
        "a loss with a floor of 0 is negative, the optimizer maximizes it, or it sinks to -1e4 x the first",
        "cross-entropy and squared errors cannot be below 0; densities and rewards sink to 40 x the first",
        "their definitions",
    ),
    LiveRule(
        "gradients_not_zeroed",
        loop_rules.gradients_not_zeroed,
        "the gradients of the last step are unchanged when the next backward begins, in 3 samples and 80%",
        "looked at when the backward pass begins, zero_grad anywhere before is seen; accumulation is no step",
        "autograd: backward() adds to what .grad holds",
        _WIRING,
    ),
    LiveRule(
        "output_loss_mismatch",
        loop_rules.output_loss_mismatch,
        "a softmax, sigmoid or ReLU feeds a loss that wants raw scores, or an error with targets below 0",
        "squashed twice, the loss has a floor above 0 and small gradients",
        "a loss over C classes of a softmax over probabilities is at least ln(1 + (C - 1) / e)",
        ("graph_cut",),
    ),
    LiveRule(
        "rate_is_zero",
        loop_rules.rate_is_zero,
        "the rate is below 1e-4 of its peak in 40% of the samples and at the end",
        "a cosine spends under 2% of its way there",
        "our own measurement on cosine, one-cycle and linear schedules",
        _WIRING,
    ),
    LiveRule(
        "parameters_left_out",
        loop_rules.parameters_left_out,
        "trainable parameters in no optimizer; a warning if the last layer is among them",
        "leaving out the first layers is a common way to freeze them",
        "torchtest2's question, asked of the live loop",
        ("foreign_parameters",),
    ),
    LiveRule(
        "parameters_unreached",
        loop_rules.parameters_unreached,
        "no gradient in any sample for a layer that ran, or one of exactly 0 that no dead unit explains",
        "a layer that runs and trains has a gradient",
        "autograd: only what has a path to the loss gets a gradient",
        ("graph_cut",),
    ),
    LiveRule(
        "eval_mode",
        loop_rules.eval_mode,
        "batches in eval mode, 3 samples to the last, in a model with dropout or batch norm that trains",
        "without such layers the mode has no effect; frozen parts may be in eval mode",
        "torch.nn.Module.eval: dropout is off, batch norm uses its running statistics",
    ),
    LiveRule(
        "constant_labels",
        data_rules.constant_labels,
        "one class in all of 3 or more sampled batches, 64 examples or more",
        "with two equal classes that happens once in 2^63 runs",
        "the entropy of one class is 0: there is nothing to learn",
    ),
    LiveRule(
        "one_class_batches",
        data_rules.one_class_batches,
        "three quarters of the sampled batches of 8 or more examples hold one class, not always the same",
        "a shuffled batch of 8 from two equal classes is pure once in 128",
        "Bengio 2012, Practical recommendations: examples in random order",
    ),
    LiveRule(
        "label_in_inputs",
        data_rules.label_in_inputs,
        "an input column is constant within each class, or a multiple of the target, in 3 or more batches",
        "16 examples or more beyond the first of each class must agree",
        "Kaufman et al. 2012, Leakage in data mining",
    ),
    LiveRule(
        "validation_in_train_mode",
        validation_rules.validation_in_train_mode,
        "all told validations in training mode, in a model with dropout or batch norm",
        "between the last step and a told epoch only validation batches go through the model",
        "torch.nn.Module.eval: dropout is off, batch norm uses its running statistics",
        ("raised",),
    ),
    LiveRule(
        "trained_on_validation",
        validation_rules.trained_on_validation,
        "every validation batch has training rows, all of them 0.7 times as many as training rows recur",
        "a batch of other examples has none; rows that repeat within a batch are not judged",
        "CS231n lecture 6: validation examples choose hyperparameters, and are never trained on",
        ("raised",),
    ),
    LiveRule(
        "metric_not_reset",
        validation_rules.metric_not_reset,
        "an accuracy rises past 1; or k x the k-th accuracy is a whole number of hits, and it itself is not; "
        "or the validation loss grows by its first value every epoch",
        "hits of one validation are a whole number",
        "arithmetic of counters that run on",
        ("raised",),
    ),
    LiveRule(
        "not_finite",
        loss_rules.not_finite,
        "a loss that is NaN or infinite",
        "NaN almost always means a high learning rate",
        "CS231n lecture 6, rows 85-87",
        _LOOP,
    ),
    LiveRule(
        "exploded",
        loss_rules.exploded,
        "the loss is above 3 x its first value, smoothed over 5 steps, and stays there",
        "one odd batch is no explosion, nor is a spike that the run recovers from",
        "CS231n lecture 6, rows 88 and 93",
        _LOOP,
    ),
    LiveRule(
        "regularization_dominates",
        course_rules.regularization_dominates,
        "weights at a tenth of their first size, half of it lost early, nothing learned",
        "decay shrinks weights by (1 - rate x decay) a step; the data's gradient holds what it needs",
        "CS231n lecture 6: too much regularization gives a constant answer",
        (*_LOOP, "not_finite", "exploded"),
    ),
    LiveRule(
        "vanishing_gradients",
        layer_rules.vanishing_gradients,
        "rms gradient of the first weight tensor below 1e-3 of the last's, 4 or more of them, no progress",
        "healthy nets lie between 0.01 and 100 in our own measurements",
        "Zhang et al., AUTOTRAINER, ICSE 2021: the same ratio; CS231n lecture 6",
        _LOUD,
    ),
    LiveRule(
        "exploding_gradients",
        layer_rules.exploding_gradients,
        "the same ratio above 1e3, no progress",
        "the mirror of the vanishing gradient",
        "Zhang et al., AUTOTRAINER, ICSE 2021; CS231n lecture 6",
        _LOUD,
    ),
    LiveRule(
        "dead_units",
        layer_rules.dead_units,
        "half of a layer's units silent in all of 5 or more batches; a remark where the run learns",
        "ReLU sparsity of 50-70% is healthy: only the same unit, always, without gradient, is dead",
        "CS231n lecture 6; our own measurement on healthy networks",
        (*_LOUD, "rate_too_high", "parameters_unreached"),
    ),
    LiveRule(
        "saturated",
        layer_rules.saturated,
        "half of a hidden sigmoid's or tanh's outputs at its ends, no progress",
        "beyond |tanh| = 0.97 less than 6% of the gradient passes",
        "CS231n lecture 6; Glorot and Bengio 2010",
        (*_LOUD, "rate_too_high"),
    ),
    LiveRule(
        "rate_too_high",
        loss_rules.rate_too_high,
        "median update ratio above 0.03 (adaptive: 0.1) late, or an early loss 10 x the first, no progress",
        "10-100 times the band's middle of 1e-3; adaptive rules move small weights more",
        "CS231n lecture 6: update ratio about 1e-3",
        _LOUD,
    ),
    LiveRule(
        "oscillation",
        loss_rules.oscillation,
        "neighbouring losses correlate below -0.5 and swing over 5%, update ratio above 3e-3, no progress",
        "noise of batches has correlation 0",
        "a step beyond 2 / curvature overshoots the valley and comes back",
        (*_LOUD, "rate_too_high"),
    ),
    LiveRule(
        "rate_too_low",
        loss_rules.rate_too_low,
        "the loss moved under 5% in 50 steps with update ratios below 3e-5, or under 0.1% with 3e-4",
        "30 times below the band's middle of 1e-3: at that pace a weight changes in 30,000 steps",
        "CS231n lecture 6, rows 82-83",
        (*_STUCK, "parameters_unreached", "constant_output"),
    ),
    LiveRule(
        "constant_output",
        loop_rules.constant_output,
        "the output's spread over a batch is below 1e-5 of the output",
        "rounding alone leaves 1e-7",
        "float32 has 24 bits; our own measurement",
        _STUCK,
    ),
    LiveRule(
        "learned_nothing",
        loss_rules.learned_nothing,
        "after 100 steps a loss above 0.99 of the best constant answer's on the same batches",
        "the entropy of the class shares, or the variance of the targets",
        "the loss of a constant answer; CS231n lecture 6, row 72: check the first loss against ln C",
        (
            *_STUCK,
            "rate_too_low",
            "constant_output",
            "parameters_unreached",
            "oscillation",
            "eval_mode",
            *_LABELS,
        ),
    ),
    LiveRule(
        "norm_mismatch",
        validation_rules.norm_mismatch,
        "running means 1 deviation away or variances 4 times off, and a validation far worse than training",
        "a batch of 8 lies within 0.4 deviations of its own mean",
        "Ioffe and Szegedy 2015; our own measurement at batch sizes from 4 to 64",
        (*_LOUD, "learned_nothing", "one_class_batches", "eval_mode"),
    ),
    LiveRule(
        "memorized_only",
        data_rules.memorized_only,
        "loss below half of chance's, and validation accuracy never a tenth of the way up from chance",
        "overfitting generalizes at first; random labels never do",
        "Zhang et al. 2017, Understanding deep learning requires rethinking generalization",
        ("norm_mismatch", *_LABELS, "eval_mode", "validation_in_train_mode"),
    ),
    LiveRule(
        "overfitting",
        loss_rules.overfitting,
        "accuracy gap above 0.2, or 0.1 with validation 0.02 below its best, or validation loss 1.25 x best",
        "a gap that does not cost accuracy needs no cure",
        "CS231n lecture 6, row 111",
        ("learned_nothing", "eval_mode", "norm_mismatch", "memorized_only", "metric_not_reset", *_LABELS),
    ),
    LiveRule(
        "underfitting",
        loss_rules.underfitting,
        "train accuracy below 0.9 and less than 0.01 above validation, loss flat for half of the run",
        "no gap means capacity to spare",
        "CS231n lecture 6, row 111",
        (*_STUCK, "rate_too_low", "learned_nothing"),
    ),
    LiveRule(
        "plateau",
        loss_rules.plateau,
        "the loss fell by 5%, then changed by less than 0.5% over the newer half",
        "a floor and a plateau look alike: a remark only",
        "CS231n lecture 6",
        (*_STUCK, "rate_too_low", "learned_nothing", "underfitting"),
    ),
    LiveRule(
        "slow_start",
        course_rules.slow_start,
        "the loss within 3% of its start for 30% of the run or more, then 30% lower, without a warm-up",
        "a good start falls at once; the run itself is well, so a remark only",
        "CS231n lecture 6, row 110: flat and then falling, bad initialization is a prime suspect",
        _STUCK,
    ),
    LiveRule(
        "still_improving",
        course_rules.still_improving,
        "the loss fell 5% in the last tenth of the run, validation is at its best and below 0.9",
        "a remark: nothing is wrong but the time",
        "CS231n lecture 6, row 109: the shape of the loss curve",
        (*_STUCK, "rate_too_low", "learned_nothing"),
    ),
    LiveRule(
        "gradient_noise",
        course_rules.gradient_noise,
        "less than 2% of a gradient is in the next one, over 6 pairs late, and the loss stands still",
        "at a floor the signal is gone too: a remark only",
        "McCandlish, Kaplan and Amodei 2018, An Empirical Model of Large-Batch Training",
        (*_STUCK, "rate_too_low", "learned_nothing"),
    ),
    LiveRule(
        "too_good",
        data_rules.too_good,
        "every validation example right at the first telling, within 200 steps",
        "easy tasks are so too: a remark only",
        "Kaufman et al. 2012, Leakage in data mining",
        (*_LABELS, "trained_on_validation", "metric_not_reset"),
    ),
)


def judge(log: Log, name: str = "run") -> Report:
    """All rules on one log: causes first, their symptoms under them.

    Args:
        log: what was measured.
        name: what the user calls the run.

    Example:
        >>> from babysit.watching.quantities import Setup
        >>> losses = (1.0, float("nan"))
        >>> judge(Log(Setup(), losses)).causes[0].finding.rule
        'not_finite'
    """
    found: dict[str, tuple[Finding, float]] = {}
    broken: list[str] = [log.failures[1]] if log.failures[0] else []
    for rule in LIVE_RULES:
        try:
            seen = rule.judge(log)
        except Exception as error:  # a report must not end a job either
            broken.append(f"{rule.name}: {type(error).__name__}: {error}")
            continue
        if seen is not None:
            found[rule.name] = (_finding(rule, seen), seen.confidence)
    causes = list(told_apart(_causes(found)))
    if broken:
        causes.append(failed(log.failures[0] or len(broken), broken[0]))
    when = f"after {log.steps} steps"
    return Report(name, tuple(causes), facts=facts(log), steps=log.steps, when=when, rules=cards(found))


def cards(names: Container[str]) -> tuple[RuleCard, ...]:
    """What the table says of some rules.

    Args:
        names: which; others are passed over.
    """
    return tuple(card(rule, "watch", gravest(rule.name)) for rule in LIVE_RULES if rule.name in names)


def _finding(rule: LiveRule, seen: Seen) -> Finding:
    return Finding(
        rule=rule.name,
        severity=seen.severity,
        where=seen.where,
        since=seen.since,
        message=seen.message,
        evidence=seen.evidence,
        advice=seen.advice,
        source=rule.source,
        unit="step",
    )


def _causes(found: dict[str, tuple[Finding, float]]) -> list[Cause]:
    roots = {rule.name: _root(rule, found) for rule in LIVE_RULES if rule.name in found}
    causes = [
        Cause(finding, sure, tuple(found[other][0] for other, root in roots.items() if root == name != other))
        for name, (finding, sure) in found.items()
        if roots[name] == name
    ]
    return list(ranked(causes))


def _root(rule: LiveRule, found: dict[str, tuple[Finding, float]]) -> str:
    """The first finding in the table's order that explains this one and is at least a warning; or itself."""
    known = {each.name: each for each in LIVE_RULES}
    for name, (finding, _) in found.items():
        if name in rule.symptom_of and finding.severity is not Severity.INFO:
            return _root(known[name], found)
    return rule.name


def failed(count: int, first: str) -> Cause:
    """What the report says when something went wrong inside the watch: a remark, once.

    Args:
        count: how many exceptions.
        first: the first of them.
    """
    finding = Finding(
        rule="watch_failed",
        severity=Severity.INFO,
        where="watch",
        since=1,
        message=f"{count} exceptions inside the watch were swallowed; the first: {first}",
        evidence=(),
        advice="the run is untouched, but some quantities are missing; please report it",
        source="babysit",
        unit="step",
    )
    return Cause(finding, 1.0)


def facts(log: Log) -> tuple[str, ...]:
    """What was measured, in a few words.

    Args:
        log: what was measured.
    """
    lines = [f"loss {log.first:.4g} -> {log.last:.4g}"] if log.losses else []
    ratio = typical_ratio(stepped(log))
    if ratio == ratio:
        lines.append(f"update ratio {ratio:.1e} (about 1e-3 is usual)")
    share = signal_share([sample.noise for sample in late(list(log.samples)) if sample.noise is not None])
    if share == share:
        lines.append(f"signal in a gradient {max(share, 0):.1%} (what two successive ones share)")
    if log.seconds == log.seconds:
        lines.append(f"{1000 * log.seconds:.3g} ms a step")
    if log.setup.compiled:
        lines.append("compiled: activations inside are not seen")
    return tuple(lines)
