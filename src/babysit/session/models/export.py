"""Saves and loads a trained model: its weights, fitted preprocessing, and a recipe file that rebuilds it.

``NAME.safetensors`` holds the weights, ``NAME.recipe.json`` the recipe with its text and hash, and the
versions, ``NAME.preprocessing.safetensors`` the statistics of the preprocessing. Nothing is pickled: loading
runs no code but the user's own recipe, and that only if it is unchanged.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from babysit.data.decorrelation import PCA, Whiten
from babysit.data.preprocessing import (
    Array,
    ChannelMean,
    LearnedStatistics,
    MeanImage,
    Standardize,
    Transformer,
)
from babysit.errors import CheckpointError, InputError, RecipeError
from babysit.recipe.building import Prepared, calling
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Hyperparameters, Recipe
from babysit.records import Value
from babysit.seeding import seeded
from babysit.session.models.recipe_file import check_facts
from babysit.training.checkpoint import load_checkpoint, save_checkpoint
from babysit.training.losses import loss_named
from babysit.training.population import Tensors

_FORMAT = "babysit-model-1"
_STEPS: dict[str, type[LearnedStatistics]] = {
    step.__name__: step for step in (ChannelMean, MeanImage, PCA, Standardize, Whiten)
}


class LoadedModel(nn.Module):
    """A trained model in evaluation mode, with the preprocessing that it was trained with.

    Args:
        network: the recipe's module with its weights loaded.
        facts: the contents of the recipe file.
        steps: the fitted preprocessing; None if it could not be saved.

    Attributes:
        network: the recipe's module.
        hyperparameters: the values with which it was built.
        classes: the names of the classes by label; empty for regression.
    """

    def __init__(
        self, network: nn.Module, facts: Mapping[str, Any], steps: Sequence[Transformer] | None
    ) -> None:
        super().__init__()
        self.network = network
        self.hyperparameters: dict[str, Value] = dict(facts["hyperparameters"])
        self.classes: tuple[str, ...] = tuple(facts["classes"])
        self._loss = loss_named(facts["loss"])
        self._steps = steps
        self.eval()

    def preprocess(self, x: Any) -> Tensor:
        """Applies the preprocessing fitted in training to raw rows.

        Args:
            x: [N, ...] as the data set gives them, e.g. uint8 images.

        Returns:
            The network's inputs, float32 [N, ...].

        Raises:
            InputError: the preprocessing was not saved, since a step of it is not babysit's own, or it does
                not fit the rows.
        """
        if self._steps is None:
            raise InputError(
                "this model's preprocessing has a step that is not babysit's own, so it was not saved",
                fix="apply it yourself and call the model on the result",
            )
        rows: Array = np.asarray(x)
        try:
            for step in self._steps:
                rows = step.transform(rows)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(
                f"rows of type {rows.dtype} and shape {list(rows.shape)} do not fit this model's "
                f"preprocessing: {error}",
                fix="give rows [N, ...] as the data set gives them; if they are, the files are damaged",
            ) from error
        return torch.from_numpy(np.array(rows, dtype=np.float32, order="C"))

    def forward(self, x: Tensor) -> Tensor:
        """Returns the network's outputs for preprocessed rows."""
        outputs: Tensor = self.network(x)
        return outputs

    @torch.no_grad()
    def predict(self, x: Any) -> Tensor:
        """Returns labels [N] for raw rows; for regression the outputs."""
        outputs = self(self.preprocess(x))
        return outputs if self._loss.predict is None else self._loss.predict(outputs.unsqueeze(0))[0]


