"""Logs as they come: of many programs, and damaged. The reader reads them or refuses; it never falls over."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from babysit.errors import InputError
from babysit.readings.logs import source
from babysit.session.diagnose import LogDiagnosis, diagnose_log
from readings.logs import printed
from readings.logs.printed import PROGRAMS


def bounded(examples):
    """So many examples, the same every time."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


TEXTS = [program() for program in PROGRAMS]


def diagnosis(tmp_path, data):
    path = tmp_path / "log"
    path.write_bytes(data)
    return diagnose_log(str(path))


def survives(tmp_path, data):
    """Whatever the bytes are: an answer, or a refusal that names the file and a fix."""
    try:
        answer = diagnosis(tmp_path, data).recognized
    except InputError as refused:
        answer = refused.fix
    assert answer


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_programs_log_is_read_to_its_numbers(program, tmp_path):
    found = diagnosis(tmp_path, program().encode())
    assert isinstance(found, LogDiagnosis)
    assert found.healthy
    readings = found.log.run.readings
    assert [reading.cost for reading in readings] == pytest.approx(printed.COSTS, abs=1e-9)
    known = {"train_accuracy": printed.TRAIN, "val_accuracy": printed.VAL, "val_loss": printed.VAL_LOSS}
    for quantity, expected in known.items():
        values = [getattr(reading, quantity) for reading in readings]
        if quantity in PROGRAMS[program]:
            assert values == pytest.approx(expected, abs=1e-9)
        else:
            assert all(map(math.isnan, values))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_an_encoding_does_not_matter(encoding, tmp_path):
    text = "".join(f"época {e}: epoch {e} loss {c} val_loss {v}\n" for e, c, v, *_ in printed.EPOCHS)
    found = diagnosis(tmp_path, text.encode(encoding))
    assert [reading.cost for reading in found.log.run.readings] == printed.COSTS


def test_zeros_that_a_full_or_unplugged_disk_leaves_do_not_matter(tmp_path):
    text = printed.windows().encode()
    for data in (text + b"\0" * 4096, text[:40] + b"\0\0" + text[40:]):
        assert [reading.cost for reading in diagnosis(tmp_path, data).log.run.readings][-1] == 0.88


def test_what_a_crash_prints_after_the_log_does_not_matter(tmp_path):
    trace = (
        'Traceback (most recent call last):\n  File "train.py", line 42, in <module>\n    main()\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 79.15 GiB total)\n"
    )
    found = diagnosis(tmp_path, (printed.windows() + trace).encode())
    assert [reading.cost for reading in found.log.run.readings] == printed.COSTS


@pytest.mark.parametrize("rank", ["[rank0]: ", "[default0]:", "[1,0]<stdout>:", "Rank 0 | ", "[rank 0] "])
def test_one_process_alone_loses_its_mark(rank):
    assert source.first_process(f"{rank}loss 0.5") == "loss 0.5"


def test_a_process_that_explodes_is_not_hidden_by_the_others(tmp_path):
    lines = [
        f"[rank{rank}]: epoch {e} loss {'nan' if e > 4 else c}"
        for e, c, *_ in printed.EPOCHS
        for rank in (0, 1)
    ]
    found = diagnosis(tmp_path, "\n".join(lines).encode())
    assert [finding.rule for finding in found.findings] == ["loss_not_finite"]


@bounded(50)
@given(text=st.sampled_from(TEXTS), data=st.data())
def test_a_log_cut_anywhere(tmp_path, text, data):
    raw = text.encode()
    start, end = (data.draw(st.integers(0, len(raw))) for _ in range(2))
    survives(tmp_path, raw[min(start, end) : max(start, end)])


@bounded(50)
@given(text=st.sampled_from(TEXTS), damage=st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=8))))
def test_a_log_with_other_bytes_in_it(tmp_path, text, damage):
    raw = bytearray(text.encode())
    for place, other in damage:
        at = place % len(raw)
        raw[at : at + len(other)] = other
    survives(tmp_path, bytes(raw))


@bounded(50)
@given(parts=st.lists(st.sampled_from(TEXTS), min_size=2, max_size=3), seed=st.randoms(use_true_random=False))
def test_logs_of_several_programs_mixed(tmp_path, parts, seed):
    lines = [line for text in parts for line in text.splitlines(keepends=True)]
    seed.shuffle(lines)
    survives(tmp_path, "".join(lines).encode())


WORDS = (
    *("epoch", "loss", "val_acc", "lr", "cost", "trial", "params_lr", "value", "reg: 1", "[rank0]:"),
    *(",", "\t", ":", "=", "\n", "\r", " ", "{", "}", "[", "]", "'", '"', "|", "\x1b[1m", "\x08"),
    *("nan", "inf", "-inf", "1e400", "0", "3/10", "5%", "1e-3", "-1", "²", "١٢", "None", "{'loss': "),
    *("Epoch 1/2\n", "Finished epoch 1 / 2:", "val_acc: 0.1, lr: 1, reg: 1\n", "epoch,loss,acc\n"),
)


@bounded(200)
@given(words=st.lists(st.sampled_from(WORDS), max_size=60))
def test_any_words_in_any_order(tmp_path, words):
    survives(tmp_path, "".join(words).encode())


@bounded(50)
@given(data=st.binary(max_size=400))
def test_any_bytes(tmp_path, data):
    survives(tmp_path, data)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "text",
    [
        "loss 0.5 " * 60_000,
        "x" * 600_000,
        "epoch 1 loss " + "9" * 300_000,
        "1" * 300_000 + "e" + "1" * 300_000,
        "epoch,loss\n" + "1," * 200_000,
        "{" * 200_000,
        "[" * 200_000,
        '{"a":' * 100_000,
        "{'loss': " * 60_000,
        "Trial 1 finished with value: 1 and parameters: {" * 3_000,
        " " * 400_000 + "loss 1",
        "a_" * 200_000 + " 1",
        "\r" * 400_000,
        "\x1b[" * 200_000,
        "\x1b]" * 200_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_a_line_without_end_takes_no_time_without_end(tmp_path, text):
    """Half a megabyte of nonsense: a pattern that backs up would take minutes."""
    survives(tmp_path, text.encode())
