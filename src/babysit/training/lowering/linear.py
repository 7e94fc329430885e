"""Linear layers of P members: one product where they share the input, a batch of products where not.

The products are written units first, [P, H, B], and handed on as the transposed view [P, B, H]: the fastest
order for the product itself, and the one in which the weight's gradient needs no copy of the output's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from babysit.training.lowering.values import Run
from babysit.training.tape import Tap

Product = Callable[[Run, Tensor], Tensor]


def linear(*, weight: str, bias: str, shared: bool, tap: Tap | None) -> Product:
    """The operation of one linear layer.

    Args:
        weight, bias: the parameters' names; bias "" where there is none.
        shared: whether all members share the input.
        tap: what to leave on the tape, its tensors still to be filled in; None to leave nothing.
    """
    product = _shared if shared else _own

    def operation(run: Run, x: Tensor) -> Tensor:
        out = product(x, run.parameters[weight], run.parameters.get(bias))
        if run.tape is not None and tap is not None:
            run.tape.append(tap._replace(inputs=x, outputs=out))
        return out

    return operation


def _shared(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[B, ..., D] by [P, H, D] -> [P, B, ..., H]."""
    columns = x.reshape(-1, x.shape[-1]).t().contiguous()  # the copy costs less than a transposed operand
    rows = weight.flatten(0, 1)
    out = rows @ columns if bias is None else torch.addmm(bias.view(-1, 1), rows, columns)
    return _units_last(out.view(*weight.shape[:2], -1), x.shape[:-1])


def _own(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[P, B, ..., D] by [P, H, D] -> [P, B, ..., H]."""
    columns = x.reshape(x.shape[0], -1, x.shape[-1]).transpose(1, 2)
    out = torch.bmm(weight, columns) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, columns)
    return _units_last(out, x.shape[1:-1])


def _units_last(out: Tensor, leading: torch.Size) -> Tensor:
    """[P, H, B * ...] -> [P, B, ..., H]; a view."""
    out = out.transpose(1, 2)
    return out if len(leading) == 1 else torch.unflatten(out, 1, leading)
