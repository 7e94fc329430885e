"""What the user asked for, and the recipe made ready for it."""

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
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import Fixed, as_data, middle
from babysit.records import Value
from babysit.store.addresses import USUAL_FOLDER, store_in
from babysit.training.devices import AUTO
from babysit.training.precision import FLOAT32, PRECISIONS
from babysit.verdicts import CheckResult

DEFAULT_FOLDER = Path(USUAL_FOLDER)


@dataclass(frozen=True)
class Job:
    """What the user asked for, in the words of the command line.

    Attributes:
        recipe: a built-in's name or a file.
        settings: ``name=value`` overrides.
        seed: the one seed, default 0.
        store: the store's URL or path; default a SQLite file in ``folder``.
        folder: where reports and weights go, default ``babysit-runs``.
        name: what to call the study; default the recipe's name.
        precision: of the products: float32, medium, bfloat16 or auto; default float32.
        device: where it trains: cpu, cuda, cuda:N or auto; default cpu.
        way: how members compute together: fused, vmap or serial; default the first that is possible.
        enqueue: points that a search tries first, ``name=value,name=value`` each.
    """

    recipe: str
    settings: tuple[str, ...] = ()
    seed: int = 0
    store: str = ""
    folder: Path = DEFAULT_FOLDER
    name: str = ""
    precision: str = FLOAT32
    device: str = "cpu"
    way: str | None = None
    enqueue: tuple[str, ...] = ()

    @property
    def store_url(self) -> str:
        """Where the study is kept."""
        return self.store or store_in(self.folder)


def words_of(job: Job) -> list[str]:
    """What the command line says of how a job is done, which decides no result.

    Example:
        >>> words_of(Job("digits", device="cpu", way="vmap")), words_of(Job("digits", device="auto"))
        (['--device', 'cpu', '--way', 'vmap'], [])
    """
    device = [] if job.device == AUTO else ["--device", job.device]
    return [*device, *(["--way", str(job.way)] if job.way else [])]


def open_job(job: Job) -> Prepared:
    """Loads the recipe and its data, and tries the model on two rows.

    Raises:
        InputError: whatever is wrong with the recipe, its data, the settings or the precision.

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
        recipe: settings applied.
        seed: the one seed.
        precision: of the products, by name, default float32.
        device: where it trains, by name, default cpu.
        way: how members compute together; default the first that is possible.

    Raises:
        InputError: whatever is wrong with the recipe, its data, the precision or the device.
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
    """Runs the checks on the middle of the recipe's space; yields each answer as it comes."""
    return preflight(prepared, middle(prepared.recipe.full_space()))


def examine(prepared: Prepared) -> Report:
    """Asks the checks of any program of the recipe's own model, data and update rule."""
    return program_report(prepared, middle(prepared.recipe.full_space()))


def guessed(recipe: Recipe) -> dict[str, Value]:
    """The searched hyperparameters for which a single training takes the middle of the range.

    Example:
        >>> guessed(load_recipe("digits"))
        {'learning_rate': 0.001, 'l2': 0.0316228}
    """
    space = recipe.full_space()
    values = middle(space)
    return {
        name: values[name] for name in recipe.space if name in values and not isinstance(space[name], Fixed)
    }


def fingerprint_of(job: Job, recipe: Recipe, kind: str, precision: str, **asked: Any) -> str:
    """Equal for two jobs if and only if the same command on the same recipe would train the same trials.

    Args:
        job: what was asked.
        recipe: with its settings applied.
        kind: "train" or "search".
        precision: the one that was chosen, never ``auto``.
        asked: what else decides.
    """
    if precision != FLOAT32:  # left out for float32, so that studies from before there was a choice go on
        asked = {**asked, "precision": precision}
    if recipe.enqueue:
        asked = {**asked, "enqueue": list(recipe.enqueue)}
    file = Path(job.recipe.partition(":")[0])
    text = file.read_text(errors="replace") if file.is_file() else ""
    space = as_data(recipe.full_space())
    rules = (recipe.loss, recipe.update, recipe.schedule, recipe.epochs)
    content = json.dumps([kind, job.recipe, text, job.name, job.seed, space, rules, asked], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def other_fingerprints(job: Job, prepared: Prepared, kind: str, **asked: Any) -> dict[str, str]:
    """Precision -> fingerprint of the same command in each precision but the chosen one."""
    return {
        name: fingerprint_of(job, prepared.recipe, kind, name, **asked)
        for name in PRECISIONS
        if name != prepared.precision
    }


def refuse_to_mix(what: str, theirs: str, ours: str) -> NoReturn:
    """Refuses to go on in another precision: one study's trials must be comparable.

    Args:
        what: what was found, e.g. "study 3 of this command".
        theirs, ours: the precision it was trained in, and the one now chosen.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"{what} was trained with precision {theirs}; it cannot go on with {ours}",
        fix=f"add --precision {theirs} to go on with it, or leave --resume out to begin anew",
    )


def file_stem(name: str, study: int, fingerprint: str) -> str:
    """What the files of a study are called: safe on any file system, and not another study's.

    Example:
        >>> file_stem("../my net", 3, "d2a1f0b7")
        'my-net-3-d2a1f0'
    """
    safe = re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]
    return f"{safe or 'study'}-{study}-{fingerprint[:6]}"


def writable(folder: Path) -> Path:
    """The folder, made if need be; tried now, because hours of training should not end in a full stop.

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
            fix="choose another with --out, free some room, or change its permissions",
        ) from error
    return folder
