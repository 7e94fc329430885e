"""What was found with inputs at random: each input by itself, and what happens with it now."""

from __future__ import annotations

import gzip
import io
import json
import logging
import pickle
import socket
import struct
import zipfile

import numpy as np
import pytest
import torch

import babysit as bs
from babysit.data import sources
from babysit.data.cifar import FOLDER
from babysit.data.pickles import load_arrays
from babysit.errors import CheckpointError, DataError, InputError, RecipeError, SpaceError, StoreError
from babysit.recipe.building import calling
from babysit.session.commands.send import factor_of
from babysit.session.diagnose import diagnose_log
from babysit.store import overview, queries
from babysit.store.reader import Reader
from babysit.store.verifying import verify
from babysit.training.checkpoint import load_checkpoint, save_checkpoint
from babysit.tuning.pruning import parse_seconds
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import MOST, budgets_of, parse_stages
from babysit.views.dashboard.security import RequestRules
from babysit.views.dashboard.server import Server
from babysit.views.dashboard.state import OpenStore, Serving
from data.conftest import cifar_batch
from fuzz import stores
from fuzz.command import attempted
from fuzz.harness import _peak, at_most
from fuzz.models import _facts, _whole
from fuzz.stores import Cell

# Pickles

TUPLES = b"\x80\x02()q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"l}h\x00K\x01s."
"""A tuple of one tuple twice, sixty levels deep, as a key: its hash takes 2^60 steps."""
TEXT = b"X" + struct.pack("<I", 10_000) + b"a" * 10_000
ENCODED = (
    b"\x80\x02(c_codecs\nencode\nq\x00" + TEXT + b"q\x01X\x06\x00\x00\x00latin1q\x02l"
    b"}X\x04\x00\x00\x00data](" + b"h\x00h\x01h\x02\x86R" * 20 + b"es."
)
"""One text, encoded twenty times."""


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\x80\x02}r\xff\xff\xff\x7f", "damaged"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.", "damaged"),
        (b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"a.", "damaged"),
        (TUPLES, "a tuple as a key"),
        (b"\x80\x04\x8f.", "damaged"),
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00xK\x01sb.", "holds a method"),
        (b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00xK\x01sb.", "damaged"),
        (b"\x80\x02Nq\x0aI00\n.", "holds a bool"),
    ],
    ids=["memo", "length", "bytearray", "hash", "set", "function", "class", "place of a line end"],
)
def test_a_pickle_takes_no_more_than_it_is(content, problem):
    before = _peak()
    with at_most(5), pytest.raises((pickle.UnpicklingError, ValueError), match=problem):
        load_arrays(io.BytesIO(content))
    assert _peak() - before < 2**24


@pytest.mark.parametrize("place", [b"r\xff\xff\xff\x7f", b"p99999999999\n"], ids=["bytes", "digits"])
def test_a_high_place_in_a_memo_takes_no_memory(place):
    before = _peak()
    assert load_arrays(io.BytesIO(b"\x80\x02}" + place + b".")) == {}
    assert _peak() - before < 2**24


def test_a_text_that_is_encoded_again_takes_memory_once():
    first, *others = load_arrays(io.BytesIO(ENCODED))["data"]
    assert len(others) == 19
    assert all(other is first for other in others)


def test_labels_that_hold_each_other_are_no_labels(tmp_path):
    labels = [0, 1]
    for _ in range(60):
        labels = [labels, labels]
    folder = tmp_path / FOLDER
    folder.mkdir()
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(cifar_batch(0) | {b"labels": labels}))
    with at_most(5), pytest.raises(DataError, match="labels are not integers from 0 to 9"):
        sources.cifar10(folder)


# Files that promise more than they hold


def idx(shape, content=b""):
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


