"""Detection of faults: the right cause first, and no finding for a healthy program; babysit and peers.

    python -m benchmarks.faults [--json] [--peers] [--only WORD] [--set zoo|field|issues] [--steps N]
    python -m benchmarks.faults --calibrate

Three sets: the fault zoo of tests/faults; the field, which rebuilds programs from forums and repositories;
and the issues, which rebuild later finds, most from GitHub's issues. Each is in parts, of which some were
used to choose thresholds and repair ("tuned", "A", "issues A") and some were not ("held out", "later", "B",
"issues B"). `babysit.check` runs before training, `babysit.watch` on a loop; "babysit" is the check's report
and, if that is empty, the watch's. With --peers, torchtest2, torchmortem and torch-audit (pip install them)
are run too; benchmarks/peers/fault_finders.py maps their findings to problems. --calibrate counts how often
each detector's problem was the right one when it named a cause, and writes the table of confidences that the
reasoner uses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from tests.faults import FAULTY, FIELD, HEALTHY, ISSUES
from tests.faults.rebuilt_programs import Job, Program
from tests.faults.zoo import Case
from tests.readings.logs.curves import HEALTHY as HEALTHY_CURVES
from tests.readings.logs.curves import SICK as SICK_CURVES

import babysit
from babysit.checks.detectors import DETECTORS as CHECKS
from babysit.checks.measured import measure as measured
from babysit.checks.program import copied
from babysit.diagnosis import confidence
from babysit.diagnosis.detection import run_each
from babysit.diagnosis.reasoning import diagnose
from babysit.readings.context import Context, Readings
from babysit.readings.detectors import DETECTORS as READINGS
from babysit.readings.logs import formats
from babysit.readings.logs.chance import guessed_classes
from babysit.verdicts import Severity
from babysit.watching.detectors import DETECTORS as WATCH
from babysit.watching.exceptions import KNOWN
from benchmarks.peers.fault_finders import FINDERS, RANK, Said, causes_of, installed, quietly

OURS = ("babysit", "check", "watch")
SEEDS = range(3)
"""Of the made curves."""


@dataclass(frozen=True)
class Outcome:
    """Report of one tool on one program.

    Attributes:
        tool: the name of the tool.
        name: the name of the program.
        part: "tuned", "held out", "later", "A", "B", "issues A" or "issues B".
        faulty: whether anything is wrong with it.
        expected: the right answers that this tool has a name for.
        said: the causes (of a peer: the kinds of findings), most likely first.
        place: of the right one, from 1; 0 when it is missing.
        worst: the worst severity of the findings, or nothing.
        seconds: the tool's time, with the loop where it needs one.
        slowdown: the loop's time with the tool, in units of its time without.
        raised: the exception, where there was one.
    """

    tool: str
    name: str
    part: str
    faulty: bool
    expected: tuple[str, ...]
    said: tuple[str, ...]
    place: int
    worst: str
    seconds: float
    slowdown: float = 0.0
    raised: str = ""


@dataclass(frozen=True)
class Answer:
    """What a tool says: its causes in order, and the severities of its findings."""

    causes: tuple[frozenset[str], ...]
    said: tuple[str, ...]
    severities: tuple[str, ...]


def of_zoo(case: Case) -> Program:
    """A program of the zoo, trained by the usual loop: the watch is asked for what it has a detector for."""
    known = {detector.problem.name for detector in WATCH} | {problem.name for _, problem, *_ in KNOWN}
    watched = case.causes if known & set(case.causes) else ()
    return Program(case.name, "zoo", case.causes, watched, bool(case.causes), lambda: Job(*case.build()))


def programs(only: str = "", chosen: str = "") -> list[tuple[str, Program]]:
    """All programs with the part they are in."""
    # A search for doctests imports the zoo under a second name: then each of its programs is there twice.
    cases = {case.name: case for case in reversed([*FAULTY, *HEALTHY])}
    zoo = [(case.half, of_zoo(case)) for case in reversed(cases.values())]
    field = [(program.half, program) for program in FIELD]
    issues = [(f"issues {program.half}", program) for program in ISSUES]
    sets = {"zoo": zoo, "field": field, "issues": issues}
    every = [pair for name, pairs in sets.items() if chosen in ("", name) for pair in pairs]
    return [(part, program) for part, program in every if only in program.name]


def _ours(report: Any) -> Answer:
    rules = tuple(cause.rule for cause in report.serious)
    severities = tuple(str(finding.severity) for finding in report.findings)
    return Answer(tuple(frozenset([rule]) for rule in rules), rules, severities)


def by_check(job: Job, steps: int) -> Answer:
    """Our check."""
    return _ours(babysit.check(*job.parts))


def by_watch(job: Job, steps: int) -> Answer:
    """Our watch, also of a loop that ends with an exception."""
    with contextlib.suppress(Exception), babysit.watch(job.model, job.optimizer, loss=job.loss) as watch:
        job.run(steps, watch.step)
    return _ours(watch.report())


def unasked(job: Job, steps: int) -> Answer:
    """Of a program whose batches are no (inputs, targets) a look at a batch tells nothing."""
    return Answer((), (), ())


def by_peer(name: str) -> Callable[[Job, int], Answer]:
    """A peer's findings. Those of its severity "info" are no causes."""
    find = FINDERS[name][1]

    def ask(job: Job, steps: int) -> Answer:
        said = quietly(find, job, steps)
        named = [one for one in said if one.severity != "info"]
        return _of_peer(name, named, said)

    return ask


