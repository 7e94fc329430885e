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
from babysit.watching import layer_rules, loop_rules, loss_rules
from babysit.watching.evidence import Seen, stepped, typical_ratio
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


_WIRING = ("graph_cut", "optimizer_never_steps", "foreign_parameters", "sign_flipped", "broadcasting")
_LOOP = (*_WIRING, "gradients_not_zeroed", "output_loss_mismatch", "rate_is_zero", "parameters_left_out")
_LOUD = (*_LOOP, "not_finite", "exploded")
_STUCK = (*_LOUD, "rate_too_high", "dead_units", "saturated", "vanishing_gradients", "exploding_gradients")

LIVE_RULES: tuple[LiveRule, ...] = (
    LiveRule(
        "graph_cut",
        loop_rules.graph_cut,
        "the loss has no graph, or no parameter gets a gradient in 3 sampled steps",
        "without a path there is nothing to learn from",
        "45% of the faults people report lie in loop, graph or loss wiring (research, section 4)",
    ),
    LiveRule(
        "foreign_parameters",
        loop_rules.foreign_parameters,
        "no trainable parameter of the model is in any optimizer",
        "steps on other tensors leave the model as it is",
        "research, section 5.4",
    ),
    LiveRule(
        "optimizer_never_steps",
        loop_rules.optimizer_never_steps,
        "no optimizer step in 20 steps and an epoch, or in 200 steps",
        "gradients are not accumulated over more than that",
        "research, section 4: missing training operations",
    ),
    LiveRule(
        "broadcasting",
        loop_rules.broadcasting,
        "the loss's graph stretches N predictions to N x N",
        "every prediction is compared with every target",
        "research, section 2.7",
        ("graph_cut",),
    ),
    LiveRule(
        "sign_flipped",
        loop_rules.sign_flipped,
        "a loss with a floor of 0 is negative, or the optimizer maximizes it",
        "cross-entropy and squared errors cannot be below 0",
        "research, section 2.7",
    ),
    LiveRule(
        "gradients_not_zeroed",
        loop_rules.gradients_not_zeroed,
        "the gradients of the last step are unchanged when the next backward begins, in 3 samples and 80%",
        "looked at when the backward pass begins, zero_grad anywhere before is seen; accumulation is no step",
        "research, section 4: missing training operations",
        _WIRING,
    ),
    LiveRule(
        "output_loss_mismatch",
        loop_rules.output_loss_mismatch,
        "a softmax, sigmoid or ReLU feeds a loss that wants raw scores",
        "squashed twice, the loss has a floor above 0 and small gradients",
        "23 of 116 abnormal convergences (research, section 4)",
        ("graph_cut",),
    ),
    LiveRule(
        "rate_is_zero",
        loop_rules.rate_is_zero,
        "the rate is below 1e-4 of its peak in 40% of the samples and at the end",
        "a cosine spends under 2% of its way there",
        "research, section 5.4: schedule already at zero",
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
        "no gradient in any sample for a layer that ran",
        "a layer that runs and trains has a gradient",
        "research, section 4: broken graph",
        ("graph_cut",),
    ),
    LiveRule(
        "eval_mode",
        loop_rules.eval_mode,
        "batches in eval mode, 3 samples to the last, in a model with dropout or batch norm that trains",
        "without such layers the mode has no effect; frozen parts may be in eval mode",
        "research, section 4: missing training operations",
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
        "vanishing_gradients",
        layer_rules.vanishing_gradients,
        "rms gradient of the first weight tensor below 1e-3 of the last's, 4 or more of them, no progress",
        "AUTOTRAINER's ratio; healthy nets lie between 0.01 and 100",
        "research, section 1.2; CS231n lecture 6",
        _LOUD,
    ),
    LiveRule(
        "exploding_gradients",
        layer_rules.exploding_gradients,
        "the same ratio above 1e3, no progress",
        "the mirror of the vanishing gradient",
        "research, section 1.2; CS231n lecture 6",
        _LOUD,
    ),
    LiveRule(
        "dead_units",
        layer_rules.dead_units,
        "half of a layer's units silent in all of 5 or more batches; a remark where the run learns",
        "ReLU sparsity of 50-70% is healthy: only the same unit, always, without gradient, is dead",
        "CS231n lecture 6; research, section 2.5",
        (*_LOUD, "rate_too_high"),
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
        "research, section 1.2",
        (*_LOUD, "rate_too_high"),
    ),
    LiveRule(
        "rate_too_low",
        loss_rules.rate_too_low,
        "the loss moved under 5% in 50 steps with update ratios below 3e-5, or under 0.1% with 3e-4",
        "30 times below the band's middle of 1e-3: at that pace a weight changes in 30,000 steps",
        "CS231n lecture 6, rows 82-83",
        _STUCK,
    ),
    LiveRule(
        "constant_output",
        loop_rules.constant_output,
        "the output's spread over a batch is below 1e-5 of the output",
        "rounding alone leaves 1e-7",
        "research, section 5.7",
        _STUCK,
    ),
    LiveRule(
        "learned_nothing",
        loss_rules.learned_nothing,
        "after 100 steps a loss above 0.99 of the best constant answer's on the same batches",
        "the entropy of the class shares, or the variance of the targets",
        "research, section 5.7; CS231n lecture 6, row 72",
        (*_STUCK, "rate_too_low", "constant_output", "parameters_unreached", "oscillation", "eval_mode"),
    ),
    LiveRule(
        "overfitting",
        loss_rules.overfitting,
        "accuracy gap above 0.2, or 0.1 with validation 0.02 below its best, or validation loss 1.25 x best",
        "a gap that does not cost accuracy needs no cure",
        "CS231n lecture 6, row 111",
        ("learned_nothing", "eval_mode"),
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
    causes = _causes(found)
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
    if log.seconds == log.seconds:
        lines.append(f"{1000 * log.seconds:.3g} ms a step")
    if log.setup.compiled:
        lines.append("compiled: activations inside are not seen")
    return tuple(lines)