ZEROS = gzip.compress(bytes(2**24))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(idx([2**32 - 1] * 3)), "cannot hold"),
        (gzip.compress(idx([30])) + ZEROS * 40, "many more bytes"),  # 640 MiB in 650 KiB
        (gzip.compress(idx([2**31])) + ZEROS * 200, "cannot hold"),
        (idx([5])[:6], "ends within its header"),
    ],
    ids=["terabytes", "bomb", "bomb that says so", "cut header"],
)
def test_an_idx_file_is_doubted_before_it_is_unpacked(tmp_path, content, told):
    import resource

    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        shape = [30, 2, 2] if "images" in name else [30]
        whole = idx(shape, bytes(np.prod(shape)))
        (tmp_path / f"{name}-ubyte.gz").write_bytes(
            content if name == "train-labels-idx1" else gzip.compress(whole)
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=told):
        sources.mnist(tmp_path, val=5)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def npy(kind, shape, content=b""):
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


@pytest.mark.parametrize(
    ("x", "packing", "told"),
    [
        (
            npy("<f8", (10**12,)),
            zipfile.ZIP_DEFLATED,
            r"x.npy says that it holds float64 of shape \[1000000000000\]",
        ),
        (npy("<U100000000", (20,)), zipfile.ZIP_DEFLATED, "x.npy says that it holds"),
        (npy("<f8", (639888082217, 0)), zipfile.ZIP_DEFLATED, "no value"),
        (npy("<f8", (2,), bytes(16)), zipfile.ZIP_BZIP2, "is not packed as np.savez_compressed does it"),
    ],
    ids=["shape", "type", "rows of nothing", "packing"],
)
def test_an_npz_file_is_doubted_before_it_is_unpacked(tmp_path, x, packing, told):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w", packing) as archive:
        archive.writestr("x.npy", x)
        archive.writestr(
            "y.npy",
            npy("<f8", (639888082217, 0))
            if "0)" in repr(x) and b"639" in x
            else npy("<i8", (20,), bytes(160)),
        )
    with pytest.raises(DataError, match=told) as caught:
        sources.npz(tmp_path / "mine.npz")
    assert "MemoryError" not in str(caught.value)


def test_a_column_of_texts_does_not_become_gigabytes(tmp_path):
    rows = "".join(f"name{number // 2},{number % 2}\n" for number in range(40_000))
    (tmp_path / "mine.csv").write_text(f"name,kind\n{rows}")
    with at_most(20), pytest.raises(DataError, match="would become 20000 columns of 0 and 1, 6 GiB"):
        sources.csv(tmp_path / "mine.csv", "kind")


@pytest.mark.parametrize("size", [(10**6, 10**6), (0, 4), (2.5, 2), "ab", (4,), (-1, 2)])
def test_images_are_resized_to_what_is_a_size(tmp_path, size):
    with pytest.raises(DataError, match="is not a height and width in pixels"):
        sources.image_folder(tmp_path, size)


# Arrays and tables


@pytest.mark.parametrize(
    ("y", "options", "told"),
    [
        ([0, 10**12], {}, "labels go up to 1000000000000"),
        ([0.0, 1.5e27], {"task": "classification"}, "labels go up to 1499999999999"),
        ([-1e300, 1.0], {"task": "classification"}, "there is a label -1e"),
        ([0.0, 1e300], {}, "holds the target inf"),
        (np.array([0, 2**64 - 1], np.uint64), {}, "labels go up to 18446744073709551615"),
    ],
)
def test_targets_beyond_all_bounds_are_refused(y, options, told):
    x = [[0.0], [1.0]]
    with at_most(5), pytest.raises(DataError, match=told):
        sources.arrays(x, y, x, y, **options)