def _of_peer(name: str, named: list[Said], said: list[Said]) -> Answer:
    causes = tuple(causes_of(name, one.kind) for one in named)
    return Answer(causes, tuple(one.kind for one in named), tuple(one.severity for one in said))


def plain(job: Job, steps: int) -> float:
    """Seconds of the loop without any tool."""
    torch.manual_seed(0)
    start = time.perf_counter()
    job.run(steps, lambda loss: None)
    return time.perf_counter() - start


def ask(
    tool: str, part: str, program: Program, expected: tuple[str, ...], find: Any, steps: int, bare: float
) -> Outcome:
    """One tool on one program, freshly built."""
    job, raised = program.build(), ""
    torch.manual_seed(0)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = find(job, steps)
    except Exception as error:
        answer, raised = Answer((), (), ()), f"{type(error).__name__}: {error}"[:120]
    seconds = time.perf_counter() - start
    place = next((i for i, causes in enumerate(answer.causes, 1) if causes & set(expected)), 0)
    worst = min(answer.severities, key=RANK.__getitem__, default="")
    slowdown = seconds / bare if bare else 0.0
    return Outcome(
        *(
            tool,
            program.name,
            part,
            program.faulty,
            expected,
            answer.said,
            place,
            worst,
            seconds,
            slowdown,
            raised,
        )
    )


def both(check: Outcome, watch: Outcome) -> Outcome:
    """The check's answer and, where it has no cause, the watch's."""
    first = check if check.said else watch
    worst = min((o.worst for o in (check, watch) if o.worst), key=RANK.__getitem__, default="")
    seconds = check.seconds + watch.seconds
    expected = (*check.expected, *watch.expected)
    place = first.place
    return Outcome(
        "babysit", check.name, check.part, check.faulty, expected, first.said, place, worst, seconds
    )


def examine(part: str, program: Program, steps: int, peers: list[str]) -> list[Outcome]:
    """All tools on one program."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bare = plain(program.build(), steps)
    except Exception:
        bare = 0.0  # the program itself raises, which some faults do
    before = by_check if program.checkable else unasked
    check = ask("check", part, program, program.accepted("check"), before, steps, 0.0)
    watch = ask("watch", part, program, program.accepted("watch"), by_watch, steps, bare)
    right = (*program.check, *program.watch)
    others = []
    for name in peers:
        early = name == "torchtest2"  # which looks at a batch, as the check does
        find = unasked if early and not program.checkable else by_peer(name)
        others.append(ask(name, part, program, right, find, steps, bare * (not early)))
    return [both(check, watch), check, watch, *others]


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """The counts of one tool's outcomes. A fault it has no name for is counted apart."""
    faulty = [o for o in outcomes if o.faulty and o.expected]
    healthy = [o for o in outcomes if not o.faulty]
    slow = [o.slowdown for o in outcomes if o.slowdown and not o.raised]
    return {
        "faulty": len(faulty),
        "right cause first": sum(o.place == 1 for o in faulty),
        "in the first three": sum(1 <= o.place <= 3 for o in faulty),
        "any finding": sum(bool(o.said) for o in faulty),
        "faults it has no name for": sum(o.faulty and not o.expected for o in outcomes),
        "healthy": len(healthy),
        "false errors": sum(o.worst == "error" for o in healthy),
        "false warnings": sum(o.worst == "warning" for o in healthy),
        "info only": sum(o.worst == "info" for o in healthy),
        "raised": sum(bool(o.raised) for o in healthy),
        "seconds, median": median([o.seconds for o in outcomes] or [0.0]),
        "slow-down, median": median(slow or [0.0]),
    }


