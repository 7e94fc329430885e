"""Does it learn? A few steps on copies: at the author's own rate, at others, and on twenty examples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from babysit.checks.measuring import Measured, gradients, program_loss
from babysit.checks.program import Batch, Program, joined
from babysit.checks.seen import Seen, evidence

if TYPE_CHECKING:
    from torch.optim import Optimizer

STEPS = 60
"""Updates at the author's rate: enough to see a loss move by more than rounding."""

STILL = 0.002
"""The share of its loss that a program must lose in these steps; the lecture's too-low rate lost 1e-4."""

CLEAR = 0.1
"""The share that another rate must lose to prove that the rate was the reason."""

MEMORIZED = 0.05
"""The share of the first loss on twenty examples below which they count as memorized."""

STUCK = 0.5
"""The share above which they do not; between the two it is slow, which is no fault."""

SECONDS = 0.8
"""The longest that one question may take of this thread; what is not answered by then stays unanswered."""

BOTTOMLESS = 1e4
"""Times its first size to which a loss may sink below zero: densities and rewards went to 40 times it, at ten
times the author's rate; what has the wrong sign to 1e20 times."""

_FACTORS = (0.1, 10.0, 0.01, 100.0, 1e3, 1e-3, 1e4, 1e5)
_RATES = (3e-3, 3e-2, 3e-4)
_EXAMPLES = 20
_LEAST = 8  # fewer, for a model of few parameters, prove nothing: batch norm cannot tell two apart
_UPDATES = 150


@dataclass(frozen=True, slots=True)
class Attempt:
    """Some updates at one multiple of the author's rate.

    Attributes:
        factor: that multiple.
        before, after: the mean loss of the same batches; infinite when it exploded.
        steps: updates done.
    """

    factor: float
    before: float
    after: float
    steps: int

    @property
    def fall(self) -> float:
        """The share of the loss that is gone; minus infinity when it exploded."""
        if not math.isfinite(self.after):
            return -math.inf
        return (self.before - self.after) / abs(self.before) if self.before else 0.0


@dataclass(frozen=True, slots=True)
class Learning:
    """What was tried: the author's rate first, then others until one learns; and the twenty examples.

    Attributes:
        attempts: at multiples of the author's rate; empty without an optimizer.
        rate: the author's rate.
        undecayed: the author's rate without weight decay, where he has some and it did not learn.
        memorizing: the losses on a few examples at the best of several rates; empty when not tried.
        examples: how many.
    """

    attempts: tuple[Attempt, ...]
    rate: float
    undecayed: Attempt | None
    memorizing: tuple[float, ...]
    examples: int

    @property
    def own(self) -> Attempt | None:
        """At the author's rate."""
        return self.attempts[0] if self.attempts else None


def learn(measured: Measured) -> Learning:
    """Tries it, once a program."""
    if measured.learning is None:
        measured.learning = Learning((), math.nan, None, (), 0)  # stays, where the trying itself raises
        measured.learning = _learn(measured)
    found: Learning = measured.learning
    return found


def _learn(measured: Measured) -> Learning:
    program = measured.program
    losses, count = _memorize(measured)
    if not program.optimizers:
        return Learning((), math.nan, None, losses, count)
    attempts = [attempt(program, 1.0)]
    undecayed = attempt(program, 1.0, decay=False) if _decays(program.optimizers) else None
    if not _is_well(attempts[0], measured):
        for factor in _FACTORS:
            attempts.append(attempt(program, factor))
            if attempts[-1].fall >= CLEAR and _is_well(attempts[-1], measured):
                break
    return Learning(tuple(attempts), _rate(program.optimizers), undecayed, losses, count)


def _decays(optimizers: Sequence[Optimizer]) -> bool:
    """True where the weight decay is large enough to matter within some steps, decoupled or not."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return any(group.get("weight_decay", 0.0) * max(_full_rate(group), 0.1) > 0.01 for group in groups)


def _is_well(tried: Attempt, measured: Measured) -> bool:
    if tried.steps < STEPS // 3 and math.isfinite(tried.after):
        return True  # too slow a model to tell
    if tried.fall < STILL * tried.steps / STEPS:
        return False
    return not _learned_nothing(tried, measured)


def _learned_nothing(tried: Attempt, measured: Measured) -> bool:
    """True when it moved a lot and is still no better than knowing nothing."""
    chance = measured.chance
    return chance is not None and tried.before < 3 * chance and tried.after > 1.02 * max(chance, tried.before)


def _rate(optimizers: Sequence[Optimizer]) -> float:
    return max(_full_rate(group) for optimizer in optimizers for group in optimizer.param_groups)


def _full_rate(group: dict[str, Any]) -> float:
    """The group's rate once a warm-up is over."""
    return max(float(group.get(key, 0.0)) for key in ("lr", "initial_lr", "max_lr"))