def test_inputs_that_float32_cannot_hold_are_refused():
    x = [[0.0], [1e300]]
    with pytest.raises(
        DataError, match=r"holds 1e\+300 in row 1(?s:.*)float32, whose largest number is 3.4e\+38"
    ):
        sources.arrays(x, [0, 1], x, [0, 1])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"val": "x"}, "val='x' is neither"),
        ({"test": None}, "test=None is neither"),
        ({"val": True}, "val=True"),
        ({"seed": "x"}, "seed='x' is not a whole number"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_splits_that_are_no_numbers_are_refused(tmp_path, options, told):
    (tmp_path / "mine.csv").write_text("a,kind\n" + "1,x\n2,y\n" * 10)
    with pytest.raises(DataError, match=told):
        sources.csv(tmp_path / "mine.csv", "kind", **options)


def test_a_header_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_bytes(b"\xf3a,kind\n1,x\n")
    with pytest.raises(DataError, match="cannot be read as a CSV file"):
        sources.csv(tmp_path / "mine.csv", "kind")


# What is typed


@pytest.mark.parametrize("text", ["coarse:99999999999x1", "coarse:1x" + "9" * 5000, f"coarse:{MOST + 1}x1"])
def test_more_trials_than_memory_holds_are_no_stage(text):
    with pytest.raises(SpaceError, match="cannot read the stage"):
        parse_stages(text)


def test_the_same_holds_for_trials_that_are_asked_for_alone():
    recipe = bs.recipe.loading.load_recipe("digits")
    with pytest.raises(InputError, match="--trials 1000001 are too many"):
        budgets_of(recipe, SearchSettings(stages="coarse:3x2", trials=MOST + 1))


def test_a_time_without_end_is_no_time():
    with pytest.raises(InputError, match="cannot read the time"):
        parse_seconds("1" * 400)


@pytest.mark.parametrize("text", ["/5e-324", "/1e-400", "x1e999"])
def test_a_factor_without_end_is_no_factor(text):
    with pytest.raises(InputError, match="is not a factor"):
        factor_of(text)


# Recipes, logs


@pytest.mark.parametrize(
    ("field", "value"), [("name", np.zeros(3)), ("name", 1), ("stages", None), ("stages", 3), ("name", None)]
)
def test_a_recipes_words_are_words(field, value):
    with pytest.raises(SpaceError, match=f"{field} = .* is no text"):
        bs.Recipe(bs.data.digits, lambda hp: None, space={"learning_rate": 0.1}, **{field: value})


@pytest.mark.parametrize("error", [GeneratorExit(), BaseExceptionGroup("g", [SystemExit(1)])])
def test_whatever_a_recipe_raises_is_the_recipes(error):
    def data():
        raise error

    with pytest.raises(RecipeError, match=rf"data\(\) raised {type(error).__name__}"):
        calling("data()", data)


def test_an_error_that_cannot_be_told_is_told_by_its_name():
    class MuteError(Exception):
        def __str__(self):
            raise ZeroDivisionError

    def data():
        raise MuteError

    with pytest.raises(RecipeError, match=r"data\(\) raised MuteError at .*test_found.py"):
        calling("data()", data)


def test_a_whole_number_of_any_length_may_stand_in_a_log(tmp_path):
    path = tmp_path / "log"
    rows = [{"epoch": epoch, "loss": 1 / epoch, "x": -(10**400)} for epoch in range(1, 9)]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert diagnose_log(str(path)).recognized == "read 8 epochs of cost from JSON lines"


# Checkpoints, models


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path):
    path = tmp_path / "c.safetensors"
    tensors = {
        "w": torch.ones(3, 2),
        "n": torch.tensor(4),
        "h": torch.zeros(2, dtype=torch.bfloat16),
        "e": torch.ones(0),
    }
    save_checkpoint(path, tensors, {"epoch": 3})
    assert load_checkpoint(path)[1] == {"epoch": 3}
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: its bytes are not those that were written"):
        load_checkpoint(path)


def safetensors(**metadata):
    text = json.dumps({"__metadata__": {"format": "babysit-checkpoint-1", **metadata}}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("metadata", [{}, {"data": "{"}, {"data": "[1]"}, {"data": "[" * 100_000}], ids=str)
def test_a_checkpoint_without_its_data_is_damaged(tmp_path, metadata):
    path = tmp_path / "c.safetensors"
    path.write_bytes(safetensors(**metadata))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)


