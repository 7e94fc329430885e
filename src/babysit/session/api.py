"""``babysit.search``, ``babysit.train`` and ``babysit.open``: the command line's work, called from Python."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from babysit.errors import InputError
from babysit.recipe.recipe import Recipe
from babysit.records import Value
from babysit.session.study import Study
from babysit.store.addresses import USUAL_FOLDER, shown, store_url

if TYPE_CHECKING:
    from babysit.recipe.building import Prepared
    from babysit.recipe.space import Range, Space
    from babysit.session.jobs.job import Job


def search(
    recipe: Recipe | str | Path,
    *,
    stages: str = "",
    trials: int = 0,
    folds: int = 0,
    seeds: int = 1,
    onnx: bool = False,
    sampler: str = "random",
    round_size: int = 0,
    pruner: str = "none",
    patience: int = 0,
    until_stable: int = 0,
    boxes: Mapping[str, Space] | None = None,
    observe: bool = True,
    details: bool = False,
    engine: str = "local",
    address: str = "",
    workers: int = 0,
    population: int = 0,
    timeout: float = 0.0,
    settings: Mapping[str, Value | Range] | None = None,
    enqueue: Sequence[Mapping[str, Value]] = (),
    seed: int = 0,
    store: str = "",
    folder: str | Path = USUAL_FOLDER,
    name: str = "",
    precision: str = "float32",
    device: str = "cpu",
    way: str | None = None,
    resume: bool = False,
    checks: bool = False,
    progress: bool = False,
) -> Study:
    """Searches a recipe coarse to fine, retrains the best and scores the test split once.

    The trials are those of ``babysit search`` with the same seed. Only ``progress`` prints something.

    Args:
        recipe: a recipe, a built-in one's name, or a file. A recipe object trains in this process, or with
            ``engine="ray"`` on a cluster.
        stages: the budget, ``"coarse:100x5,fine:50x10,final:1x30"``. Default: the recipe's own.
        trials: number in all of the last stage before the final one. Default: as in the stages.
        folds: K; scores every trial on K folds of training and validation rows. Default: 0, on validation.
        seeds: trainings of each of the best, from initial weights of their own. Default: 1.
        onnx: also write the chosen network as ONNX. Default: False.
        sampler: random, grid, qmc, tpe, gp or cmaes. Default: random.
        round_size: trials drawn and pruned at once. Default: 0, 16 where the sampler learns, else all.
        pruner: none, median or asha. Default: none.
        patience: epochs without a better validation score that end a trial. Default: 0, no such end.
        until_stable: most repetitions of the last stage, made while an edge alarm remains or the best
            improves. Default: 0.
        boxes: ranges of later stages, stage -> name -> range. Default: from the results before.
        observe: sample layers and updates. Default: True.
        details: keep histograms and first-layer weights of the retrained trials. Default: False.
        engine: local or ray. Default: local.
        address: the Ray cluster. Default: a new one on this machine.
        workers: processes that train; more than one need a recipe that has a name or a file, or Ray. Default:
            0, this process; with Ray, as many as the cluster has room for.
        population: trials that train together. Default: 0, measured.
        timeout: seconds after which no epoch starts; the last fifth is for the final stage. Default: 0, none.
        settings: hyperparameters to fix or to search in another range, name -> value or range.
        enqueue: points to try first, e.g. ``[{"learning_rate": 1e-3}]``.
        seed: the one seed. Default: 0.
        store: a path or URL. Default: a SQLite file in ``folder``.
        folder: for weights. Default: ``babysit-runs``.
        name: of the study. Default: the recipe's name.
        precision: float32, medium, bfloat16 or auto. Default: float32.
        device: cpu, cuda, cuda:N or auto. Default: cpu.
        way: fused, vmap or serial. Default: the first that is possible.
        resume: continue the earlier search of the same call, or extend it. Default: False.
        checks: run the checks first and keep their results. Default: False.
        progress: print the progress. Default: False.

    Returns:
        The study, as the store holds it.

    Raises:
        InputError: for a recipe, data, stages, store or option that cannot be used.
        KeyboardInterrupt: after Ctrl-C, once the running epoch is saved; ``resume=True`` continues.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     study = search("digits", stages="coarse:4x1", folder=folder)
        ...     len(study.rows()), study.state.value, sorted(study.best.hyperparameters)[:2]
        (4, 'complete', ['batch_size', 'hidden'])
    """
    arguments = locals()  # before any other name: by their names they become the fields of the settings
    from babysit.session.jobs.job import Job, check
    from babysit.session.jobs.search import Hooks, run_search
    from babysit.tuning.engines.registry import LOCAL
    from babysit.tuning.settings import OPTIONS, SearchSettings

    wanted = SearchSettings(**{option: arguments[option] for option in OPTIONS})
    job = Job(
        _text(recipe),
        settings or {},
        seed=seed,
        store=store,
        folder=Path(folder),
        name=name,
        precision=precision,
        device=device,
        way=way,
        enqueue=enqueue,
        identity=identity_of(recipe),
    )
    prepared = _prepared(recipe, job)
    if isinstance(recipe, Recipe) and workers > 1 and engine == LOCAL:
        warnings.warn(
            "a recipe object cannot be sent to worker processes: it trains in this process, with threads; "
            "put it in a file and give its path to use workers, or use engine='ray'",
            stacklevel=2,
        )
        wanted = replace(wanted, workers=0)
    results = list(check(prepared)) if checks and not resume else []
    with contextlib.ExitStack() as shown_meanwhile:
        hooks = None
        if progress:
            from rich.console import Console

            from babysit.views.terminal.progress import SearchProgress

            hooks = Hooks(shown_meanwhile.enter_context(SearchProgress(Console())).update)
        found = run_search(job, prepared, wanted, resume=resume, checks=results, hooks=hooks)
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
    """Trains one run of a recipe; a hyperparameter that is not set takes the middle of its range.

    Args:
        recipe: a recipe, a built-in one's name, or a file.
        seed: the one seed. Default: 0.
        store: a path or URL. Default: a SQLite file in ``folder``.
        folder: for weights. Default: ``babysit-runs``.
        name: of the study. Default: the recipe's name.
        precision, device, way: as for ``babysit train``.
        settings: hyperparameters and ``epochs``, by name.

    Returns:
        A study of one trial.

    Raises:
        InputError: for a recipe, data, store or setting that cannot be used.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("digits", folder=folder, epochs=2, learning_rate=1e-2)
        >>> len(run.best.readings), run.best.hyperparameters["learning_rate"]
        (2, 0.01)
    """
    from babysit.session.jobs.job import Job
    from babysit.session.jobs.train import train as train_one

    job = Job(
        _text(recipe),
        settings,
        seed=seed,
        store=store,
        folder=Path(folder),
        name=name,
        precision=precision,
        device=device,
        way=way,
    )
    trained = train_one(job, _prepared(recipe, job))
    return Study(job.store_url, trained.study)


def open(store: str | Path = "", study: int | str | None = None) -> Study:
    """Opens a study that exists.

    Args:
        store: a path or URL. Default: the one in ``babysit-runs``.
        study: its number or name. Default: the newest.

    Raises:
        InputError: there is no such store or study.
    """
    from babysit.session.references import resolve
    from babysit.store import queries
    from babysit.store.reader import Reader

    url = store_url(str(store))
    with Reader(url) as reader:
        found = queries.latest_study(reader) if study is None else resolve(reader, str(study)).study
    if found is None:
        raise InputError(f"the store {shown(url)} holds no study", fix="run babysit.search(...) first")
    return Study(url, found.id)


def identity_of(recipe: Recipe | str | Path) -> str:
    """Returns a hash that distinguishes a recipe object from others of its name; empty for a name or a file.

    It is made of the source of the two functions, or of their code where there is no source. Functions that
    they call, and values that they close over, are not part of it.
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


def _text(recipe: Recipe | str | Path) -> str:
    return (recipe.name or "recipe") if isinstance(recipe, Recipe) else str(recipe)


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
