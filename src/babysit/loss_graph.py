"""Reader of the autograd graph of a loss: its operations, its inputs, and shapes that were broadcast.

The graph names every operation that the loss was computed with, functional ones included. It is only read.
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
_RESHAPING = _VIEWS | {"Reshape", "Expand"}
_ENDS = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Relu": "relu",
    "LogSigmoid": "log_sigmoid",
}
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
"""Nodes that are read of a running training; before training all are read."""
_ALL_NODES = 10**9


@dataclass(frozen=True, slots=True)
class LossGraph:
    """The facts read from the graph of one loss.

    Attributes:
        cut: the loss comes from no operation, so that no gradient flows.
        kind: the loss function at the end, e.g. "cross-entropy"; empty where none is known.
        fed_by: the wrong operation before a loss: "softmax", "sigmoid", "relu" or "no logarithm"; else empty.
        fed: the loss that it feeds, which may be one of several.
        stretched: the shapes of the prediction before and after broadcasting into pairs; else None.
        from_scores: the cross-entropy computes the softmax of the model's outputs itself.
        alone: the value is a known loss up to sign, scale and mean, so that its lower bound is zero.
        flat: an operation on the way with slope zero everywhere, e.g. "round"; else empty.
        leaves: the ids of the tensors that it would train.
        lone_softmax: the shape of scores whose softmax is taken along an axis of one; else None.
        compared: the class scores are products of two computed tensors, or joined of several: a contrast.
        above_zero: the prediction before a squared or absolute error cannot be negative.
    """

    cut: bool
    kind: str = ""
    fed_by: str = ""
    fed: str = ""
    stretched: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    alone: bool = False
    from_scores: bool = False
    flat: str = ""
    above_zero: bool = False
    leaves: frozenset[int] = frozenset()
    lone_softmax: tuple[int, ...] | None = None
    compared: bool = False


def read_loss(loss: Tensor) -> LossGraph:
    """Reads the graph of a loss, before or after its backward pass.

    Args:
        loss: the tensor on which backward was or will be called.

    Returns:
        The facts of the graph, of which a compiled model's graph holds few.

    Example:
        >>> import torch
        >>> probabilities = torch.zeros(4, 3, requires_grad=True).softmax(1)
        >>> read_loss(torch.nn.functional.cross_entropy(probabilities, torch.tensor([0, 1, 2, 0]))).fed_by
        'softmax'
    """
    if loss.grad_fn is None:
        return LossGraph(cut=True)
    nodes = list(nodes_of(loss.grad_fn))
    # Below sign, scale and means the loss proper begins.
    end = loss.grad_fn
    while _name(end) in _OUTER and len(_children(end)) == 1:
        end = _children(end)[0]
    kinds = [KINDS[_name(node)] for node in nodes if _name(node) in KINDS]
    fed = [pair for pair in map(_pair, nodes) if pair in _PAIRS]
    custom = not kinds and _is_log_likelihood(loss.grad_fn)
    errors = [node for node in nodes if KINDS.get(_name(node), "") in ("squared error", "absolute error")]
    # Predictions meet targets in errors, and in sums and products between the loss and the last layer.
    meetings = [*errors, *(n for n in nodes_of(loss.grad_fn, _LAYERS) if _name(n) in ("Sub", "Mul"))]
    return LossGraph(
        cut=False,
        kind=kinds[0] if kinds else "cross-entropy" if custom else "",
        fed_by=_PAIRS[fed[0]] if fed else "",
        fed=KINDS.get(fed[0][0], "cross-entropy") if fed else "",
        stretched=next((shapes for shapes in map(_stretched, meetings) if shapes), None),
        alone=_name(end) in KINDS or custom,
        from_scores=custom or any(_pair(node) == ("NllLoss", "LogSoftmax") for node in nodes),
        flat=next((_name(node).lower() for node in nodes if _name(node) in _FLAT), ""),
        above_zero=len(errors) == 1 and _pair(errors[0])[1] in _ABOVE_ZERO,
        lone_softmax=next((shape for shape in map(_over_one, nodes) if shape), None),
        leaves=frozenset(id(node.variable) for node in nodes if hasattr(node, "variable")),
        compared=any(_is_contrast(_below(node)) for node in nodes if _name(node) == "LogSoftmax"),
    )


def _over_one(node: Any) -> tuple[int, ...] | None:
    """Returns the shape of scores whose softmax is taken along an axis of one."""
    shape = _shape(node)
    if _name(node) != "Softmax" or len(shape) < 2:
        return None
    axis = int(node._saved_dim)
    axis = axis if axis < len(shape) else axis - 2**64  # a negative one is kept as an unsigned number
    return shape if shape[axis] == 1 else None


def _is_contrast(node: Any) -> bool:
    """Tells products of two computed tensors, or joined ones, from products with a weight."""
    while node is not None and _name(node) in _SCALED and _children(node):
        node = _past(_children(node)[0])
    if node is None or _name(node) == "Cat":
        return node is not None
    children = [_past(child) for child in _children(node)] if _name(node) in ("Mm", "Bmm") else []
    return len(children) == 2 and not any(child is None or hasattr(child, "variable") for child in children)


def _past(node: Any, names: frozenset[str] = _RESHAPING) -> Any:
    """Returns the first node behind changes of shape."""
    while node is not None and _name(node) in names and _children(node):
        node = _children(node)[0]
    return node


def _is_log_likelihood(node: Any) -> bool:
    """Tells whether a loss is a hand-written cross-entropy: log-softmax, the right class of each row, mean.

    With rewards there would be a product.
    """
    while _name(node) in _VIEWS | {"Neg", "Mean", "Sum", "Div"} and len(_children(node)) == 1:
        node = _children(node)[0]
    below = _below(node)
    return _name(node) in ("Gather", "Index") and below is not None and _name(below) == "LogSoftmax"


def _name(node: Any) -> str:
    return str(type(node).__name__).partition("Backward")[0]


def _children(node: Any) -> list[Any]:
    return [child for child, _ in node.next_functions if child is not None]


def nodes_of(root: Any, ends: frozenset[str] = frozenset(), most: int = _MOST_NODES) -> Iterator[Any]:
    """Yields the nodes of a graph from the loss back, each once.

    Args:
        root: the ``grad_fn`` of a loss.
        ends: names of nodes whose children are left out. Default: none.
        most: largest number of nodes. Default: 5000.

    Example:
        >>> import torch
        >>> [node.name() for node in nodes_of(torch.zeros(2, requires_grad=True).sum().grad_fn)]
        ['SumBackward0', 'torch::autograd::AccumulateGrad']
    """
    seen, waiting = {root}, [root]
    while waiting and len(seen) < most:
        node = waiting.pop(0)
        yield node
        if _name(node) in ends:
            continue
        fresh = [child for child in _children(node) if child not in seen]
        seen.update(fresh)
        waiting.extend(fresh)


def _pair(node: Any) -> tuple[str, str]:
    below = _below(node)
    return (_name(node), _name(below) if below is not None else "")


def _below(node: Any) -> Any:
    children = _children(node)
    while len(children) == 1 and _name(children[0]) in _VIEWS:
        children = _children(children[0])
    return children[0] if children else None


def _shape(node: Any) -> tuple[int, ...]:
    metadata = getattr(node, "_input_metadata", None)
    return tuple(metadata[0].shape) if metadata else ()


def _stretched(node: Any) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Finds (N, 1) broadcast against (N,) to (N, N), which compares every example with every target."""
    children = _children(node)
    for child in children if len(children) == 1 else []:  # two are both the model's, so pairs are intended
        expanded = _name(child) == "Expand" and _children(child)
        small = _shape(_children(child)[0] if expanded else child)
        large = _shape(child if expanded else node)
        count = max(small, default=1)
        if small in ((count, 1), (count,)) and large == (count, count) and count > 1:
            return small, large
    return None


