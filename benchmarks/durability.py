"""Durability: kill -9 at random moments; nothing finished may be lost, repeated or unreadable.

    python -m benchmarks.durability [--kills 200] [--kinds search,write] [--seed 0] [--store URL] [--json]

Six kinds of processes are killed in turn:

- search: a search that resumes with --resume;
- workers: the same with two worker processes, one of which is killed; the search must end with the reason;
- train: a training that resumes from its checkpoint (one an epoch here, so that many kills hit one);
- write: a plain writer that reports after every commit what it has finished;
- read: a reader beside a writer that is not killed;
- dashboard: `babysit dashboard`, beside a writer that is not killed, while a client reads pages and news and
  posts requests to a running trial (benchmarks/killing/dashboards.py).

A kill comes at a moment drawn evenly over the time that an undisturbed process takes. After each:

- the store opens, and ``babysit store verify`` finds nothing;
- every trial that had finished is there with the same run and version: neither lost nor trained again;
- every checkpoint and every saved model with its final name loads;
- every request that a killed dashboard had acknowledged is in the store once, any other once or not at all,
  and a new dashboard answers at once and shows them.

A round ends when a process ends without a kill: then all trials are there, in the states of an undisturbed
run, and a new round starts. Progress is printed on stderr. Exit code 1 if a single promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks.killing import working
from benchmarks.killing.dashboards import killed_dashboards
from benchmarks.killing.looking import Counts, Tell
from benchmarks.killing.processes import strike_worker
from benchmarks.killing.rounds import Killing, killed_readers

KINDS = ("search", "workers", "train", "write", "read", "dashboard")


def measure(kills: int, seed: int = 0, store: str = "", kinds: tuple[str, ...] = KINDS) -> dict[str, Counts]:
    """Kills this number of processes in total, equally many of each kind."""
    torch.set_num_threads(1)
    working.prepare()
    found = {}
    with tempfile.TemporaryDirectory(prefix="babysit-durability-") as folder:
        for position, kind in enumerate(kinds):
            share = kills // len(kinds) + (position < kills % len(kinds))
            started = time.monotonic()
            progress = Progress(kind, share)
            found[kind] = _killed(kind, Path(folder), store, random.Random(f"{seed} {kind}"), share, progress)
            found[kind].seconds = time.monotonic() - started
            progress.last(found[kind])
    return found


def _killed(kind: str, root: Path, store: str, chance: random.Random, kills: int, tell: Tell) -> Counts:
    if kind == "read":
        return killed_readers(root, store, chance, kills, tell)
    if kind == "dashboard":
        return killed_dashboards(root, store, chance, kills, tell)
    make = partial(Killing, kill=strike_worker) if kind == "workers" else Killing
    return make(getattr(working, kind), root, store, chance, tell).run(kills)


class Progress:
    """Progress on stderr: the number of kills, every few seconds.

    Args:
        kind: what is killed.
        kills: how often it will be.
    """

    EVERY = 5.0

    def __init__(self, kind: str, kills: int) -> None:
        self._kind, self._kills, self._started = kind, kills, time.monotonic()
        self._next = self._started + self.EVERY

    def __call__(self, counts: Counts) -> None:
        """Prints the progress if the interval is over."""
        if time.monotonic() >= self._next:
            self.last(counts)

    def last(self, counts: Counts) -> None:
        """Prints the progress in any case."""
        self._next = time.monotonic() + self.EVERY
        seconds = time.monotonic() - self._started
        progress = (
            f"{self._kind}: {counts.kills} of {self._kills} kills, {len(counts.broken)} broken promises"
        )
        print(f"{progress}, {seconds:.0f} s", file=sys.stderr, flush=True)


def table(found: dict[str, Counts]) -> str:
    """Formats the counts and the broken promises as text."""
    heads = ("killed", "kills", "rounds", "finished trials", "files", "broken", "seconds")
    lines = ["{:10}{:>6}{:>8}{:>17}{:>7}{:>8}{:>9}".format(*heads)]
    for kind, one in found.items():
        lines.append(
            f"{kind:10}{one.kills:6}{one.rounds:8}{one.finished:17}{one.files:7}{len(one.broken):8}{one.seconds:9.0f}"
        )
    for kind, one in found.items():
        if one.more:
            lines.append(f"{kind}: " + ", ".join(f"{name} {value:g}" for name, value in one.more.items()))
        lines += [f"  {promise}" for promise in one.broken[:5]]
    return "\n".join(lines)


def _kinds(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    if unknown := [kind for kind in chosen if kind not in KINDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return chosen


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.durability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=200, help="in all, default 200")
    parser.add_argument("--kinds", type=_kinds, default=KINDS, help="these kinds alone, with commas between")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, default 0")
    parser.add_argument("--store", default="", help="a server's URL; default a file in a temporary folder")
    parser.add_argument("--json", action="store_true", help="as JSON")
    chosen = parser.parse_args()
    found = measure(chosen.kills, chosen.seed, chosen.store, chosen.kinds)
    if chosen.json:
        print(json.dumps({kind: asdict(one) for kind, one in found.items()}, indent=2))
    else:
        print(table(found))
    raise SystemExit(1 if any(one.broken for one in found.values()) else 0)


if __name__ == "__main__":
    main()
