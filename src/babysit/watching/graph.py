"""What autograd's graph says about a loss: its kind, what feeds it, and shapes that were stretched.

The graph of a loss names every operation by which it came about, functional ones included. It is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

KINDS = {
    "NllLoss": "cross-entropy",
    "NllLoss2D": "cross-entropy",
    "MseLoss": "squared error",
    "L1Loss": "absolute error",
    "SmoothL1Loss": "absolute error",
    "HuberLoss": "absolute error",
    "BinaryCrossEntropy": "binary cross-entropy",
    "BinaryCrossEntropyWithLogits": "binary cross-entropy",
}
"""Operations that are losses which cannot fall below zero."""
_VIEWS = frozenset(
    {"View", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "T", "ToCopy", "UnsafeView"}
    | {"Slice", "Select", "Alias", "Clone", "AsStrided"}
)
_OUTER = frozenset({"Neg", "Mul", "Div", "Mean", "Sum", "Sqrt", "Pow", "Abs", "LogCosh"}) | _VIEWS
_PAIRS = {
    ("LogSoftmax", "Softmax"): "softmax",
    ("LogSoftmax", "Sigmoid"): "sigmoid",
    ("LogSoftmax", "Relu"): "relu",
    ("NllLoss", "Softmax"): "no logarithm",
    ("BinaryCrossEntropyWithLogits", "Sigmoid"): "sigmoid",
    ("BinaryCrossEntropyWithLogits", "Softmax"): "softmax",
    ("BinaryCrossEntropyWithLogits", "Relu"): "relu",
    ("BinaryCrossEntropy", "Softmax"): "one softmax",
}
_SCALED = frozenset({"Div", "Mul", "Add", "Sub", "MaskedFill"})
_FLAT = frozenset({"Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn"})
_ABOVE_ZERO = frozenset({"Relu", "Sigmoid", "Softmax"})
_LAYERS = frozenset({"Addmm", "Mm", "Bmm", "Convolution", "Embedding", "NativeBatchNorm", "NativeLayerNorm"})
_MOST_NODES = 5000


@dataclass(frozen=True, slots=True)
class LossGraph:
    """The facts read from one loss.

    Attributes:
        cut: it asks for a gradient but comes from no operation, or asks for none.
        kind: the loss that it ends in, e.g. "cross-entropy"; empty if none is known.
        fed_by: what wrongly feeds it: "softmax", "sigmoid", "relu" or "no logarithm"; empty if nothing does.
        stretched: the shapes (prediction, what it was stretched to) if broadcasting made pairs; else None.
        from_scores: the cross-entropy takes the softmax itself, of whatever the model gives.
        alone: only a known loss, its sign, scale and mean make up the value: its floor is zero.
        flat: an operation on the way whose slope is zero everywhere, e.g. "round"; empty if there is none.
        leaves: the identities of the tensors that it would train.
        compared: the class scores are products of two computed things, or joined of several: a contrast.
        above_zero: the prediction before a squared or absolute error cannot be negative.
    """

    cut: bool
    kind: str = ""
    fed_by: str = ""
    stretched: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    alone: bool = False
    from_scores: bool = False
    flat: str = ""
    above_zero: bool = False
    leaves: frozenset[int] = frozenset()
    compared: bool = False


def read_loss(loss: Tensor) -> LossGraph:
    """Reads the graph of a loss, before or after its backward pass.

    Args:
        loss: the value that backward was or will be called on.

    Returns:
        What the graph says; of a compiled model's graph it can say little.

    Example:
        >>> import torch
        >>> probabilities = torch.zeros(4, 3, requires_grad=True).softmax(1)
        >>> read_loss(torch.nn.functional.cross_entropy(probabilities, torch.tensor([0, 1, 2, 0]))).fed_by
        'softmax'
    """
    if loss.grad_fn is None:
        return LossGraph(cut=True)
    nodes = list(_nodes(loss.grad_fn))
    end = _end(loss.grad_fn)
    kinds = [KINDS[_name(node)] for node in nodes if _name(node) in KINDS]
    fed = [_PAIRS[pair] for pair in map(_pair, nodes) if pair in _PAIRS]
    by_hand = not kinds and _is_log_likelihood(loss.grad_fn)
    errors = [node for node in nodes if KINDS.get(_name(node), "") in ("squared error", "absolute error")]
    return LossGraph(
        cut=False,
        kind=kinds[0] if kinds else "cross-entropy" if by_hand else "",
        fed_by=fed[0] if fed else "",
        stretched=next((shapes for shapes in map(_stretched, _losses(nodes, loss.grad_fn)) if shapes), None),
        alone=_name(end) in KINDS or by_hand,
        from_scores=by_hand or any(_pair(node) == ("NllLoss", "LogSoftmax") for node in nodes),
        flat=next((_name(node).lower() for node in nodes if _name(node) in _FLAT), ""),
        above_zero=len(errors) == 1 and _pair(errors[0])[1] in _ABOVE_ZERO,
        leaves=frozenset(id(node.variable) for node in nodes if hasattr(node, "variable")),
        compared=any(_is_contrast(_below(node)) for node in nodes if _name(node) == "LogSoftmax"),
    )


def _is_contrast(node: Any) -> bool:
    """Not a layer's scores, which are products with a weight."""
    while node is not None and _name(node) in _SCALED and _children(node):
        node = _below(node)
    if node is None or _name(node) == "Cat":
        return node is not None
    children = [_past_views(child) for child in _children(node)] if _name(node) in ("Mm", "Bmm") else []
    return len(children) == 2 and not any(hasattr(child, "variable") for child in children)


