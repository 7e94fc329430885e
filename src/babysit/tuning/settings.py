"""The settings of a search: one field is one option of ``babysit search`` and one argument in Python.

Its name, type, default, help and effect on the results are declared here alone. The command line, the
fingerprint of a study and the commands that repeat or resume it are derived from the fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from babysit.errors import InputError
from babysit.recipe.space import Space
from babysit.recipe.text_format import closest
from babysit.tuning.engines.registry import ENGINES, LOCAL, check_engine
from babysit.tuning.pruning import NONE, PRUNERS, check_pruner, parse_seconds

RANDOM = "random"
LEARNING = ("tpe", "gp", "cmaes")
SAMPLERS = (RANDOM, "grid", "qmc", *LEARNING)
"""Accepted by ``--sampler``."""

_BUDGET, _TRIALS, _FINAL, _WHERE = "Budget", "Trials", "Final stage", "Where it trains"

_T = TypeVar("_T")


def check_sampler(name: str) -> None:
    """Refuses a sampler that does not exist, or needs what is not installed.

    Raises:
        InputError: for a name that is none of ``SAMPLERS``, or without Optuna where it is needed.
    """
    if name not in SAMPLERS:
        raise InputError(
            f"there is no sampler {name!r}", fix=f"choose with --sampler; {closest(name, SAMPLERS)}"
        )
    if name in LEARNING:
        from babysit.tuning.adaptive import check_installed  # loads PyTorch, which the help does not need

        check_installed(name)


@dataclass(frozen=True, kw_only=True)
class Option:
    """The appearance of a setting outside of Python.

    Attributes:
        help: one or two sentences.
        panel: heading in ``babysit search --help``; empty for a setting that only Python has.
        decides: "trials" for a setting that decides the trials, which makes it part of the fingerprint;
            "final" for one that decides only the final stage; empty for one that decides no result.
        flag: on the command line. Default: the field's name.
        metavar: placeholder of the value in the help. Default: the type.
        minimum: least value. Default: None, no limit.
        parse: reads the text that was typed. Default: by the type.
        words: writes a value as words of the command line. Default: the flag, then the value.
    """

    help: str
    panel: str = ""
    decides: Literal["trials", "final", ""] = ""
    flag: str = ""
    metavar: str | None = None
    minimum: int | None = None
    parse: Callable[[str], Any] | None = None
    words: Callable[[Any], Sequence[str]] | None = None


def _option(default: _T, help: str, panel: str = "", **rest: Any) -> _T:
    made: _T = field(default=default, metadata={"option": Option(help=help, panel=panel, **rest)})
    return made


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of a search, beside its recipe, seed and store.

    Raises:
        InputError: for a value below its minimum; for a sampler, pruner or engine that does not exist, or
            needs a package that is not installed.

    Example:
        >>> SearchSettings(pruner="asha", workers=2).changed("trials")
        {'pruner': 'asha'}
    """

    stages: str = _option(
        "",
        "The budget, NAME:TRIALSxEPOCHS each, e.g. coarse:100x5,final:1x30; default the recipe's own.",
        _BUDGET,
        decides="trials",
    )
    trials: int = _option(
        0,
        "Trials in all of the last stage before the final one; with --resume, extends it.",
        _BUDGET,
        minimum=0,
        decides="trials",
    )
    folds: int = _option(
        0,
        "Score every trial on K folds of training and validation rows; 0: on validation.",
        _TRIALS,
        minimum=0,
        decides="trials",
    )
    seeds: int = _option(
        1,
        "Trainings of each of the best, each from its own initial weights.",
        _FINAL,
        minimum=1,
        decides="final",
    )
    onnx: bool = _option(
        False, "Also write the chosen network as ONNX; needs babysit[onnx].", _FINAL, decides="final"
    )
    sampler: str = _option(
        RANDOM, f"Source of the trials: {', '.join(SAMPLERS)}.", _TRIALS, metavar="NAME", decides="trials"
    )
    round_size: int = _option(
        0,
        "Trials drawn and pruned at once; 0: 16 where the sampler learns, else all.",
        _TRIALS,
        flag="--round",
        minimum=0,
        decides="trials",
    )
    pruner: str = _option(
        NONE, f"Rule that prunes trials: {', '.join(PRUNERS)}.", _TRIALS, metavar="NAME", decides="trials"
    )
    patience: int = _option(
        0,
        "End a trial after this many epochs without a better validation score; 0: never.",
        _TRIALS,
        minimum=0,
        decides="trials",
    )
    until_stable: int = _option(
        0,
        "Repeat the last stage until no edge alarm remains and the best stays.",
        _BUDGET,
        minimum=0,
        decides="trials",
        words=lambda most: ("--until-stable", "--extra-stages", str(most)),
    )
    boxes: Mapping[str, Space] | None = _option(
        None, "Ranges of later stages, by stage name. Default: from the results before.", decides="trials"
    )
    observe: bool = _option(True, "Sample layers and updates, for findings and the dashboard.")
    details: bool = _option(False, "Keep histograms and first-layer weights of the retrained trials.")
    engine: str = _option(
        LOCAL,
        f"Where the trials train: {', '.join(ENGINES)} (a cluster of machines).",
        _WHERE,
        metavar="NAME",
    )
    address: str = _option(
        "",
        "The Ray cluster, or auto for this machine's; by default Ray is started for this machine alone.",
        _WHERE,
        metavar="HOST:PORT",
    )
    workers: int = _option(
        0, "Worker processes; 0 chooses: one a core, none for a short search.", _WHERE, minimum=0
    )
    population: int = _option(
        0, "Trials that train together; 0 measures what is fastest here.", _WHERE, minimum=0
    )
    timeout: float = _option(
        0.0,
        "Start no epoch after this time, e.g. 20m or 3600; its last fifth is for the final stage.",
        _BUDGET,
        metavar="TIME",
        minimum=0,
        parse=parse_seconds,
        words=lambda seconds: ("--timeout", str(math.ceil(seconds))),
    )

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            value = getattr(self, name)
            if option.minimum is not None and not value >= option.minimum:
                raise InputError(
                    f"{name} = {value} is less than {option.minimum}", fix=f"use {option.minimum} or more"
                )
        check_sampler(self.sampler)
        check_pruner(self.pruner)
        check_engine(self.engine, self.address)

    def changed(self, decides: Literal["trials", "final", ""]) -> dict[str, Any]:
        """Returns the settings of one effect that differ from their defaults, by name."""
        return {
            name: getattr(self, name)
            for name, option in OPTIONS.items()
            if option.decides == decides and getattr(self, name) != DEFAULTS[name]
        }


