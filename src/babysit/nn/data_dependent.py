"""Initialization from a batch of data: each layer is set according to its actual inputs.

Both schemes set the layers in the order in which the model runs them. A layer is set before its first use;
later uses of the layer or of its weight run with the new weight, and their statistics are not controlled.

The model runs in evaluation mode (no dropout, norm layers with their running statistics). Afterwards only
weights and biases have changed: modes, buffers, gradients and hooks are restored. After an error the weights
are restored too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from babysit.errors import InputError, RecipeError
from babysit.nn.layers import WeightedLayer, fill, scale_channels, set_bias, weighted_layers
from babysit.nn.layerwise import restore, snapshot, undisturbed, walk
from babysit.seeding import seeded


def data_dependent(
    model: nn.Module, batch: Tensor, *, beta: float = 0.1, passes: int = 10, seed: int = 0
) -> dict[str, float]:
    """Gives all channels the same mean and standard deviation, then all layers the same learning speed.

    First, layer by layer: W ~ N(0, 1); with mu_i, sigma_i of channel i on the batch, W_i / sigma_i and
    b_i = beta - mu_i / sigma_i, so that each channel has mean beta and standard deviation 1. (A layer
    without biases gets the standard deviation only.)

    Then, between layers: the rate C_k = sqrt(E |dl/dW_k|^2 / |W_k|^2) under a random linear loss
    l = eta . output is brought to the geometric mean of all rates: W_k and b_k are multiplied by
    sqrt(C_k / mean), and the biases of later layers follow their input signal. In a network of ReLUs one pass
    is exact and does not change the output; for other nonlinearities it is repeated, and the pass with the
    most equal rates is kept.

    Args:
        model: any module; its Linear, Conv and Maxout layers are set in place.
        batch: inputs [N, ...] that ``model(batch)`` accepts, N at least 2, better a few hundred.
        beta: the mean of every pre-activation, slightly positive so that ReLUs are alive. Default: 0.1.
        passes: the largest number of passes of the second step, which stops at rates within 1%; 0 skips it.
            Default: 10.
        seed: any integer.

    Returns:
        The rate C_k of every layer, in the order in which the model runs them.

    Raises:
        RecipeError: passes below 0.
        InputError: a channel is constant or not finite on the batch, the model never runs a layer, or its
            output does not depend on one.

    Example:
        >>> x = torch.randn(64, 8)
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        >>> _ = data_dependent(model, x, passes=0)
        >>> z = model[0](x)
        >>> torch.allclose(z.mean(0), torch.full((16,), 0.1), atol=1e-5)
        True
        >>> torch.allclose(z.std(0, correction=0), torch.ones(16))
        True

    Source: Krähenbühl et al. 2015, "Data-dependent initializations of convolutional neural networks",
    algorithms 1 and 2.
    """
    if passes < 0:
        raise RecipeError(f"data_dependent with passes={passes}", fix="give 0 or more")
    layers = weighted_layers(model)
    with undisturbed(model):
        _draw(layers, nn.init.normal_, seed=seed, bias=0.0)
        order = walk(model, layers, batch, partial(_normalize_channels, beta=beta))
        return _even_out(model, {name: layers[name] for name in order}, batch, passes, seed)


def lsuv(
    model: nn.Module,
    batch: Tensor,
    *,
    tolerance: float = 0.1,
    iterations: int = 10,
    bias: float = 0.0,
    seed: int = 0,
) -> dict[str, int]:
    """Draws orthonormal weights and rescales each layer to unit variance on the batch (LSUV).

    For each layer as the model runs it: while |Var - 1| >= tolerance, W <- W / sqrt(Var), with the variance
    over all entries of the layer's pre-activation. A linear or convolutional layer needs one rescaling.

    Args:
        model: any module; its Linear, Conv and Maxout layers are set in place.
        batch: inputs [N, ...] that ``model(batch)`` accepts, best of unit variance.
        tolerance: above 0. Default: 0.1.
        iterations: the largest number of rescalings per layer, at least 1. Default: 10.
        bias: the value of every bias. Default: 0.
        seed: any integer.

    Returns:
        The number of rescalings of every layer, in the order in which the model runs them.

    Raises:
        RecipeError: a tolerance or a number of iterations out of range.
        InputError: a layer is constant or not finite on the batch, never runs, or stays out of tolerance.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        >>> lsuv(model, 5 * torch.randn(64, 8))
        {'0': 1, '2': 1}

    Source: Mishkin and Matas 2015, "All you need is a good init", algorithm 1.
    """
    if not tolerance > 0 or iterations < 1:
        raise RecipeError(
            f"lsuv with tolerance={tolerance}, iterations={iterations}",
            fix="give a tolerance above 0 and 1 iteration or more",
        )
    layers = weighted_layers(model)
    rescaled: dict[str, int] = {}
    visit = partial(_unit_variance, tolerance=tolerance, iterations=iterations, rescaled=rescaled)
    with undisturbed(model):
        _draw(layers, nn.init.orthogonal_, seed=seed, bias=bias)
        walk(model, layers, batch, visit)
    return rescaled


def _draw(
    layers: Mapping[str, WeightedLayer], draw: Callable[[Tensor], Tensor], *, seed: int, bias: float
) -> None:
    for name, layer in layers.items():
        with seeded(seed, "initialize", name):
            fill(layer, draw)
        set_bias(layer, bias)


def _normalize_channels(
    name: str, layer: WeightedLayer, measure: Callable[[], Tensor], *, beta: float
) -> None:
    values = _finite(name, measure())
    std, mean = torch.std_mean(values, dim=1, correction=0)
    _require_variation(name, values, std)
    scale_channels(layer, 1 / std)
    if layer.bias is not None:
        layer.bias.detach().copy_(beta - mean / std)


def _unit_variance(
    name: str,
    layer: WeightedLayer,
    measure: Callable[[], Tensor],
    *,
    tolerance: float,
    iterations: int,
    rescaled: dict[str, int],
) -> None:
    for count in range(iterations + 1):
        values = _finite(name, measure())
        std = values.std(correction=0)
        _require_variation(name, values, std)
        if abs(float(std) ** 2 - 1) < tolerance:
            rescaled[name] = count
            return
        layer.weight.detach().div_(std)
    raise InputError(
        f"layer {name!r} still has variance {float(std) ** 2:.3g} after {iterations} rescalings",
        fix="allow more iterations, a wider tolerance, or leave the biases at 0",
    )


def _finite(name: str, values: Tensor) -> Tensor:
    if not values.numel():
        raise InputError(f"the batch brings no examples to layer {name!r}", fix="give a few hundred inputs")
    if not bool(values.isfinite().all()):
        raise InputError(
            f"layer {name!r} gives values that are not finite on the batch",
            fix="look for NaN, infinity or huge numbers in the inputs, and scale them to about 1",
        )
    return values


def _require_variation(name: str, values: Tensor, std: Tensor) -> None:
    # Equal inputs need not give equal sums to the last bit, so "constant" means constant up to rounding.
    rounding = 100 * torch.finfo(values.dtype).eps * values.abs().max()
    flat = int((std <= rounding).sum())
    if flat:
        where = f"{flat} of {std.numel()} channels of layer {name!r}" if std.dim() else f"layer {name!r}"
        raise InputError(
            f"{where} give one value for the whole batch: no factor makes its standard deviation 1",
            fix="give a batch of many different examples, and look for dead units before this layer",
        )


def _even_out(
    model: nn.Module, layers: dict[str, WeightedLayer], batch: Tensor, passes: int, seed: int
) -> dict[str, float]:
    """Applies Krähenbühl's second step, and keeps the pass with the most equal rates."""
    best, kept = _rates(model, layers, batch, seed), snapshot(layers)
    rates = best
    for _ in range(passes):
        if _unevenness(rates) < 1.01:
            break
        _rescale(model, layers, batch, rates)
        rates = _rates(model, layers, batch, seed)
        if _unevenness(rates) < _unevenness(best):
            best, kept = rates, snapshot(layers)
    restore(kept)
    return best