def save_model(
    path: Path,
    prepared: Prepared,
    hyperparameters: Mapping[str, Value],
    weights: Tensors,
    *,
    recipe: str,
    settings: Sequence[str] = (),
) -> Path:
    """Writes a model's weights, its fitted preprocessing, and the recipe file that rebuilds it.

    Args:
        path: the weights' file, ending in .safetensors.
        prepared: the recipe with its data.
        hyperparameters: the values with which the model was built.
        weights: the model's state dict.
        recipe: a built-in's name or a file, as the user named it.
        settings: ``name=value`` overrides of the recipe. Default: none.

    Returns:
        The recipe file.

    Raises:
        CheckpointError: a file cannot be written.
    """
    dataset = prepared.at(hyperparameters).dataset
    steps, statistics = _described(dataset.preprocessing)
    try:
        own_version = version("babysit")
    except PackageNotFoundError:  # run from its sources
        own_version = ""
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "recipe": _origin(recipe),
        "settings": list(settings),
        "hyperparameters": dict(hyperparameters),
        "loss": prepared.recipe.loss,
        "dataset": dataset.name,
        "classes": list(dataset.classes),
        "input_shape": list(dataset.input_shape),
        "preprocessing": steps,
        "weights_sha256": "",
        "versions": {
            "babysit": own_version,
            "torch": str(torch.__version__),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    save_checkpoint(path, weights, {"hyperparameters": dict(hyperparameters), "recipe": prepared.recipe.name})
    if statistics:
        save_checkpoint(_statistics_file(path), statistics, {})
    facts["weights_sha256"] = _hash(path.read_bytes())
    file = _recipe_file(path)
    part = file.with_name(file.name + ".part")
    try:
        part.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write the recipe file {file}: {error.strerror}",
            fix="choose a folder that can be written and has room, with --out",
        ) from error
    return file


def load(path: str | os.PathLike[str], recipe: str | Recipe | None = None) -> LoadedModel:
    """Loads a model that ``babysit train`` or ``babysit search`` saved.

    Args:
        path: the weights, ``*.safetensors``, with ``*.recipe.json`` in the same folder.
        recipe: the recipe or its file; needed if the original was made in memory, has moved, or has changed
            in a way that does not concern the model. Default: the recipe that the recipe file names.

    Returns:
        The model in evaluation mode; ``model(model.preprocess(x))`` are its outputs, ``model.predict(x)``
        the labels.

    Raises:
        CheckpointError: a file is missing, damaged, or belongs to another model.
        RecipeError: the recipe is missing, has changed, or builds another network.

    Example:
        >>> model = load("babysit-runs/digits-1-5f1c02.safetensors")  # doctest: +SKIP
        >>> model.predict(images)  # doctest: +SKIP
        tensor([6, 9, 3])
    """
    weights_file = Path(path).expanduser()
    facts = _facts(weights_file)
    if _hash(_bytes(weights_file)) != facts["weights_sha256"]:
        raise CheckpointError(
            f"{weights_file} is not the file that {_recipe_file(weights_file).name} was written for",
            fix="keep the files of one model together, as babysit wrote them",
        )
    weights, _ = load_checkpoint(weights_file)
    found = _recipe_of(facts, weights_file, recipe)
    with seeded(0, "load"):  # the first weights are overwritten; the caller's random state stays
        network = calling("model(hp)", lambda: found.model(Hyperparameters(facts["hyperparameters"])))
    if not isinstance(network, nn.Module):
        raise RecipeError(
            f"model(hp) returned {type(network).__name__}, not a torch nn.Module", fix="return a module"
        )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise RecipeError(
            f"the recipe builds another network than the one in {weights_file}: {error}",
            fix="use the recipe with which it was trained",
        ) from error
    return LoadedModel(network, facts, _fitted(facts["preprocessing"], _statistics_file(weights_file)))


def _recipe_file(weights: Path) -> Path:
    return weights.with_suffix(".recipe.json")


def _statistics_file(weights: Path) -> Path:
    return weights.with_suffix(".preprocessing.safetensors")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _origin(name: str) -> dict[str, Any]:
    """Describes the origin of a recipe: built in, a file with its text, or made in memory."""
    if name in BUILTIN:
        return {"kind": "builtin", "name": name}
    path, _, variable = name.partition(":")
    file = Path(path).expanduser()
    if not file.is_file():
        return {"kind": "memory", "name": name}
    content = file.read_bytes()
    return {
        "kind": "file",
        "name": variable,
        "path": str(file.resolve()),
        "sha256": _hash(content),
        "text": content.decode(errors="replace"),
    }