OPTIONS: dict[str, Option] = {each.name: each.metadata["option"] for each in fields(SearchSettings)}
"""Name -> option of every setting, in their order."""

DEFAULTS: dict[str, Any] = {each.name: each.default for each in fields(SearchSettings)}
"""Name -> default of every setting."""


def flag_of(name: str) -> str:
    """Returns the flag of a setting.

    Example:
        >>> flag_of("round_size"), flag_of("until_stable")
        ('--round', '--until-stable')
    """
    return OPTIONS[name].flag or "--" + name.replace("_", "-")


def words_of(values: Mapping[str, Any]) -> list[str]:
    """Writes settings as words of the command line, in the order of the fields.

    Names that are no options of the command line, and values that are the default, are left out.

    Example:
        >>> words_of({"timeout": 89.5, "sampler": "qmc", "round_size": 4, "onnx": True, "val_examples": 360})
        ['--onnx', '--sampler', 'qmc', '--round', '4', '--timeout', '90']
    """
    words: list[str] = []
    for name, option in OPTIONS.items():
        value = values.get(name, DEFAULTS[name])
        if not option.panel or value == DEFAULTS[name]:
            continue
        if option.words is not None:
            words += option.words(value)
        else:
            words += [flag_of(name)] if value is True else [flag_of(name), str(value)]
    return words