def last_operation(outputs: Tensor, *, before: str = "") -> str:
    """Names the operation that made a tensor, apart from changes of shape; empty where it is no activation.

    Args:
        outputs: the tensor.
        before: a last operation to skip; the result is empty where the last one is another. Default: none.

    Example:
        >>> import torch
        >>> probabilities = torch.sigmoid(torch.zeros(3, 1, requires_grad=True)).squeeze(1)
        >>> last_operation(probabilities), last_operation(probabilities.tanh(), before="tanh")
        ('sigmoid', 'sigmoid')
    """
    node = _past(outputs.grad_fn)
    if before:
        last = node is not None and _ENDS.get(_name(node), "") == before
        node = _past(node.next_functions[0][0]) if last else None
    return _ENDS.get(_name(node), "") if node is not None else ""


def compares_examples(scores: Tensor) -> bool:
    """Tells whether scores are products of two computed tensors, or joined from several: a contrast.

    A layer's scores are products with a weight.

    Example:
        >>> import torch
        >>> x = torch.nn.Linear(4, 3)(torch.zeros(5, 4))
        >>> compares_examples(x), compares_examples(x @ x.T / 0.1)
        (False, True)
    """
    return _is_contrast(_past(scores.grad_fn))


def flat_operation(loss: Tensor) -> str:
    """Names an operation on the way to a loss whose slope is zero everywhere; empty where there is none.

    Example:
        >>> import torch
        >>> flat_operation(torch.ones(3, requires_grad=True).round().sum())
        'round'
    """
    nodes = nodes_of(loss.grad_fn, most=_ALL_NODES) if loss.grad_fn is not None else ()
    return next((_name(node).lower() for node in nodes if _name(node) in _FLAT), "")


def own_functions(tensor: Tensor) -> tuple[str, ...]:
    """Names the ``torch.autograd.Function`` classes behind a tensor that are not PyTorch's."""
    nodes = nodes_of(tensor.grad_fn, most=_ALL_NODES) if tensor.grad_fn is not None else ()
    classes = [getattr(node, "_forward_cls", None) for node in nodes]
    own = [c for c in classes if c is not None and not c.__module__.startswith("torch.")]
    return tuple(dict.fromkeys(c.__name__ for c in own))
