"""A training program as its author holds it: model, loss, batches, optimizers; and copies to try on."""

from __future__ import annotations

import copy
import itertools
import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.data import RandomSampler, WeightedRandomSampler

from babysit.errors import DataError, InputError
from babysit.seeding import derive, preserved_random_state

if TYPE_CHECKING:  # torch.optim brings in torch._dynamo, which takes a second
    from torch.optim import Optimizer

Batch = tuple[Any, Any]

MOST_BATCHES = 8
"""How many batches are looked at: enough to see past one unlucky batch, few enough to be quick."""

MOST_EXAMPLES = 128
"""How many examples are measured at once."""

_MOST_READ = 200  # batches, for what takes no model
_MOST_KEPT = 20_000_000  # numbers in them: 80 MB
_SECONDS = 0.1  # of reading beyond the first batches

_MOST_NUMBERS = 4_000_000  # of the measured examples: 16 MB


@dataclass(frozen=True, slots=True)
class Program:
    """What is checked; everything here may be changed inside :meth:`fresh`, and nowhere else.

    Attributes:
        model: a copy of the author's, or the author's own where it cannot be copied.
        loss: called with (outputs, targets).
        batches: the first few, on the model's device.
        val_batches: the first few of the validation split; empty when none were given.
        optimizers: copies that hold the copy's parameters.
        num_classes: what the author says; None where the outputs tell.
        seed: of everything random in the checks.
        shuffled: True when the batches are known to come in random order.
        seen: all batches that were read, those above first: what is cheap to look at is looked at in all.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    batches: tuple[Batch, ...]
    val_batches: tuple[Batch, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()
    num_classes: int | None = None
    seed: int = 0
    shuffled: bool = False
    seen: tuple[Batch, ...] = ()

    @property
    def sample(self) -> Batch:
        """The examples of several batches in one, where they fit together; else the first batch."""
        return joined(self.batches)

    @contextmanager
    def fresh(self, *, dropout: bool = True) -> Iterator[tuple[nn.Module, tuple[Optimizer, ...]]]:
        """The model with its optimizers in training mode, to change at will.

        Args:
            dropout: False sets the probability of every dropout layer to 0.
        """
        with _apart(self.model, self.optimizers) as (model, optimizers):
            torch.manual_seed(derive(self.seed, "check"))
            model.train()
            for layer in model.modules():
                if isinstance(layer, _DropoutNd) and not dropout:
                    layer.p = 0.0
            yield model, optimizers


@contextmanager
def copied(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Iterable[Batch],
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    val_batches: Iterable[Batch] | None = None,
    num_classes: int | None = None,
    seed: int = 0,
) -> Iterator[Program]:
    """The program of :func:`babysit.check` as a copy; everything of the author's is as before afterwards.

    Raises:
        InputError: the model is no module, or the batches hold no (inputs, targets).
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}", fix="give an nn.Module")
    model = getattr(model, "_orig_mod", model)  # of a compiled module, which would compile every copy
    optimizers = _sequence(optimizer)
    streams = (batches, val_batches)
    with _randomness_as_before(streams), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(derive(seed, "batches"))
        device = _device(model)
        read, held_out = (_taken(stream, device) for stream in streams)
        if not read:
            raise DataError("there is no batch to look at", fix="give a DataLoader or a list of (x, y)")
        with _separate(model, loss, optimizers) as (apart, own_loss, own):
            yield Program(
                apart,
                own_loss,
                read[:MOST_BATCHES],
                held_out,
                own,
                num_classes,
                seed,
                _is_shuffled(batches),
                read,
            )


def _is_shuffled(batches: object) -> bool:
    return isinstance(getattr(batches, "sampler", None), RandomSampler | WeightedRandomSampler)


def _sequence(optimizer: Optimizer | Sequence[Optimizer] | None) -> tuple[Optimizer, ...]:
    if optimizer is None:
        return ()
    return tuple(optimizer) if isinstance(optimizer, Sequence) else (optimizer,)


def _device(model: nn.Module) -> torch.device:
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _taken(batches: Iterable[Batch] | None, device: torch.device) -> tuple[Batch, ...]:
    found: list[Batch] = []
    numbers, end = 0, time.thread_time() + _SECONDS
    for batch in itertools.islice(batches or (), _MOST_READ):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"a batch is a {type(batch).__name__}, not a pair", fix="let each batch be (inputs, targets)"
            )
        found.append((_own(batch[0], device), _own(batch[1], device)))
        numbers += sum(value.numel() for value in found[-1] if isinstance(value, Tensor))
        if len(found) >= MOST_BATCHES and (numbers > _MOST_KEPT or time.thread_time() > end):
            break
    return tuple(found)


