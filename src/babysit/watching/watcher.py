"""The watcher: when to look, what to keep, and the log that comes of it.

It looks at a step from its forward pass to its optimizer step, and waits for the next backward pass to see
whether the gradients were zeroed. Between samples only a counter in the optimizer stays.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor, nn

from babysit.watching.capture import (
    CONVOLUTIONS,
    MOODY,
    RELUS,
    Capture,
    Guard,
    Removable,
    Scalars,
    is_compiled,
)
from babysit.watching.graph import LossGraph, read_loss
from babysit.watching.quantities import (
    Epoch,
    LayerStat,
    Log,
    OutputStat,
    Sample,
    Setup,
    TargetStat,
    TensorStat,
    Units,
    middle,
    spread_of,
)

DENSE, SPARSER = 512, 4
"""After so many steps samples are so many times rarer: a long run changes slowly, and pays less."""
_PART = 1 << 16
"""At most so many numbers of a tensor, evenly spaced, enter its norms."""
_PATIENCE = 64
"""So many steps a sample waits for an optimizer step: gradients may be accumulated."""
_GRAPHS = 3
"""So many losses have their graph read; a graph does not change from step to step."""
_MEMORY = 16
"""A unit is dead if silent in the last so many sampled batches."""
_MOST_SAMPLES = 1024
_PROBES = 3


class _Phase(Enum):
    IDLE = auto()
    SAMPLING = auto()
    TRAILING = auto()


class Watcher:
    """Collects a run's log.

    Args:
        model: the module being trained; it is never changed.
        optimizers: those that train it.
        criterion: the loss, if it is a module.
        every: steps from sample to sample.
    """

    def __init__(
        self, model: nn.Module, optimizers: Sequence[Any], criterion: nn.Module | None, every: int
    ) -> None:
        self.guard = Guard()
        self.model, self.optimizers, self.every = model, optimizers, every
        self.names = {id(value): name for name, value in model.named_parameters()}
        self.setup = Setup()
        self.guard(self._set_up)
        seen = nn.Identity() if self.setup.compiled and not hasattr(model, "_orig_mod") else model
        self.capture = Capture(seen, criterion, self.guard, self._began)
        self.updates = 0
        self.epochs: list[Epoch] = []
        self.samples: list[Sample] = []
        self.graph: LossGraph | None = None
        self._losses: list[float | Tensor] = []
        self._flushed = 0
        self._graphs = 0
        self._sizes: dict[str, tuple[int, int]] = {}
        self._active: dict[str, deque[tuple[int, Tensor]]] = {}
        self._paces: list[float] = []
        self._hooks: list[Removable] = []
        self._phase = _Phase.IDLE
        self._marked = (0, time.perf_counter())
        self._opened, self._at = 0, 0
        self._reset()

    def _reset(self) -> None:
        self._scalars = Scalars()
        self._now: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}
        self._probes: list[tuple[Tensor, Tensor]] = []
        self._stepped, self._measured = False, False
        self._examples = 0
        self._training: bool | None = None
        self._leftover: bool | None = None
        self._rates: tuple[float, ...] = ()

    def _set_up(self) -> None:
        self.setup = set_up(self.model, self.optimizers)

    def start(self) -> None:
        """Sets the hooks of the optimizers and waits for the first step."""
        for optimizer in self.optimizers:
            self.guard(self._hook, optimizer)
        self.guard(self._open)

    def _hook(self, optimizer: Any) -> None:
        self._hooks.append(optimizer.register_step_pre_hook(self._before_step))
        self._hooks.append(optimizer.register_step_post_hook(self._after_step))

    def stop(self) -> None:
        """Removes every hook."""
        self.guard(self.capture.disarm)
        for hook in self._hooks:
            self.guard(hook.remove)
        self._hooks = []
        self.capture.forget()
        self.guard(self._finish)

    # One step after another.

    def step(self, loss: Tensor | float) -> None:
        """One step is done.

        Args:
            loss: its loss: the tensor that backward was called on, or a number.
        """
        self._losses.append(_value(loss))
        if self._phase is _Phase.SAMPLING:
            self._sampled(loss)
            return
        self._finish()
        if self.steps + 1 >= self._next():
            self._mark()
            self._open()

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self._losses)

    def _next(self) -> int:
        done = self.samples[-1].step if self.samples else 0
        if done < 8:
            return done + 2
        return done + (self.every if done < DENSE else SPARSER * self.every)

    def _mark(self) -> None:
        step, then = self._marked
        if self.steps > step:
            self._paces.append((time.perf_counter() - then) / (self.steps - step))

    def _open(self) -> None:
        self._reset()
        self.capture.arm()
        self._opened = self.steps
        self._phase = _Phase.SAMPLING

    def _sampled(self, loss: Tensor | float) -> None:
        self._read_graph(loss)
        if self._stepped or self.steps - self._opened >= _PATIENCE:
            self._rates = self._rates or _rates(self.optimizers)
            self._phase = _Phase.TRAILING
            self._at = self.steps
            self.capture.arm(inside=False)

    def _read_graph(self, loss: Tensor | float) -> None:
        seen = loss if isinstance(loss, Tensor) and loss.requires_grad else self.capture.loss
        if self._graphs < _GRAPHS and seen is not None:
            self._graphs += 1
            graph = read_loss(seen)
            self.graph = graph if self.graph is None or self.graph.cut else self.graph

    def _finish(self) -> None:
        """Ends the sample, if there is one: one transfer for all its numbers."""
        if self._phase is _Phase.TRAILING:
            self.capture.disarm()
            self.capture.forget()
            self._phase = _Phase.IDLE
            self._keep(self._sample())
            self._reset()
            self._flush()
            self._marked = (self.steps, time.perf_counter())

    def _keep(self, sample: Sample) -> None:
        for name, units in self._now.items():
            self._active.setdefault(name, deque(maxlen=_MEMORY)).append((sample.step, units))
        self.samples.append(sample)
        if len(self.samples) > _MOST_SAMPLES:  # the older half is thinned: a long run needs no more detail
            half = _MOST_SAMPLES // 2
            self.samples[:half] = self.samples[:half:2]

    def _flush(self) -> None:
        fresh = range(self._flushed, len(self._losses))
        self._flushed = len(self._losses)
        waiting = [index for index in fresh if isinstance(self._losses[index], Tensor)]
        if waiting:
            numbers = torch.stack([self._losses[index] for index in waiting]).tolist()  # type: ignore[misc]
            for index, number in zip(waiting, numbers, strict=True):
                self._losses[index] = number

    def _sample(self) -> Sample:
        numbers = self._scalars.read()
        layers = {key[1]: _layer_stat(*values) for key, values in numbers.items() if key[0] == "layer"}
        tensors = {
            key[1]: TensorStat(values[0], values[1], values[2], *self._sizes[key[1]])
            for key, values in numbers.items()
            if key[0] == "tensor"
        }
        return Sample(
            step=self._at,
            stepped=self._stepped,
            rates=self._rates,
            training=self._training,
            leftover=self._leftover_of(numbers.get(("leftover",))),
            layers=layers,
            tensors=tensors,
            output=_output_stat(numbers.get(("output",)), self._examples),
            targets=_target_stat(numbers),
        )

    def _leftover_of(self, flags: list[float] | None) -> bool | None:
        if flags is None:
            return self._leftover
        same, nonzero = flags
        return bool(same) if nonzero else None

    # What the hooks call.

    def _began(self) -> None:
        """A backward pass begins."""
        if self._phase is _Phase.TRAILING:
            self._look_for_leftovers()
        else:
            self._measure()

    def _measure(self) -> None:
        self._training, self._measured = self.capture.training, True
        output = self.capture.output
        self._examples = output.shape[0] if output is not None else 0
        self._now = self.capture.measure(self._scalars)

    @torch.no_grad()
    def _look_for_leftovers(self) -> None:
        probes, self._probes = self._probes, []
        if not probes:
            return
        if any(value.grad is None for value, _ in probes):
            self._leftover = False
            return
        same = [(value.grad == copy).all() for value, copy in probes]  # type: ignore[union-attr]
        nonzero = [copy.any() for _, copy in probes]
        flags = [torch.stack(same).all(), torch.stack(nonzero).any()]
        self._scalars.add(("leftover",), flags)

    def _before_step(self, optimizer: Any, *_: object) -> None:
        if self._phase is _Phase.SAMPLING:
            self.guard(self._look_before, optimizer)

    def _after_step(self, optimizer: Any, *_: object) -> None:
        self.updates += 1
        if self._phase is _Phase.SAMPLING:
            self.guard(self._look_after, optimizer)

    @torch.no_grad()
    def _look_before(self, optimizer: Any) -> None:
        if not self._measured:
            self._measure()
        self._rates = _rates(self.optimizers)
        self._before = {name: _part(value).clone() for name, value in self._own(optimizer)}
        self._now = {
            name: units
            for name, active in self._now.items()
            if (units := _moved(self.capture.layers[name], active)) is not None
        }

    @torch.no_grad()
    def _look_after(self, optimizer: Any) -> None:
        own = [(name, value) for name, value in self._own(optimizer) if name in self._before]
        if own:
            self._compare(own)
        self._probes = _smallest(value for _, value in own)
        self._stepped = True

    def _compare(self, own: list[tuple[str, Tensor]]) -> None:
        before = [self._before[name] for name, _ in own]
        after = torch._foreach_sub([_part(value) for _, value in own], before)
        gradients = _gradient_norms([value for _, value in own])
        norms = zip(torch._foreach_norm(before), gradients, torch._foreach_norm(after), strict=True)
        for (name, value), (weight, gradient, update) in zip(own, norms, strict=True):
            self._sizes[name] = (self._before[name].numel(), value.dim())
            self._scalars.add(("tensor", name), [weight, gradient, update])

    def _own(self, optimizer: Any) -> list[tuple[str, Tensor]]:
        """The optimizer's trainable tensors that are the model's."""
        values = (value for group in optimizer.param_groups for value in group["params"])
        return [
            (self.names[id(value)], value)
            for value in values
            if id(value) in self.names and value.requires_grad
        ]

    # What comes of it.

    def log(self) -> Log:
        """Everything so far, frozen."""
        self._flush()
        return Log(
            setup=self.setup,
            losses=tuple(float(loss) for loss in self._losses),
            updates=self.updates,
            samples=tuple(self.samples),
            epochs=tuple(self.epochs),
            units={name: _count(batches) for name, batches in self._active.items()},
            graph=self.graph,
            failures=(self.guard.failures, self.guard.first),
            seconds=middle(self._paces),
        )


def set_up(model: nn.Module, optimizers: Sequence[Any]) -> Setup:
    """What is so before the first step.

    Args:
        model: the module.
        optimizers: those that train it.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> set_up(model, [torch.optim.SGD([model.weight], lr=0.1)]).left_out
        ('bias',)
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    held = {id(value) for group in groups for value in group["params"]}
    trainable = {name: id(value) for name, value in model.named_parameters() if value.requires_grad}
    return Setup(
        optimizers=tuple(type(optimizer).__name__ for optimizer in optimizers),
        trainable=tuple(trainable),
        left_out=tuple(name for name, value in trainable.items() if value not in held),
        foreign=len(held - {id(value) for value in model.parameters()}),
        moody=tuple(name for name, part in model.named_modules() if _is_moody(part)),
        lookups=tuple(_lookups(model)),
        maximize=any(group.get("maximize", False) for group in groups),
        compiled=any(is_compiled(part) for part in model.modules()),
    )


