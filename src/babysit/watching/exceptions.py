"""Known exceptions of a training loop, with what they mean and what fixes them."""

from __future__ import annotations

from typing import NamedTuple

from babysit.diagnosis.problem import Problem
from babysit.diagnosis.problems.data import LABELS_OF_WRONG_TYPE, LABELS_OUTSIDE_RANGE, NUMBERS_OF_WRONG_TYPE
from babysit.diagnosis.problems.loss import NO_SIGMOID_BEFORE_BCE
from babysit.diagnosis.problems.wiring import BATCH_NORM_BATCH_OF_ONE, LOOP_RAISED, LOSS_NOT_CONNECTED


class KnownException(NamedTuple):
    """A known exception.

    Attributes:
        words: a part of its text.
        problem: the problem that it is a sign of.
        meaning: the same in a sentence.
        fix: what to do.
    """

    words: str
    problem: Problem
    meaning: str
    fix: str


_MOVE = (
    "call .to(device) on the model once, and on the inputs and the labels of every batch "
    "(x = x.to(device): a tensor does not move in place)"
)
KNOWN = (
    KnownException("same device", LOOP_RAISED, "inputs, labels and model are not on one device", _MOVE),
    KnownException("different devices", LOOP_RAISED, "inputs, labels and model are not on one device", _MOVE),
    KnownException(
        "meta tensor",
        LOOP_RAISED,
        "a tensor without data met one with data",
        "move model, inputs and labels to one real device",
    ),
    KnownException(
        "should be the same",
        LOOP_RAISED,
        "inputs and weights differ in type or device",
        "move both to one device and one dtype: x.to(device).float()",
    ),
    KnownException(
        "out of bounds",
        LABELS_OUTSIDE_RANGE,
        "a label is no class of the output",
        "count labels from 0, and give the last layer one output a class",
    ),
    KnownException(
        "device-side assert",
        LOOP_RAISED,
        "an index is out of range on the GPU, most often a label",
        "count labels from 0, and give the last layer one output a class; the CPU gives a clearer message",
    ),
    KnownException(
        "cannot be multiplied",
        LOOP_RAISED,
        "a layer's input has another size than it was made for",
        "compare in_features with the size in the message; flatten pictures behind the batch dimension",
    ),
    KnownException(
        "between 0 and 1",
        NO_SIGMOID_BEFORE_BCE,
        "binary cross-entropy got bare scores",
        "use BCEWithLogitsLoss, or a sigmoid before BCELoss",
    ),
    KnownException(
        "multi-target",
        LABELS_OF_WRONG_TYPE,
        "the labels have one axis too many",
        "cross-entropy wants class numbers of shape (examples,): squeeze them",
    ),
    KnownException(
        "target tensor expected",
        LABELS_OF_WRONG_TYPE,
        "the labels have one axis too many or too few",
        "cross-entropy wants class numbers of shape (examples,): squeeze them",
    ),
    KnownException(
        "expected target dtype",
        LABELS_OF_WRONG_TYPE,
        "the labels have another type than the loss wants",
        "class numbers are long (y.long()), regression and BCE targets float",
    ),
    KnownException(
        "not implemented for 'Float'",
        LABELS_OF_WRONG_TYPE,
        "the labels are float where class numbers are wanted",
        "class numbers are long: y.long()",
    ),
    KnownException(
        "same dtype",
        NUMBERS_OF_WRONG_TYPE,
        "inputs and weights differ in type",
        "x.float(): numpy's numbers are double, a network's weights are float",
    ),
    KnownException(
        "expected scalar type",
        NUMBERS_OF_WRONG_TYPE,
        "a tensor has another type than the operation wants",
        "class numbers are long, regression and BCE targets float",
    ),
    KnownException(
        "does not require grad",
        LOSS_NOT_CONNECTED,
        "the loss has no graph",
        "look for .item(), .detach(), no_grad() or frozen parameters on the way to the loss",
    ),
    KnownException(
        "backward through the graph a second time",
        LOOP_RAISED,
        "a graph is used after its backward pass",
        "detach what is carried from step to step (hidden states, summed losses: total += loss.item())",
    ),
    KnownException(
        "modified by an inplace operation",
        LOOP_RAISED,
        "an in-place operation destroyed a value that backward needs",
        "replace +=, *= or inplace=True on that tensor",
    ),
    KnownException(
        "out of memory",
        LOOP_RAISED,
        "the device's memory is full",
        "take a smaller batch; sum losses with .item(), or the graph of every step is kept",
    ),
    KnownException(
        "more than 1 value per channel",
        BATCH_NORM_BATCH_OF_ONE,
        "batch norm got a single example",
        "drop_last=True in the loader, or a batch of 2 or more",
    ),
)
_INTENDED = ("Pruned", "Stop", "Interrupt", "Exit")
"""Words in the names of exceptions that end a run on purpose."""


def one_line(kind: type[BaseException] | None, error: BaseException | None) -> str:
    """Returns the exception in one line; empty if there was none or the run was ended on purpose.

    Args:
        kind: its class.
        error: the exception.

    Example:
        >>> one_line(ValueError, ValueError("Target 4 is out of bounds."))
        'ValueError: Target 4 is out of bounds.'
    """
    if kind is None or not issubclass(kind, Exception) or any(word in kind.__name__ for word in _INTENDED):
        return ""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{kind.__name__}: {first[:200]}"


def known_exception(ending: str) -> KnownException | None:
    """Finds a known exception by its text; None for any other.

    Args:
        ending: as ``one_line`` returns it.

    Example:
        >>> known_exception("IndexError: Target 4 is out of bounds.").problem.name
        'labels_outside_range'
    """
    return next((known for known in KNOWN if known.words in ending), None)
