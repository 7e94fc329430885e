"""A job: the recipe, seed and store of a training or a search, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from babysit.checks.of_recipe import program_report
from babysit.checks.questions.ask import preflight
from babysit.diagnosis.report import Report
from babysit.errors import InputError, SpaceError
from babysit.recipe.building import Prepared, prepare
from babysit.recipe.loading import Points, Settings, apply_settings, load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Fixed, as_data, middle
from babysit.records import Value
from babysit.store.addresses import USUAL_FOLDER, store_url
from babysit.training.devices import AUTO
from babysit.training.precision import FLOAT32, PRECISIONS
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import budgets_of
from babysit.verdicts import CheckResult


@dataclass(frozen=True)
class Job:
    """The recipe, seed and place of a training or a search.

    Attributes:
        recipe: a built-in's name or a file.
        settings: overrides of the recipe: ``name=value`` texts, or name -> value or range.
        seed: the one seed. Default: 0.
        store: the store's URL or path. Default: a SQLite file in ``folder``.
        folder: for reports and weights. Default: ``babysit-runs``.
        name: of the study. Default: the recipe's name.
        precision: of matrix products: float32, medium, bfloat16 or auto. Default: float32.
        device: cpu, cuda, cuda:N or auto. Default: cpu.
        way: of computing trials together: fused, vmap or serial. Default: the first that is possible.
        enqueue: points that a search tries first: ``name=value,name=value`` texts, or name -> value.
        identity: distinguishes a recipe object that no file holds from others of its name. Default: empty.
    """

    recipe: str
    settings: Settings = ()
    seed: int = 0
    store: str = ""
    folder: Path = Path(USUAL_FOLDER)
    name: str = ""
    precision: str = FLOAT32
    device: str = "cpu"
    way: str | None = None
    enqueue: Points = ()
    identity: str = ""

    @property
    def store_url(self) -> str:
        """The URL or path of the store."""
        return store_url(self.store, self.folder)


def computing_words(job: Job) -> list[str]:
    """Writes the settings of a job that decide no result as words of the command line.

    Example:
        >>> computing_words(Job("digits", way="vmap")), computing_words(Job("digits", device="auto"))
        (['--device', 'cpu', '--way', 'vmap'], [])
    """
    device = [] if job.device == AUTO else ["--device", job.device]
    return [*device, *(["--way", str(job.way)] if job.way else [])]


def open_job(job: Job) -> Prepared:
    """Loads the recipe and its data, and tries the model on two rows.

    Raises:
        InputError: for a recipe, data, settings or precision that cannot be used.

    Example:
        >>> open_job(Job("digits", ("hidden=20",))).dataset.name
        'digits'
    """
    recipe = apply_settings(load_recipe(job.recipe), job.settings, enqueue=job.enqueue)
    return open_recipe(recipe, seed=job.seed, precision=job.precision, device=job.device, way=job.way)


def open_recipe(
    recipe: Recipe,
    *,
    seed: int,
    precision: str = FLOAT32,
    device: str = "cpu",
    way: str | None = None,
) -> Prepared:
    """Loads a recipe's data, and tries its model on two rows.

    Args:
        recipe: the recipe with its settings applied.
        seed: the one seed.
        precision: of matrix products, by name. Default: float32.
        device: by name. Default: cpu.
        way: of computing members together. Default: the first that is possible.

    Raises:
        InputError: for a recipe, data, precision or device that cannot be used.
    """
    if "learning_rate" not in recipe.full_space():
        raise SpaceError(
            f"the recipe {recipe.name} has no learning rate",
            fix="add learning_rate=bs.log_uniform(1e-5, 1e-1) to its space, or pass -s learning_rate=1e-3",
        )
    prepared = prepare(recipe, seed=seed, precision=precision, device=device, way=way)
    prepared.validate(middle(recipe.full_space()))
    return prepared


def check(prepared: Prepared) -> Iterator[CheckResult]:
    """Runs the checks on the middle of the recipe's space; yields each result as it comes."""
    return preflight(prepared, middle(prepared.recipe.full_space()))


