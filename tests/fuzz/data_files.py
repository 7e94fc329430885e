"""Files of data: valid ones damaged, and ones that are made wrong in their parts."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet as arrow_parquet

from babysit.data import sources
from babysit.data.cifar import FILES, FOLDER
from babysit.data.idx import PARTS

from .damage import damaged
from .harness import Surface

RNG = np.random.default_rng(0)


def _used(dataset: Any) -> None:
    """What babysit does with a data set first; it must work on whatever was accepted."""
    for split in (dataset.train, dataset.val, dataset.test):
        if split is not None:
            assert len(split.x) == len(split.y) > 0
            assert np.isfinite(dataset.inputs(split.x)).all(), "inputs that are not finite were accepted"
            assert np.isfinite(split.y).all(), "targets that are not finite were accepted"
    assert dataset.input_shape is not None
    if dataset.task == "classification":
        assert int(dataset.train.y.max()) < dataset.num_classes


# CIFAR-10


def _batch(rows: int = 4, protocol: int = 2) -> bytes:
    images = RNG.integers(0, 256, (rows, 3072), dtype=np.uint8)
    held = {b"batch_label": b"one", b"labels": [n % 10 for n in range(rows)], b"data": images}
    return pickle.dumps(held, protocol)


BATCHES = [_batch(protocol=protocol) for protocol in (0, 1, 2, 4, 5)]
_GLOBALS = (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"), ("os", "system"))
_OPCODES = st.sampled_from(
    [
        b"(",
        b".",
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"]",
        b"a",
        b"e",
        b"}",
        b"s",
        b"u",
        b")",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x8f",
        b"\x90",
        b"\x91",
        b"R",
        b"b",
        b"\x81",
        b"\x92",
        b"\x93",
        b"\x94",
        b"Q",
        b"o",
        b"l",
        b"d",
        b"q\x00",
        b"h\x00",
        b"r\xff\xff\xff\xff",
        b"r\x00\x00\x00\x40",
        b"K\x05",
        b"X\x04\x00\x00\x00data",
        b"U\x06labels",
        b"B\xff\xff\xff\x7f",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f",
        b"\x95\xff\xff\xff\xff\xff\x00\x00\x00",
        b"\x8b\xff\xff\xff\x7f",
        b"\x8a\xff",
        b"I99999999\n",
        b"\x96\x00\x00\x00\x00\x01\x00\x00\x00",
        b"\x97",
        b"\x98",
        *(f"c{module}\n{name}\n".encode() for module, name in _GLOBALS),
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"cnumpy.core.numeric\n_frombuffer\n",
    ]
)

pickles = st.one_of(
    damaged(BATCHES),
    st.lists(_OPCODES, max_size=40).map(lambda parts: b"\x80\x02" + b"".join(parts) + b"."),
    st.fixed_dictionaries(
        {},
        optional={
            "data": st.one_of(
                st.sampled_from([(0, 3072), (4, 3072), (4, 3071), (4,), (), (2, 2, 3072)]).map(
                    lambda shape: np.zeros(shape, np.uint8)
                ),
                st.sampled_from(["<f8", ">i2", "?", "S3", "M8[s]"]).map(
                    lambda kind: np.zeros((4, 3072), kind)
                ),
                st.none(),
                st.text(max_size=4),
            ),
            "labels": st.one_of(
                st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=2), st.none()), max_size=5),
                st.lists(st.lists(st.integers(0, 9), max_size=2), max_size=4),
                st.just([0, 1, 2, 3]),
                st.integers(),
                st.just(np.zeros(4, ">i2")),
            ),
        },
    ).map(pickle.dumps),
)


def _cifar(content: bytes, folder: Path) -> None:
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    for name in FILES:
        if not (place / name).exists():
            (place / name).write_bytes(_batch())
    (place / "data_batch_1").write_bytes(content)
    _used(sources.cifar10(place, val=3))


def _tar(content: bytes, kind: str = "w:gz", size: int | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=kind) as archive:
        for name in FILES:
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            body = content if name == "data_batch_1" else BATCHES[2]
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return made.getvalue()


archives = st.one_of(
    damaged([_tar(BATCHES[2]), _tar(BATCHES[2], "w:xz")]),
    damaged([_tar(BATCHES[2], "w:")]).map(gzip.compress),
    st.builds(_tar, damaged(BATCHES)),
)


def _cifar_archive(content: bytes, folder: Path) -> None:
    path = folder / "cifar.tar.gz"
    path.write_bytes(content)
    _used(sources.cifar10(path, val=3))


# IDX


def _idx(values: np.ndarray[Any, Any], kind: int = 8) -> bytes:
    header = struct.pack(">BBBB", 0, 0, kind, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


IMAGES = _idx(RNG.integers(0, 256, (12, 28, 28)))
LABELS = _idx(np.arange(12) % 10)


@st.composite
def _idx_header(draw: st.DrawFn) -> bytes:
    shape = draw(st.lists(st.integers(0, 2**32 - 1), max_size=4))
    body = draw(st.integers(0, 3000))
    return (
        bytes([0, 0, draw(st.sampled_from([8, 9, 13])), draw(st.integers(0, 4))])
        + struct.pack(f">{len(shape)}I", *shape)
        + bytes(body)
    )


_plain_idx = st.one_of(damaged([IMAGES, LABELS]), _idx_header())
_bombs = st.builds(
    lambda shape, zeros: gzip.compress(
        struct.pack(">BBBB", 0, 0, 8, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + bytes(zeros)
    ),
    st.sampled_from([(12, 28, 28), (2**32 - 1,) * 3, (2**31,), (60000, 28, 28), (300_000_000,)]),
    st.sampled_from([0, 2**20, 2**24]),
)
idx_files = st.tuples(
    st.sampled_from(PARTS[:2]),
    st.one_of(
        _plain_idx, _plain_idx.map(gzip.compress), damaged([gzip.compress(IMAGES), gzip.compress(LABELS)])
    ),
)
idx_bombs = st.tuples(st.sampled_from(PARTS[:2]), _bombs)


def _mnist(case: tuple[str, bytes], folder: Path) -> None:
    part, content = case
    for name, whole in zip(PARTS, (IMAGES, LABELS) * 2, strict=True):
        (folder / f"{name}.gz").write_bytes(content if name == part else gzip.compress(whole))
    _used(sources.mnist(folder, val=3))


# NumPy's archives


def _npz(**held: Any) -> bytes:
    made = io.BytesIO()
    np.savez(made, **held)
    return made.getvalue()


NPZ = _npz(x=RNG.normal(size=(20, 3)), y=np.arange(20) % 2)
_KINDS = st.sampled_from(
    [
        "<f8",
        "<f4",
        "<f2",
        ">f8",
        "|u1",
        "<i8",
        "<u8",
        "|b1",
        "<c16",
        "<U5",
        "|S5",
        "<M8[s]",
        "<m8[D]",
        "|O",
        "<f16",
        "|V8",
        "<U2000000000",
    ]
)


@st.composite
def _npy(draw: st.DrawFn) -> bytes:
    """An array whose header may promise anything."""
    kind = draw(_KINDS)
    shape = draw(
        st.one_of(
            st.sampled_from(["(20,)", "(20, 3)", "(0,)", "()", "(20, 0)", "(20, 1)", "(20, 2, 2)"]),
            st.sampled_from(["(1000000000000,)", "(-1,)", "(2**40,)", "(99999999999999999999,)", "(3.5,)"]),
            st.tuples(st.integers(0, 2**62), st.integers(0, 4)).map(str),
        )
    )
    header = f"{{'descr': {kind!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape}, }}\n".encode()
    body = draw(st.one_of(st.binary(max_size=64), st.just(bytes(480)), st.just(b"\xff" * 480)))
    body = body * draw(st.integers(1, 3))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@st.composite
def _zipped(draw: st.DrawFn) -> bytes:
    names = st.sampled_from(
        ["x.npy", "y.npy", "x_train.npy", "y_train.npy", "x_val.npy", "y_val.npy", "x_test.npy", "x", "../y"]
    )
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # one name twice
        for name in draw(st.one_of(st.just(["x.npy", "y.npy"]), st.lists(names, max_size=5))):
            archive.writestr(name, draw(st.one_of(_npy(), damaged([_saved(np.arange(20.0))]))))
    return made.getvalue()


def _saved(values: np.ndarray[Any, Any]) -> bytes:
    made = io.BytesIO()
    np.save(made, values)
    return made.getvalue()


npz_files = st.one_of(damaged([NPZ]), _zipped())


def _read_npz(content: bytes, folder: Path) -> None:
    path = folder / "mine.npz"
    path.write_bytes(content)
    _used(sources.npz(path))


# Mapped files

NPY_X, NPY_Y = _saved(RNG.normal(size=(20, 3))), _saved(np.arange(20) % 2)
npy_files = st.tuples(
    st.one_of(st.just(NPY_X), damaged([NPY_X, _saved(np.eye(20) > 0)]), _npy()),
    st.one_of(st.just(NPY_Y), damaged([NPY_Y, _saved(np.array(["a", "b"] * 10))]), _npy()),
)


def _read_npy(case: tuple[bytes, bytes], folder: Path) -> None:
    for name, content in zip("xy", case, strict=True):
        path = folder / f"{name}.npy"
        path.unlink(missing_ok=True)  # who mapped the former one keeps it
        path.write_bytes(content)
    _used(sources.npy(folder / "x.npy", folder / "y.npy"))


# Arrays

_numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from([2**62, 2**63, 2**64, 10**400, 1e300, -1, 10**12]),
)
_cells = st.one_of(
    _numbers, st.text(max_size=3), st.none(), st.complex_numbers(), st.binary(max_size=3), st.dates()
)
_rows = st.one_of(
    st.lists(st.lists(_numbers, min_size=2, max_size=2), min_size=3, max_size=5),
    st.lists(st.lists(_cells, max_size=3), max_size=5),
    st.lists(st.one_of(_cells, st.lists(_cells, max_size=2)), max_size=5),
    st.sampled_from(["<f4", "<f8", "|u1", "<M8[s]", "<c8", "|O", "<U3", "|V4"]).map(
        lambda kind: np.zeros((4, 2), kind)
    ),
    _cells,
)
_labels = st.one_of(
    st.lists(st.sampled_from([0, 1]), min_size=3, max_size=5), st.lists(_numbers, max_size=5), _rows
)
given_arrays = st.fixed_dictionaries(
    {
        "x_train": _rows,
        "y_train": _labels,
        "x_val": _rows,
        "y_val": _labels,
        "task": st.sampled_from(["auto", "classification", "regression", "auto", "x"]),
    },
    optional={"classes": st.lists(st.text(max_size=2), max_size=3), "x_test": _rows, "y_test": _labels},
)


@st.composite
def _equal_arrays(draw: st.DrawFn) -> dict[str, Any]:
    """Training and validation split alike, so that the values themselves are looked at."""
    count = draw(st.integers(2, 4))
    values = draw(st.sampled_from([_numbers, st.floats(), st.integers(), st.text(max_size=2)]))
    x = draw(st.lists(st.lists(_numbers, min_size=2, max_size=2), min_size=count, max_size=count))
    y = draw(st.lists(values, min_size=count, max_size=count))
    task = draw(st.sampled_from(["auto", "classification", "regression"]))
    return {"x_train": x, "y_train": y, "x_val": x, "y_val": y, "task": task}


arrays_cases = st.one_of(given_arrays, _equal_arrays())


def _arrays(case: dict[str, Any], folder: Path) -> None:
    _used(sources.arrays(**case))


# Tables

CSVS = [
    b"size,colour,kind\n" + b"1,red,apple\n2,blue,plum\n" * 10,
    b"a;b;c\n" + b"1.5;2;3\n" * 12,
    b'name,kind\n"a ""quoted"" one",x\n"two\nlines",y\n' * 6,
    b"\xef\xbb\xbfx,kind\r\n" + b"nan,0\r\n1e999,1\r\n" * 6,
]
_cell = st.one_of(
    st.text(max_size=4),
    _numbers.map(str),
    st.sampled_from(["", "nan", "inf", "-0", "1e308", "NULL", '"', "01"]),
)
_tables = st.builds(
    lambda header, rows, ending: ending.join(",".join(row) for row in [header, *rows]).encode(
        "utf-8", "surrogatepass"
    ),
    st.lists(st.sampled_from(["kind", "a", "b", "", "ä", "kind "]), min_size=1, max_size=4),
    st.lists(st.lists(_cell, min_size=2, max_size=2), max_size=25),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
_table_options = st.fixed_dictionaries(
    {},
    optional={
        "task": st.sampled_from(["classification", "regression"]),
        "missing": st.just("mean"),
        "header": st.just(False),
        "delimiter": st.sampled_from([";", "\t", "", "ab", "\n", '"', "é"]),
        "ignore": st.sampled_from([["a"], "a", ["nothing"]]),
        "val": st.sampled_from([0.2, 1, 3, -1, 1.5, float("nan"), float("inf"), 10**30, "x", None]),
        "seed": st.sampled_from([1, -1, 2**70, 1.5, "x"]),
    },
)
csv_files = st.tuples(st.one_of(damaged(CSVS), _tables), _table_options)


def _csv(case: tuple[bytes, dict[str, Any]], folder: Path) -> None:
    content, options = case
    path = folder / "mine.csv"
    path.write_bytes(content)
    label = "f0" if options.get("header") is False else "kind"
    _used(sources.csv(path, label, **options))


def _parquet(table: pa.Table, **options: Any) -> bytes:
    made = io.BytesIO()
    arrow_parquet.write_table(table, made, **options)
    return made.getvalue()


FRUIT = pa.table({"size": [1.0, 2.0] * 10, "colour": ["red", "blue"] * 10, "kind": ["apple", "plum"] * 10})
PARQUETS = [_parquet(FRUIT), _parquet(FRUIT, compression="zstd"), _parquet(FRUIT, use_dictionary=False)]
_columns = st.sampled_from(
    [
        pa.array([1, 2] * 10),
        pa.array([None] * 20),
        pa.array([[1], [2, 3]] * 10),
        pa.array([b"a", b"\xff"] * 10),
        pa.array([{"a": 1}] * 20),
        pa.array([2**63] * 20, pa.uint64()),
        pa.array([float("nan"), None] * 10),
        pa.array([1, 2] * 10, pa.timestamp("s")),
        pa.array(["a", None] * 10).dictionary_encode(),
        pa.array([True, None] * 10),
        pa.array([1e300, -1e300] * 10),
        pa.array([1, 2] * 10, pa.decimal128(38, 10)),
        pa.array([10**12, 5] * 10),
        pa.array(["a\x00b", ""] * 10),
    ]
)
parquet_files = st.one_of(
    damaged(PARQUETS),
    st.dictionaries(st.sampled_from(["kind", "a", "b"]), _columns, min_size=1).map(
        lambda columns: _parquet(pa.table(columns))
    ),
)


def _read_parquet(content: bytes, folder: Path) -> None:
    path = folder / "mine.parquet"
    path.write_bytes(content)
    _used(sources.parquet(path, "kind"))


# Images


def _image(kind: str, mode: str = "RGB", size: tuple[int, int] = (6, 5)) -> bytes:
    made = io.BytesIO()
    Image.new(mode, size, 7 if mode in ("L", "P", "I;16") else None or 0).save(made, kind)
    return made.getvalue()


IMAGE_FILES = [
    _image("PNG"),
    _image("PNG", "P"),
    _image("PNG", "RGBA"),
    _image("PNG", "I;16"),
    _image("JPEG"),
    _image("JPEG", "CMYK"),
    _image("BMP"),
    _image("GIF", "P"),
    _image("WEBP"),
    _image("TIFF"),
    _image("PPM"),
]
_HUGE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
image_files = st.tuples(
    st.sampled_from(["b.png", "b.jpg", "b.gif", "b.TIFF", "b.webp", "b.ppm", "b.bmp"]),
    st.one_of(
        damaged(IMAGE_FILES),
        damaged([_HUGE + bytes(4), b"P6 99999 99999 255\n", b"P5 17000 17000 255\n\0", b"P1 100000 1\n1"]),
        st.sampled_from(IMAGE_FILES),
    ),
    st.sampled_from([None, (4, 4), (0, 4), (10**6, 10**6), (-1, 2), (2.5, 2), "ab", (4,)]),
    st.booleans(),
)


def _image_folder(case: tuple[str, bytes, Any, bool], folder: Path) -> None:
    name, content, size, in_memory = case
    for label in ("cat", "dog"):
        place = folder / label
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        for number in range(4):
            (place / f"a{number}.png").write_bytes(IMAGE_FILES[0])
    (folder / "cat" / name).write_bytes(content)
    _used(sources.image_folder(folder, size, in_memory=in_memory, val=2, test=2))


SURFACES = (
    Surface("data: CIFAR pickles", pickles, _cifar),
    Surface("data: CIFAR archives", archives, _cifar_archive, 10),
    Surface("data: idx", idx_files, _mnist, 25),
    Surface("data: idx bombs", idx_bombs, _mnist, 2),
    Surface("data: npz", npz_files, _read_npz, 30),
    Surface("data: npy", npy_files, _read_npy, 30),
    Surface("data: arrays", arrays_cases, _arrays, 40),
    Surface("data: csv", csv_files, _csv, 30),
    Surface("data: parquet", parquet_files, _read_parquet, 25),
    Surface("data: images", image_files, _image_folder, 20),
)
