"""Many models of one architecture as one: every parameter and buffer with a leading member axis."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from types import FunctionType

import torch
from torch import Tensor, nn

from babysit.errors import RecipeError
from babysit.nn.dropout import MemberDropout, with_member_dropout
from babysit.training.stacked_tensors import StackedTensors

Tensors = dict[str, Tensor]


class Population:
    """P models of one architecture.

    Args:
        template: one model that knows the architecture; its own values are never used.
        parameters: name -> [P, ...].
        buffers: name -> [P, ...].
        frozen: names of parameters that the user's model does not train.

    Attributes:
        tensors: every tensor with a member axis; the trainer adds its own.
        parameters, buffers: views of the members in use; the trained parameters require a gradient.
        keys: [P] int64, this step's random key of each member, which seeds everything that it draws.
    """

    def __init__(
        self, template: nn.Module, parameters: Tensors, buffers: Tensors, frozen: frozenset[str]
    ) -> None:
        self.template, self.frozen = template, frozen
        self.trained = [name for name in parameters if name not in frozen]
        # Biases, the scale and shift of normalization layers and PReLU slopes have fewer dimensions.
        self.weights = [name for name in self.trained if parameters[name].dim() > 2]
        self._dropouts = [name for name in buffers if name in _dropout_buffers(template, "key")]
        self.tensors = StackedTensors(
            {f"parameters/{name}": value for name, value in parameters.items()}
            | {f"buffers/{name}": value for name, value in buffers.items()}
        )
        any_parameter = next(iter(parameters.values()))
        keys = torch.zeros(self.tensors.size, dtype=torch.int64, device=any_parameter.device)
        self.tensors.add({"keys": keys})
        self._refresh_views()

    def _refresh_views(self) -> None:
        self.parameters = self.tensors.under("parameters/")
        self.buffers = self.tensors.under("buffers/")
        self.keys = self.tensors["keys"]
        for name in self.trained:
            self.parameters[name].requires_grad_()

    @property
    def size(self) -> int:
        """The number of members."""
        return self.tensors.size

    @property
    def has_dropout(self) -> bool:
        """True if its layers draw masks, and so need a key at each step."""
        return bool(self._dropouts)

    def release(self, slots: Sequence[int]) -> list[int]:
        """Removes members, and returns for each slot still in use the slot of its content before."""
        order = self.tensors.release(slots)
        self._refresh_views()
        return order

    def admit(self, newcomers: Population) -> None:
        """Adds the members of another population of the same architecture."""
        self.tensors.admit(newcomers.tensors)
        self._refresh_views()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrites the members by those of a snapshot of ``tensors``."""
        self.tensors.load(tensors)
        self._refresh_views()

    def member(self, index: int) -> Tensors:
        """Copies one member's parameters and buffers into a plain state dict of the user's model."""
        ours = _dropout_buffers(self.template, "rate", "key")
        values = {**self.parameters, **self.buffers}
        return {name: value[index].detach().clone() for name, value in values.items() if name not in ours}

    def set_keys(self, keys: Tensor) -> None:
        """Sets the random keys of this step, [P] int64; dropout layers differ by their position."""
        self.keys.copy_(keys)
        for position, name in enumerate(self._dropouts):
            torch.add(keys, position, out=self.buffers[name])


def _dropout_buffers(template: nn.Module, *buffers: str) -> set[str]:
    layers = [name for name, layer in template.named_modules() if isinstance(layer, MemberDropout)]
    return {f"{name}.{buffer}".lstrip(".") for name in layers for buffer in buffers}


def stack(models: Sequence[nn.Module], device: torch.device | str = "cpu") -> Population:
    """Stacks models of one architecture into a population.

    Args:
        models: P models with equal ``signature``; left as they are.
        device: the device of the stacked tensors.

    Returns:
        The population; member k holds a copy of ``models[k]``'s values.

    Raises:
        RecipeError: when the models do not share an architecture or have nothing to train.

    Example:
        >>> stack([nn.Linear(3, 2), nn.Linear(3, 2)]).parameters["weight"].shape
        torch.Size([2, 2, 3])
    """
    if len({signature(model) for model in models}) > 1:
        raise RecipeError(
            "models of different architectures cannot train as one population",
            fix="group them by population.signature first",
        )
    template = with_member_dropout(copy.deepcopy(models[0]))
    frozen = frozenset(name for name, value in template.named_parameters() if not value.requires_grad)
    parameters = _stacked([dict(model.named_parameters()) for model in models])
    if len(frozen) == len(parameters):
        raise RecipeError("the model has no parameter to train", fix="return a model with at least one layer")
    buffers = _stacked([_buffers_as_in(template, model) for model in models])
    return Population(
        template.to(device),
        {name: value.to(device) for name, value in parameters.items()},
        {name: value.to(device) for name, value in buffers.items()},
        frozen,
    )


def _buffers_as_in(template: nn.Module, model: nn.Module) -> Tensors:
    """Returns a model's buffers by the template's names: a rate and a key for each ``nn.Dropout`` too."""
    own = dict(model.named_buffers())
    for name, layer in model.named_modules(remove_duplicate=False):  # each use has its own masks
        if type(layer) is nn.Dropout:
            own[f"{name}.rate".lstrip(".")] = torch.tensor(float(layer.p))
            own[f"{name}.key".lstrip(".")] = torch.tensor(0)
    return {name: own[name] for name, _ in template.named_buffers()}


def _stacked(dicts: Sequence[Tensors]) -> Tensors:
    return {name: torch.stack([values[name].detach() for values in dicts]) for name in dicts[0]}


_PLAIN = (int, float, str, bool, type(None), torch.dtype, torch.device, torch.Size)


def signature(model: nn.Module) -> tuple[object, ...]:
    """Returns a key that is equal for two models which can be members of one population.

    It holds the type and plain settings of every module, and the shape and type of every tensor. The rate of
    an ``nn.Dropout`` does not count: it is a vector over members. A setting that cannot be compared by value
    (an object of a user's class) is compared by identity, so such models train apart: slow but correct.

    Example:
        >>> signature(nn.Linear(3, 2)) == signature(nn.Linear(3, 2))
        True
        >>> signature(nn.Linear(3, 2)) == signature(nn.Linear(3, 4))
        False
        >>> signature(nn.LeakyReLU(0.1)) == signature(nn.LeakyReLU(0.2))
        False
    """
    modules = []
    for name, module in model.named_modules():
        settings = sorted((key, value) for key, value in vars(module).items() if not key.startswith("_"))
        rate = {"p"} if type(module) is nn.Dropout else set()
        plain = tuple((key, _comparable(value)) for key, value in settings if key not in rate)
        modules.append((name, type(module), plain))
    return (tuple(modules), _shapes(model.named_parameters()), _shapes(model.named_buffers()))


def _shapes(tensors: Iterable[tuple[str, Tensor]]) -> tuple[object, ...]:
    return tuple((name, tuple(t.shape), t.dtype, t.requires_grad) for name, t in tensors)


def _comparable(value: object) -> object:
    if isinstance(value, _PLAIN):
        return (type(value).__name__, repr(value))  # repr, so that NaN equals itself and 1 is not True
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(_comparable(item) for item in value))
    if isinstance(value, dict):
        return tuple((str(key), _comparable(item)) for key, item in value.items())
    if isinstance(value, Tensor):
        return ("tensor", tuple(value.shape), tuple(value.detach().flatten().tolist()))
    if isinstance(value, FunctionType) and value.__closure__ is None:
        return (value.__code__, _comparable(value.__defaults__))
    return id(value)