def attempt(
    program: Program, factor: float, *, decay: bool = True, steps: int = STEPS, before: float | None = None
) -> Attempt:
    """Some updates with the author's optimizers at a multiple of their rates.

    Args:
        program: what to train a copy of.
        factor: the multiple.
        decay: False leaves weight decay out.
        steps: updates.
        before: the mean loss before, where it is known.
    """
    with program.fresh() as (model, optimizers):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = _full_rate(group) * factor
            if not decay:
                group["weight_decay"] = 0.0
        before = _mean_loss(program, model) if before is None else before
        done, finite = _train(program, model, optimizers, steps)
        after = _mean_loss(program, model) if finite else math.inf
        return Attempt(factor, before, after if math.isfinite(after) else math.inf, done)


def _train(
    program: Program, model: nn.Module, optimizers: Sequence[Optimizer], steps: int
) -> tuple[int, bool]:
    wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
    limit = _Limit()
    for step in range(steps):
        x, y = program.batches[step % len(program.batches)]
        loss = program_loss(program, model(x), y)
        if not math.isfinite(float(loss.detach())):
            return step, False
        for name, gradient in gradients(loss, wanted).items():
            wanted[name].grad = gradient
        for optimizer in optimizers:
            optimizer.step()
        if limit.is_over():
            return step + 1, True
    return steps, True


def _mean_loss(program: Program, model: nn.Module) -> float:
    """Over the batches, in training mode but without dropout, whose noise would hide small steps."""
    layers = [(layer, layer.p) for layer in model.modules() if isinstance(layer, _DropoutNd)]
    for layer, _ in layers:
        layer.p = 0.0
    with torch.no_grad():
        losses = [float(program_loss(program, model(x), y)) for x, y in program.batches]
    for layer, p in layers:
        layer.p = p
    return sum(losses) / len(losses)


def _memorize(measured: Measured) -> tuple[tuple[float, ...], int]:
    """The losses on a few examples, at the rate that ends lowest."""
    batch = _few(measured)
    best: tuple[float, ...] = ()
    for rate in _RATES:
        losses = _fitted(measured.program, batch, rate)
        if losses and (not best or losses[-1] < best[-1]):
            best = losses
        if best and best[-1] < MEMORIZED * abs(best[0]):
            break
    return best, _size(batch)


def _size(batch: Batch) -> int:
    return len(batch[0]) if isinstance(batch[0], Tensor) else 1


def _few(measured: Measured) -> Batch:
    """Twenty examples, or as many as the parameters can hope to memorize."""
    x, y = joined(measured.program.batches)
    outputs = measured.outputs
    by_example = isinstance(x, Tensor) and isinstance(y, Tensor) and x.dim() > 0 and y.dim() > 0
    if not by_example or outputs is None or not len(x) == len(y) == (len(outputs) if outputs.dim() else 0):
        return measured.program.batches[0]
    trained = sum(p.numel() for p in measured.program.model.parameters() if p.requires_grad)
    count = max(2, min(_EXAMPLES, trained // (3 * max(outputs[0].numel(), 1))))
    return x[:count], y[:count]


def _fitted(program: Program, batch: Batch, rate: float) -> tuple[float, ...]:
    with program.fresh(dropout=False) as (model, _):
        wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
        update, losses, limit = _Adam(wanted, rate), list[float](), _Limit()
        try:
            while len(losses) < _UPDATES and not limit.is_over():
                loss = program_loss(program, model(batch[0]), batch[1])
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]) or losses[-1] < 0.01 * abs(losses[0]):
                    break
                update(gradients(loss, wanted))
        except (RuntimeError, ValueError):
            return ()
        return tuple(value if math.isfinite(value) else math.inf for value in losses)


class _Limit:
    """Of this thread's own time, so that a busy machine says the same; and four times that in all."""

    def __init__(self) -> None:
        self.own, self.wall = time.thread_time() + SECONDS, time.monotonic() + 4 * SECONDS

    def is_over(self) -> bool:
        return time.thread_time() > self.own or time.monotonic() > self.wall


class _Adam:
    """Adam on a dict of parameters: torch.optim's would import a compiler."""

    def __init__(self, wanted: dict[str, nn.Parameter], rate: float) -> None:
        self.wanted, self.rate, self.step = wanted, rate, 0
        self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in wanted.items()}

    @torch.no_grad()
    def __call__(self, found: dict[str, Tensor | None]) -> None:
        self.step += 1
        for name, gradient in found.items():
            if gradient is None or gradient.is_sparse:
                continue
            first, second = self.moments[name]
            first.lerp_(gradient, 0.1)
            second.lerp_(gradient.square(), 0.001)
            spread = (second / (1 - 0.999**self.step)).sqrt_().add_(1e-8)
            self.wanted[name].addcdiv_(first, spread, value=-self.rate / (1 - 0.9**self.step))


def falls_without_end(measured: Measured) -> Attempt | None:
    """The updates that took the loss far below zero, at the author's rate or ten times it; None if none."""
    own = learn(measured).own
    if own is None or not own.after < 0:
        return None
    tried = own if _is_bottomless(own) else attempt(measured.program, 10.0)
    return tried if _is_bottomless(tried) else None