def _lookups(model: nn.Module) -> Iterable[str]:
    tables = {
        id(part.weight) for part in model.modules() if isinstance(part, (nn.Embedding, nn.EmbeddingBag))
    }
    return (name for name, value in model.named_parameters() if id(value) in tables)


def _is_moody(part: nn.Module) -> bool:
    """A layer of two modes right inside a part that trains; in a frozen part eval mode is what one wants."""
    layers = [child for child in part.children() if isinstance(child, MOODY)]
    return bool(layers) and any(value.requires_grad for value in part.parameters())


def _value(loss: Tensor | float) -> float | Tensor:
    """The number; where reading it would wait for a device, a copy to be read later."""
    if not isinstance(loss, Tensor):
        return float(loss)
    value = loss.detach()
    if value.numel() != 1:
        value = value.float().mean()
    return float(value) if value.device.type == "cpu" else value.reshape(()).float().clone()


def _rates(optimizers: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(group.get("lr", math.nan)) for each in optimizers for group in each.param_groups)


def _part(value: Tensor) -> Tensor:
    flat = value.detach().reshape(-1)
    return flat if flat.numel() <= _PART else flat[:: -(-flat.numel() // _PART)]


def _gradient_norms(values: list[Tensor]) -> list[Tensor]:
    found = [value.grad for value in values]
    dense = [
        _part(each if not each.is_sparse else each.coalesce().values()) for each in found if each is not None
    ]
    norms = iter(torch._foreach_norm(dense) if dense else ())
    return [values[0].new_tensor(math.nan) if each is None else next(norms) for each in found]


def _moved(layer: nn.Module, active: Tensor) -> Tensor | None:
    """Units that were active, or whose weights got a gradient; None if the layer cannot tell.

    A unit of a linear layer below zero may be no ReLU at all: only without any gradient as well it is silent.
    """
    if isinstance(layer, RELUS):
        return active
    # The bias's gradient is the sum of what its unit gets, and cheaper to look at than the weights'.
    bias = _parameter(layer, "bias")
    own = _parameter(layer, "weight") if bias is None else bias
    turned = bias is None and isinstance(layer, CONVOLUTIONS) and layer.transposed
    if own is None or own.grad is None or turned:
        return None
    return active | own.grad.reshape(len(own), -1).any(1)


def _parameter(layer: nn.Module, name: str) -> Tensor | None:
    value = getattr(layer, name, None)
    return value if isinstance(value, Tensor) else None


def _smallest(values: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """A few small tensors with copies of their gradients: they stand for all."""
    known = [(value, value.grad) for value in values if value.grad is not None and not value.grad.is_sparse]
    known.sort(key=lambda pair: pair[0].numel())
    return [(value, gradient.clone()) for value, gradient in known[:_PROBES]]


def _layer_stat(mean: float, root_mean_square: float, saturated: float = math.nan) -> LayerStat:
    return LayerStat(mean, spread_of(mean, root_mean_square), saturated)


def _output_stat(values: list[float] | None, examples: int) -> OutputStat | None:
    if values is None:
        return None
    mean, square, spread, given, finite = values
    return OutputStat(examples, mean, spread_of(mean, square), spread, bool(given), bool(finite))


def _target_stat(numbers: Mapping[Any, list[float]]) -> TargetStat | None:
    if ("moments",) in numbers:
        return TargetStat((), *numbers[("moments",)])
    return TargetStat(tuple(numbers[("classes",)])) if ("classes",) in numbers else None


def _count(batches: Sequence[tuple[int, Tensor]]) -> Units:
    ever = torch.stack([active for _, active in batches]).any(0)
    return Units(int((~ever).sum()), ever.numel(), len(batches), batches[0][0])
