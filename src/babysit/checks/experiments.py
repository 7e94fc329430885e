"""Short trainings of copies: at the user's learning rate, at other rates, and on twenty examples."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from babysit.checks.measured import Measured, gradients, program_loss
from babysit.checks.program import Batch, Program, joined

if TYPE_CHECKING:
    from torch.optim import Optimizer

STEPS = 60
"""Updates at the user's rate: enough to see a loss move by more than rounding."""

STILL = 0.002
"""Share of the loss that a program must lose in these steps. The lecture's too-low rate lost 1e-4."""

CLEAR = 0.1
"""Share of the loss that must go at another rate to prove that the rate was the reason."""

MEMORIZED = 0.05
"""Share of the first loss on twenty examples below which they count as memorized."""

STUCK = 0.5
"""Share above which they do not. Between the two shares training is slow, which is no fault."""

SECONDS = 0.8
"""Processor time of this thread for one question. What is not answered by then stays unanswered."""

BOTTOMLESS = 1e4
"""Multiple of its first size to which a loss may sink below zero. At ten times the user's rate, densities and
rewards sank to 40 times it, losses with a wrong sign to 1e20 times it."""

FACTORS = (0.1, 10.0, 0.01, 100.0, 1e3, 1e-3, 1e4, 1e5)
_RATES = (3e-3, 3e-2, 3e-4)
_EXAMPLES = 20
LEAST = 8  # fewer examples prove nothing: batch normalization cannot separate two
UPDATES = 150


@dataclass(frozen=True, slots=True)
class Attempt:
    """Some updates at a multiple of the user's learning rate.

    Attributes:
        factor: the multiple.
        before, after: mean loss of the same batches; infinite where it exploded.
        steps: updates done.
    """

    factor: float
    before: float
    after: float
    steps: int

    @property
    def is_short(self) -> bool:
        """True where time ran out after too few steps to judge, and the loss did not explode."""
        return self.steps < STEPS // 3 and math.isfinite(self.after)

    @property
    def fall(self) -> float:
        """Share of the loss that is gone; minus infinity where it exploded."""
        if not math.isfinite(self.after):
            return -math.inf
        return (self.before - self.after) / abs(self.before) if self.before else 0.0


@dataclass(frozen=True, slots=True)
class Learning:
    """Results of all short trainings of one program.

    Attributes:
        attempts: at the user's rate first, then at others until one learns; empty without an optimizer.
        rate: the user's learning rate.
        undecayed: the attempt at the user's rate without weight decay; None where there is no weight decay.
        memorizing: losses on a few examples at the best of several rates; empty where not tried.
        examples: number of these examples.
    """

    attempts: tuple[Attempt, ...]
    rate: float
    undecayed: Attempt | None
    memorizing: tuple[float, ...]
    examples: int

    @property
    def own(self) -> Attempt | None:
        """The attempt at the user's rate."""
        return self.attempts[0] if self.attempts else None


def learn(measured: Measured) -> Learning:
    """Runs the short trainings of a program, once."""
    if measured.learning is None:
        measured.learning = Learning((), math.nan, None, (), 0)  # stays, where a training raises
        measured.learning = _learn(measured)
    found: Learning = measured.learning
    return found


def _learn(measured: Measured) -> Learning:
    program = measured.program
    losses, count = _memorize(measured)
    if not program.optimizers:
        return Learning((), math.nan, None, losses, count)
    groups = [group for optimizer in program.optimizers for group in optimizer.param_groups]
    # Decoupled or not, weight decay matters within some steps only where it is this large.
    decays = any(group.get("weight_decay", 0.0) * max(_full_rate(group), 0.1) > 0.01 for group in groups)
    attempts = [attempt(program, 1.0)]
    undecayed = attempt(program, 1.0, decay=False) if decays else None
    if not is_well(attempts[0], measured):
        for factor in FACTORS:
            attempts.append(attempt(program, factor))
            if attempts[-1].fall >= CLEAR and is_well(attempts[-1], measured):
                break
    return Learning(tuple(attempts), max(map(_full_rate, groups)), undecayed, losses, count)


def is_well(tried: Attempt, measured: Measured) -> bool:
    """Tells whether the loss fell, or too few steps were made to judge it."""
    if tried.is_short:
        return True  # other rates would be too short as well
    if tried.fall < STILL * tried.steps / STEPS:
        return False
    return not is_at_chance(tried, measured)


