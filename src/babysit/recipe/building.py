"""A recipe with its data loaded: builds trainers of trials, and turns exceptions of user code into errors."""

from __future__ import annotations

import contextlib
import math
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from babysit.data.batches import Batches
from babysit.data.dataset import Dataset, Split
from babysit.data.folds import folds
from babysit.errors import InputError, RecipeError
from babysit.nn.dropout import mix
from babysit.nn.initialization import initialize
from babysit.recipe.initial_weights import INITIALIZATION, parse_scheme
from babysit.recipe.input_steps import PREPROCESSING, parse_steps
from babysit.recipe.recipe import RULES, Hyperparameters, Recipe
from babysit.recipe.space import middle, variants
from babysit.records import EXPLOSION_LIMIT, Run, State, Value
from babysit.seeding import derive, seeded
from babysit.training.devices import device_named
from babysit.training.evaluation import SAMPLE_ROWS, Evaluation, evaluation_of
from babysit.training.folds import FoldTrainer
from babysit.training.losses import Loss, loss_named
from babysit.training.lowering import Lowering, lower
from babysit.training.observer import Observer
from babysit.training.population import signature, stack
from babysit.training.precision import FLOAT32, precision_named
from babysit.training.requests import Requests
from babysit.training.schedules import schedule_named
from babysit.training.trainer import Candidate, EpochReport, FoldRows, Plan, Trainer
from babysit.training.updates import update_named