def measure(
    only: str = "", chosen: str = "", *, peers: bool = False, steps: int = 200, progress: Any = None
) -> dict[str, Any]:
    """All figures: each part of the sets and each tool, and every program's outcomes."""
    torch.set_num_threads(1)
    present = list(installed()) if peers else []
    outcomes: list[Outcome] = []
    for part, program in programs(only, chosen):
        found = examine(part, program, steps, present)
        outcomes += found
        if progress is not None:
            progress(found)
    parts = list(dict.fromkeys(o.part for o in outcomes))
    tables = {
        part: {
            tool: summary([o for o in outcomes if o.tool == tool and part in (o.part, "all")])
            for tool in tools
        }
        for tools in [[*OURS, *present]]
        for part in [*parts, "all"]
    }
    missing = [name for name in FINDERS if peers and name not in present]
    return {"figures": tables, "missing peers": missing, "outcomes": [asdict(o) for o in outcomes]}


@dataclass(frozen=True)
class Calibration:
    """What the calibration saw.

    Attributes:
        counts: the key of a detector -> how often it named a cause, and how often that was the right one.
        first: the name of a program -> door -> the cause that it named first; "" where it was silent.
    """

    counts: dict[str, list[int]]
    first: dict[str, dict[str, str]]


def calibrate(steps: int = 200, progress: Any = None) -> Calibration:
    """Counts for each detector how often it named a cause, and how often that was the right one.

    Over all programs of all sets at both doors, and over the made curves of the readings' tests. A detector
    names a cause where its finding is a warning or an error that no other finding explains.

    Args:
        steps: of each loop.
        progress: called with the name of each program.
    """
    torch.set_num_threads(1)
    found = Calibration({}, {})
    for _, program in programs():
        first = found.first.setdefault(program.name, {})
        if progress is not None:
            progress(program.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if program.checkable:
                torch.manual_seed(0)
                with copied(*program.build().parts) as parts:
                    right = program.accepted("check")
                    first["check"] = _count(found.counts, CHECKS, measured(parts), "", right)
            job = program.build()
            torch.manual_seed(0)
            watch = babysit.watch(job.model, job.optimizer, loss=job.loss)
            with contextlib.suppress(Exception), watch:
                job.run(steps, watch.step)
            first["watch"] = _count(found.counts, WATCH, watch.log(), "step", program.accepted("watch"))
    for made in (*HEALTHY_CURVES.values(), *SICK_CURVES.values()):
        curve, right = made if isinstance(made, tuple) else (made, "")
        for seed in SEEDS:
            log = formats.read_log(json.dumps(curve(seed)), "curve", formats.AUTO)[0]
            classes = guessed_classes(log.run)
            chance = (math.log(classes), 1 / classes) if classes else (math.nan, math.nan)
            _count(found.counts, READINGS, Readings(log.run, Context(*chance, {})), "epoch", [right])
    return found


def _count(
    counts: dict[str, list[int]], detectors: Any, subject: Any, unit: str, right: Collection[str]
) -> str:
    """Adds one subject's causes to the counts; returns the first of them."""
    asked = [(detector.key, answer.finding) for detector, answer in run_each(detectors, subject, unit)]
    found = [(key, finding) for key, finding in asked if finding is not None]
    causes = diagnose(finding for _, finding in found).serious
    for cause in causes:
        # The reasoner may have made a warning of a remark.
        same = replace(cause.finding, severity=Severity.INFO)
        key = next(key for key, finding in found if replace(finding, severity=Severity.INFO) == same)
        named = counts.setdefault(key, [0, 0])
        named[0] += 1
        named[1] += cause.rule in right
    return causes[0].rule if causes else ""


def write_counts(counts: dict[str, list[int]]) -> None:
    """Writes the table that the reasoner uses, one line a detector."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(counts[key])}" for key in sorted(counts))
    Path(confidence.__file__).with_name(confidence.TABLE).write_text(f"{{\n{lines}\n}}\n")


def print_progress(found: list[Outcome]) -> None:
    """One program, as it is done: what is wrong about each tool's answer."""
    for o in found:
        if o.faulty and not o.expected:
            continue
        wrong = o.place != 1 if o.faulty else o.worst in ("error", "warning")
        verdict = "WRONG" if wrong else "right"
        print(
            f"{verdict:6}{o.tool:12}{o.name:52}{o.seconds:6.1f} s  {', '.join(o.said[:4]) or o.raised or '-'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--set", default="", choices=["", "zoo", "field", "issues"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--calibrate", action="store_true", help="write how sure each detector is")
    arguments = parser.parse_args()
    if arguments.calibrate:
        counts = calibrate(arguments.steps, None if arguments.json else print).counts
        write_counts(counts)
        print(json.dumps(counts))
        return
    progress = None if arguments.json else print_progress
    found = measure(
        arguments.only, arguments.set, peers=arguments.peers, steps=arguments.steps, progress=progress
    )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for part, tools in found["figures"].items():
        for tool, figures in tools.items():
            print(f"{part}, {tool}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
    if found["missing peers"]:
        print("not installed: " + ", ".join(found["missing peers"]))


if __name__ == "__main__":
    main()