def _unevenness(rates: Mapping[str, float]) -> float:
    return max(rates.values()) / min(rates.values())


def _rates(
    model: nn.Module, layers: Mapping[str, WeightedLayer], batch: Tensor, seed: int
) -> dict[str, float]:
    # eta differs between examples, so |sum of gradients|^2 is in expectation the sum of |gradient|^2 over the
    # examples. It is the same in every pass, so that rates of different passes are comparable.
    with torch.enable_grad(), seeded(seed, "initialize", "eta"):
        outputs = _differentiable(model(batch))
        if not outputs:
            raise InputError(
                "the model returns no tensor that a gradient could come from",
                fix="let forward() return a tensor, or tuples, lists and dicts of tensors, with gradients",
            )
        loss = torch.stack([(torch.randn_like(part) * part).sum() for part in outputs]).sum()
        weights = [layer.weight for layer in layers.values()]
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    rates = {}
    for (name, layer), gradient in zip(layers.items(), gradients, strict=True):
        size = 0.0 if gradient is None else float(gradient.norm() / layer.weight.detach().norm())
        if not (size > 0 and math.isfinite(size)):
            raise InputError(
                f"the output of the model has a gradient of size {size} for layer {name!r}",
                fix="look for units that are dead on this batch, a detach(), or numbers too large",
            )
        rates[name] = size / math.sqrt(len(batch))
    return rates


def _rescale(
    model: nn.Module, layers: dict[str, WeightedLayer], batch: Tensor, rates: dict[str, float]
) -> None:
    target = math.exp(sum(map(math.log, rates.values())) / len(rates))
    before: dict[str, Tensor] = {}

    def remember(name: str, layer: WeightedLayer, measure: Callable[[], Tensor]) -> None:
        before[name] = _linear_part(layer, measure())

    def rescale(name: str, layer: WeightedLayer, measure: Callable[[], Tensor]) -> None:
        layer.weight.detach().mul_(math.sqrt(rates[name] / target))
        if layer.bias is not None:
            layer.bias.detach().mul_(_linear_part(layer, measure()) / before[name])

    walk(model, layers, batch, remember)
    walk(model, layers, batch, rescale)


def _linear_part(layer: WeightedLayer, values: Tensor) -> Tensor:
    """Computes the root mean square of W x, by which the bias is scaled."""
    if layer.bias is not None:
        values = values - layer.bias.detach()[:, None]
    return values.square().mean().sqrt()


def _differentiable(output: object) -> list[Tensor]:
    """Collects the differentiable tensors of a nested output."""
    if isinstance(output, Tensor):
        return [output] if output.requires_grad else []
    parts: Sequence[object] = ()
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, (list, tuple)):
        parts = output
    return [tensor for part in parts for tensor in _differentiable(part)]
