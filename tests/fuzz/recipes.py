"""Recipe files: what is missing, of another kind, raises or ends the process; and what is no Python."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from babysit.session.jobs.job import Job, open_job

from .damage import damaged
from .harness import Surface

_HEAD = (
    "import sys\nimport os\nimport babysit as bs\nimport numpy as np\nimport torch\nfrom torch import nn\n"
)
_VALUES = st.sampled_from(
    [
        "None",
        "1",
        "-1",
        "0",
        "1.5",
        "float('nan')",
        "'x'",
        "''",
        "[]",
        "{}",
        "()",
        "object()",
        "lambda: 1",
        "lambda *a: None",
        "10**400",
        "print",
        "int",
        "nn.Linear(64, 10)",
        "torch.zeros(3)",
        "np.zeros(3)",
        "bs",
        "bs.log_uniform(1e-4, 1e-2)",
        "bs.choice(1, 'a')",
        "bs.when('hidden', 20, 0.5)",
        "b'x'",
        "{1: 2}",
        "{'learning_rate': None}",
        "range(3)",
        "True",
    ]
)
_BODIES = st.sampled_from(
    [
        "pass",
        "return 1",
        "raise ValueError('\\x1b[31m[red]no[/red]')",
        "raise SystemExit(3)",
        "sys.exit()",
        "exit('x')",
        "1 / 0",
        "return undefined",
        "raise RuntimeError",
        "yield 1",
        "return data()",
        "raise MemoryError",
        "raise Exception('\\ud800')",
        "assert False",
        "raise KeyError",
        "return hp.nothing",
        "raise type('E', (Exception,), {'__str__': lambda s: 1/0})()",
        "raise StopIteration",
        "raise GeneratorExit",
        "raise ExceptionGroup('g', [ValueError(1)])",
    ]
)
_DATA = st.one_of(
    st.sampled_from(
        [
            "return bs.data.digits()",
            "return bs.data.digits(), 1",
            "return bs.data.csv('nothing.csv', 'y')",
            "return bs.data.arrays(np.zeros((4, 3)), [0, 1, 0, 1], np.zeros((2, 3)), [0, 1])",
            "return bs.data.arrays(np.zeros((4, 3)), np.zeros(4), np.zeros((2, 3)), np.zeros(2))",
            "return bs.data.arrays(np.zeros((4, 3, 2, 2, 2)), [0, 1, 0, 1], np.zeros((1, 3, 2, 2, 2)), [0])",
            "return bs.data.digits().train",
            "return bs.data.digits(seed='x')",
            "return bs.data.npz('/dev/null')",
        ]
    ),
    _BODIES,
    _VALUES.map("return {}".format),
)
_MODEL = st.one_of(
    st.sampled_from(
        [
            "return bs.nn.two_layer(64, hp.hidden)",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))",
            "return nn.Linear(3, 10)",
            "return nn.Identity()",
            "return nn.Flatten()",
            "return nn.Sequential()",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 0))",
            "return nn.LSTM(8, 10)",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, dtype=torch.float64))",
            "return nn.Linear",
            "return nn.ModuleList()",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).half()",
            "return nn.LazyLinear(10)",
            "return nn.Embedding(3, 10)",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 10).requires_grad_(False))",
            "return nn.Sequential(nn.Flatten(), nn.Linear(64, 10, device='meta'))",
            "m = nn.Flatten(); m.forward = None; return m",
            "m = nn.Linear(1, 1); m.forward = lambda x: None; return m",
            "m = nn.Linear(1, 1); m.forward = lambda x: sys.exit(); return m",
            "m = nn.Linear(1, 1); m.forward = lambda x: (x, x); return m",
        ]
    ),
    _BODIES,
    _VALUES.map("return {}".format),
)
_SPACE = st.one_of(
    st.just("dict(learning_rate=bs.log_uniform(1e-4, 1e-2), hidden=20)"),
    st.builds(
        lambda name, value: f"dict(learning_rate=0.01, hidden=20, {name}={value})",
        st.sampled_from(
            ["l2", "dropout", "batch_size", "momentum", "update", "schedule", "preprocessing", "x"]
        ),
        _VALUES,
    ),
    st.builds("dict(learning_rate={})".format, _VALUES),
    _VALUES,
)
_OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            "loss",
            "update",
            "schedule",
            "learning_rate_decay",
            "batch_size",
            "epochs",
            "stages",
            "name",
            "enqueue",
            "x",
        ]
    ),
    _VALUES,
    max_size=2,
)


class Written(NamedTuple):
    """A recipe file and how it is named."""

    text: bytes
    ending: str


@st.composite
def files(draw: st.DrawFn) -> Written:
    """A recipe file with something wrong in one to all of its parts."""
    data, model, space = draw(_DATA), draw(_MODEL), draw(_SPACE)
    for_data, for_model = (
        draw(st.sampled_from(["", "", "", "x", "*, x"])),
        draw(st.sampled_from(["hp", "hp", "hp", "", "a, b"])),
    )
    options = "".join(f", {name}={value}" for name, value in draw(_OPTIONS).items())
    call = draw(
        st.sampled_from(
            [
                "recipe = bs.Recipe(data, model, space=SPACE OPTIONS)",
                "recipe = bs.Recipe(data, model, space=SPACE OPTIONS)",
                "recipe = bs.Recipe(None, model, space=SPACE OPTIONS)",
                "recipe = bs.Recipe(data, 3, space=SPACE OPTIONS)",
                "recipe = 3",
                "",
                "one = two = bs.Recipe(data, model, space=SPACE OPTIONS)",
                "recipe = bs.Recipe()",
                "sys.exit(0)",
                "a = bs.Recipe(data, model, space=SPACE)\nb = bs.Recipe(data, model)",
                "os._exit",
            ]
        )
    )
    call = call.replace("SPACE", space).replace(" OPTIONS", options)
    text = f"{_HEAD}\ndef data({for_data}):\n    {data}\n\ndef model({for_model}):\n    {model}\n\n{call}\n"
    return Written(
        text.encode("utf-8", "surrogatepass"), draw(st.sampled_from(["", "", "", ":recipe", ":nothing", ":"]))
    )


_VALID = (
    f"{_HEAD}\ndef data():\n    return bs.data.digits()\n\n"
    "def model(hp):\n    return bs.nn.two_layer(64, hp.hidden)\n\n"
    "recipe = bs.Recipe(data, model, space=dict(learning_rate=0.01, hidden=20))\n"
).encode()
_ODD = [
    b"\0",
    b"\xff\xfe\xff",
    b"# coding: nothing\n",
    b"(" * 2000,
    b"x = " + b"-" * 20_000 + b"1",
    b"\t \tx",
    b"1 +",
    b"if",
    b"\x0c",
    b"x = '''",
    b"def f(:",
    b"[" * 150 + b"]" * 150,
    b"# coding: utf-7\n+AAA-",
    b"a" * 100_000,
    b"match = 1\r\rx",
    b"from . import y",
]
recipe_files = st.one_of(
    files(),
    files(),
    st.sampled_from(_ODD).map(lambda text: Written(text, "")),
    damaged([_VALID], 2).filter(lambda text: b"os." not in text).map(lambda text: Written(text, "")),
)


def _open(case: Written, folder: Path) -> None:
    path = folder / "mine.py"
    path.write_bytes(case.text)
    open_job(Job(f"{path}{case.ending}"))


SURFACES = (Surface("recipes: files", recipe_files, _open, 30, of_users=True),)
