"""The formats of logs: each recognizes its texts with some certainty, and reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from babysit.errors import InputError
from babysit.readings.logs import (
    aligned_tables,
    csv_tables,
    json_logs,
    keras,
    lecture,
    lecture_trials,
    plain_lines,
    tensorboard,
    trial_tables,
)
from babysit.readings.logs.numbers import Row
from babysit.readings.logs.training_log import TrainingLog, log_of
from babysit.readings.logs.trial_rows import SearchLog


@dataclass(frozen=True, slots=True)
class Format:
    """One way of printing a training.

    Attributes:
        name: its name for `--format`.
        title: its name in messages.
        example: a line or two of it.
        recognizes: rates how certainly a text has the format, from 0 to 1.
        read: reads a text into raw rows, by the names of the log.
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
        csv_tables.LIGHTNING_EXAMPLE,
        csv_tables.recognizes_lightning,
        csv_tables.read,
    ),
    Format(
        "trainer_state",
        "Hugging Face's trainer_state.json",
        json_logs.STATE_EXAMPLE,
        json_logs.recognizes_state,
        json_logs.read_state,
    ),
    Format(
        "huggingface",
        "Hugging Face Trainer lines",
        json_logs.DICTS_EXAMPLE,
        json_logs.recognizes_dicts,
        json_logs.read_dicts,
    ),
    Format("table", "a table with named columns", csv_tables.EXAMPLE, csv_tables.recognizes, csv_tables.read),
    Format(
        "aligned",
        "a table set with blanks",
        aligned_tables.EXAMPLE,
        aligned_tables.recognizes,
        aligned_tables.read,
    ),
    Format(
        "history",
        "a JSON history",
        json_logs.HISTORY_EXAMPLE,
        json_logs.recognizes_history,
        json_logs.read_history,
    ),
    Format("jsonl", "JSON lines", json_logs.LINES_EXAMPLE, json_logs.recognizes_lines, json_logs.read_lines),
    Format("lines", "plain lines", plain_lines.EXAMPLE, plain_lines.recognizes, plain_lines.read),
)
"""The formats of text, special ones before general ones."""

_SAMPLE = 200_000
"""The number of characters of a long log that are tried first."""

SEARCH, TENSORBOARD, AUTO = "search", "tensorboard", "auto"
NAMES = (AUTO, *(known.name for known in FORMATS), SEARCH, TENSORBOARD)
"""The values of `--format`."""


def recognized(text: str, where: str) -> Format:
    """Returns the format that most certainly fits a text.

    Args:
        text: the log.
        where: its name, for the message.

    Raises:
        InputError: no format recognizes anything in it.

    Example:
        >>> recognized("epoch,loss\\n1,0.5", "log.csv").name
        'table'
    """
    is_document = text.lstrip()[:1] in ("{", "[")  # which can only be read whole
    for sample in (text,) if len(text) <= _SAMPLE or is_document else (text[:_SAMPLE], text):
        sure = {known.name: known.recognizes(sample) for known in FORMATS}
        name = max(sure, key=sure.__getitem__)
        if sure[name] > 0:
            return next(known for known in FORMATS if known.name == name)
    tried = "; ".join(f"{known.title} ({known.example.splitlines()[-1]})" for known in FORMATS)
    raise InputError(
        f"{where} holds no line of a training log that can be read. Looked for: {tried}; "
        f"a search ({lecture_trials.EXAMPLE}); TensorBoard ({tensorboard.EXAMPLE})",
        fix=f"print one line an epoch, e.g. {plain_lines.EXAMPLE!r}",
    )


def read_log(text: str, where: str, name: str = AUTO) -> tuple[TrainingLog, str]:
    """Reads a training from the text of its log, and returns it with the title of the format.

    Args:
        text: the log.
        where: its name, for the message.
        name: a format of :data:`FORMATS`, or "auto".

    Raises:
        InputError: nothing can be read.

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


def checked(log: TrainingLog, title: str, example: str, where: str) -> TrainingLog:
    """Returns the log if it holds a reading.

    Raises:
        InputError: the log holds no reading.
    """
    if log.run.last is None and log.run.explosion is None:
        raise InputError(
            f"{where} holds no reading in the format {title}",
            fix=f"it should look like {example.splitlines()[-1]!r}; --format names another",
        )
    return log


def read_search(text: str, direction: str = "", *, asked: bool = False) -> SearchLog | None:
    """Reads the search that a text holds; None for a text that holds none.

    Args:
        text: the log.
        direction: "maximize" or "minimize"; empty to infer it from the log.
        asked: True if the user says that it is a search.

    Example:
        >>> read_search("lr,val_acc\\n0.1,0.2\\n0.01,0.6").title
        'a table of trials'
    """
    if lecture_trials.recognizes(text):
        found = lecture_trials.read(text)
        return SearchLog(found, "the lines of a search", *lecture_trials.score_of(text))
    return trial_tables.read(text, direction, asked=asked)
