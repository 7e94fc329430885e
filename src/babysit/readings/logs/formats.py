"""The table of formats: who recognizes a text, with which certainty, and who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from babysit.errors import InputError
from babysit.readings.logs import (
    aligned,
    events,
    keras,
    lecture,
    lines,
    objects,
    tables,
    trial_tables,
    trials,
)
from babysit.readings.logs.log import Log, log_of
from babysit.readings.logs.numbers import Row
from babysit.readings.logs.trial_rows import SearchLog


@dataclass(frozen=True, slots=True)
class Format:
    """One way of printing a training.

    Attributes:
        name: what `--format` calls it.
        title: what the answer calls it.
        example: a line or two of it.
        recognizes: text -> how sure it is that the text is one of these, from 0 to 1.
        read: text -> raw rows, by the names of the log.
    """

    name: str
    title: str
    example: str
    recognizes: Callable[[str], float]
    read: Callable[[str], list[Row]]


FORMATS: tuple[Format, ...] = (
    Format("lecture", "lecture-style lines", lecture.EXAMPLE, lecture.recognizes, lecture.read),
    Format("keras", "Keras's progress lines", keras.EXAMPLE, keras.recognizes, keras.read),
    Format(
        "lightning",
        "PyTorch Lightning's metrics.csv",
        tables.LIGHTNING_EXAMPLE,
        tables.recognizes_lightning,
        tables.read,
    ),
    Format(
        "trainer_state",
        "Hugging Face's trainer_state.json",
        objects.STATE_EXAMPLE,
        objects.recognizes_state,
        objects.read_state,
    ),
    Format(
        "huggingface",
        "Hugging Face Trainer lines",
        objects.DICTS_EXAMPLE,
        objects.recognizes_dicts,
        objects.read_dicts,
    ),
    Format("table", "a table with named columns", tables.EXAMPLE, tables.recognizes, tables.read),
    Format("aligned", "a table set with blanks", aligned.EXAMPLE, aligned.recognizes, aligned.read),
    Format(
        "history",
        "a JSON history",
        objects.HISTORY_EXAMPLE,
        objects.recognizes_history,
        objects.read_history,
    ),
    Format("jsonl", "JSON lines", objects.LINES_EXAMPLE, objects.recognizes_lines, objects.read_lines),
    Format("lines", "plain lines", lines.EXAMPLE, lines.recognizes, lines.read),
)
"""The formats of text, the particular before the general."""

_SAMPLE = 200_000
"""So many characters are looked at first: to read a long log once is enough."""

SEARCH, TENSORBOARD, AUTO = "search", "tensorboard", "auto"
NAMES = (AUTO, *(known.name for known in FORMATS), SEARCH, TENSORBOARD)
"""What `--format` may be."""


def recognized(text: str, where: str) -> Format:
    """The format that a text is most surely in.

    Args:
        text: the log.
        where: its name, for the message.

    Raises:
        InputError: when no format sees anything in it.

    Example:
        >>> recognized("epoch,loss\\n1,0.5", "log.csv").name
        'table'
    """
    for sample in _samples(text):
        sure = {known.name: known.recognizes(sample) for known in FORMATS}
        name = max(sure, key=sure.__getitem__)
        if sure[name] > 0:
            return next(known for known in FORMATS if known.name == name)
    looked = "; ".join(f"{known.title} ({known.example.splitlines()[-1]})" for known in FORMATS)
    raise InputError(
        f"{where} holds no line of a training log that can be read. Looked for: {looked}; "
        f"a search ({trials.EXAMPLE}); TensorBoard ({events.EXAMPLE})",
        fix=f"print one line an epoch, e.g. {lines.EXAMPLE!r}",
    )


def _samples(text: str) -> tuple[str, ...]:
    """What to look at, in order; a document is read whole or not at all."""
    if len(text) <= _SAMPLE or text.lstrip()[:1] in ("{", "["):
        return (text,)
    return text[:_SAMPLE], text


def read_log(text: str, where: str, name: str = AUTO) -> tuple[Log, str]:
    """A training from the text of its log, and the title of the format.

    Args:
        text: the log.
        where: its name, for the message.
        name: a format of :data:`FORMATS`, or "auto".

    Raises:
        InputError: when nothing can be read.

    Example:
        >>> log, title = read_log("epoch 1 loss 0.9 acc 0.5\\nepoch 2 loss 0.5 acc 0.8", "it")
        >>> log.describe(title)
        'read 2 epochs of cost, train accuracy from plain lines'
    """
    if name == AUTO:
        found = recognized(text, where)
    else:
        found = next(known for known in FORMATS if known.name == name)
    return checked(log_of(found.read(text)), found.title, found.example, where), found.title


def checked(log: Log, title: str, example: str, where: str) -> Log:
    """The log, if it holds anything to judge.

    Raises:
        InputError: for a log without a reading.
    """
    if log.run.last is None and log.run.explosion is None:
        raise InputError(
            f"{where} holds no reading in the format {title}",
            fix=f"it should look like {example.splitlines()[-1]!r}; --format names another",
        )
    return log


def read_search(text: str, direction: str = "", *, asked: bool = False) -> SearchLog | None:
    """The search that a text tells of; None for a text that tells of none.

    Args:
        text: the log.
        direction: "maximize" or "minimize"; empty leaves it to the log.
        asked: the user says that it is a search.

    Example:
        >>> read_search("lr,val_acc\\n0.1,0.2\\n0.01,0.6").title
        'a table of trials'
    """
    if trials.recognizes(text):
        found = trials.read(text)
        return SearchLog(found, "the lines of a search", *trials.judged_by(text))
    return trial_tables.read(text, direction, asked=asked)
