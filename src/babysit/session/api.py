"""``babysit.search``, ``babysit.train`` and ``babysit.open``: the command line's work, called from Python."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babysit.errors import InputError
from babysit.recipe.recipe import Recipe
from babysit.records import Value
from babysit.session.study import Study
from babysit.store.addresses import USUAL_FOLDER, shown, store_in

if TYPE_CHECKING:
    from babysit.recipe.building import Prepared
    from babysit.session.jobs.job import Job
    from babysit.session.jobs.search import Hooks


def search(
    recipe: Recipe | str | Path,
    *,
    stages: str = "",
    trials: int = 0,
    seed: int = 0,
    store: str = "",
    folder: str | Path = USUAL_FOLDER,
    workers: int = 1,
    resume: bool = False,
    settings: Mapping[str, Value] | None = None,
    enqueue: Sequence[Mapping[str, Value]] = (),
    name: str = "",
    checks: bool = False,
    progress: bool = False,
    **options: Any,
) -> Study:
    """Searches a recipe coarse to fine, retrains the best and scores the test split once.

    The trials are those of ``babysit search`` with the same seed. Nothing is printed unless asked for.

    Args:
        recipe: a recipe, a built-in one's name, or a file. A recipe object trains in this process, or with
            ``engine="ray"`` on a cluster.
        stages: the budget, ``"coarse:100x5,fine:50x10,final:1x30"``; default the recipe's own.
        trials: how many in all the last stage before the final one has; default as the stages say.
        seed: the one seed, default 0.
        store: a path or URL; default a SQLite file in ``folder``.
        folder: where weights go, default ``babysit-runs``.
        workers: processes that train, default 1: this one. More need a recipe that has a name or a file, or
            ``engine="ray"``, where 0 takes as many as the cluster has room for.
        resume: go on with the earlier search of the same call, or extend it.
        settings: hyperparameters to fix, name -> value.
        enqueue: points to try first, e.g. ``[{"learning_rate": 1e-3}]``.
        name: what to call the study; default the recipe's name.
        checks: ask the checks first and keep their answers; default no.
        progress: print how far it is; default no.
        options: further ones of a search (population, boxes, observe, details, engine, address) and of a
            job (precision, device, way).

    Returns:
        The study, as the store holds it.

    Raises:
        InputError: for whatever cannot be used: recipe, data, stages, store, an option that does not exist.
        KeyboardInterrupt: after Ctrl-C, once the running epoch is saved; ``resume=True`` goes on.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     study = search("digits", stages="coarse:4x1", folder=folder)
        ...     len(study.rows()), study.state.value, sorted(study.best.hyperparameters)[:2]
        (4, 'complete', ['batch_size', 'hidden'])
    """
    from babysit.session.jobs import job as jobs
    from babysit.session.jobs.search import run_search
    from babysit.session.jobs.search_ask import Ask
    from babysit.tuning.engines.registry import LOCAL

    for_job, for_ask = _options(options, ("precision", "device", "way"), Ask)
    points = tuple(",".join(f"{key}={value}" for key, value in point.items()) for point in enqueue)
    job = _job(recipe, settings, seed, store, folder, name, {**for_job, "enqueue": points})
    prepared = _prepared(recipe, job)
    ask = Ask(stages, workers=workers, resume=resume, trials=trials, identity=identity_of(recipe))
    ask = replace(ask, **for_ask)
    if isinstance(recipe, Recipe) and workers > 1 and ask.engine == LOCAL:
        warnings.warn(
            "a recipe object cannot be sent to worker processes: it trains in this process, with threads; "
            "put it in a file and give its path to use workers, or use engine='ray'",
            stacklevel=2,
        )
        ask = replace(ask, workers=1)
    answers = list(jobs.check(prepared)) if checks and not resume else []
    with _progress(progress) as hooks:
        found = run_search(job, prepared, ask, checks=answers, hooks=hooks)
    return Study(job.store_url, found.study)


def train(
    recipe: Recipe | str | Path,
    *,
    seed: int = 0,
    store: str = "",
    folder: str | Path = USUAL_FOLDER,
    name: str = "",
    precision: str = "float32",
    device: str = "cpu",
    way: str | None = None,
    **settings: Value,
) -> Study:
    """Trains one run of a recipe; what is not set takes the middle of its range.

    Args:
        recipe: a recipe, a built-in one's name, or a file.
        seed: the one seed, default 0.
        store: a path or URL; default a SQLite file in ``folder``.
        folder: where weights go, default ``babysit-runs``.
        name: what to call it; default the recipe's name.
        precision, device, way: as for ``babysit train``.
        settings: hyperparameters and ``epochs``, by name.

    Returns:
        A study of one trial.

    Raises:
        InputError: for whatever cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("digits", folder=folder, epochs=2, learning_rate=1e-2)
        >>> len(run.best.readings), run.best.hyperparameters["learning_rate"]
        (2, 0.01)
    """
    from babysit.session.jobs.train import train as train_one

    chosen = {"precision": precision, "device": device, "way": way}
    job = _job(recipe, settings, seed, store, folder, name, chosen)
    trained = train_one(job, _prepared(recipe, job))
    return Study(job.store_url, trained.study)


def open(store: str | Path = "", study: int | str | None = None) -> Study:
    """Opens a study that exists.

    Args:
        store: a path or URL; default the one in ``babysit-runs``.
        study: its number or name; default the newest.

    Raises:
        InputError: there is no such store or study.
    """
    from babysit.session.references import resolve
    from babysit.store import queries
    from babysit.store.reader import Reader

    url = str(store) or store_in(USUAL_FOLDER)
    with Reader(url) as reader:
        found = queries.latest_study(reader) if study is None else resolve(reader, str(study)).study
    if found is None:
        raise InputError(f"the store {shown(url)} holds no study", fix="run babysit.search(...) first")
    return Study(url, found.id)


def identity_of(recipe: Recipe | str | Path) -> str:
    """What tells a recipe object from others of its name; empty for one that a name or a file finds.

    It is the source of the two functions, or their code where there is no source; what they call, and what
    they close over, is not part of it.
    """
    if not isinstance(recipe, Recipe):
        return ""
    text = "\n".join(_source(function) for function in (recipe.data, recipe.model))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _source(function: Callable[..., object]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return repr(function) if code is None else f"{code.co_code!r} {code.co_consts!r} {code.co_names!r}"


def _job(
    recipe: Recipe | str | Path,
    settings: Mapping[str, Value] | None,
    seed: int,
    store: str,
    folder: str | Path,
    name: str,
    options: Mapping[str, Any],
) -> Job:
    from babysit.session.jobs.job import Job

    words = tuple(f"{key}={value}" for key, value in (settings or {}).items())
    text = (recipe.name or "recipe") if isinstance(recipe, Recipe) else str(recipe)
    return Job(text, words, seed, store, Path(folder), name, **options)


def _prepared(recipe: Recipe | str | Path, job: Job) -> Prepared:
    from babysit.recipe.loading import apply_settings
    from babysit.session.jobs.job import open_job, open_recipe

    if not isinstance(recipe, Recipe):
        return open_job(job)
    named = recipe if recipe.name else replace(recipe, name=job.recipe)
    return open_recipe(
        apply_settings(named, job.settings, enqueue=job.enqueue),
        seed=job.seed,
        precision=job.precision,
        device=job.device,
        way=job.way,
    )


def _options(
    options: Mapping[str, Any], of_job: Sequence[str], ask: type
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options by whom they are for; one that nobody knows is refused."""
    from babysit.session.references import near

    of_ask = {one.name for one in fields(ask)} - {"identity"}
    for name in options:
        if name not in of_ask and name not in of_job:
            raise InputError(f"a search has no option {name!r}", fix=near(name, sorted({*of_ask, *of_job})))
    return (
        {name: value for name, value in options.items() if name in of_job},
        {name: value for name, value in options.items() if name in of_ask},
    )


@contextmanager
def _progress(wanted: bool) -> Iterator[Hooks | None]:
    if not wanted:
        yield None
        return
    from rich.console import Console

    from babysit.session.jobs.search import Hooks
    from babysit.views.terminal.progress import SearchProgress

    with SearchProgress(Console()) as shown:
        yield Hooks(shown.update)
