"""A saved model comes back as it was, or says clearly why it does not."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import MinMaxScaler
from torch import nn

import babysit as bs
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import arrays, digits
from babysit.errors import CheckpointError, InputError, RecipeError
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import middle
from babysit.session.models.export import save_model
from babysit.session.models.onnx import require_onnx, try_save_onnx

TEXT = """
import babysit as bs
from babysit.data.preprocessing import MeanImage, Standardize
from torch import nn

def data():
    return bs.data.digits(preprocess=[MeanImage(), Standardize(per="channel")])

def model(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hp.hidden), nn.BatchNorm1d(hp.hidden), nn.ReLU(),
                         nn.Dropout(0.5), nn.Linear(hp.hidden, 10))

recipe = bs.Recipe(data, model, space=dict(learning_rate=0.01, hidden=12), epochs=1)
"""


def saved(tmp_path, name, recipe, **changed):
    """A model with random weights, saved; returns its file, itself, and the data set it saw."""
    prepared = prepare(recipe, seed=0)
    hyperparameters = {**middle(recipe.full_space()), **changed}
    model = prepared.model(hyperparameters, ("a",))
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0, generator=torch.Generator().manual_seed(tensor.numel()))
    path = tmp_path / "net.v2.safetensors"
    save_model(path, prepared, hyperparameters, model.state_dict(), recipe=name)
    return path, model.eval(), prepared.at(hyperparameters).dataset


@pytest.fixture
def from_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(TEXT)
    return file, *saved(tmp_path, str(file), load_recipe(str(file)))


def test_a_recipes_model_comes_back_with_its_preprocessing(from_file):
    _, path, model, dataset = from_file
    before = torch.random.get_rng_state()
    loaded = bs.load(path)
    assert torch.equal(torch.random.get_rng_state(), before)
    raw = dataset.test.x
    assert not loaded.training
    assert np.array_equal(loaded.preprocess(raw).numpy(), dataset.inputs(raw))
    with torch.no_grad():
        expected = model(torch.from_numpy(dataset.inputs(raw)))
        assert torch.equal(loaded(loaded.preprocess(raw)), expected)
    assert torch.equal(loaded.predict(raw), expected.argmax(1))
    assert loaded.hyperparameters["hidden"] == 12
    assert loaded.classes == tuple("0123456789")


def test_no_file_is_a_pickle(from_file):
    _, path, *_ = from_file
    facts = json.loads(path.with_suffix(".recipe.json").read_text())
    assert facts["recipe"]["text"] == TEXT
    assert [step["step"] for step in facts["preprocessing"]] == ["MeanImage", "Standardize"]
    assert set(facts["versions"]) == {"babysit", "torch", "numpy", "python"}
    for file in path.parent.glob("net.v2*"):
        assert not file.read_bytes().startswith((b"\x80", b"PK"))


@pytest.mark.parametrize(
    "steps", ["none", "mean_image", "channel_mean", "standardize", "pca(components=9)", "pca_whiten"]
)
def test_every_step_comes_back(tmp_path, steps):
    width = 9 if "components" in steps else 64
    recipe = Recipe(
        digits,
        lambda hp: nn.Sequential(nn.Flatten(), nn.Linear(width, 10)),
        space={"learning_rate": 0.1, "preprocessing": steps},
    )
    path, _, dataset = saved(tmp_path, "in memory", recipe)
    loaded = bs.load(path, recipe)
    assert np.array_equal(loaded.preprocess(dataset.val.x).numpy(), dataset.inputs(dataset.val.x))


def test_a_changed_recipe_is_refused_unless_it_is_passed(from_file):
    file, path, model, dataset = from_file
    file.write_text(TEXT + "\n# a remark\n")
    with pytest.raises(RecipeError, match=r"mine\.py has changed since") as caught:
        bs.load(path)
    assert "net.v2.recipe.json" in caught.value.fix
    assert "recipe=" in caught.value.fix
    x = torch.from_numpy(dataset.inputs(dataset.val.x))
    assert torch.equal(bs.load(path, str(file))(x), model(x))
    file.write_text(TEXT.replace("hp.hidden", "13"))
    with pytest.raises(RecipeError, match="builds another network"):
        bs.load(path, str(file))


def test_a_recipe_that_moved_beside_the_weights_is_found_and_one_that_is_gone_is_named(from_file, tmp_path):
    file, path, *_ = from_file
    (tmp_path / "away").mkdir()
    for each in tmp_path.glob("net.v2*"):
        each.rename(tmp_path / "away" / each.name)
    file.rename(tmp_path / "away" / "mine.py")
    assert bs.load(tmp_path / "away" / path.name).hyperparameters["hidden"] == 12
    (tmp_path / "away" / "mine.py").unlink()
    with pytest.raises(RecipeError, match=r"mine\.py .* is gone"):
        bs.load(tmp_path / "away" / path.name)


def test_a_recipe_made_in_memory_is_to_be_passed(tmp_path):
    recipe = replace(load_recipe("digits"), name="mine")
    path, model, dataset = saved(tmp_path, "mine", recipe)
    with pytest.raises(RecipeError, match="made in memory"):
        bs.load(path)
    x = torch.from_numpy(dataset.inputs(dataset.val.x))
    assert torch.equal(bs.load(path, recipe)(x), model(x))


def test_a_built_in_recipe_is_found_by_name(tmp_path):
    path, model, dataset = saved(tmp_path, "digits", load_recipe("digits"))
    x = torch.from_numpy(dataset.inputs(dataset.val.x))
    assert torch.equal(bs.load(str(path))(x), model(x))


def test_files_that_are_missing_damaged_or_of_another_model_are_named(from_file, tmp_path):
    _, path, *_ = from_file
    facts, statistics = path.with_suffix(".recipe.json"), path.with_suffix(".preprocessing.safetensors")
    whole = facts.read_text()
    with pytest.raises(CheckpointError, match=r"there is no file .*none"):
        bs.load(tmp_path / "none.safetensors")
    foreign = "not a recipe file"
    for text, words in (("{", "is damaged"), ("[]", foreign), ('{"format": "x"}', foreign)):
        facts.write_text(text)
        with pytest.raises(CheckpointError, match=words):
            bs.load(path)
    facts.write_text(whole)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="not the file that"):
        bs.load(path)
    facts.unlink()
    with pytest.raises(CheckpointError, match=r"there is no file .*recipe\.json"):
        bs.load(path)
    facts.write_text(whole)
    saved(tmp_path, str(tmp_path / "mine.py"), load_recipe(str(tmp_path / "mine.py")))
    statistics.unlink()
    with pytest.raises(CheckpointError, match=r"there is no file .*preprocessing\.safetensors"):
        bs.load(path)


def test_a_foreign_step_is_not_saved_and_says_so_when_it_is_needed(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    y = np.arange(30) % 3
    recipe = Recipe(
        lambda: arrays(x[:20], y[:20], x[20:], y[20:], preprocess=[MeanImage(), MinMaxScaler()]),
        lambda hp: nn.Linear(4, 3),
        space={"learning_rate": 0.1},
    )
    path, model, dataset = saved(tmp_path, "in memory", recipe)
    loaded = bs.load(path, recipe)
    seen = torch.from_numpy(dataset.inputs(x))
    assert torch.equal(loaded(seen), model(seen))
    with pytest.raises(InputError, match="was not saved"):
        loaded.preprocess(x)


def test_a_regressions_predictions_are_its_outputs(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    recipe = Recipe(
        lambda: arrays(x[:20], x[:20, 0], x[20:], x[20:, 0]),
        lambda hp: nn.Linear(4, 1),
        loss="mse",
        space={"learning_rate": 0.1},
    )
    path, model, _ = saved(tmp_path, "in memory", recipe)
    assert torch.equal(bs.load(path, recipe).predict(x), model(torch.from_numpy(x)).detach())


def test_without_its_packages_onnx_is_refused_before_anything_trains(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "onnx" else find(name, *more)
    )
    with pytest.raises(InputError, match=r"need the packages? onnx") as caught:
        require_onnx()
    assert "babysit[onnx]" in caught.value.fix


def test_what_onnx_cannot_express_is_reported_and_raises_nothing(tmp_path, monkeypatch):
    prepared = prepare(load_recipe("digits"), seed=0)
    hyperparameters = middle(prepared.recipe.full_space())

    def export(*_, **__):
        raise ValueError("no word for this\nand more")

    monkeypatch.setattr(torch.onnx, "export", export)
    weights = prepared.model(hyperparameters, ("a",)).state_dict()
    found = try_save_onnx(tmp_path / "net.safetensors", prepared, hyperparameters, weights)
    assert found == {"onnx_error": "ValueError: no word for this"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_onnx_file_gives_the_networks_outputs_for_any_number_of_rows(tmp_path):
    import onnxruntime as runtime

    prepared = prepare(load_recipe("digits"), seed=0)
    hyperparameters = middle(prepared.recipe.full_space())
    model = prepared.model(hyperparameters, ("a",)).eval()
    found = try_save_onnx(tmp_path / "net.safetensors", prepared, hyperparameters, model.state_dict())
    session = runtime.InferenceSession(found["onnx"], providers=["CPUExecutionProvider"])
    for rows in (1, 7):
        x = prepared.evaluation.val_x[:rows]
        (outputs,) = session.run(["outputs"], {"inputs": x.numpy()})
        assert np.allclose(outputs, model(x).detach().numpy(), atol=1e-5)
