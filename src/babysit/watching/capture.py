"""Forward and backward hooks of one sampled step that do not disturb the model.

They return nothing, never raise, and are removed after their step. A forward hook only keeps a reference.
Statistics are computed when the backward pass starts, so that a validation batch in between is never taken
for a training batch.
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
MODE_DEPENDENT = (*NORMS, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Layers that behave differently in eval mode."""
_SQUASHING = (nn.Sigmoid, nn.Tanh)
_MOST_OUTPUTS = 8
_MOST_CLASSES = 1000
_SMALL = 4096
"""Copying this many numbers takes less time than computing a few statistics of them."""


class Removable(Protocol):
    """Handle of a hook, as PyTorch returns it."""

    def remove(self) -> None:
        """Removes the hook."""


class ExceptionGuard:
    """Swallows every exception, counts them and remembers the first.

    Attributes:
        failures: number of exceptions.
        first: the first of them, as text.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.first = ""

    def __call__(self, function: Callable[..., object], *args: object) -> None:
        """Calls the function; ignores what it returns and counts what it raises.

        Example:
            >>> guard = ExceptionGuard()
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
    """Tells whether torch.compile made the module or compiles its call, so that hooks inside do not work."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def watched_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Finds the layers whose outputs are measured: those with parameters of their own, and activations.

    Args:
        model: any module; compiled and scripted parts of it are skipped.

    Example:
        >>> list(watched_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout())))
        ['0', '1']
    """
    found = {}
    for name, layer in _leaves("", model):
        has_parameters = any(True for _ in layer.parameters(recurse=False))
        is_activation = isinstance(layer, (*RELUS, *_SQUASHING)) or "activation" in type(layer).__module__
        if has_parameters or is_activation:
            found[name or "model"] = layer
    return found


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if is_compiled(module) or isinstance(module, torch.jit.ScriptModule):
        return
    children = list(module.named_children())
    if not children:
        yield name, module
    for child, inner in children:
        yield from _leaves(f"{name}.{child}" if name else child, inner)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yields the tensors in an output: a tensor, or nested tuples, lists and mappings of tensors.

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
    """Returns the first floating-point tensor with a batch dimension in an output; None without one."""
    for tensor in tensors_in(value):
        if tensor.is_floating_point() and tensor.dim() > 0 and tensor.numel() > 0:
            return tensor
    return None


