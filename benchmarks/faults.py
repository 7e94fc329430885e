"""Is the right cause named first, and silence kept where all is well? Ours and the peers.

    python -m benchmarks.faults [--json] [--peers] [--only WORD] [--set zoo|field|issues] [--steps N]

Three sets: the fault zoo of tests/faults; the field, which rebuilds programs from forums and repositories;
and the issues, which rebuild later finds, most from GitHub's issues. Each is in parts, of which some were
used to choose thresholds and repair ("tuned", "A", "issues A") and some were not ("held out", "later", "B",
"issues B"). `babysit.check` looks before training, `babysit.watch` at a loop; "babysit" is
what a user is told who asks the check first and, where it is silent, the watch. With --peers, torchtest2,
torchmortem and torch-audit (pip install them) are asked too; what their findings mean is written down in
benchmarks/peers/fault_finders.py.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from tests.faults import FAULTY, FIELD, HEALTHY, ISSUES
from tests.faults.field import Job, Program
from tests.faults.zoo import Case

import babysit
from benchmarks.peers.fault_finders import FINDERS, RANK, Said, causes_of, installed, quietly

OURS = ("babysit", "check", "watch")

WATCHED = {
    "softmax_before_cross_entropy": "output_loss_mismatch",
    "sigmoid_before_logits_loss": "output_loss_mismatch",
    "no_sigmoid_before_bce": "output_loss_mismatch",
    "nll_without_log_softmax": "output_loss_mismatch",
    "activation_before_cross_entropy": "output_loss_mismatch",
    "bounded_output": "output_loss_mismatch",
    "one_unit_softmax": "output_loss_mismatch constant_output",
    "broadcast_loss": "broadcasting",
    "inputs_not_finite": "not_finite",
    "targets_not_finite": "not_finite",
    "inputs_not_scaled": "rate_too_high exploded not_finite exploding_gradients dead_units",
    "targets_not_scaled": "rate_too_high rate_too_low exploded exploding_gradients",
    "learning_rate_too_high": "rate_too_high exploded not_finite oscillation",
    "learning_rate_too_low": "rate_too_low",
    "symmetric_units": "constant_output learned_nothing vanishing_gradients",
    "weights_too_large": "exploding_gradients rate_too_high saturated",
    "vanishing_signal": "vanishing_gradients constant_output",
    "vanishing_gradient": "vanishing_gradients constant_output",
    "dead_layer": "dead_units",
    "loss_not_connected": "graph_cut",
    "graph_cut": "graph_cut parameters_unreached",
    "optimizer_of_other_model": "foreign_parameters",
    "not_in_optimizer": "parameters_left_out",
    "unused_parameters": "parameters_unreached",
    "sign_flipped": "sign_flipped",
}
"""What the watch calls that which the check calls by another name: for the zoo, which names the check's."""


@dataclass(frozen=True)
class Outcome:
    """What one tool said of one program.

    Attributes:
        tool: who.
        name: of the program.
        part: "tuned", "held out", "later", "A", "B", "issues A" or "issues B".
        faulty: whether anything is wrong with it.
        expected: the right answers that this tool has a name for.
        said: the causes (of a peer: the kinds of findings), first the likeliest.
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
    """A program of the zoo, trained by the usual loop."""
    watched = " ".join(WATCHED.get(rule, "") for rule in case.causes).split()
    return Program(
        case.name, "zoo", case.causes, tuple(watched), bool(case.causes), lambda: Job(*case.build())
    )


def programs(only: str = "", chosen: str = "") -> list[tuple[str, Program]]:
    """All programs with the part they are in."""
    zoo = [(case.half, of_zoo(case)) for case in [*FAULTY, *HEALTHY]]
    field = [(program.half, program) for program in FIELD]
    issues = [(f"issues {program.half}", program) for program in ISSUES]
    sets = {"zoo": zoo, "field": field, "issues": issues}
    every = [pair for name, pairs in sets.items() if chosen in ("", name) for pair in pairs]
    return [(part, program) for part, program in every if only in program.name]


def _ours(report: Any) -> Answer:
    rules = tuple(cause.rule for cause in report.causes)
    severities = tuple(str(finding.severity) for finding in report.findings)
    return Answer(tuple(frozenset([rule]) for rule in rules), rules, severities)


def by_check(job: Job, steps: int) -> Answer:
    """Our check."""
    return _ours(babysit.check(*job.parts))


def by_watch(job: Job, steps: int) -> Answer:
    """Our watch."""
    with babysit.watch(job.model, job.optimizer, loss=job.loss) as watch:
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
    check = ask("check", part, program, program.check, by_check if program.checkable else unasked, steps, 0.0)
    watch = ask("watch", part, program, program.watch, by_watch, steps, bare)
    right = (*program.check, *program.watch)
    others = []
    for name in peers:
        before = name == "torchtest2"  # which looks at a batch, as the check does
        find = unasked if before and not program.checkable else by_peer(name)
        others.append(ask(name, part, program, right, find, steps, bare * (not before)))
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
    only: str = "", chosen: str = "", *, peers: bool = False, steps: int = 200, told: Any = None
) -> dict[str, Any]:
    """All figures: each part of the sets and each tool, and every program's outcomes."""
    torch.set_num_threads(1)
    present = list(installed()) if peers else []
    outcomes: list[Outcome] = []
    for part, program in programs(only, chosen):
        found = examine(part, program, steps, present)
        outcomes += found
        if told is not None:
            told(found)
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


def told(found: list[Outcome]) -> None:
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
    arguments = parser.parse_args()
    tell = None if arguments.json else told
    found = measure(arguments.only, arguments.set, peers=arguments.peers, steps=arguments.steps, told=tell)
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
