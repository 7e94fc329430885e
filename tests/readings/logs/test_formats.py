"""Every format, written by hand as its tool prints it: recognized by itself, and read to the same numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from babysit.errors import InputError
from babysit.readings.logs import formats, quantities, source, tensorboard
from babysit.readings.logs.formats import FORMATS, read_log, recognized
from babysit.readings.logs.training_log import log_of
from babysit.session.diagnose import diagnose_log

LOGS = Path(__file__).parent / "formats"
COSTS = [1.92, 1.55, 1.31, 1.12, 0.98, 0.88]
VAL_LOSS = [1.61, 1.40, 1.22, 1.10, 1.03, 0.99]
TRAIN = [0.31, 0.44, 0.53, 0.60, 0.66, 0.70]
VAL = [0.42, 0.50, 0.56, 0.61, 0.64, 0.66]

# file -> its format, and what stands in it besides the cost
FILES = {
    "keras.txt": ("keras", {"train_accuracy", "val_accuracy", "val_loss"}),
    "lightning_metrics.csv": ("lightning", {"train_accuracy", "val_accuracy", "val_loss", "learning_rate"}),
    "huggingface.txt": ("huggingface", {"val_accuracy", "val_loss", "learning_rate"}),
    "trainer_state.json": ("trainer_state", {"val_accuracy", "val_loss", "learning_rate"}),
    "table.csv": ("table", {"train_accuracy", "val_accuracy", "val_loss", "learning_rate"}),
    "table.tsv": ("table", {"val_accuracy", "val_loss"}),
    "lines.jsonl": ("jsonl", {"train_accuracy", "val_accuracy", "val_loss", "learning_rate"}),
    "history.json": ("history", {"train_accuracy", "val_accuracy", "val_loss"}),
    "fastai.txt": ("aligned", {"val_accuracy", "val_loss"}),
    "plain.txt": ("lines", {"train_accuracy"}),
    "plain_sections.txt": ("lines", {"train_accuracy", "val_accuracy", "val_loss"}),
    "pytorch_mnist_example.txt": ("lines", {"val_accuracy", "val_loss"}),
    "imagenet_example.txt": ("lines", {"train_accuracy"}),
}


def values(readings, name):
    return [getattr(reading, name) for reading in readings]


@pytest.mark.parametrize("file", FILES)
def test_a_format_is_recognized_and_read(file):
    name, quantities = FILES[file]
    text = source.text_of(str(LOGS / file))
    assert recognized(text, file).name == name
    log, title = read_log(text, file)
    readings = log.run.readings
    assert log.unit == "epoch"
    assert values(readings, "cost") == pytest.approx(COSTS, abs=1e-9)
    expected = {"train_accuracy": TRAIN, "val_accuracy": VAL, "val_loss": VAL_LOSS}
    for quantity, printed in expected.items():
        found = values(readings, quantity)
        if quantity in quantities:
            assert found == pytest.approx(printed, abs=1e-9)
        else:
            assert all(map(math.isnan, found))
    assert ("learning rate" in log.describe(title)) is ("learning_rate" in quantities)
    assert log.describe(title).startswith("read 6 epochs of cost")
    assert diagnose_log(str(LOGS / file)).healthy


def test_every_format_of_the_table_has_a_file_or_the_lectures_logs():
    assert {name for name, _ in FILES.values()} | {"lecture"} == {known.name for known in FORMATS}


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_every_format_recognizes_its_own_example(known):
    assert recognized(known.example, "example").name == known.name
    assert log_of(known.read(known.example)).run.last is not None


@pytest.mark.parametrize("file", FILES)
def test_asking_for_the_format_by_name_gives_the_same(file):
    text = source.text_of(str(LOGS / file))
    assert read_log(text, file, FILES[file][0]) == read_log(text, file)


def test_the_cost_after_an_iteration():
    log, title = read_log(source.text_of(str(LOGS / "course_iterations.txt")), "it")
    assert log.describe(title) == "read 10 steps of cost from plain lines"
    assert log.run.readings[1].cost == 0.646432
    assert log.run.last.epoch == 900


def test_steps_between_validations_are_averaged():
    log, _ = read_log(source.text_of(str(LOGS / "nanogpt.txt")), "it")
    assert log.unit == "step"
    assert log.run.last.val_loss == pytest.approx(4.25 * 0.8**5, abs=1e-4)


def test_a_log_with_nothing_to_read_says_what_was_looked_for():
    with pytest.raises(InputError) as refused:
        read_log("hello\nworld 12\n", "notes.txt")
    for known in FORMATS:
        assert known.example.splitlines()[-1] in str(refused.value)
    assert "notes.txt" in str(refused.value)
    assert refused.value.fix


def test_a_named_format_that_does_not_fit_shows_an_example():
    with pytest.raises(InputError, match="Keras"):
        read_log("epoch 1 loss 0.5", "it", "keras")


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("loss", "cost"),
        ("train_loss_epoch", "cost"),
        ("Training Loss", "cost"),
        ("val_sparse_categorical_accuracy", "val_accuracy"),
        ("eval/accuracy", "val_accuracy"),
        ("metrics/test_acc", "val_accuracy"),
        ("validLoss", "val_loss"),
        ("train/global_step", "step"),
        ("lr-SGD/pg1", "learning_rate"),
        ("Learning Rate", "learning_rate"),
        ("epoch", "epoch"),
        ("time", ""),
        ("best_acc", ""),
        ("val_acc5", ""),
        ("eval_samples_per_second", ""),
        ("perplexity", ""),
    ],
)
def test_what_a_name_means(name, means):
    assert quantities.meaning(name) == means


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("epoch 3 loss 0.5 acc 0.9", {"epoch": 3, "cost": 0.5, "train_accuracy": 0.9}),
        ("Epoch [3/10], Step [100/600], Loss: 0.25", {"epoch": 3, "step": 100, "cost": 0.25}),
        ("epoch=3 train_loss=5e-1 val_loss=.6", {"epoch": 3, "cost": 0.5, "val_loss": 0.6}),
        ("Train Loss: 0.5 | Train Acc: 80.5%", {"cost": 0.5, "train_accuracy": 0.805}),
        ("Val. Loss: 0.5 | Acc: 80/100", {"val_loss": 0.5, "val_accuracy": 0.8}),
        (
            "| epoch   3 |   200/ 2928 batches | lr 5.00 | loss  6.90",
            {"epoch": 3, "learning_rate": 5, "cost": 6.9},
        ),
        ("epoch: 3, loss: nan", {"epoch": 3, "cost": math.nan}),
        ("epoch 3 loss inf", {"epoch": 3, "cost": math.inf}),
        ("[2024-01-01 10:00:00] [INFO] iter 20 - loss: 1.0e+00", {"step": 20, "cost": 1}),
        ("Epoch 3: 100%|####| 938/938 [00:10<00:00, 90.1it/s, loss=0.5]", {"epoch": 3, "cost": 0.5}),
    ],
)
def test_a_plain_line(line, row):
    (found,) = formats.plain_lines.read(line)
    assert found == pytest.approx(row, nan_ok=True)


@pytest.mark.parametrize(
    "line", ["nothing", "loss", "0.5 0.6", "version 2.0", "lossless 3", "finance 3 info 4"]
)
def test_a_line_that_says_nothing(line):
    assert formats.plain_lines.recognizes(line) == 0


def test_percentages_and_shares_are_the_same():
    rows = [{"epoch": e, "loss": 1 / e, "val_acc": a} for e, a in enumerate((0.4, 45.0, 61.5), 1)]
    assert values(log_of(rows).run.readings, "val_accuracy") == [0.004, 0.45, 0.615]


def test_a_single_nan_that_recovers_is_no_explosion():
    rows = [{"epoch": e, "loss": cost} for e, cost in enumerate((1.0, math.nan, 0.8, 0.7), 1)]
    assert log_of(rows).run.explosion is None
    assert log_of(rows[:2]).run.explosion.epoch == 2


def test_powershells_encoding_colours_and_line_ends_do_not_matter(tmp_path):
    path = tmp_path / "log.txt"
    path.write_bytes("\x1b[32mepoch 1\x1b[0m loss 0.5\r\nepoch 2 loss 0.4\r\n".encode("utf-16"))
    log, _ = read_log(source.text_of(str(path)), "it")
    assert values(log.run.readings, "cost") == [0.5, 0.4]


@pytest.fixture
def event_folder(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path / "run"))
    rows = zip(COSTS, VAL_LOSS, VAL, strict=True)
    for step, (cost, val_loss, val) in enumerate(rows, 1):
        for tag, value in (("Loss/train", cost), ("Loss/val", val_loss), ("Accuracy/val", val)):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(step=step, wall_time=float(step), summary=summary))
    writer.close()
    return tmp_path / "run"


@pytest.mark.filterwarnings("ignore")
def test_tensorboards_event_files_are_read(event_folder):
    for where in (event_folder, next(event_folder.iterdir())):
        found = diagnose_log(str(where))
        assert found.recognized == "read 6 steps of cost, val accuracy, val loss from TensorBoard's events"
        assert values(found.log.run.readings, "val_loss") == pytest.approx(VAL_LOSS)


def test_event_files_without_tensorboard_name_the_fix(tmp_path, monkeypatch):
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(b"\0")

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(tensorboard.importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"babysit\[tensorboard\]"):
        diagnose_log(str(path))
