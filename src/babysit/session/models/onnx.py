"""Exports a network as an ONNX file; needs the packages of the extra ``onnx``."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from babysit.errors import InputError
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.training.population import Tensors

_PACKAGES = ("onnx", "onnxscript")


def require_onnx() -> None:
    """Requires the packages before anything trains.

    Raises:
        InputError: one of them is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX files need the package{'s' if len(missing) > 1 else ''} {' and '.join(missing)}",
            fix="pip install 'babysit[onnx]', or leave --onnx out",
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Silences the exporter's warnings of deprecations and of packages that this model does not use."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def try_save_onnx(
    weights_file: Path, prepared: Prepared, hyperparameters: Mapping[str, Value], weights: Tensors
) -> dict[str, Any]:
    """Writes the network as ONNX beside its weights; a network that cannot be converted raises nothing.

    The file's input is any number of preprocessed rows, float32; its output is the network's.

    Args:
        weights_file: the model's weights, ending in .safetensors.
        prepared: the recipe with its data.
        hyperparameters: the values with which the model was built.
        weights: the model's state dict.

    Returns:
        ``onnx``, the file, or ``onnx_error``, the reason why there is none.
    """
    network = prepared.model(hyperparameters, ("onnx",))
    network.load_state_dict(weights)
    example = prepared.at(hyperparameters).evaluation.val_x[:2].clone()
    file = weights_file.with_suffix(".onnx")
    try:
        with _quietly():
            torch.onnx.export(
                network.eval(),
                (example,),
                file,
                input_names=["inputs"],
                output_names=["outputs"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # a user's model may hold anything, also what ONNX cannot express
        file.unlink(missing_ok=True)
        return {"onnx_error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    return {"onnx": str(file)}
