"""Dropout whose mask is a pure function of a key, so that every member of a population has its own.

torch draws masks from one global stream, so a member's masks would depend on the other members. Here a mask
is a hash of (key, position): it needs no state, does not depend on order, is the same for a model alone,
stacked or under vmap, and the rate may differ between members.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The multipliers and shifts of the splitmix64 finalizer (Steele, Lea and Flood 2014), as signed 64-bit.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def _shift_right(bits: Tensor, by: int) -> Tensor:
    # torch shifts signed integers arithmetically; the mask makes it a logical shift.
    return (bits >> by) & ((1 << (64 - by)) - 1)


def mix(bits: Tensor) -> Tensor:
    """Scrambles 64-bit integers one to one (the splitmix64 finalizer).

    Args:
        bits: int64, any shape.

    Returns:
        int64 of the same shape.

    Example:
        >>> mix(torch.tensor([0, 1, 2])).unique().numel()
        3
    """
    bits = (bits ^ _shift_right(bits, 30)) * _FIRST
    bits = (bits ^ _shift_right(bits, 27)) * _SECOND
    return bits ^ _shift_right(bits, 31)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Computes numbers uniform on [0, 1) as a function of the key and the position only.

    Args:
        key: int64, a scalar for one member or [P] for a population.
        shape: the shape of one member's numbers.

    Returns:
        float32, ``shape`` or [P, *shape]; a multiple of 2^-24.

    Example:
        >>> key = torch.tensor([5, 6])
        >>> bool((uniform(key, (4,))[1] == uniform(key[1], (4,))).all())
        True
    """
    count = 1
    for size in shape:
        count *= size
    position = torch.arange(1, count + 1, device=key.device) * _GOLDEN
    bits = mix(position.view(shape) + mix(key).view(*key.shape, *[1] * len(shape)))
    return _shift_right(bits, 40).to(torch.float32) * 2.0**-24


class MemberDropout(nn.Module):
    """Inverted dropout with its own mask: x * (u >= p) / (1 - p) in training, x otherwise.

    The trainer sets a new ``key`` at every step. It replaces ``nn.Dropout`` inside a population.

    Args:
        p: the probability to drop, in [0, 1), as in PyTorch (the course's p is the probability to keep).

    Example:
        >>> layer = MemberDropout(0.5)
        >>> sorted(layer(torch.ones(1000)).unique().tolist())
        [0.0, 2.0]
        >>> bool((layer.eval()(torch.ones(3)) == 1).all())
        True

    Source: CS231n notes, neural networks part 2, "inverted dropout".
    """

    rate: Tensor
    key: Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        self.register_buffer("rate", torch.tensor(float(p)))
        self.register_buffer("key", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """Drops in training mode; with buffers of one member x is [...], with stacked ones [P, ...]."""
        if not self.training:
            return x
        rate = self.rate.view(*self.rate.shape, *[1] * (x.dim() - self.rate.dim()))
        kept = uniform(self.key, tuple(x.shape[self.key.dim() :])) >= rate
        return torch.where(kept, x / (1 - rate), torch.zeros((), dtype=x.dtype, device=x.device))


def with_member_dropout(module: nn.Module) -> nn.Module:
    """Replaces every ``nn.Dropout`` inside ``module``, in place, and returns the module.

    Example:
        >>> with_member_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)))[1].rate.item()
        0.30000001192092896
    """
    if type(module) is nn.Dropout:
        return MemberDropout(module.p)
    for name, child in module._modules.items():  # named_children() would skip a layer's second use
        if child is not None:
            module._modules[name] = with_member_dropout(child)
    return module
