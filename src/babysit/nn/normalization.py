"""Batch normalization in a Sequential: inserting it, finding redundant biases, and folding it.

The layers and their conventions are torch's: ``momentum`` is the weight of the new batch (0.1; the course's
0.9 is that of the old average), the running variance is unbiased and starts at 1, the batch's own is biased.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from babysit.errors import InputError, RecipeError

_NONLINEARITIES = (
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardshrink,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.RReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softshrink,
    nn.Softsign,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Threshold,
)
_Weighted = nn.Linear | _ConvNd
_NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class _Place(NamedTuple):
    """A module, its name in the model, and the parent that holds it under ``key``."""

    name: str
    module: nn.Module
    parent: nn.Module
    key: str


_Step = tuple[_Place | None, _Place, _Place | None]
"""A place with the places that are known to run directly before and after it."""


def insert_batch_norm(model: nn.Sequential) -> nn.Sequential:
    """Copies a model with batch normalization between every Linear or Conv layer and its nonlinearity.

    Nested Sequentials are searched too, other modules do not change. No layer is inserted before a sigmoid at
    the end of the model: normalized scores would give the same fraction of positives in every batch. In
    numbered Sequentials the numbers of later layers increase; in named ones the new layer is NAME_norm.

    Args:
        model: a Sequential whose Linear layers receive [N, features]; it is not changed, and the copy shares
            no tensor with it.

    Returns:
        The copy, with ``BatchNorm1d``, ``2d`` or ``3d`` layers of one mean and variance per feature or
        channel, in the dtype, on the device and in the mode of the layer before.

    Raises:
        RecipeError: the model is not a Sequential, so the order of its layers is unknown.

    Example:
        >>> model = insert_batch_norm(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
        >>> [type(layer).__name__ for layer in model]
        ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']

    Source: Ioffe and Szegedy 2015; CS231n lecture 6, "usually inserted after FC or conv layers, before the
    nonlinearity".
    """
    if not _is_chain(model):
        raise RecipeError(
            f"batch normalization cannot be put into a {type(model).__name__}",
            fix="give a Sequential, or write the norm layers into the model's own forward()",
        )
    model = copy.deepcopy(model)
    run = _run(_Place("", model, model, ""))
    behind = {}
    for place, after in pairwise(run):
        ends = after is run[-1] and isinstance(after.module, nn.Sigmoid | nn.LogSigmoid)
        if isinstance(place.module, _Weighted) and isinstance(after.module, _NONLINEARITIES) and not ends:
            weight = place.module.weight
            kind = _NORMS[weight.dim() - 2]
            norm = kind(_features(place.module), device=weight.device, dtype=weight.dtype)
            behind[id(place.parent), place.key] = norm.train(place.module.training)
    for parent in {id(place.parent): place.parent for place in run}.values():
        modules: dict[str, nn.Module | None] = {}
        numbered = all(key.isdigit() for key in parent._modules)
        for key, module in parent._modules.items():
            modules[str(len(modules)) if numbered else key] = module
            if (id(parent), key) in behind:
                modules[str(len(modules)) if numbered else f"{key}_norm"] = behind[id(parent), key]
        parent._modules = modules
    return model


def redundant_biases(model: nn.Module) -> list[str]:
    """Finds the biases that the next layer, a norm layer, subtracts again, so that their gradient is 0.

    It searches Sequentials, also nested ones and those inside other modules. Batch normalization subtracts
    the mean of every feature or channel, instance normalization that of every channel of a convolution;
    group and layer normalization do not, since their means are over several channels.

    Args:
        model: any module.

    Returns:
        Parameter names as in ``model.named_parameters()``, in order; give those layers ``bias=False``.

    Example:
        >>> redundant_biases(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)))
        ['0.bias']

    Source: Ioffe and Szegedy 2015, section 3.2, which omits the bias for this reason.
    """
    idle: dict[int, str] = {}
    needed: set[int] = set()
    for _, place, after in _steps(model):
        if getattr(place.module, "bias", None) is not None and _removes_mean(place, after):
            idle.setdefault(id(place.module), f"{place.name}.bias")
        else:
            needed.add(id(place.module))
    return [name for module, name in idle.items() if module not in needed]


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Copies a model for inference, with batch norm layers folded into the Linear or Conv layers before.

    W' = W gamma / sqrt(Var + eps), b' = (b - E) gamma / sqrt(Var + eps) + beta, with the running mean and
    variance: the same function up to rounding. An ``nn.Identity`` replaces the norm layer, so that all other
    names stay the same.

    Args:
        model: any module in evaluation mode whose every batch norm layer follows a Linear or Conv layer
            directly in a Sequential; it is not changed.

    Returns:
        The copy, in evaluation mode.

    Raises:
        InputError: a norm layer is in training mode, has no running statistics, or has no layer before it
            that it can be folded into.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()).eval()
        >>> fold_batch_norm(model)[1]
        Identity()

    Source: Ioffe and Szegedy 2015, algorithm 2; torch.nn.utils.fusion.
    """
    model = copy.deepcopy(model)
    steps = _steps(model)
    norms = [(before, place) for before, place, _ in steps if isinstance(place.module, _BatchNorm)]
    pairs = {(id(layer), id(norm)): (layer, norm) for layer, norm in (_pair(steps, *some) for some in norms)}
    for layer, norm in pairs.values():
        # torch's function for convolutions also supports Linear, and unlike that for Linear affine=False.
        assert norm.running_mean is not None
        assert norm.running_var is not None
        statistics = (norm.running_mean, norm.running_var, norm.eps)
        transposed = isinstance(layer, _ConvNd) and layer.transposed
        layer.weight, layer.bias = fuse_conv_bn_weights(
            layer.weight, layer.bias, *statistics, norm.weight, norm.bias, transposed
        )
    for _, place in norms:
        place.parent._modules[place.key] = nn.Identity().eval()
    return model


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _run(place: _Place) -> list[_Place]:
    """Lists the modules that run at a place, in order: those of nested Sequentials, or the module itself."""
    if not _is_chain(place.module):
        return [place]
    run: list[_Place] = []
    for key, module in place.module._modules.items():  # named_children() would skip a layer's second use
        if module is not None:
            run += _run(_Place(_join(place.name, key), module, place.module, key))
    return run


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _steps(model: nn.Module) -> list[_Step]:
    """Lists every module of a model, with its neighbours if it is in a Sequential."""
    roots = [_Place("", model, model, "")]
    for path, parent in model.named_modules():
        if not _is_chain(parent):
            children = [(key, child) for key, child in parent._modules.items() if child is not None]
            roots += [_Place(_join(path, key), child, parent, key) for key, child in children]
    runs = map(_run, roots)
    return [step for run in runs for step in zip([None, *run], run, [*run[1:], None], strict=False)]