def _own(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone().to(device)
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value).clone().to(device)
    if isinstance(value, dict):
        return {key: _own(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(_own(item, device) for item in value)
    return copy.deepcopy(value)


def joined(batches: Sequence[Batch]) -> Batch:
    """Several batches in one, up to a limit; the first alone where shapes do not fit.

    Example:
        >>> x, y = joined([(torch.zeros(2, 3), torch.ones(2)), (torch.zeros(2, 3), torch.ones(2))])
        >>> x.shape, y.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """
    x, y = batches[0]
    if not all(_is_by_example(batch) and _fits(batch[0], x) and _fits(batch[1], y) for batch in batches):
        return batches[0]
    size = max(x[:1].numel(), 1)
    count = max(min(MOST_EXAMPLES, _MOST_NUMBERS // size), len(x) if len(x) <= MOST_EXAMPLES else 1)
    return torch.cat([some[0] for some in batches])[:count], torch.cat([some[1] for some in batches])[:count]


def _is_by_example(batch: Batch) -> bool:
    """True when the first axis of both is the examples'."""
    x, y = batch
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.dim() == 0 or y.dim() == 0:
        return False
    return len(x) == len(y)


def _fits(value: Tensor, other: Tensor) -> bool:
    return value.shape[1:] == other.shape[1:] and value.dtype == other.dtype


@contextmanager
def _randomness_as_before(streams: Sequence[object]) -> Iterator[None]:
    generators = [kept for stream in streams for kept in _generators(stream)]
    states = [generator.get_state() for generator in generators]
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        with preserved_random_state():
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _generators(stream: object) -> list[torch.Generator]:
    holders = [stream, getattr(stream, "sampler", None), getattr(stream, "batch_sampler", None)]
    found = [getattr(holder, "generator", None) for holder in holders]
    return [generator for generator in found if isinstance(generator, torch.Generator)]


@contextmanager
def _separate(
    model: nn.Module, loss: Callable[[Any, Any], Tensor], optimizers: tuple[Optimizer, ...]
) -> Iterator[tuple[nn.Module, Callable[[Any, Any], Tensor], tuple[Optimizer, ...]]]:
    try:
        # Copied together, the optimizers hold the copy's parameters, and a loss its model.
        apart = copy.deepcopy((model, loss if isinstance(loss, nn.Module) else None, optimizers))
    except Exception:
        with _restored(model, optimizers):
            yield model, loss, optimizers
    else:
        yield apart[0], apart[1] or loss, apart[2]


@contextmanager
def _apart(
    model: nn.Module, optimizers: tuple[Optimizer, ...]
) -> Iterator[tuple[nn.Module, tuple[Optimizer, ...]]]:
    try:
        apart = copy.deepcopy((model, optimizers))
    except Exception:
        with _restored(model, optimizers):
            yield model, optimizers
    else:
        yield apart


@contextmanager
def _restored(model: nn.Module, optimizers: tuple[Optimizer, ...]) -> Iterator[None]:
    """For a model that cannot be copied: whatever happens inside is undone afterwards."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in tensors]
    modes = [(module, module.training, getattr(module, "p", None)) for module in model.modules()]
    states = [(optimizer, optimizer.state, _groups(optimizer)) for optimizer in optimizers]
    for optimizer in optimizers:
        optimizer.state = type(optimizer.state)(dict, _state_copy(optimizer.state))
    try:
        yield
    finally:
        for tensor, value, gradient in values:
            tensor.detach().copy_(value)
            tensor.grad = gradient
        for module, training, p in modes:
            module.training = training
            if isinstance(module, _DropoutNd):
                module.p = p  # type: ignore[assignment]
        for optimizer, state, groups in states:
            optimizer.state = state
            for group, kept in zip(optimizer.param_groups, groups, strict=True):
                group.update(kept)


def _groups(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [dict(group) for group in optimizer.param_groups]


def _state_copy(state: Any) -> dict[Any, Any]:
    return {key: copy.deepcopy(value) for key, value in state.items()}