def _is_bottomless(tried: Attempt) -> bool:
    return tried.after < -BOTTOMLESS * max(abs(tried.before), 1.0)


def cannot_overfit(measured: Measured) -> Seen | None:
    """Half of what there is to gain on twenty examples is still there, and the loss no longer falls."""
    found = learn(measured)
    losses, chance, best = found.memorizing, measured.chance, measured.best
    if (
        found.examples < _LEAST
        or len(losses) < _UPDATES
        or chance is None
        or best is None
        or not measured.loss
    ):
        return None
    scale = losses[0] / measured.loss if _is_summed(measured) else 1.0
    start, goal = min(losses[0], chance * scale), best * scale
    last, recent = losses[-1], losses[-len(losses) // 4]
    if start <= goal or (
        math.isfinite(last) and (last - goal < STUCK * (start - goal) or last < 0.98 * recent)
    ):
        return None
    return Seen(
        "training",
        f"the network cannot memorize {found.examples} examples: the loss stays at {last:.4g}",
        evidence("loss on a few examples", last, f"near {goal:.2g}", f"after {_UPDATES} updates"),
    )


def _is_summed(measured: Measured) -> bool:
    return measured.call is not None and measured.call.options.get("reduction") == "sum"


def rate_too_high(measured: Measured) -> Seen | None:
    """The loss grows at the author's rate and falls at a lower one."""
    found = learn(measured)
    own = found.own
    if own is None or (own.fall >= STILL and not _learned_nothing(own, measured)):
        return None
    better = _best(found, lambda factor: factor < 1)
    if better is None or (own.fall > -0.02 and _best(found, lambda factor: factor > 1)):
        return None
    lower = found.rate * better.factor
    what = "explodes" if not math.isfinite(own.after) else f"goes from {own.before:.4g} to {own.after:.4g}"
    return Seen(
        "optimizer",
        f"learning rate {found.rate:g} is too high: the loss {what}; {lower:g} works",
        evidence(
            "loss after some steps", own.after, f"below {own.before:.4g}", f"{own.steps} steps on a copy"
        ),
    )


def rate_too_low(measured: Measured) -> Seen | None:
    """The loss stands still at the author's rate and falls at one ten times or more as high."""
    found = learn(measured)
    own = found.own
    if own is None or abs(own.fall) >= STILL * own.steps / STEPS:
        return None
    better = _best(found, lambda factor: factor >= 10)
    if found.rate == 0:
        return Seen("optimizer", "the learning rate is 0", evidence("learning rate", 0.0, "above 0"))
    if better is None:
        return None
    return Seen(
        "optimizer",
        f"learning rate {found.rate:g} is too low: the loss moves by {abs(own.fall):.1%} in some steps, "
        f"at {found.rate * better.factor:g} by {better.fall:.0%}",
        evidence("share of the loss gone", own.fall, f"above {STILL:g}", f"{own.steps} steps on a copy"),
    )


def learns_at_no_rate(measured: Measured) -> Seen | None:
    """Neither the author's rate nor any other lowers the loss."""
    found = learn(measured)
    own = found.own
    if own is None or found.rate == 0 or _is_well(own, measured) or len(found.attempts) <= len(_FACTORS):
        return None
    if _best(found, lambda factor: factor != 1) is not None:
        return None
    highest = max(tried.fall for tried in found.attempts)
    return Seen(
        "training",
        f"no learning rate from {found.rate * 1e-3:g} to {found.rate * 1e5:g} lowers the loss",
        evidence(
            "largest share of the loss gone", highest, f"above {CLEAR:g}", f"{own.steps} steps on copies"
        ),
    )


def weight_decay_too_strong(measured: Measured) -> Seen | None:
    """It learns once the weight decay is off, and not before."""
    found = learn(measured)
    own, without = found.own, found.undecayed
    if own is None or without is None:
        return None
    falls, undecayed = (_fall_below_chance(tried, measured) for tried in (own, without))
    if undecayed < CLEAR or falls > undecayed / 3:
        return None
    groups = [group for optimizer in measured.program.optimizers for group in optimizer.param_groups]
    decay = max(group.get("weight_decay", 0.0) for group in groups)
    return Seen(
        "optimizer",
        f"weight decay {decay:g} holds the network down: without it the loss falls by {undecayed:.0%}",
        evidence("share of the loss gone", falls, f"about {undecayed:.2g}", "as without weight decay"),
    )


def _fall_below_chance(tried: Attempt, measured: Measured) -> float:
    """The share gone of the first loss, or of chance where that is lower, as zero weights reach it."""
    start = min(tried.before, measured.chance or tried.before)
    if not math.isfinite(tried.after) or start <= 0:
        return tried.fall
    return (start - tried.after) / start


def _best(found: Learning, wanted: Any) -> Attempt | None:
    fitting = [tried for tried in found.attempts[1:] if wanted(tried.factor) and tried.fall >= CLEAR / 2]
    return max(fitting, key=lambda tried: tried.fall, default=None)
