"""A checkpoint is the former one or the new one, whatever happens while it is written."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from babysit.errors import CheckpointError
from babysit.training import checkpoint
from babysit.training.checkpoint import load_checkpoint, save_checkpoint

WRITING_WHERE_THERE_IS_NO_ROOM = """
import resource, signal, sys
from pathlib import Path
import torch
from babysit.errors import CheckpointError
from babysit.training.checkpoint import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"w": torch.ones(8)}, {"epoch": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(path, {"w": torch.ones(100_000)}, {"epoch": 2})
except CheckpointError as error:
    print(error)
"""
KILLED_BEFORE_THE_RENAME = """
import os, signal, sys
from pathlib import Path
import torch
from babysit.training.checkpoint import save_checkpoint
path = Path(sys.argv[1])
save_checkpoint(path, {"w": torch.ones(8)}, {"epoch": 1})
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
save_checkpoint(path, {"w": torch.zeros(8)}, {"epoch": 2})
"""


def run(script, path):
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_full_disk_keeps_the_former_one(tmp_path):
    path = tmp_path / "a.safetensors"
    done = run(WRITING_WHERE_THERE_IS_NO_ROOM, path)
    assert done.returncode == 0, done.stderr
    assert "cannot write the checkpoint" in done.stdout
    assert "fix: choose a folder that can be written and has room" in done.stdout
    assert load_checkpoint(path)[1] == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_kill_keeps_the_former_one(tmp_path):
    path = tmp_path / "a.safetensors"
    assert run(KILLED_BEFORE_THE_RENAME, path).returncode == -9
    tensors, data = load_checkpoint(path)
    assert data == {"epoch": 1}
    torch.testing.assert_close(tensors["w"], torch.ones(8))
    save_checkpoint(path, {"w": torch.zeros(8)}, {"epoch": 3})  # over what the killed one left
    assert load_checkpoint(path)[1] == {"epoch": 3}
    assert list(tmp_path.iterdir()) == [path]


def test_everything_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.safetensors", []
    monkeypatch.setattr(checkpoint.os, "fsync", lambda _: synced.append(path.exists()))
    save_checkpoint(path, {"w": torch.ones(8)}, {})
    assert synced == [False]


@pytest.mark.parametrize("size", [0, 7, 100, 200])
def test_half_a_file_is_called_damaged(tmp_path, size):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"w": torch.ones(64)}, {})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"damaged[\s\S]*delete it"):
        load_checkpoint(path)