def is_at_chance(tried: Attempt, measured: Measured) -> bool:
    """Tells whether the loss moved, yet is no better than that of a network that knows nothing."""
    chance = measured.chance
    return chance is not None and tried.before < 3 * chance and tried.after > 1.02 * max(chance, tried.before)


def _full_rate(group: dict[str, Any]) -> float:
    """Returns the group's learning rate after its warm-up."""
    return max(float(group.get(key, 0.0)) for key in ("lr", "initial_lr", "max_lr"))


def attempt(
    program: Program, factor: float, *, decay: bool = True, steps: int = STEPS, before: float | None = None
) -> Attempt:
    """Trains a copy with the user's optimizers at a multiple of their learning rates.

    Args:
        program: the program to copy.
        factor: the multiple.
        decay: whether weight decay acts. Default: True.
        steps: number of updates. Default: 60.
        before: mean loss before the first update. Default: None, it is measured.
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
    """Trains a model in place; returns the number of steps, and whether the loss stayed finite."""
    wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
    limit = _TimeLimit()
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
    """Averages the loss over the batches, without dropout, whose noise would hide small steps."""
    layers = [(layer, layer.p) for layer in model.modules() if isinstance(layer, _DropoutNd)]
    for layer, _ in layers:
        layer.p = 0.0
    with torch.no_grad():
        losses = [float(program_loss(program, model(x), y)) for x, y in program.batches]
    for layer, p in layers:
        layer.p = p
    return sum(losses) / len(losses)


def _memorize(measured: Measured) -> tuple[tuple[float, ...], int]:
    """Returns the losses on a few examples at the rate that ends lowest, and the number of examples."""
    batch = _few_examples(measured)
    best: tuple[float, ...] = ()
    for rate in _RATES:
        losses = _fit(measured.program, batch, rate)
        if losses and (not best or losses[-1] < best[-1]):
            best = losses
        if best and best[-1] < MEMORIZED * abs(best[0]):
            break
    return best, len(batch[0]) if isinstance(batch[0], Tensor) else 1


def _few_examples(measured: Measured) -> Batch:
    """Returns twenty examples, or as many as the parameters can hope to memorize."""
    x, y = joined(measured.program.batches)
    outputs = measured.outputs
    by_example = isinstance(x, Tensor) and isinstance(y, Tensor) and x.dim() > 0 and y.dim() > 0
    if not by_example or outputs is None or not len(x) == len(y) == (len(outputs) if outputs.dim() else 0):
        return measured.program.batches[0]
    trained = sum(p.numel() for p in measured.program.model.parameters() if p.requires_grad)
    count = max(2, min(_EXAMPLES, trained // (3 * max(outputs[0].numel(), 1))))
    return x[:count], y[:count]


def _fit(program: Program, batch: Batch, rate: float) -> tuple[float, ...]:
    """Trains a copy with Adam on one batch, and returns its losses; empty where it raises."""
    with program.fresh(dropout=False) as (model, _):
        wanted = {name: value for name, value in model.named_parameters() if value.requires_grad}
        update, losses, limit = _Adam(wanted, rate), list[float](), _TimeLimit()
        try:
            while len(losses) < UPDATES and not limit.is_over():
                loss = program_loss(program, model(batch[0]), batch[1])
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]) or losses[-1] < 0.01 * abs(losses[0]):
                    break
                update(gradients(loss, wanted))
        except (RuntimeError, ValueError):
            return ()
        return tuple(value if math.isfinite(value) else math.inf for value in losses)


class _TimeLimit:
    """Limit on this thread's processor time, which other load does not change, and four times that in all."""

    def __init__(self) -> None:
        self.own, self.wall = time.thread_time() + SECONDS, time.monotonic() + 4 * SECONDS

    def is_over(self) -> bool:
        return time.thread_time() > self.own or time.monotonic() > self.wall


class _Adam:
    """Adam on a dictionary of parameters. The one of torch.optim would import a compiler."""

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
    """Returns the attempt that took the loss far below zero, at the user's rate or ten times it, or None."""
    own = learn(measured).own
    if own is None or not own.after < 0:
        return None
    tried = own if _is_bottomless(own) else attempt(measured.program, 10.0)
    return tried if _is_bottomless(tried) else None


def _is_bottomless(tried: Attempt) -> bool:
    return tried.after < -BOTTOMLESS * max(abs(tried.before), 1.0)
