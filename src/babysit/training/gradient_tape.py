"""Records of linear layers in a forward pass, from which their weight gradients are computed as products."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LinearRecord(NamedTuple):
    """Inputs and outputs of one linear layer, enough to compute the gradients of its parameters.

    With dZ the gradient of ``outputs``, the weight's is dZ^T X and the bias's is dZ summed over the examples,
    so that one product adds the gradient directly to the parameter.

    Attributes:
        weight: the parameter's name.
        bias: the bias's name; None if there is none or it is not trained.
        inputs: X, [B, ..., D] if all members share it, else [P, B, ..., D].
        outputs: Z = X W^T + b, [P, B, ..., H], the tensor that the rest of the graph uses.
        shared: whether all members share the inputs.
    """

    weight: str
    bias: str | None
    inputs: Tensor
    outputs: Tensor
    shared: bool


GradientTape = list[LinearRecord]
"""The records of one pass, in the order of the layers."""