def examine(prepared: Prepared) -> Report:
    """Runs the checks of any program on the recipe's model, data and update rule."""
    return program_report(prepared, middle(prepared.recipe.full_space()))


def guessed(recipe: Recipe) -> dict[str, Value]:
    """Returns the searched hyperparameters for which a single training takes the middle of the range.

    Example:
        >>> guessed(load_recipe("digits"))
        {'learning_rate': 0.001, 'l2': 0.0316228}
    """
    space = recipe.full_space()
    values = middle(space)
    return {
        name: values[name] for name in recipe.space if name in values and not isinstance(space[name], Fixed)
    }


def deciding(job: Job, recipe: Recipe, settings: SearchSettings) -> dict[str, Any]:
    """Returns the settings that decide the trials of a search, resolved, as they are kept with the study.

    Those that have their default value are left out, so that a new setting leaves earlier fingerprints alone.

    Args:
        job: the job.
        recipe: the recipe with its settings applied.
        settings: of the search.
    """
    space = recipe.full_space()
    boxes = {name: {**space, **box} for name, box in (settings.boxes or {}).items()}
    resolved = ("stages", "trials", "boxes")
    others = {name: value for name, value in settings.changed("trials").items() if name not in resolved}
    return {
        "stages": [list(budget) for budget in budgets_of(recipe, settings)],
        "boxes": repr(sorted(boxes.items())),
        **others,
        **({"identity": job.identity} if job.identity else {}),
    }


def fingerprint_of(job: Job, recipe: Recipe, kind: str, precision: str, **decided: Any) -> str:
    """Returns a hash that is equal for two jobs if and only if they would train the same trials.

    Args:
        job: the job.
        recipe: the recipe with its settings applied.
        kind: "train" or "search".
        precision: the chosen one, never ``auto``.
        decided: other settings that decide the trials.
    """
    if precision != FLOAT32:  # left out for float32, so that studies of earlier versions can resume
        decided = {**decided, "precision": precision}
    if recipe.enqueue:
        decided = {**decided, "enqueue": list(recipe.enqueue)}
    file = Path(job.recipe.partition(":")[0])
    text = file.read_text(errors="replace") if file.is_file() else ""
    space = as_data(recipe.full_space())
    rules = (recipe.loss, recipe.update, recipe.schedule, recipe.epochs)
    content = json.dumps([kind, job.recipe, text, job.name, job.seed, space, rules, decided], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def other_fingerprints(job: Job, prepared: Prepared, kind: str, **decided: Any) -> dict[str, str]:
    """Maps each precision but the chosen one to the fingerprint of the same command in it."""
    return {
        name: fingerprint_of(job, prepared.recipe, kind, name, **decided)
        for name in PRECISIONS
        if name != prepared.precision
    }


def refuse_to_mix(what: str, theirs: str, ours: str) -> NoReturn:
    """Refuses to resume in another precision: one study's trials must be comparable.

    Args:
        what: the study, e.g. "study 3 of this command".
        theirs, ours: its precision, and the chosen one.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{what} was trained with precision {theirs}; it cannot resume with {ours}",
        fix=f"add --precision {theirs} to resume it, or leave --resume out to start anew",
    )


def file_stem(name: str, study: int, fingerprint: str) -> str:
    """Returns the stem of a study's file names: safe on any file system, and not another study's.

    Example:
        >>> file_stem("../my net", 3, "d2a1f0b7")
        'my-net-3-d2a1f0'
    """
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
    return f"{safe or 'study'}-{study}-{fingerprint[:6]}"


def writable(folder: Path) -> Path:
    """Makes a folder if need be, and writes into it, so that hours of training do not end in an error.

    Raises:
        InputError: when nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write in the folder {folder}: {error.strerror}",
            fix="choose another with --out, free some space, or change its permissions",
        ) from error
    return folder
