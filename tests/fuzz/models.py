"""Checkpoints and saved models: their bytes damaged, their headers and facts of other kinds and shapes."""

from __future__ import annotations

import functools
import hashlib
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

import babysit as bs
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.space import middle
from babysit.session.models.export import save_model
from babysit.training.checkpoint import load_checkpoint, save_checkpoint

from .damage import damaged
from .harness import Surface, scratch

_RECIPE = """
import babysit as bs
from babysit.data.preprocessing import MeanImage, Standardize
from torch import nn

def data():
    return bs.data.digits(preprocess=[MeanImage(), Standardize(per="channel")])

def model(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hp.hidden), nn.ReLU(), nn.Linear(hp.hidden, 10))

recipe = bs.Recipe(data, model, space=dict(learning_rate=0.01, hidden=4), epochs=1)
"""


@functools.cache
def _whole() -> dict[str, bytes]:
    """The files of one saved model, by name; the recipe lies beside it."""
    folder = scratch()
    file = folder / "mine.py"
    file.write_text(_RECIPE)
    recipe = load_recipe(str(file))
    prepared = prepare(recipe, seed=0)
    values = middle(recipe.full_space())
    model = prepared.model(values, ("a",))
    save_model(folder / "net.safetensors", prepared, values, model.state_dict(), recipe=str(file))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@functools.cache
def _checkpoint() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.safetensors"
        tensors = {
            "w": torch.ones(3, 2),
            "step": torch.tensor(4),
            "half": torch.zeros(2, dtype=torch.bfloat16),
        }
        save_checkpoint(path, tensors, {"epoch": 3, "note": "é"})
        return path.read_bytes()


_ANY = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(
            [
                "builtin",
                "file",
                "memory",
                "digits",
                "mnist",
                "MeanImage",
                "Standardize",
                "PCA",
                "Whiten",
                "softmax",
                "",
                "/etc/passwd",
                "../x.py",
                "\0",
                10**400,
                -1,
            ]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["kind", "name", "path", "sha256", "text", "step", "parameters", "per", "hidden", "x"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@st.composite
def _header(draw: st.DrawFn) -> bytes:
    """A safetensors file whose header says anything."""
    kinds = st.sampled_from(["F32", "F64", "I64", "BF16", "U8", "BOOL", "X", "F8_E4M3"])
    entry = st.fixed_dictionaries(
        {
            "dtype": kinds,
            "shape": st.lists(st.one_of(st.integers(0, 4), st.sampled_from([2**40, 2**63, -1])), max_size=3),
            "data_offsets": st.lists(st.one_of(st.integers(0, 48), st.just(2**50)), min_size=2, max_size=2),
        }
    )
    tensors = draw(
        st.dictionaries(st.sampled_from(["w", "0.weight", "0/mean_"]), st.one_of(entry, _ANY), max_size=2)
    )
    metadata = draw(
        st.one_of(
            st.just({"format": "babysit-checkpoint-1", "data": "{}"}),
            st.fixed_dictionaries(
                {"format": st.sampled_from(["babysit-checkpoint-1", "pt"])},
                optional={
                    "data": st.one_of(st.sampled_from(["{", "[]", "1", "{" * 2000, "[" * 200_000]), st.text())
                },
            ),
            _ANY,
        )
    )
    text = json.dumps({"__metadata__": metadata, **tensors}).encode("utf-8", "replace")
    return struct.pack("<Q", len(text)) + text + bytes(draw(st.integers(0, 48)))


checkpoints = st.one_of(st.deferred(lambda: damaged([_checkpoint()])), _header())


def _load_checkpoint(content: bytes, folder: Path) -> None:
    path = folder / "c.safetensors"
    path.write_bytes(content)
    tensors, data = load_checkpoint(path)
    assert isinstance(data, dict)
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


def _facts() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_whole()["net.recipe.json"])
    return found


@st.composite
def _changed(draw: st.DrawFn) -> dict[str, Any]:
    """The facts with one of them changed, at any depth."""
    facts = _facts()
    place: Any = facts
    while True:
        if isinstance(place, dict) and place:
            key: Any = draw(st.sampled_from(sorted(place)))
        elif isinstance(place, list) and place:
            key = draw(st.integers(0, len(place) - 1))
        else:
            return facts
        if draw(st.booleans()) or not isinstance(place[key], dict | list) or not place[key]:
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = draw(_ANY)
            return facts
        place = place[key]


@st.composite
def models(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of a model, one of them changed; the hash that guards the weights is often made to fit."""
    files = dict(_whole())
    kind = draw(st.sampled_from(["facts", "facts", "json", "weights", "statistics", "none"]))
    if kind == "facts":
        files["net.recipe.json"] = json.dumps(draw(_changed())).encode("utf-8", "replace")
    elif kind == "json":
        files["net.recipe.json"] = draw(
            st.one_of(
                damaged([files["net.recipe.json"]]),
                _ANY.map(lambda value: json.dumps(value).encode("utf-8", "replace")),
                st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff\xfe"]),
            )
        )
    elif kind == "weights":
        files["net.safetensors"] = draw(st.one_of(damaged([files["net.safetensors"]]), _header()))
        if draw(st.booleans()):
            facts = _facts() | {"weights_sha256": hashlib.sha256(files["net.safetensors"]).hexdigest()}
            files["net.recipe.json"] = json.dumps(facts).encode()
    elif kind == "statistics":
        name = "net.preprocessing.safetensors"
        files[name] = draw(st.one_of(damaged([files[name]]), _header()))
    return files


def _load_model(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    model = bs.load(folder / "net.safetensors")
    assert model.predict(torch.zeros(2, 1, 8, 8).numpy()).shape[0] == 2


SURFACES = (
    Surface("models: checkpoints", checkpoints, _load_checkpoint, 40),
    Surface("models: saved models", models(), _load_model, 30),
)
