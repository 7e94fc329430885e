"""Linear layers of P members: one product if they share the input, else a batch of products.

The products are stored units first, [P, H, B], and returned as the transposed view [P, B, H]: the fastest
order for the product itself, and the one in which the weight's gradient needs no copy of the output's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from babysit.training.gradient_tape import LinearRecord
from babysit.training.lowering.primitives import PassContext


def linear(
    *, weight: str, bias: str, shared: bool, record: LinearRecord | None
) -> Callable[[PassContext, Tensor], Tensor]:
    """Builds the operation of one linear layer.

    Args:
        weight, bias: the parameters' names; bias "" if there is none.
        shared: whether all members share the input.
        record: the record for the tape, its tensors still to be filled in; None to record nothing.
    """
    product = _product_of_shared if shared else _product_of_own

    def operation(context: PassContext, x: Tensor) -> Tensor:
        out = product(x, context.parameters[weight], context.parameters.get(bias))
        if context.tape is not None and record is not None:
            context.tape.append(record._replace(inputs=x, outputs=out))
        return out

    return operation


def _product_of_shared(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiplies [B, ..., D] by [P, H, D] -> [P, B, ..., H]."""
    columns = x.reshape(-1, x.shape[-1]).t().contiguous()  # the copy costs less than a transposed operand
    rows = weight.flatten(0, 1)
    out = rows @ columns if bias is None else torch.addmm(bias.view(-1, 1), rows, columns)
    return _units_last(out.view(*weight.shape[:2], -1), x.shape[:-1])


def _product_of_own(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiplies [P, B, ..., D] by [P, H, D] -> [P, B, ..., H]."""
    columns = x.reshape(x.shape[0], -1, x.shape[-1]).transpose(1, 2)
    out = torch.bmm(weight, columns) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, columns)
    return _units_last(out, x.shape[1:-1])


def _units_last(out: Tensor, leading: torch.Size) -> Tensor:
    """Rearranges [P, H, B * ...] -> [P, B, ..., H]; a view."""
    out = out.transpose(1, 2)
    return out if len(leading) == 1 else torch.unflatten(out, 1, leading)