def _past_views(node: Any) -> Any:
    while _name(node) in _VIEWS and _children(node):
        node = _children(node)[0]
    return node


def _is_log_likelihood(node: Any) -> bool:
    """A cross-entropy by hand: log-softmax, the right class of each row, mean. Rewards would be a product."""
    while _name(node) in _VIEWS | {"Neg", "Mean", "Sum", "Div"} and len(_children(node)) == 1:
        node = _children(node)[0]
    below = _below(node)
    return _name(node) in ("Gather", "Index") and below is not None and _name(below) == "LogSoftmax"


def _name(node: Any) -> str:
    return str(type(node).__name__).partition("Backward")[0]


def _children(node: Any) -> list[Any]:
    return [child for child, _ in node.next_functions if child is not None]


def _nodes(root: Any, ends: frozenset[str] = frozenset()) -> Iterator[Any]:
    """A graph's nodes from the loss back, not past those of the names given."""
    seen, waiting = {root}, [root]
    while waiting and len(seen) < _MOST_NODES:
        node = waiting.pop(0)
        yield node
        if _name(node) in ends:
            continue
        fresh = [child for child in _children(node) if child not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def _end(node: Any) -> Any:
    """Where sign, scale and means end and the loss proper begins."""
    while _name(node) in _OUTER and len(_children(node)) == 1:
        node = _children(node)[0]
    return node


def _pair(node: Any) -> tuple[str, str]:
    below = _below(node)
    return (_name(node), _name(below) if below is not None else "")


def _below(node: Any) -> Any:
    children = _children(node)
    while len(children) == 1 and _name(children[0]) in _VIEWS:
        children = _children(children[0])
    return children[0] if children else None


def _losses(nodes: list[Any], root: Any) -> list[Any]:
    """Where predictions meet targets: errors, and sums and products between the loss and the last layer."""
    errors = [node for node in nodes if KINDS.get(_name(node), "") in ("squared error", "absolute error")]
    return errors + [node for node in _nodes(root, _LAYERS) if _name(node) in ("Sub", "Mul")]


def _shape(node: Any) -> tuple[int, ...]:
    metadata = getattr(node, "_input_metadata", None)
    return tuple(metadata[0].shape) if metadata else ()


def _stretched(node: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(N, 1) against (N,): both became (N, N), so that every example is compared with every target."""
    children = _children(node)
    for child in children if len(children) == 1 else []:  # of two, both are the model's: pairs are meant
        expanded = _name(child) == "Expand" and _children(child)
        small = _shape(_children(child)[0] if expanded else child)
        large = _shape(child if expanded else node)
        if _pairs_all(small, large):
            return small, large
    return None


def _pairs_all(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    count = max(small, default=1)
    return small in ((count, 1), (count,)) and large == (count, count) and count > 1
