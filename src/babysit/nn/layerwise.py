"""WeightedLayer-by-layer passes of a batch through a model, without side effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from babysit.errors import InputError
from babysit.nn.layers import WeightedLayer, by_channel, preactivation
from babysit.seeding import preserved_random_state

Visit = Callable[[str, WeightedLayer, Callable[[], Tensor]], None]
"""(name, layer, measure) -> None; it may set the layer.

``measure()`` computes the layer's present pre-activations on the batch, [channels, everything else].
"""


def walk(model: nn.Module, layers: Mapping[str, WeightedLayer], batch: Tensor, visit: Visit) -> list[str]:
    """Runs the batch through the model and visits each layer before its first use; returns the order."""
    names = {id(layer.weight): name for name, layer in layers.items()}
    order: list[str] = []

    def before_use(layer: WeightedLayer, inputs: tuple[Tensor, ...], options: dict[str, object]) -> None:
        name = names[id(layer.weight)]
        if name not in order:
            order.append(name)
            visit(name, layer, lambda: by_channel(layer, preactivation(layer, *inputs, **options)))

    with ExitStack() as hooks, torch.no_grad():
        for module in model.modules():
            if isinstance(module, WeightedLayer) and id(module.weight) in names:
                handle = module.register_forward_pre_hook(before_use, with_kwargs=True)
                hooks.callback(handle.remove)
        model(batch)
    unused = [name for name in layers if name not in order]
    if unused:
        raise InputError(
            f"the model never runs layer {unused[0]!r} on the batch in evaluation mode",
            fix="choose a scheme that needs no data, or pass the part of the model that runs",
        )
    return order


def snapshot(layers: Mapping[str, WeightedLayer]) -> list[tuple[Tensor, Tensor]]:
    """Pairs the weights and biases of layers with a copy of each, for ``restore``."""
    tensors = (tensor for layer in layers.values() for tensor in (layer.weight, layer.bias))
    return [(tensor.detach(), tensor.detach().clone()) for tensor in tensors if tensor is not None]


def restore(kept: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Writes the copies back into the tensors."""
    for tensor, value in kept:
        tensor.copy_(value)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Sets evaluation mode and gradients of all weights inside; restores all but the weights afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    parameters = [parameter for parameter in model.parameters() if parameter.is_floating_point()]
    wanted = [(parameter, parameter.requires_grad) for parameter in parameters]
    values = [(parameter.detach(), parameter.detach().clone()) for parameter in parameters]
    try:
        model.eval()
        for parameter in parameters:
            parameter.requires_grad_()
        with preserved_random_state():
            yield
    except BaseException:
        restore(values)
        raise
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
        for module, name, buffer, value in buffers:
            buffer.detach().copy_(value)
            module._buffers[name] = buffer  # a forward() may have replaced the tensor
