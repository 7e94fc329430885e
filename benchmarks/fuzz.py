"""Fuzzing of every surface that takes input from outside: no input may crash, hang or fill memory.

    python -m benchmarks.fuzz [--seconds 600] [--only WORD] [--seed N] [--json]

The properties are those of tests/fuzz, which try a few inputs of each surface in the test run; here each gets
its share of the time, with other inputs every time. An input is accepted, refused with babysit's own error
(which says what, where and a fix), or a finding: another exception, an exit, a hang, much memory, a changed
store. Exit code 1 if there is a finding; each is printed with the smallest input found for it.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # its helpers import one another so

from fuzz import SURFACES, dashboards
from fuzz.harness import ACCEPTED, REFUSED, Surface, judge

BATCH = 200
"""So many inputs are made from one seed before the clock is looked at."""


@dataclass
class Tally:
    """What came of one surface.

    Attributes:
        surface: its name.
        tried: inputs.
        accepted, refused: of these.
        findings: what was found -> the smallest input for which it was.
        seconds: that were spent.
    """

    surface: str
    tried: int = 0
    accepted: int = 0
    refused: int = 0
    findings: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def note(self, problem: str, case: str) -> None:
        """Keeps a finding; those that differ only in their numbers are one."""
        kind = re.sub(r"\d+|0x\w+|'[^']*'", "#", problem.splitlines()[0])[:200]
        if kind not in self.findings:
            print(f"FINDING in {self.surface}: {problem}\n    {case[:2000]}", file=sys.stderr, flush=True)
        self.findings[kind] = min(self.findings.get(kind, case), case, key=len)


class _Short:
    """A case that does not tell hypothesis all that is in it."""

    def __init__(self, case: Any) -> None:
        self.case = case

    def __repr__(self) -> str:
        return "case"


def fuzz(surface: Surface, seconds: float, draw: random.Random, folder: Path) -> Tally:
    """Tries a surface for some time, whatever is found."""
    tally = Tally(surface.name)
    began = time.monotonic()

    def attempt(short: _Short) -> None:
        if time.monotonic() - began > seconds:
            return
        tally.tried += 1
        try:
            outcome = judge(surface, short.case, folder)
        except AssertionError as found:
            tally.note(str(found) or "a broken promise", repr(short.case))
            return
        tally.accepted += outcome == ACCEPTED
        tally.refused += outcome == REFUSED

    bounded = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() - began < seconds:
        seed(draw.getrandbits(64))(bounded(given(surface.cases.map(_Short))(attempt)))()
    tally.seconds = round(time.monotonic() - began, 1)
    return tally


def table(tallies: list[Tally]) -> str:
    """The figures, as they stand in docs/reliability.md."""
    lines = ["| surface | inputs | accepted | refused | findings |", "|---|---|---|---|---|"]
    for one in tallies:
        numbers = " | ".join(f"{count:,}" for count in (one.tried, one.accepted, one.refused))
        lines.append(f"| {one.surface} | {numbers} | {len(one.findings)} |")
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600, help="for all surfaces together")
    parser.add_argument("--only", default="", help="surfaces whose name holds this")
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    chosen = [surface for surface in SURFACES if asked.only.lower() in surface.name.lower()]
    if not chosen:
        parser.error(f"no surface has {asked.only!r} in its name: {', '.join(one.name for one in SURFACES)}")
    first = random.SystemRandom().getrandbits(32) if asked.seed is None else asked.seed
    print(f"seed {first}", file=sys.stderr)
    draw = random.Random(first)
    warnings.simplefilter("error")
    tallies = []
    for surface in chosen:
        with tempfile.TemporaryDirectory(prefix="babysit-fuzz-") as folder:
            tallies.append(fuzz(surface, asked.seconds / len(chosen), draw, Path(folder)))
    dashboards.stop()
    print(json.dumps([asdict(one) for one in tallies], indent=1) if asked.json else table(tallies))
    return int(any(one.findings for one in tallies))


if __name__ == "__main__":
    sys.exit(main())