def test_a_checkpoint_of_an_older_babysit_has_no_sum_and_is_read(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(safetensors(data='{"epoch": 2}'))
    assert load_checkpoint(path) == ({}, {"epoch": 2})


@pytest.mark.parametrize(
    "changed",
    [
        {"classes": None},
        {"recipe": None},
        {"recipe": {"kind": "file", "name": "", "path": {}, "sha256": ""}},
        {"recipe": {"kind": "file", "name": "", "path": "\0", "sha256": ""}},
        {"loss": {}},
        {"preprocessing": True},
        {"preprocessing": [[]]},
        {"preprocessing": [{"step": [], "parameters": {}}]},
        {"hyperparameters": {"hidden": []}},
        {"preprocessing": [{"step": "Standardize", "parameters": {"x": 1}}]},
        {"weights_sha256": 1},
    ],
    ids=str,
)
def test_a_models_facts_of_another_kind_are_refused(tmp_path, changed):
    for name, content in _whole().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "net.recipe.json").write_text(json.dumps(_facts() | changed))
    with pytest.raises(CheckpointError) as caught:
        bs.load(tmp_path / "net.safetensors")
    assert caught.value.fix


def test_deep_json_in_place_of_a_models_facts_is_refused(tmp_path):
    for name, content in _whole().items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "net.recipe.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match=r"net.recipe.json is damaged"):
        bs.load(tmp_path / "net.safetensors")


def test_statistics_that_lack_one_are_refused(tmp_path):
    for name, content in _whole().items():
        (tmp_path / name).write_bytes(content)
    kept = {"0/mean_": torch.zeros(1, 8, 8), "1/mean_": torch.zeros(1)}
    save_checkpoint(tmp_path / "net.preprocessing.safetensors", kept, {})
    model = bs.load(tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"do not fit this model's preprocessing(?s:.*)files are damaged"):
        model.predict(np.zeros((2, 1, 8, 8)))


@pytest.mark.parametrize("name", ["transform", "_x_", "a b_"])
def test_statistics_of_another_name_are_refused(tmp_path, name):
    for file, content in _whole().items():
        (tmp_path / file).write_bytes(content)
    save_checkpoint(tmp_path / "net.preprocessing.safetensors", {f"0/{name}": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=f"holds '{name}' of MeanImage"):
        bs.load(tmp_path / "net.safetensors")


# Stores


@pytest.fixture
def changed(tmp_path):
    """A store with one cell changed."""

    def change(table, column, value):
        path = tmp_path / "runs.sqlite"
        stores._with_cells(stores.whole_store(), [Cell(table, column, 0, value)], path)
        return str(path)

    return change


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("readings", "val_loss", "x"),
        ("run_summary", "spark", b"12"),
        ("run_summary", "spark", 7),
        ("studies", "seed", "1à"),
        ("studies", "state", b"\x87"),
        ("trials", "hyperparameters", "1"),
        ("trials", "hyperparameters", "{"),
        ("run_summary", "state", "x"),
        ("stages", "box", "[1]"),
        ("stages", "trials", "x"),
        ("series", "points", b"123"),
        ("studies", "settings", '{"a":' * 1500),
        ("run_summary", "explosion_step", "[1]"),
    ],
)
def test_a_row_that_nobody_wrote_is_refused(changed, table, column, value):
    def everything(reader):
        for study in queries.studies(reader):
            queries.results(reader, study.id)
            queries.stages(reader, study.id)
            queries.run_summaries(reader, study.id)
            queries.all_costs(reader, study.id)
        verify(reader)

    with Reader(changed(table, column, value)) as reader:
        with pytest.raises(StoreError, match="a row of the store cannot be read") as caught:
            everything(reader)
        assert "backup" in caught.value.fix


@pytest.mark.parametrize(
    ("column", "value"),
    [("train_accuracy", "x"), ("state", "x"), ("spark", 7), ("message", b"x"), ("steps", 1.5)],
)
def test_the_same_for_the_lines_of_a_page(changed, column, value):
    with (
        Reader(changed("run_summary", column, value)) as reader,
        pytest.raises(StoreError, match="is damaged"),
    ):
        overview.lines(reader, 1)


