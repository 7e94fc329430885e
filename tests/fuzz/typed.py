"""What is typed on a command line: settings, ranges, points, stages, times, factors, references, options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from babysit.readings.logs.ranges import parse_range
from babysit.recipe.loading import parse_settings
from babysit.recipe.parse import parse_points
from babysit.recipe.space import as_data, from_data, sample, variants
from babysit.records import State
from babysit.session.commands.send import factor_of
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import check_search
from babysit.store.writer import Writer
from babysit.tuning.pruning import parse_seconds
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import draw_trials, parse_stages
from browser.stores import write_search

from .command import attempted
from .harness import Surface, scratch

_NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(
        [
            "1e-3",
            "1",
            "1e999",
            "-1",
            "0",
            "0x10",
            "1_000",
            "٣",
            "²",
            "9" * 5000,
            "1" * 400,
            "1e-400",
            "nan",
            "inf",
            "-inf",
            "1.5.2",
            "5e-324",
            "1.7e308",
            "9" * 30,
        ]
    ),
)
_NAMES = st.sampled_from(
    [
        "learning_rate",
        "l2",
        "hidden",
        "batch_size",
        "epochs",
        "update",
        "schedule",
        "loss",
        "momentum",
        "dropout",
        "initialization",
        "preprocessing",
        "learning_rate_decay",
        "nothing",
        "",
        " ",
        "l1",
        "warm_up_epochs",
        "é",
    ]
)
_WORDS = st.one_of(
    _NUMBERS,
    st.sampled_from(
        [
            "adam",
            "sgd",
            "momentum",
            "relu",
            "true",
            "None",
            "he",
            "small_random(scale=1e-4)",
            "whiten",
            "pca(keep=2)",
            "standardize",
            "pca_whiten(floor=nan)",
            "pca(-1)",
            "cosine",
            "softmax",
            "mse",
            "choice",
            "log",
            "''",
            '"',
            "[1,2]",
            "(1,2)",
            "{}",
            "{'a': 1}",
            "*x",
            "**x",
            "lambda: 1",
            "1 if 1 else 2",
            "x.y",
            "__import__('os')",
            "f'{1}'",
            "1+1",
            "-1",
            "+1",
            "~1",
            "1j",
            "b'a'",
            "...",
            "he(he())",
            "small_random(scale=10**9)",
        ]
    ),
    st.text(max_size=6),
)
_MAKERS = st.sampled_from(
    ["log_uniform", "powers_of_ten", "uniform", "integer", "choice", "when", "loguniform", ""]
)
_EXTRA = st.sampled_from(
    ["log=True", "step=2", "step=0", "natural_limit=lower", "natural_limit=[1]", "x=1", "step=1e-9"]
)
_call = st.builds(
    lambda maker, arguments, extra: f"{maker}({', '.join([*arguments, *extra])})",
    _MAKERS,
    st.lists(_WORDS, max_size=3),
    st.lists(_EXTRA, max_size=2),
)
_nested = st.builds(
    lambda maker, parent, value, inner: f"{maker}({parent}, {value}, {inner})", _MAKERS, _NAMES, _WORDS, _call
)
_deep = st.sampled_from(
    [
        "choice(" * 200 + ")" * 200,
        "choice(" + "(" * 500 + ")",
        "choice(" + "-" * 3000 + "1)",
        "choice(" + "[" * 300,
        "choice(" + "1," * 30_000 + "1)",
        "uniform(" + "9" * 4500 + ", 1)",
        "choice(\x00)",
        "he(" + "(" * 300,
        "choice(" + "a." * 3000 + "b)",
        "choice(" + "not " * 3000 + "1)",
        "small_random(scale=" + "-" * 3000 + "1)",
    ]
)
_value = st.one_of(_WORDS, _call, _nested, _deep)
settings_text = st.one_of(
    st.builds(lambda name, value: f"{name}={value}", _NAMES, _value), _value, st.text(max_size=12)
)
_points = st.lists(st.builds(lambda name, value: f"{name}={value}", _NAMES, _WORDS), max_size=3).map(",".join)
_stages = st.one_of(
    st.lists(
        st.builds(
            lambda name, trials, epochs: f"{name}:{trials}x{epochs}",
            st.sampled_from(["coarse", "fine", "final", "a b", ""]),
            _NUMBERS,
            _NUMBERS,
        ),
        max_size=3,
    ).map(",".join),
    st.sampled_from(
        ["coarse:3x2", "coarse:3x2,final:1x1", "coarse:99999999999x1", "coarse:1x99999999999999"]
    ),
    st.text(max_size=8),
)
_times = st.builds(
    lambda value, unit: f"{value}{unit}", _NUMBERS, st.sampled_from(["", "s", "m", "h", "d", "1h"])
)
_factors = st.builds(
    lambda sign, value: f"{sign}{value}", st.sampled_from(["x", "/", "*", "", "×"]), _NUMBERS
)
_search_range = st.builds(
    lambda name, low, high, scale: f"{name}={low}:{high}{scale}",
    _NAMES,
    _NUMBERS,
    _NUMBERS,
    st.sampled_from(["", ":log", ":linear", ":x", ":log:log"]),
)


def _read(case: tuple[str, str], folder: Path) -> None:
    kind, text = case
    readers: dict[str, Callable[[str], object]] = {
        "stages": parse_stages,
        "seconds": parse_seconds,
        "factor": factor_of,
        "range": parse_range,
        "points": lambda given: parse_points([given]),
        "setting": lambda given: parse_settings([given]),
    }
    found = readers[kind](text)
    if kind == "seconds":
        assert 0 < found < float("inf"), f"a time of {found} seconds"
    if kind == "factor":
        assert 0 < found < float("inf"), f"a factor of {found}"


def _kind(name: str, cases: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(st.just(name), st.one_of(cases, cases, st.text(max_size=15)))


words = st.one_of(
    _kind("stages", _stages),
    _kind("seconds", _times),
    _kind("factor", _factors),
    _kind("range", _search_range),
    _kind("points", _points),
    _kind("setting", settings_text),
)


searches = st.fixed_dictionaries(
    {"settings": st.lists(settings_text, max_size=2)},
    optional={
        "enqueue": st.lists(_points, max_size=2),
        "stages": _stages,
        "sampler": st.sampled_from(["random", "grid", "qmc", "tpe", "gp", "x", ""]),
        "pruner": st.sampled_from(["none", "median", "asha", "x"]),
        "trials": st.sampled_from([0, 1, 7]),
        "folds": st.sampled_from([0, 1, 2, 10**9]),
        "seed": st.sampled_from([0, -1, 2**70]),
    },
)


def _search(case: dict[str, Any], folder: Path) -> None:
    """All that happens to the words of `babysit search` before the first trial trains."""
    given = dict(case)
    job = Job(
        "digits", tuple(given.pop("settings")), given.pop("seed", 0), enqueue=tuple(given.pop("enqueue", ()))
    )
    prepared = open_job(job)
    settings = SearchSettings(stages=given.pop("stages", "coarse:3x2"), **given)
    check_search(prepared, settings)
    space = prepared.recipe.full_space()
    assert from_data(as_data(space)) == space
    draw_trials(space, stage=0, count=3, seed=job.seed, enqueue=prepared.recipe.enqueue[:3])
    list(variants(space))
    prepared.validate(sample(space, np.random.default_rng(0)))


# References and options of commands on a store


@functools.cache
def store() -> str:
    path = scratch() / "runs.sqlite"
    with Writer(str(path)) as writer:
        write_search(writer)
        writer.finish_study(write_search(writer, "my net"), State.COMPLETE, {})
    return str(path)


_reference = st.one_of(
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    "1",
                    "2",
                    "coarse",
                    "fine",
                    "0",
                    "7",
                    "best",
                    "my net",
                    "",
                    "-1",
                    "²",
                    "٣",
                    "9" * 5000,
                    "99999999999999999999",
                ]
            ),
            st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=4),
        ),
        min_size=1,
        max_size=4,
    ).map("/".join),
    st.sampled_from(["1/coarse/7", "2/best", "1", "--", "-x", "[red]", "[/]"]),
)
_option = st.sampled_from(
    [
        [],
        ["--json"],
        ["--what", "x"],
        ["--wait", "0"],
        ["--wait", "9" * 400],
        ["--since", "-1"],
        ["--state", "x"],
        ["--recipe", "\ud800"],
        ["--store", ""],
        ["--store", "nothing"],
        ["--store", "x://y"],
        ["--store", "/"],
        ["--store", "sqlite:////nowhere/at/all"],
        ["--store", "sqlite://"],
        ["--store", "postgresql+nodriver://h/d"],
        ["--store", "\0"],
        ["--store", "a" * 5000],
        ["--out", "\0"],
        ["--out", "a" * 300],
        ["--to", "x.csv"],
        ["--to", "x"],
        ["--to", "optuna:"],
        ["--to", "optuna:x://y"],
        ["--to", "/nowhere/x.csv"],
        ["--to", "\0.csv"],
        ["--step", "x"],
        ["--last", "-1"],
    ]
)
_command = st.sampled_from(
    [
        "runs",
        "show",
        "commands",
        "report",
        "export",
        "compare",
        "importance",
        "live",
        "stop",
        "extend",
        "scale",
        "import",
        "diagnose",
        "new",
        "curves",
        "trial",
        "check",
        "rules",
    ]
)
command_lines = st.tuples(_command, st.lists(_reference, max_size=3), _option)


def _line(case: tuple[str, list[str], list[str]], folder: Path) -> None:
    name, references, option = case
    words = [name, *references, *option, *(["--once"] if name == "live" else [])]
    if "--store" not in option and name not in ("diagnose", "new", "check", "rules"):
        words += ["--store", store()]
    attempted(words, folder)


SURFACES = (
    Surface("typed: one word", words, _read, 60),
    Surface("typed: a search", searches, _search, 15),
    Surface("typed: command lines", command_lines, _line, 20),
)
