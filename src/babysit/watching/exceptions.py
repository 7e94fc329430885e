"""A loop that ends with an exception: what it says, in terms of the fix."""

from __future__ import annotations

from typing import NamedTuple

from babysit.diagnosis.problem import Problem
from babysit.diagnosis.problems.data import LABELS_OF_WRONG_TYPE, LABELS_OUTSIDE_RANGE, NUMBERS_OF_WRONG_TYPE
from babysit.diagnosis.problems.loss import NO_SIGMOID_BEFORE_BCE
from babysit.diagnosis.problems.wiring import BATCH_NORM_BATCH_OF_ONE, LOOP_RAISED, LOSS_NOT_CONNECTED

_MOVE = (
    "call .to(device) on the model once, and on the inputs and the labels of every batch "
    "(x = x.to(device): a tensor does not move in place)"
)
KNOWN = (
    (
        "same device",
        LOOP_RAISED,
        "inputs, labels and model are not on one device",
        _MOVE,
    ),
    (
        "different devices",
        LOOP_RAISED,
        "inputs, labels and model are not on one device",
        _MOVE,
    ),
    (
        "meta tensor",
        LOOP_RAISED,
        "a tensor without data met one with data",
        "move model, inputs and labels to one real device",
    ),
    (
        "should be the same",
        LOOP_RAISED,
        "inputs and weights differ in type or device",
        "move both to one device and one dtype: x.to(device).float()",
    ),
    (
        "out of bounds",
        LABELS_OUTSIDE_RANGE,
        "a label is no class of the output",
        "count labels from 0, and give the last layer one output a class",
    ),
    (
        "device-side assert",
        LOOP_RAISED,
        "an index is out of range on the GPU, most often a label",
        "count labels from 0, and give the last layer one output a class; the CPU gives a clearer message",
    ),
    (
        "cannot be multiplied",
        LOOP_RAISED,
        "a layer's input has another size than it was made for",
        "compare in_features with the size in the message; flatten pictures behind the batch dimension",
    ),
    (
        "between 0 and 1",
        NO_SIGMOID_BEFORE_BCE,
        "binary cross-entropy got bare scores",
        "use BCEWithLogitsLoss, or a sigmoid before BCELoss",
    ),
    (
        "multi-target",
        LABELS_OF_WRONG_TYPE,
        "the labels have one axis too many",
        "cross-entropy wants class numbers of shape (examples,): squeeze them",
    ),
    (
        "target tensor expected",
        LABELS_OF_WRONG_TYPE,
        "the labels have one axis too many or too few",
        "cross-entropy wants class numbers of shape (examples,): squeeze them",
    ),
    (
        "expected target dtype",
        LABELS_OF_WRONG_TYPE,
        "the labels have another type than the loss wants",
        "class numbers are long (y.long()), regression and BCE targets float",
    ),
    (
        "not implemented for 'Float'",
        LABELS_OF_WRONG_TYPE,
        "the labels are float where class numbers are wanted",
        "class numbers are long: y.long()",
    ),
    (
        "same dtype",
        NUMBERS_OF_WRONG_TYPE,
        "inputs and weights differ in type",
        "x.float(): numpy's numbers are double, a network's weights are float",
    ),
    (
        "expected scalar type",
        NUMBERS_OF_WRONG_TYPE,
        "a tensor has another type than the operation wants",
        "class numbers are long, regression and BCE targets float",
    ),
    (
        "does not require grad",
        LOSS_NOT_CONNECTED,
        "the loss has no graph",
        "look for .item(), .detach(), no_grad() or frozen parameters on the way to the loss",
    ),
    (
        "backward through the graph a second time",
        LOOP_RAISED,
        "a graph is used after its backward pass",
        "detach what is carried from step to step (hidden states, summed losses: total += loss.item())",
    ),
    (
        "modified by an inplace operation",
        LOOP_RAISED,
        "an in-place operation destroyed a value that backward needs",
        "replace +=, *= or inplace=True on that tensor",
    ),
    (
        "out of memory",
        LOOP_RAISED,
        "the device's memory is full",
        "take a smaller batch; sum losses with .item(), or the graph of every step is kept",
    ),
    (
        "more than 1 value per channel",
        BATCH_NORM_BATCH_OF_ONE,
        "batch norm got a single example",
        "drop_last=True in the loader, or a batch of 2 or more",
    ),
)
_MEANT = ("Pruned", "Stop", "Interrupt", "Exit")
"""Exceptions so named end a run on purpose."""


def told(kind: type[BaseException] | None, error: BaseException | None) -> str:
    """The exception in one line; empty if there was none or the run was ended on purpose.

    Args:
        kind: its class.
        error: the exception.

    Example:
        >>> told(ValueError, ValueError("Target 4 is out of bounds."))
        'ValueError: Target 4 is out of bounds.'
    """
    if kind is None or not issubclass(kind, Exception) or any(word in kind.__name__ for word in _MEANT):
        return ""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{kind.__name__}: {first[:200]}"


class Known(NamedTuple):
    """A known exception.

    Attributes:
        words: a part of its text.
        problem: what it says of the program.
        meaning: the same in a sentence.
        fix: what to do.
    """

    words: str
    problem: Problem
    meaning: str
    fix: str


def explained(ending: str) -> Known | None:
    """Finds what a known exception means and what to do; None for another.

    Args:
        ending: as ``told`` gives it.

    Example:
        >>> explained("IndexError: Target 4 is out of bounds.").problem.name
        'labels_outside_range'
    """
    return next((known for known in map(Known._make, KNOWN) if known.words in ending), None)
