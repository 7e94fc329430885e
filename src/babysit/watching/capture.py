"""Hooks that cannot disturb: they look, return nothing, never raise, and are gone when their step is over.

A forward hook only keeps a reference. Statistics are computed when the backward pass begins, so that a
validation batch that happens to come between is never taken for a training batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from babysit.watching.hooks import Hook
from babysit.watching.measuring import (
    EXAMPLES,
    Scalars,
    active_units,
    first_examples,
    layer_scalars,
    output_part,
    output_scalars,
    target_scalars,
)

RELUS = (nn.ReLU, nn.ReLU6)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MOODY = (*NORMS, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Layers that behave otherwise in eval mode."""
_SQUASHING = (nn.Sigmoid, nn.Tanh)
_MOST_OUTPUTS = 8
_SMALL = 4096
"""So many numbers are copied in less time than a few statistics of them take."""


class Removable(Protocol):
    """What PyTorch returns for a hook."""

    def remove(self) -> None:
        """Takes the hook away."""


class Guard:
    """Swallows every exception, counts them and remembers the first.

    Attributes:
        failures: how many.
        first: the first in words.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.first = ""

    def __call__(self, function: Callable[..., object], *args: object) -> None:
        """Calls the function; whatever it returns or raises goes no further.

        Example:
            >>> guard = Guard()
            >>> guard(int, "no number")
            >>> guard.failures
            1
        """
        try:
            function(*args)
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """Counts an exception that was swallowed."""
        self.failures += 1
        self.first = self.first or f"{type(error).__name__}: {error}"


def is_compiled(model: nn.Module) -> bool:
    """Whether torch.compile made the module, or was told to compile its call: hooks inside are of no use."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def watched_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose outputs are measured: those with parameters of their own, and activations.

    Args:
        model: any module; compiled and scripted parts of it are left alone.

    Example:
        >>> list(watched_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout())))
        ['0', '1']
    """
    return {name or "model": layer for name, layer in _leaves("", model) if _is_telling(layer)}


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if is_compiled(module) or isinstance(module, torch.jit.ScriptModule):
        return
    children = list(module.named_children())
    if not children:
        yield name, module
    for child, inner in children:
        yield from _leaves(f"{name}.{child}" if name else child, inner)


def _is_telling(layer: nn.Module) -> bool:
    own = any(True for _ in layer.parameters(recurse=False))
    return own or isinstance(layer, (*RELUS, *_SQUASHING)) or "activation" in type(layer).__module__


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in an output: a tensor, or any nest of tuples, lists and mappings of them.

    Example:
        >>> [tensor.shape[0] for tensor in tensors_in((torch.ones(1), {"h": [torch.ones(2), None]}))]
        [1, 2]
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from (tensor for inner in value.values() for tensor in tensors_in(inner))
    elif isinstance(value, (tuple, list)):
        yield from (tensor for inner in value for tensor in tensors_in(inner))


def first_float(value: Any) -> Tensor | None:
    """The first tensor of floating-point numbers with a batch dimension in an output."""
    if isinstance(value, Tensor):
        return value if _is_telling_tensor(value) else None
    return next(filter(_is_telling_tensor, tensors_in(value)), None)


def _is_telling_tensor(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dim() > 0 and tensor.numel() > 0


class Capture:
    """The hooks of one sampled step.

    Args:
        model: the module that the user calls.
        criterion: the loss, if it is a module.
        guard: swallows what goes wrong.
        began: called when the backward pass of a batch begins.
    """

    def __init__(
        self, model: nn.Module, criterion: nn.Module | None, guard: Guard, began: Callable[[], None]
    ) -> None:
        self.model, self.criterion, self.guard, self.began = model, criterion, guard, began
        self.layers = watched_layers(model)
        self._on_layers = [
            (layer, self._guarded(self._on_layer(name)))
            for name, layer in self.layers.items()
            if layer is not model
        ]
        self._hooks: list[Removable] = []
        self.forget()

    def forget(self) -> None:
        """Lets go of everything that was kept."""
        self.kept: dict[str, Tensor] = {}
        self._fed: dict[str, str] = {}
        self._newest: tuple[str, object] = ("", None)
        self.given: Tensor | None = None
        self.entered: Tensor | None = None
        self.single = False
        self.output: Tensor | None = None
        self.judged: tuple[Tensor, Tensor] | None = None
        self.loss: Tensor | None = None
        self.training: bool | None = None
        self._current: object = None

    def arm(self, inside: bool = True) -> None:
        """Sets the hooks.

        Args:
            inside: also those on the layers; without, only the model's own output is waited for.
        """
        self.disarm()
        self.forget()
        hooks: list[Removable] = [self.model.register_forward_hook(self._guarded(self._on_model))]
        if inside:
            hooks += [layer.register_forward_hook(hook) for layer, hook in self._on_layers]
        if inside and self.criterion is not None:
            hooks.append(self.criterion.register_forward_hook(self._guarded(self._on_criterion)))
        self._hooks = hooks

    def disarm(self) -> None:
        """Removes the hooks."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _guarded(self, function: Callable[..., None]) -> Hook:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if torch.is_grad_enabled():
                self.guard(function, module, inputs, output)

        return Hook(hook)

    def _on_layer(self, name: str) -> Callable[..., None]:
        def keep(layer: nn.Module, inputs: Any, output: Any) -> None:
            found = first_float(output)
            if found is not None:
                self.kept[name] = found
                if isinstance(layer, (*NORMS, *RELUS)):
                    self._note_feeder(name, inputs)
                self._newest = (name, output)

        return keep

    def _note_feeder(self, name: str, inputs: Any) -> None:
        """Which layer's output goes straight into this one; none if the layer is called more than once."""
        feeder, output = self._newest
        once = name not in self._fed and bool(inputs) and inputs[0] is output
        self._fed[name] = feeder if once else ""

    def _on_model(self, module: nn.Module, inputs: Any, output: Any) -> None:
        asking = [tensor for tensor in tensors_in(output) if tensor.requires_grad][:_MOST_OUTPUTS]
        self.training, self.given, self.output = module.training, first_float(inputs), first_float(output)
        self.entered = next(tensors_in(inputs), None)
        self.single = isinstance(output, Tensor) and output.dim() == 0
        if len(self.layers) == 1 and self.model in self.layers.values() and self.output is not None:
            self.kept[next(iter(self.layers))] = self.output
        self._current = token = object()
        for tensor in asking:
            tensor.register_hook(self._on_backward(token))  # type: ignore[no-untyped-call]

    def _on_backward(self, token: object) -> Callable[[Tensor], None]:
        """Only the newest forward's backward counts, and of its outputs only the first to be reached."""

        def began(_: Tensor) -> None:
            if self._current is token:
                self._current = None
                self.guard(self.began)

        return began

    def _on_criterion(self, _: nn.Module, inputs: Any, output: Any) -> None:
        given = list(tensors_in(inputs))[:2]
        if len(given) == 2:
            self.judged = (given[0].detach(), given[1].detach())
        self.loss = output if isinstance(output, Tensor) else None

    @torch.no_grad()
    def measure(self, scalars: Scalars) -> dict[str, Tensor]:
        """Statistics of what was kept.

        Args:
            scalars: where they go.

        Returns:
            Which units were active, by layer; for layers without units of that kind nothing.
        """
        names = list(self.kept)
        values = [first_examples(output) for output in self.kept.values()]
        found = layer_scalars([type(self.layers[name]) for name in names], values)
        for name, each, measured in zip(names, values, found, strict=True):
            scalars.add(("layer", name), measured, each.numel())
        if self.output is not None and self.output.dim() > 0:
            rows = self.output if self.output.dim() > 1 else self.output[:, None]
            self._measure_output(scalars, output_part(rows))
        if self.judged is not None and _comparable(*self.judged):
            _measure_targets(scalars, *self.judged)
        active = self._active(dict(zip(names, values, strict=True)))
        # No longer than the backward pass itself would keep them.
        self.kept, self._newest, self.given, self.output, self.judged = {}, ("", None), None, None, None
        self.entered = None
        return active

    def _measure_output(self, scalars: Scalars, values: Tensor) -> None:
        entered = self.entered
        plain = entered is not None and entered.layout is torch.strided and not entered.is_complex()
        given = _input_scalars(entered) if entered is not None and plain else []
        _soon(scalars, ("output",), values, lambda kept: [*output_scalars(kept), *given])

    def _active(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Where a layer goes straight into a norm or ReLU, that one tells which units are active."""
        feeders = set(self._fed.values())
        active, maps = {}, False
        for name, each in values.items():
            layer = self.layers[name]
            if isinstance(layer, (nn.Linear, *CONVOLUTIONS, *NORMS)):
                maps = not isinstance(layer, nn.Linear)
            telling = isinstance(layer, (nn.Linear, *CONVOLUTIONS, *NORMS, *RELUS))
            if telling and each.dim() > 1 and name not in feeders:
                active[name] = active_units(each, maps)
        return active


def _measure_targets(scalars: Scalars, output: Tensor, targets: Tensor) -> None:
    kind = "moments" if targets.is_floating_point() else "classes"
    classes = output.shape[1] if kind == "classes" else 0
    _soon(scalars, (kind,), targets, lambda kept: target_scalars(kept, classes))


def _soon(
    scalars: Scalars, name: Hashable, values: Tensor, compute: Callable[[Tensor], list[Tensor]]
) -> None:
    """Computed from a copy when all is read if that copy is small, else at once."""
    if values.numel() > _SMALL:
        scalars.add(name, compute(values), values.numel())
        return
    kept = values.detach().clone()
    scalars.later(name, lambda: compute(kept), values.numel())


def _comparable(output: Tensor, targets: Tensor) -> bool:
    """Class numbers beside one score a class, or numbers beside numbers."""
    if targets.is_floating_point():
        return True
    return output.dim() == 2 and targets.dim() == 1 and output.shape[1] <= 1000


def _input_scalars(given: Tensor) -> list[Tensor]:
    """Returns the sum of an input, which tells whether it is finite, its root mean square, and whether some
    first examples of it differ.
    """
    few = given[:EXAMPLES] if given.dim() > 0 else given
    differ = (few != few[:1]).any().float() if given.dim() > 0 else few.new_zeros((), dtype=torch.float32)
    if not given.is_floating_point():  # class numbers, tokens, bytes: they have no scale
        return [differ.new_zeros(()), differ.new_full((), math.nan), differ]
    norm = torch.linalg.vector_norm(given, dtype=torch.float32)
    return [given.sum(dtype=torch.float32), norm / math.sqrt(max(given.numel(), 1)), differ]