class Capture:
    """The hooks of one sampled step.

    Args:
        model: the module that the user calls.
        criterion: the loss, if it is a module.
        guard: swallows what goes wrong.
        on_backward: called when the backward pass of a batch starts.

    Attributes:
        layers: the layers that are measured, by name.
        kept: outputs of the layers in the newest forward pass.
        given: its first floating-point input.
        entered: its first input of any type.
        output: its first floating-point output.
        single: whether it returned one number for the batch.
        training: whether the model was in training mode.
        judged: predictions and targets, as the criterion received them.
        loss: what the criterion returned.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: nn.Module | None,
        guard: ExceptionGuard,
        on_backward: Callable[[], None],
    ) -> None:
        self.model, self.criterion, self.guard, self.on_backward = model, criterion, guard, on_backward
        self.layers = watched_layers(model)
        self._on_layers = [
            (layer, self._guarded(self._on_layer(name)))
            for name, layer in self.layers.items()
            if layer is not model
        ]
        self._hooks: list[Removable] = []
        self.forget()

    def forget(self) -> None:
        """Drops everything that was kept."""
        self.kept: dict[str, Tensor] = {}
        self._feeders: dict[str, str] = {}
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
            inside: also on the layers and the criterion; otherwise only on the model itself.
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
            if found is None:
                return
            self.kept[name] = found
            if isinstance(layer, (*NORMS, *RELUS)):
                # Its feeder is the layer whose output goes straight into it; none if it is called again.
                feeder, fed = self._newest
                is_fed = name not in self._feeders and bool(inputs) and inputs[0] is fed
                self._feeders[name] = feeder if is_fed else ""
            self._newest = (name, output)

        return keep

    def _on_model(self, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs = [tensor for tensor in tensors_in(output) if tensor.requires_grad][:_MOST_OUTPUTS]
        self.training, self.given, self.output = module.training, first_float(inputs), first_float(output)
        self.entered = next(tensors_in(inputs), None)
        self.single = isinstance(output, Tensor) and output.dim() == 0
        if len(self.layers) == 1 and self.model in self.layers.values() and self.output is not None:
            self.kept[next(iter(self.layers))] = self.output
        self._current = token = object()

        def started(_: Tensor) -> None:  # once, for the newest forward pass only
            if self._current is token:
                self._current = None
                self.guard(self.on_backward)

        for tensor in outputs:
            tensor.register_hook(started)  # type: ignore[no-untyped-call]

    def _on_criterion(self, _: nn.Module, inputs: Any, output: Any) -> None:
        given = list(tensors_in(inputs))[:2]
        if len(given) == 2:
            self.judged = (given[0].detach(), given[1].detach())
        self.loss = output if isinstance(output, Tensor) else None

    @torch.no_grad()
    def measure(self, scalars: Scalars) -> dict[str, Tensor]:
        """Computes statistics of what was kept, and drops it.

        Args:
            scalars: where they are added.

        Returns:
            Which units were active, by layer; layers without such units are missing.
        """
        names = list(self.kept)
        values = [first_examples(output) for output in self.kept.values()]
        found = layer_scalars([type(self.layers[name]) for name in names], values)
        for name, each, measured in zip(names, values, found, strict=True):
            scalars.add(("layer", name), measured, each.numel())
        if self.output is not None and self.output.dim() > 0:
            rows = self.output if self.output.dim() > 1 else self.output[:, None]
            entered = self.entered
            is_plain = entered is not None and entered.layout is torch.strided and not entered.is_complex()
            given = _input_scalars(entered) if entered is not None and is_plain else []
            _measure_soon(
                scalars, ("output",), output_part(rows), lambda kept: [*output_scalars(kept), *given]
            )
        if self.judged is not None:
            _measure_targets(scalars, *self.judged)
        active = self._active(dict(zip(names, values, strict=True)))
        # Kept no longer than the backward pass itself would keep them.
        self.kept, self._newest, self.given, self.output, self.judged = {}, ("", None), None, None, None
        self.entered = None
        return active

    def _active(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Finds the active units of each layer.

        A layer that feeds a norm or ReLU is skipped: the units of that one count.
        """
        feeders = set(self._feeders.values())
        active, maps = {}, False
        for name, each in values.items():
            layer = self.layers[name]
            if isinstance(layer, (nn.Linear, *CONVOLUTIONS, *NORMS)):
                maps = not isinstance(layer, nn.Linear)
            has_units = isinstance(layer, (nn.Linear, *CONVOLUTIONS, *NORMS, *RELUS))
            if has_units and each.dim() > 1 and name not in feeders:
                active[name] = active_units(each, maps)
        return active


def _measure_targets(scalars: Scalars, output: Tensor, targets: Tensor) -> None:
    """Adds the moments of targets that are numbers, or the shares of targets that are class numbers."""
    if targets.is_floating_point():
        _measure_soon(scalars, ("moments",), targets, lambda kept: target_scalars(kept, 0))
    elif output.dim() == 2 and targets.dim() == 1 and output.shape[1] <= _MOST_CLASSES:
        classes = output.shape[1]
        _measure_soon(scalars, ("classes",), targets, lambda kept: target_scalars(kept, classes))


def _measure_soon(
    scalars: Scalars, name: Hashable, values: Tensor, compute: Callable[[Tensor], list[Tensor]]
) -> None:
    """Computes at once, or of few values later: from a copy, when all samples are read."""
    if values.numel() > _SMALL:
        scalars.add(name, compute(values), values.numel())
        return
    kept = values.detach().clone()
    scalars.later(name, lambda: compute(kept), values.numel())


def _input_scalars(given: Tensor) -> list[Tensor]:
    """Returns an input's sum, which shows NaN and infinity, its root mean square, and whether its first
    examples differ.
    """
    few = given[:EXAMPLES] if given.dim() > 0 else given
    differ = (few != few[:1]).any().float() if given.dim() > 0 else few.new_zeros((), dtype=torch.float32)
    if not given.is_floating_point():  # class numbers, tokens, bytes: they have no scale
        return [differ.new_zeros(()), differ.new_full((), math.nan), differ]
    norm = torch.linalg.vector_norm(given, dtype=torch.float32)
    return [given.sum(dtype=torch.float32), norm / math.sqrt(max(given.numel(), 1)), differ]
