"""Names of quantities in logs: "val_acc", "Test set: Average loss", "lr-SGD" as quantities of a reading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

TITLES = {
    "cost": "cost",
    "train_accuracy": "train accuracy",
    "val_accuracy": "val accuracy",
    "val_loss": "val loss",
    "learning_rate": "learning rate",
}
"""The quantities of a reading that a log can give, with their names in messages."""

_SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "test", "testing", "dev"), "val"),
}
_KINDS = {
    **dict.fromkeys(("loss", "cost", "nll", "xent", "bce", "crossentropy"), "loss"),
    **dict.fromkeys(("acc", "accuracy", "acc@1", "top1", "acc1", "prec@1"), "accuracy"),
    "lr": "learning_rate",
    **dict.fromkeys(("epoch", "epochs", "ep"), "epoch"),
    **dict.fromkeys(("step", "steps", "iter", "iteration", "iterations", "it"), "step"),
}
_OTHER = {
    "best",
    "top5",
    "acc5",
    "acc@5",
    "min",
    "max",
    "runtime",
    "second",
    "seconds",
    "samples",
    "ms",
    "time",
}
_SUFFIXES = {"step", "epoch"}


@lru_cache(maxsize=10_000)
def tokens(name: str) -> tuple[str, ...]:
    """Splits a name into words in lower case.

    Example:
        >>> tokens("valAcc"), tokens("train_loss/epoch"), tokens("learning rate")
        (('val', 'acc'), ('train', 'loss', 'epoch'), ('lr',))
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = [word for word in re.split(r"[^a-z0-9@]+", apart) if word]
    joined = re.sub(r"\blearning rate\b", "lr", " ".join(words))
    return tuple(re.sub(r"\bcross entropy\b", "crossentropy", joined).split())


def split_of(words: Iterable[str]) -> str:
    """Returns the split that is named last, "train" or "val"; empty without one."""
    named = [_SPLITS[word] for word in words if word in _SPLITS]
    return named[-1] if named else ""


def kinds_of(words: Iterable[str]) -> list[str]:
    """Lists the kinds of quantity that some words name, in their order."""
    return [_KINDS[word] for word in words if word in _KINDS]


def quantity(kind: str, split: str) -> str:
    """Returns the quantity of a reading for a kind and a split.

    Example:
        >>> quantity("loss", "val"), quantity("loss", ""), quantity("accuracy", "train")
        ('val_loss', 'cost', 'train_accuracy')
    """
    if kind == "loss":
        return "val_loss" if split == "val" else "cost"
    if kind == "accuracy":
        return "val_accuracy" if split == "val" else "train_accuracy"
    return kind


def meaning(name: str) -> str:
    """Returns the quantity that a column or key names; empty for a name without a meaning.

    Example:
        >>> [meaning(name) for name in ("eval_loss", "train_loss_step", "global_step", "lr-SGD", "f1")]
        ['val_loss', 'cost', 'step', 'learning_rate', '']
    """
    words = tokens(name)
    if _OTHER & set(words):
        return ""
    kinds = kinds_of(words)
    measured = [kind for kind in kinds if kind not in _SUFFIXES] or kinds
    return quantity(measured[-1], split_of(words)) if measured else ""


def chosen(names: Iterable[str]) -> dict[str, str]:
    """Maps names to quantities: of several names for one, the epoch's mean, then the shortest.

    Example:
        >>> chosen(["epoch", "train_loss_step", "train_loss_epoch", "val_loss", "f1"])
        {'epoch': 'epoch', 'train_loss_epoch': 'cost', 'val_loss': 'val_loss'}
    """
    meanings = {name: meaning(name) for name in dict.fromkeys(names)}
    best: dict[str, str] = {}

    def preference(name: str) -> tuple[bool, bool, int]:
        words = tokens(name)
        steps = "step" in words and len(words) > 1
        return ("test" in words, steps, len(words) - 2 * ("epoch" in words[1:]))

    for name in sorted(meanings, key=preference):
        if meanings[name]:
            best.setdefault(meanings[name], name)
    return {name: what for name, what in meanings.items() if best.get(what) == name}