def _described(steps: Sequence[Transformer]) -> tuple[list[dict[str, Any]] | None, Tensors]:
    """Returns fitted steps as plain data and tensors; None if one of them is not babysit's own."""
    described: list[dict[str, Any]] = []
    statistics: Tensors = {}
    for index, step in enumerate(steps):
        if not isinstance(step, LearnedStatistics) or type(step) is not _STEPS.get(type(step).__name__):
            return None, {}
        described.append({"step": type(step).__name__, "parameters": step.get_params()})
        for name, values in step.state().items():
            statistics[f"{index}/{name}"] = torch.from_numpy(np.array(values, order="C"))
    return described, statistics


def _fitted(steps: Sequence[Mapping[str, Any]] | None, file: Path) -> list[Transformer] | None:
    if not steps:
        return None if steps is None else []
    statistics, _ = load_checkpoint(_present(file))
    found: list[Transformer] = []
    for index, each in enumerate(steps):
        if each["step"] not in _STEPS:
            raise CheckpointError(
                f"{file} is for the preprocessing step {each['step']!r}, which this version does not have",
                fix="load the model with the version of babysit that its recipe file names",
            )
        prefix = f"{index}/"
        state = {
            name.removeprefix(prefix): values.numpy()
            for name, values in statistics.items()
            if name.startswith(prefix)
        }
        try:
            found.append(_STEPS[each["step"]].from_state(state, **each["parameters"]))
        except TypeError as error:
            raise CheckpointError(
                f"{file}: {each['step']} cannot be made: {error}",
                fix="restore the files as they were written",
            ) from error
        wrong = [one for one in state if not (one.isidentifier() and one.endswith("_") and one[0] != "_")]
        if wrong or not state:
            problem = f"holds {wrong[0]!r}" if wrong else "holds nothing"
            raise CheckpointError(
                f"{file} {problem} of {each['step']}", fix="restore the files as they were written"
            )
    return found


def _present(file: Path) -> Path:
    if not file.is_file():
        raise CheckpointError(
            f"there is no file {file}",
            fix="keep the files of one model together: NAME.safetensors, NAME.recipe.json and, where there "
            "is one, NAME.preprocessing.safetensors",
        )
    return file


def _bytes(file: Path) -> bytes:
    try:
        return _present(file).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {file}: {error.strerror}", fix="change its permissions"
        ) from error


def _facts(weights: Path) -> dict[str, Any]:
    """Reads and checks the recipe file of some weights."""
    _present(weights)
    file = _recipe_file(weights)
    try:
        facts = json.loads(_bytes(file))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} is damaged: {error}", fix="restore the file as it was written"
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
        raise CheckpointError(
            f"{file} is not a recipe file of babysit", fix="give a model that babysit wrote"
        )
    check_facts(facts, file)
    return facts


def _recipe_of(facts: Mapping[str, Any], weights: Path, given: str | Recipe | None) -> Recipe:
    """Returns the given recipe, else the one that the recipe file names if it is unchanged."""
    if isinstance(given, Recipe):
        return given
    if given is not None:
        return load_recipe(given)
    origin = facts["recipe"]
    if origin["kind"] == "memory":
        raise RecipeError(
            f"{weights} was trained with the recipe {origin['name']!r}, which was made in memory",
            fix="pass it: babysit.load(path, recipe=...)",
        )
    if origin["kind"] == "builtin":
        return load_recipe(origin["name"])
    was = Path(origin["path"])
    present = [file for file in (was, weights.parent / was.name) if file.is_file()]
    for file in present:
        if _hash(_bytes(file)) == origin["sha256"]:
            return load_recipe(f"{file}:{origin['name']}" if origin["name"] else str(file))
    if not present:
        raise RecipeError(
            f"the recipe {was} that {weights} was trained with is gone",
            fix=f"restore it, or put it beside the weights; its text is in {_recipe_file(weights).name}",
        )
    raise RecipeError(
        f"the recipe {present[0]} has changed since {weights} was trained",
        fix=f"restore it (its text is in {_recipe_file(weights).name}), or, if the model is the same, "
        "pass it: babysit.load(path, recipe=...)",
    )