T = TypeVar("T")
_LIBRARIES = (
    "<frozen",
    str(FilePath(__file__).parents[1]),
    str(FilePath(torch.__file__).parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
)
_INITIALIZATION_ROWS = 500
"""Examples that a data-dependent initialization uses."""

Stream = tuple[str | int, ...]
"""The names of a random stream, e.g. ("trial", 0, 7)."""


@dataclass(frozen=True)
class Prepared:
    """A recipe and its data, ready to train.

    Attributes:
        recipe: the user's recipe, settings applied.
        dataset: the data set that ``data()`` returned.
        seed: the seed from which everything random is derived.
        precision: precision of the products, by name; ``auto`` is resolved by :func:`prepare`.
        device: the device that trains populations, e.g. "cuda".
        way: how members compute together, "fused", "vmap" or "serial". Default: None, the first possible.
        preprocessing: the hyperparameter value with which the data set was preprocessed. Default: None, the
            data set has its own preprocessing.
        folds: number of folds into which a search divides the training and validation rows. Default: 0,
            trials are scored on the validation split.
    """

    recipe: Recipe
    dataset: Dataset
    seed: int
    precision: str = FLOAT32
    device: str = "cpu"
    way: str | None = None
    preprocessing: str | None = None
    folds: int = 0

    def at(self, hyperparameters: Mapping[str, object]) -> Prepared:
        """Returns the recipe with its data preprocessed as the hyperparameters name, if they do.

        The steps replace the data set's own, and are fitted on the training split once. A data set that
        already has one of the space's preprocessings is not changed.
        """
        name = hyperparameters.get(PREPROCESSING)
        if name is None or self.preprocessing is not None:
            return self
        if name not in self._preprocessed:
            dataset = replace(self.dataset, preprocessing=()).preprocessed(parse_steps(name))
            self._preprocessed[str(name)] = replace(self, dataset=dataset, preprocessing=str(name))
        return self._preprocessed[str(name)]

    @cached_property
    def _preprocessed(self) -> dict[str, Prepared]:
        """Preprocessing -> the recipe with its data, so preprocessed."""
        return {}

    @cached_property
    def loss(self) -> Loss:
        """The recipe's loss."""
        return loss_named(self.recipe.loss)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The rows on which accuracies are measured."""
        return evaluation_of(self.dataset, seed=self.seed)

    @cached_property
    def chance_loss(self) -> float:
        """Data loss of a network that knows nothing, e.g. ln C."""
        targets = torch.from_numpy(np.asarray(self.dataset.train.y))
        return self.loss.chance(self.dataset.num_classes, targets)

    @property
    def chance_accuracy(self) -> float:
        """1 / C; NaN for regression."""
        return 1 / self.dataset.num_classes if self.loss.is_classification else math.nan

    def plan(
        self,
        epochs: int,
        hyperparameters: Mapping[str, object] = MappingProxyType({}),
        *,
        explosion_limit: float = EXPLOSION_LIMIT,
    ) -> Plan:
        """Makes the plan that all members share; hyperparameters may name another update or schedule."""
        rules = {rule: str(hyperparameters.get(rule, getattr(self.recipe, rule))) for rule in RULES}
        update, schedule = update_named(rules["update"]), schedule_named(rules["schedule"])
        return Plan(self.loss, update, schedule, epochs, explosion_limit, self.precision, self.device)

    def model(self, hyperparameters: Mapping[str, Value], path: Stream) -> nn.Module:
        """Builds the user's model for these hyperparameters, initialized from the random stream ``path``.

        Raises:
            RecipeError: if ``model(hp)`` raises or returns no module.
        """
        with seeded(self.seed, *path, "weights"):
            made = calling("model(hp)", lambda: self.recipe.model(Hyperparameters(hyperparameters)))
        model = _checked(made)
        if INITIALIZATION in hyperparameters:
            scheme = parse_scheme(hyperparameters[INITIALIZATION])
            batch = self.at(hyperparameters).evaluation.train_x[:_INITIALIZATION_ROWS]
            seed = derive(self.seed, *path, "weights")
            initialize(model, scheme.name, seed=seed, batch=batch, **scheme.options)
        return model

    def candidate(self, hyperparameters: Mapping[str, Value], path: Stream) -> Candidate:
        """Makes a future member of a population: model, hyperparameters and random key."""
        model = self.model(hyperparameters, path)
        key = int(mix(torch.tensor(derive(self.seed, *path, "key"))))
        return Candidate(model, hyperparameters, key)

    def batches(self, batch_size: int) -> Batches:
        """Returns mini-batches whose order depends on the seed alone, so that all trials see the same."""
        if batch_size not in self._batches:
            self._batches[batch_size] = Batches(self.dataset, batch_size, seed=derive(self.seed, "order"))
        return self._batches[batch_size]

    @cached_property
    def _batches(self) -> dict[int, Batches]:
        """Batch size -> its mini-batches. They may hold the whole data set as float32, so they are shared."""
        return {}

    def trainer(
        self,
        trials: Sequence[tuple[Mapping[str, Value], Stream]],
        epochs: int,
        *,
        keep_best: bool = False,
        explosion_limit: float = EXPLOSION_LIMIT,
        way: str | None = None,
    ) -> Trainer:
        """Makes a trainer for trials of one population; ``way`` overrides the recipe's."""
        candidates = [self.candidate(hyperparameters, path) for hyperparameters, path in trials]
        return self.trainer_of(
            candidates, epochs, keep_best=keep_best, explosion_limit=explosion_limit, way=way
        )

    def trainer_of(
        self,
        candidates: Sequence[Candidate],
        epochs: int,
        *,
        keep_best: bool = False,
        explosion_limit: float = EXPLOSION_LIMIT,
        way: str | None = None,
    ) -> Trainer:
        """Makes a trainer for candidates of one group, see ``groups``; ``way`` overrides the recipe's."""
        shared = candidates[0].hyperparameters
        here = self.at(shared)
        batches = here.batches(int(shared["batch_size"]))  # type: ignore[call-overload]
        plan = self.plan(epochs, shared, explosion_limit=explosion_limit)
        return Trainer(candidates, plan, batches, here.evaluation, keep_best=keep_best, way=way or self.way)

    def search_trainer(self, candidates: Sequence[Candidate], epochs: int) -> SearchTrainer:
        """Makes a trainer for the trials of a search; with folds, it trains each of them K times."""
        if not self.folds:
            return self.trainer_of(candidates, epochs)
        shared = candidates[0].hyperparameters
        here = self.at(shared)._folded
        batches = here.prepared.batches(int(shared["batch_size"]))  # type: ignore[call-overload]
        plan, evaluation = self.plan(epochs, shared), here.prepared.evaluation

        def make(members: Sequence[Candidate]) -> Trainer:
            return Trainer(members, plan, batches, evaluation, way=self.way, folds=here.rows)

        return FoldTrainer(candidates, self.folds, make)

    @cached_property
    def _folded(self) -> _Folded:
        """The pooled training and validation rows with their folds."""
        found = folds(self.dataset, self.folds, self.seed)
        rows = Split(found.fold_of[:, None], found.fold_of)
        sample = found.dataset.sample(rows, SAMPLE_ROWS, self.seed).y  # the rows of the evaluation
        return _Folded(replace(self, dataset=found.dataset, folds=0), FoldRows(found.fold_of, sample))

    def lowering(self, hyperparameters: Mapping[str, Value]) -> Lowering:
        """Returns how the network of these hyperparameters trains as a population, and why."""
        population = stack([self.model(hyperparameters, ("lowering",))])
        example = self.at(hyperparameters).evaluation.train_x[:2]
        return calling("the model", lambda: lower(population, example, self.way))

    def reports(self, trainer: SearchTrainer, *, steps: int | None = None) -> Iterator[EpochReport]:
        """Trains; an exception of the user's model becomes a RecipeError that names the line."""
        found = trainer.epochs(steps=steps)
        while (report := calling("the model, in training,", lambda: next(found, None))) is not None:
            yield report

    def validate(self, hyperparameters: Mapping[str, Value]) -> None:
        """Runs the model on two rows, so that a recipe that cannot work fails before training.

        Raises:
            RecipeError: if the model raises, its outputs do not fit the data and the loss, or the space
                holds a hyperparameter that is never read, or lacks the learning rate.
        """
        hp = Hyperparameters(hyperparameters)
        with seeded(self.seed, "validate"):
            model = _checked(calling("model(hp)", lambda: self.recipe.model(hp)))
        if "learning_rate" not in hyperparameters:
            raise RecipeError(
                "the recipe has no learning rate",
                fix="add learning_rate=bs.log_uniform(1e-5, 1e-1) to its space, or -s learning_rate=1e-3",
            )
        unused = self._unused(hp.read)
        if unused:
            raise RecipeError(
                f"the space holds {unused[0]!r}, but neither model(hp) nor the training reads it",
                fix=f"use hp.{unused[0]} in model(hp), or take it out of the space",
            )
        self.at(hyperparameters)._validate_output(model)

    def _unused(self, read: set[str]) -> list[str]:
        """Lists the names of the space that the model reads under none of the choices.

        Names that never exist, because the hyperparameter that they depend on is fixed, are left out.
        """
        space = self.recipe.full_space()
        others = list(variants(space))
        unused = {*middle(space)}.union(*others) - read - self.recipe.training_names()
        for values in others if unused else ():
            hp = Hyperparameters(values)
            with contextlib.suppress(InputError), seeded(self.seed, "validate"):
                calling("model(hp)", lambda hp=hp: self.recipe.model(hp))  # type: ignore[misc]
            unused -= hp.read
        return sorted(unused)

    def _validate_output(self, model: nn.Module) -> None:
        x, y = self.evaluation.train_x[:2], self.evaluation.train_y[:2]
        was_training = model.training
        with torch.no_grad():
            output = calling("the model", lambda: model.eval()(x))
        model.train(was_training)
        if not isinstance(output, Tensor):
            raise RecipeError(
                f"the model returned {type(output).__name__} for a batch, not one tensor of outputs",
                fix="return the logits alone",
            )
        wanted = self.loss.width(self.dataset.num_classes, y)
        found = output.shape[1:].numel() if output.dim() else 0
        if output.dim() == 0 or output.shape[0] != 2 or found != wanted:
            reason = f"{self.dataset.name} has {wanted} target{'s' if wanted > 1 else ''}: (2, {wanted})"
            if self.loss.is_classification:
                classes = f"{self.dataset.num_classes} classes"
                reason = f"the {self.recipe.loss} loss on {classes} needs (2, {wanted})"
            raise RecipeError(
                f"the model's output for 2 examples has shape {tuple(output.shape)}, but {reason}",
                fix=f"make the last layer's width {wanted}: nn.Linear(..., {wanted})",
            )


class SearchTrainer(Protocol):
    """A trainer of candidates, with folds or without.

    Attributes:
        alive: numbers of the candidates that still train.
        observer: receives selected steps, read-only.
        requests: returns changes to candidates.
    """

    alive: list[int]
    observer: Observer | None
    requests: Requests

    @property
    def epoch(self) -> int:
        """Number of epochs done."""

    @property
    def plan(self) -> Plan:
        """The settings that all candidates share."""

    def epochs(self, *, steps: int | None = None) -> Iterator[EpochReport]:
        """Trains, and yields a report after each epoch."""

    def drop(self, members: Sequence[int], state: State) -> None:
        """Ends some candidates early."""

    def absorb(self, other: Any) -> list[int]:
        """Adds the candidates of another trainer of the same kind."""

    def runs(self) -> list[Run]:
        """Returns the summary of every candidate so far."""


class _Folded(NamedTuple):
    """The recipe with its pooled data, and the fold of each row."""

    prepared: Prepared
    rows: FoldRows


def prepare(
    recipe: Recipe,
    *,
    seed: int,
    precision: str = FLOAT32,
    device: str = "cpu",
    way: str | None = None,
    folds: int = 0,
) -> Prepared:
    """Loads a recipe's data and checks that it fits the loss.

    Args:
        recipe: the user's recipe.
        seed: the seed from which everything random is derived.
        precision: one of ``PRECISION_NAMES``; ``auto`` is resolved here. Default: float32.
        device: the device that trains populations, "cpu", "cuda", or "auto", resolved here. Default: "cpu".
        way: how members compute together, "fused", "vmap" or "serial". Default: None, the first possible.
        folds: number of folds into which a search divides the training and validation rows. Default: 0, it
            does not.

    Raises:
        InputError: for an unknown precision or device.
        RecipeError: if ``data()`` raises, returns no data set, or one that does not fit the loss.
        DataError: for faults of the data.

    Example:
        >>> from babysit.recipe.builtin import BUILTIN
        >>> prepare(BUILTIN["digits"], seed=0).dataset.num_classes
        10
    """
    place = device_named(device)
    chosen = precision_named(precision, place).name
    dataset = calling("data()", recipe.data)
    if not isinstance(dataset, Dataset):
        raise RecipeError(
            f"data() returned {type(dataset).__name__}, not a babysit data set",
            fix="return bs.data.cifar10(), bs.data.csv(...), or bs.data.arrays(...) for your arrays",
        )
    loss = loss_named(recipe.loss)
    if loss.is_classification != (dataset.task == "classification"):
        raise RecipeError(
            f"the loss {recipe.loss!r} does not fit {dataset.name}, a {dataset.task} task",
            fix="use loss='mse' for numbers, 'softmax' for classes",
        )
    if recipe.loss == "binary" and dataset.num_classes != 2:
        raise RecipeError(
            f"the loss 'binary' needs 2 classes, {dataset.name} has {dataset.num_classes}",
            fix="use loss='softmax'",
        )
    return Prepared(recipe, dataset, seed, chosen, place, way, folds=folds)


def shared_settings(hyperparameters: Mapping[str, object]) -> tuple[object, ...]:
    """Returns the settings that, beside the architecture, must be equal in trials of one population.

    Example:
        >>> shared_settings({"batch_size": 50, "update": "adam", "learning_rate": 0.1})
        (50, 'adam', None, None)
    """
    return tuple(hyperparameters.get(name) for name in ("batch_size", *RULES, PREPROCESSING))


def groups(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Splits candidates into those that can train as one population.

    These have equal architecture, batch size, update rule, schedule and preprocessing. All candidates must
    exist while they are compared: a signature may hold the id of a user's object, which Python gives to
    another object once the first is deleted.
    """
    found: dict[object, list[int]] = {}
    for index, candidate in enumerate(candidates):
        key = (shared_settings(candidate.hyperparameters), signature(candidate.model))
        found.setdefault(key, []).append(index)
    return list(found.values())


def _checked(model: object) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    found = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    raise RecipeError(
        f"model(hp) returned {found}, not a torch nn.Module",
        fix="end model(hp) with `return nn.Sequential(...)` or your own module",
    )


def calling(what: str, call: Callable[[], T]) -> T:
    """Calls a user's function; an exception becomes a RecipeError that names the line.

    Errors that babysit raises on purpose pass unchanged.
    """
    try:
        return call()
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit, which would end more than the recipe
        fix = "correct the recipe at that line"
        raise RecipeError(f"{what} raised {type(error).__name__}{_place(error)}", fix=fix) from error


def _place(error: BaseException) -> str:
    """Words the line of the user's code at which an error arose, and its message."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}: {error.msg}"
    try:
        message = f": {error}"
    except Exception:  # the user's own exception, whose __str__ fails
        message = ""
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    return (f" at {users[-1].filename}:{users[-1].lineno}" if users else "") + message
