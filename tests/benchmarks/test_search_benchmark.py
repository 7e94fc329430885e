"""The search benchmark: everybody gets the same, what is measured is plausible, nothing is left running."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers.stopwatch import Mark, training_span
from benchmarks.peers.task import Task
from benchmarks.peers.training import build
from benchmarks.search import CASES, PEERS, RECIPES, ROOT, Options, measure, page, pairs_of

from babysit.recipe.loading import load_recipe
from babysit.recipe.recipe import Hyperparameters
from babysit.recipe.space import middle

KEYS = {
    "case",
    "peer",
    "recipe",
    "precision",
    "flushed",
    "wall_seconds",
    "cpu_seconds",
    "startup_seconds",
    "trial_steps_per_second",
    "trained_steps",
    "asked_steps",
    "best_val_accuracy",
    "ratio_to_babysit",
}
CHANCE = 0.1


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """A small search of the digits by every peer that is installed, two processes each."""
    return measure(Options(("digits",), trials=4, epochs=4, quick=True))


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_is_measured(found: dict[str, Any], peer: str) -> None:
    if find_spec(PEERS[peer].needs) is None:  # looked for, not imported: that would take seconds
        pytest.skip(f"{PEERS[peer].needs} is not installed")
    reasons = {entry["peer"]: entry["reason"] for entry in found["skipped"]}
    if "network of its own" in reasons.get(peer, ""):
        pytest.skip(reasons[peer])
    (row,) = [row for row in found["rows"] if row["peer"] == peer]
    assert set(row) >= KEYS
    assert 0 < row["trial_steps_per_second"] < math.inf
    assert row["ratio_to_babysit"] > 0
    assert 0 < row["startup_seconds"] < row["wall_seconds"]
    assert row["cpu_seconds"] > 0
    assert row["leftovers"] == 0
    if peer != "floor":
        assert row["best_val_accuracy"] > 2 * CHANCE
        # scikit-learn alone trains the remainder of an epoch, too.
        assert row["trained_steps"] == (416 if peer == "sklearn" else 400)


@pytest.mark.slow
def test_the_answer_is_a_table_and_a_document(found: dict[str, Any]) -> None:
    assert json.loads(json.dumps(found))["machine"]["cores"] >= 1
    assert "| babysit | 4 | float32 | yes |" in page(found)


def test_what_cannot_be_measured_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BABYSIT_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = measure(Options(("cifar10",)))
    assert not found["rows"]
    assert [entry["case"] for entry in found["skipped"]] == ["cifar10"]
    assert "no data" in page(found)


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_the_network_is_the_recipes(case: Any) -> None:
    recipe = load_recipe(str(RECIPES / f"{case.recipe}.py"))
    theirs = recipe.model(Hyperparameters(middle(recipe.full_space())))
    task = Task(
        "", case.net, case.shape, case.weight_scale, 1, [], ((1, 1), (1, 1)), 1, 1, True, "", 1, "", ""
    )
    shapes = [[tuple(parameter.shape) for parameter in net.parameters()] for net in (theirs, build(task))]
    assert shapes[0] == shapes[1]


def test_more_trials_begin_with_the_same_pairs() -> None:
    recipe = load_recipe(str(RECIPES / "digits.py"))
    assert pairs_of(recipe, 5)[:2] == pairs_of(recipe, 2)


def test_training_is_separated_from_start_up() -> None:
    checked, loaded = Mark(1, "data", 0.0), Mark(2, "data", 4.0)
    built = [Mark(1, "model", 1.0), Mark(2, "model", 5.0), Mark(3, "model", 6.0)]
    retrained = [Mark(1, "model", 9.0), Mark(1, "model", 9.5)]
    assert training_span([checked, *built, loaded, *retrained]) == (5.0, 9.0)
    assert training_span([checked, *built, loaded]) is None
    assert training_span([checked, *retrained]) is None


ORPHAN = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
INTERFACES = "print([line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]])"


def supervised(folder: Path, network: str, program: str) -> subprocess.CompletedProcess[str]:
    supervise = [
        sys.executable,
        "-m",
        "benchmarks.peers.supervise",
        str(folder / "report.json"),
        "30",
        network,
    ]
    command = [*supervise, sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="adopting orphans is Linux's")
def test_what_a_program_leaves_is_ended(tmp_path: Path) -> None:
    supervised(tmp_path, "shared", ORPHAN)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["returncode"] == 0
    assert report["leftovers"] == 1
    assert report["wall_seconds"] < 30


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces exist on Linux only")
def test_a_network_of_its_own_has_nothing_but_a_loopback(tmp_path: Path) -> None:
    done = supervised(tmp_path, "own", INTERFACES)
    if "network of its own" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert "'lo'" in done.stdout
    assert "eth" not in done.stdout
