"""What a forward pass leaves behind for an update that works on whole layers."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tap(NamedTuple):
    """One linear layer's inputs and outputs: all that its weight's gradient is made of.

    With dZ the gradient of ``outputs``, the weight's is dZ^T X and the bias's is dZ summed over the examples,
    so that both can be added straight into the parameter by one product.

    Attributes:
        weight: the parameter's name.
        bias: the bias's name, None where there is none or where it is not trained.
        inputs: X, [B, ..., D] if all members share it, else [P, B, ..., D].
        outputs: Z = X W^T + b, [P, B, ..., H], the very tensor that the rest of the graph uses.
        shared: whether all members share the inputs.
    """

    weight: str
    bias: str | None
    inputs: Tensor
    outputs: Tensor
    shared: bool


Tape = list[Tap]
"""The taps of one pass, in the order of the layers."""
