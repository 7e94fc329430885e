"""Logs: whole ones of many programs, damaged, spliced into one another, and JSON of any depth."""

from __future__ import annotations

import functools
import json
import tempfile
import warnings
from pathlib import Path

from hypothesis import strategies as st

from babysit.readings.logs.formats import NAMES
from babysit.session.diagnose import diagnose_log
from readings.logs import test_search_logs
from readings.logs.printed import PROGRAMS

from .command import attempted
from .damage import damaged
from .harness import Surface

HERE = Path(__file__).parents[1] / "readings" / "logs"


@functools.cache
def _searches() -> list[bytes]:
    forms = (
        test_search_logs.plain_csv,
        test_search_logs.plain_tsv,
        test_search_logs.json_lines,
        test_search_logs.json_list,
        test_search_logs.optuna_frame,
    )
    return [form(test_search_logs.TRIALS).encode() for form in forms]


WHOLE = [
    *(program().encode() for program in PROGRAMS),
    *_searches(),
    *(path.read_bytes() for path in sorted((HERE / "lecture").glob("*.txt"))),
    b'{"log_history": [{"loss": 0.93, "epoch": 1.0, "step": 500}, {"eval_loss": 0.8, "epoch": 2.0}]}',
    b"epoch,step,train_loss,val_loss\n0,10,1.0,\n0,10,,0.9\n1,20,0.8,\n",
]

_NAMES = st.sampled_from(
    [
        "loss",
        "val_loss",
        "epoch",
        "step",
        "acc",
        "lr",
        "params",
        "value",
        "trials",
        "log_history",
        "state",
        "config",
        "metrics",
        "hyperparameters",
        "score",
        "values",
        "x",
        "",
        "number",
        "user_attrs",
        "learning_rate",
        "val_acc",
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        [10**400, -(10**400), 2**63, 1e308, 5e-324, "nan", "1e999", "9" * 5000, "12%", "1,5", "COMPLETE"]
    ),
)
_json = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_NAMES, inner, max_size=5)),
    max_leaves=20,
)
_rows = st.lists(st.dictionaries(_NAMES, _LEAVES, max_size=5), min_size=1, max_size=8)


def _long(number: object) -> bytes:
    return json.dumps(number).encode("utf-8", "surrogatepass")


documents = st.one_of(
    _json.map(_long),
    _rows.map(_long),
    _rows.map(lambda rows: b"\n".join(map(_long, rows))),
    st.dictionaries(_NAMES, st.lists(_LEAVES, max_size=6), max_size=4).map(_long),
    _rows.map(lambda rows: _long({"trials": rows})),
    st.integers(100, 100_000).map(lambda depth: b'{"a":' * depth + b"1" + b"}" * depth),
    st.integers(100, 900).map(lambda depth: b'{"loss": 1, "a":' * depth + b"1" + b"}" * depth),
    st.integers(100, 100_000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.integers(100, 5_000).map(lambda depth: b"{'loss': 1, 'a': " * depth + b"}" * depth),
)
_tables = st.builds(
    lambda names, rows, mark: "\n".join(mark.join(row) for row in [names, *rows]).encode(
        "utf-8", "surrogatepass"
    ),
    st.lists(_NAMES, min_size=1, max_size=5),
    st.lists(st.lists(_LEAVES.map(str), min_size=1, max_size=5), min_size=1, max_size=10),
    st.sampled_from([",", "\t", ";", "  ", "|"]),
)
_lines = st.lists(
    st.builds(
        lambda epoch, name, value, more: f"epoch {epoch} {name} {value} {more}",
        st.one_of(st.integers(), st.sampled_from([10**400, 10**18, -1, "1/0", "5/3"])),
        _NAMES,
        _LEAVES,
        st.text(max_size=5),
    ),
    max_size=12,
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
_encoded = st.builds(
    lambda data, encoding: data.decode("utf-8", "replace").encode(encoding, "replace"),
    st.sampled_from(WHOLE),
    st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7", "shift_jis"]),
)


@functools.cache
def _event_bytes() -> bytes:
    """An event file of TensorBoard with two scalars."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that TensorBoard brings along
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    with tempfile.TemporaryDirectory() as folder:
        writer = EventFileWriter(folder)
        for step in range(1, 9):
            values = [Summary.Value(tag=tag, simple_value=1 / step) for tag in ("loss", "val_loss")]
            writer.add_event(Event(step=step, wall_time=1.0, summary=Summary(value=values)))
        writer.close()
        (file,) = Path(folder).iterdir()
        return file.read_bytes()


_events = st.one_of(st.deferred(lambda: damaged([_event_bytes()], 2)), st.binary(max_size=200))
contents = st.one_of(damaged(WHOLE, 8), damaged(WHOLE, 3), documents, _tables, _lines, _encoded)
logs = st.tuples(
    contents,
    st.sampled_from(["auto", "auto", "auto", *NAMES]),
    st.sampled_from([0, 0, 10, 1, -1, 10**400]),
    st.sampled_from(["", "", "maximize", "minimize", "x"]),
)


def _diagnosed(case: tuple[bytes, str, int, str], folder: Path) -> None:
    content, form, classes, direction = case
    path = folder / "log"
    path.write_bytes(content)
    found = diagnose_log(str(path), form=form, classes=classes, direction=direction)
    assert found.recognized


def _printed(case: tuple[bytes, str, int, str], folder: Path) -> None:
    """The whole command: what was understood must be printable, as words, as JSON and as SARIF."""
    content, form, classes, direction = case
    (folder / "log").write_bytes(content)
    words = ["diagnose", "log", "--format", form, "--classes", str(classes)]
    words += ["--direction", direction] if direction else []
    attempted([*words, "--json", "--sarif", str(folder / "out.sarif")], folder)


def _event_file(content: bytes, folder: Path) -> None:
    path = folder / "events.out.tfevents.1.host"
    path.write_bytes(content)
    diagnose_log(str(path))


SURFACES = (
    Surface("logs: read", logs, _diagnosed, 60),
    Surface("logs: printed", logs, _printed, 20),
    Surface("logs: event files", _events, _event_file, 5),
)