def test_the_same_for_choices(changed):
    with Reader(changed("trials", "hyperparameters", "1, 2")) as reader:
        found = overview.lines(reader, 1)
        with pytest.raises(StoreError, match="hyperparameters of a trial are not an object"):
            overview.choices(found)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("trial_values", "objective", 93465),
        ("trial_intermediate_values", "intermediate_value_type", "x"),
        ("trial_intermediate_values", "step", b"\x15\x91"),
    ],
)
def test_a_storage_that_makes_optuna_raise_is_refused(tmp_path, table, column, value):
    from babysit.session.exchange.optuna import import_from_optuna

    path = tmp_path / "optuna.db"
    stores._with_cells(stores.whole_storage(), [Cell(table, column, 0, value)], path)
    with pytest.raises(InputError, match="Optuna cannot use"):
        import_from_optuna(f"sqlite:///{path}", "", str(tmp_path / "mine.sqlite"))
    assert not (tmp_path / "mine.sqlite").exists()


# HTTP


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["TLS", "a body that is none", "a web socket"],
)
def test_what_is_no_request_prints_nothing(tmp_path, caplog, content):
    store = OpenStore(str(tmp_path / "runs.db"))
    with Server(Serving(store, RequestRules())) as server, caplog.at_level(logging.WARNING):
        answered(server.port, content)
        healthy = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        assert answered(server.port, healthy).endswith(b"ok")
    assert caplog.text == ""


def answered(port, content):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(content)
        answer = b""
        while b"Connection: close" in content or not answer:
            piece = connection.recv(4096)
            if not piece:
                break
            answer += piece
    return answer


def test_a_fault_of_the_dashboards_own_is_still_told(caplog):
    from babysit.views.dashboard.server import _PROPER

    def record(error):
        told = (type(error), error, None)
        return logging.LogRecord(
            "uvicorn.error", logging.ERROR, "", 0, "Exception in ASGI application", (), told
        )

    assert _PROPER.filter(record(KeyError("x")))
    assert not _PROPER.filter(record(type("LocalProtocolError", (Exception,), {})()))


@pytest.mark.parametrize(
    "name", ["a" * 5000, "a/" * 5000, "a" * 300 + "tfevents"], ids=["name", "path", "events"]
)
@pytest.mark.parametrize(
    "words", [["check"], ["diagnose"], ["import"], ["runs", "--store"]], ids=lambda words: words[0]
)
def test_a_path_that_no_file_system_could_hold_is_refused(tmp_path, words, name):
    what = f"optuna:sqlite:///{name}" if words == ["import"] else name
    with pytest.raises(InputError, match="fix:"):
        attempted([*words, what], tmp_path)


# Two frames of a pickle that overlap, as Atheris found them: the unpickler in C calls it a lack of memory.
OVERLAPPING = bytes.fromhex(
    "80059598000000000000007d94284306949e9d966c73945d94284b059598000000000000007d94284306949e9d966c73"
    "945d94284b014b0265430464617461948c136e7558060000006c6162656d70792e5f636f72652e6e756d65726963948c"
    "0b5f66726f6d62756666657294939428960600000000000000000000000000948c056e756d70014b0265430464617461"
    "948c136e756d70792e5f636f72652e6e756d65726963948c0b5f66726f6d627566666572949394289606000000000000"
    "0000000000000094656e636f64650a710158060000006c6162656c73710258060000006c6174696e3071038671045271"
    "055d7106284b014b026568015804000000646174a77107680386718c056e756d7079948c0564747970659493946ffd75"
    "9431898794529488284b038c017c944e4e4e4affff8c0b5f66726f6d6275666665729493942896060043947494529475"
    "2e"
)


def test_frames_that_overlap_are_no_lack_of_memory():
    with pytest.raises(pickle.UnpicklingError, match="a new frame before end of current frame"):
        load_arrays(io.BytesIO(OVERLAPPING))


def test_a_name_that_is_no_text_can_be_written_and_printed(tmp_path):
    answer = attempted(["new", "\udcff.py"], tmp_path)
    assert "wrote \\udcff.py" in answer.out
    (made,) = tmp_path.iterdir()
    compile(made.read_bytes(), "made", "exec")
