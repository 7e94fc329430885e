"""The user's training program (model, loss, batches, optimizers), and copies of it to experiment with."""

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
"""Batches that are measured: enough to see past one unlucky batch, few enough to be quick."""

MOST_EXAMPLES = 128
"""Examples that are measured at once."""

_MOST_READ = 200  # batches, for the checks that need no model
_MOST_KEPT = 20_000_000  # numbers in these batches: 80 MB
_SECONDS = 0.1  # of reading beyond the first batches

_MOST_NUMBERS = 4_000_000  # in the measured examples: 16 MB


@dataclass(frozen=True, slots=True)
class Program:
    """A training program to check. Its parts may be changed inside :meth:`fresh`, and nowhere else.

    Attributes:
        model: a copy of the user's model, or the user's own where it cannot be copied.
        loss: called with (outputs, targets).
        batches: the first few, on the model's device.
        val_batches: the first few of the validation split; empty where none were given.
        optimizers: copies that hold the copy's parameters.
        num_classes: number of classes as the user gives it; None for the width of the outputs.
        seed: seed of everything random in the checks.
        shuffled: True where the batches are known to come in random order.
        all_batches: all batches that were read, beginning with ``batches``, for the checks that are cheap.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    batches: tuple[Batch, ...]
    val_batches: tuple[Batch, ...] = ()
    optimizers: tuple[Optimizer, ...] = ()
    num_classes: int | None = None
    seed: int = 0
    shuffled: bool = False
    all_batches: tuple[Batch, ...] = ()

    @property
    def sample(self) -> Batch:
        """The examples of several batches joined, where they fit together; else the first batch."""
        return joined(self.batches)

    @contextmanager
    def fresh(self, *, dropout: bool = True) -> Iterator[tuple[nn.Module, tuple[Optimizer, ...]]]:
        """Yields a copy of the model in training mode with its optimizers, free to be changed.

        Args:
            dropout: whether dropout layers drop units. Default: True.
        """
        with _copies(self.model, self.optimizers) as (model, optimizers, _):
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
    """Yields the program of :func:`babysit.check` as a copy. Afterwards the user's own is as before.

    Raises:
        InputError: if the model is no module, or the batches hold no (inputs, targets).
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is a {type(model).__name__}", fix="give an nn.Module")
    model = getattr(model, "_orig_mod", model)  # of a compiled module, which would compile every copy
    several = optimizer if isinstance(optimizer, Sequence) else (optimizer,)
    optimizers = tuple(each for each in several if each is not None)
    tensors = itertools.chain(model.parameters(), model.buffers())
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    streams = (batches, val_batches)
    shuffled = isinstance(getattr(batches, "sampler", None), RandomSampler | WeightedRandomSampler)
    with _preserved_randomness(streams), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(derive(seed, "batches"))
        read, held_out = (_read(stream, device) for stream in streams)
        if not read:
            raise DataError("there is no batch to look at", fix="give a DataLoader or a list of (x, y)")
        module = loss if isinstance(loss, nn.Module) else None
        with _copies(model, optimizers, module) as (copied_model, own, own_loss):
            yield Program(
                copied_model,
                own_loss or loss,
                read[:MOST_BATCHES],
                held_out,
                own,
                num_classes,
                seed,
                shuffled,
                read,
            )


def _read(batches: Iterable[Batch] | None, device: torch.device) -> tuple[Batch, ...]:
    """Copies the first batches to a device, up to the limits of number, size and time."""
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
    """Joins several batches, up to a limit of size; returns the first alone where shapes do not fit.

    Example:
        >>> x, y = joined([(torch.zeros(2, 3), torch.ones(2)), (torch.zeros(2, 3), torch.ones(2))])
        >>> x.shape, y.shape
        (torch.Size([4, 3]), torch.Size([4]))
    """
    x, y = batches[0]
    for inputs, targets in batches:
        tensors = isinstance(inputs, Tensor) and isinstance(targets, Tensor)
        if not tensors or inputs.dim() == 0 or targets.dim() == 0 or len(inputs) != len(targets):
            return batches[0]
        if not _fits(inputs, x) or not _fits(targets, y):
            return batches[0]
    size = max(x[:1].numel(), 1)
    count = max(min(MOST_EXAMPLES, _MOST_NUMBERS // size), len(x) if len(x) <= MOST_EXAMPLES else 1)
    return torch.cat([some[0] for some in batches])[:count], torch.cat([some[1] for some in batches])[:count]


def _fits(value: Tensor, other: Tensor) -> bool:
    return value.shape[1:] == other.shape[1:] and value.dtype == other.dtype


@contextmanager
def _preserved_randomness(loaders: Sequence[object]) -> Iterator[None]:
    """Puts back every random state afterwards: Python's, NumPy's, PyTorch's and those of data loaders."""
    samplers = [getattr(loader, name, None) for loader in loaders for name in ("sampler", "batch_sampler")]
    holders = [getattr(holder, "generator", None) for holder in (*loaders, *samplers)]
    generators = [generator for generator in holders if isinstance(generator, torch.Generator)]
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


@contextmanager
def _copies(
    model: nn.Module, optimizers: tuple[Optimizer, ...], loss: nn.Module | None = None
) -> Iterator[tuple[nn.Module, tuple[Optimizer, ...], nn.Module | None]]:
    """Yields copies; or the originals, put back afterwards, where they cannot be copied."""
    try:
        # Copied together, so that the optimizers hold the copy's parameters, and a loss its model.
        copies = copy.deepcopy((model, optimizers, loss))
    except Exception:
        with _restored(model, optimizers):
            yield model, optimizers, loss
    else:
        yield copies


@contextmanager
def _restored(model: nn.Module, optimizers: tuple[Optimizer, ...]) -> Iterator[None]:
    """Puts back parameters, buffers, modes, dropout and optimizer states afterwards."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [(tensor, tensor.detach().clone(), tensor.grad) for tensor in tensors]
    modes = [(module, module.training, getattr(module, "p", None)) for module in model.modules()]
    states = [(o, o.state, [dict(group) for group in o.param_groups]) for o in optimizers]
    for optimizer in optimizers:
        state_copy = {key: copy.deepcopy(value) for key, value in optimizer.state.items()}
        optimizer.state = type(optimizer.state)(dict, state_copy)
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