def _features(layer: nn.Linear | _ConvNd) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _removes_mean(place: _Place, after: _Place | None) -> bool:
    if after is None or not isinstance(place.module, _Weighted):
        return False
    norm = after.module
    if isinstance(norm, _BatchNorm):
        return norm.num_features == _features(place.module)
    return isinstance(norm, _InstanceNorm) and isinstance(place.module, _ConvNd)


def _pair(steps: list[_Step], before: _Place | None, place: _Place) -> tuple[nn.Linear | _ConvNd, _BatchNorm]:
    """Returns the layer and the norm layer to fold into it, or raises the reason against it."""
    norm = place.module
    assert isinstance(norm, _BatchNorm)
    if norm.training:
        raise _refusal(place, "is in training mode, where it depends on the batch", "call model.eval() first")
    if norm.running_mean is None or norm.running_var is None:
        raise _refusal(place, "keeps no running statistics", "build it with track_running_stats=True")
    layer = before.module if before is not None else None
    if not isinstance(layer, _Weighted) or _features(layer) != norm.num_features:
        fix = "fold only models whose norm layers stand directly behind Linear or Conv in a Sequential"
        raise _refusal(place, "has no Linear or Conv layer of its size directly before it", fix)
    if isinstance(layer, _ConvNd) and layer.transposed and layer.groups > 1:
        raise _refusal(place, "follows a transposed convolution in groups", "leave this model as it is")
    if "weight" not in layer._parameters:
        raise _refusal(place, "follows a parametrized layer", "remove the parametrization first")
    followers = {id(after.module) if after else None for _, used, after in steps if used.module is layer}
    if followers != {id(norm)}:
        raise _refusal(place, "follows a layer that is used elsewhere too", "give each use its own layer")
    return layer, norm


def _refusal(place: _Place, problem: str, fix: str) -> InputError:
    return InputError(f"norm layer {place.name!r} {problem}", fix=fix)
