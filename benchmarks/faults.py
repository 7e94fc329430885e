"""Is the right cause named first, and is silence kept where all is well? `babysit.check` on the fault zoo.

    python -m benchmarks.faults [--json] [--only WORD] [--half HALF] [--peers]

The zoo is in two halves, and thresholds may be tuned on the first only; "later" and "added" programs were
written after them. With --peers, torchtest2 (pip install torchtest2) is asked too: a warning or failure of
any kind counts for it, whatever it names. torchmortem and torch-audit watch a training loop, and are silent
before it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tests.faults import FAULTY, HEALTHY
from tests.faults.zoo import Case

import babysit
from babysit.records import Severity


@dataclass(frozen=True)
class Outcome:
    """What was said of one program; ``place`` is the right cause's, from 1, and 0 when it is missing."""

    name: str
    half: str
    expected: tuple[str, ...]
    causes: tuple[str, ...]
    worst: str
    place: int
    seconds: float


def examine(case: Case) -> Outcome:
    """Checks one program of the zoo."""
    parts = case.build()
    start = time.perf_counter()
    report = babysit.check(*parts)
    seconds = time.perf_counter() - start
    causes = tuple(cause.rule for cause in report.causes)
    place = next((i for i, rule in enumerate(causes, 1) if rule in case.causes), 0)
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    worst = min((finding.severity for finding in report.findings), key=order.index, default="")
    return Outcome(case.name, case.half, case.causes, causes, str(worst), place, seconds)


def summary(faulty: list[Outcome], healthy: list[Outcome]) -> dict[str, Any]:
    """The counts of some outcomes."""
    return {
        "faulty": len(faulty),
        "right cause first": sum(o.place == 1 for o in faulty),
        "in the first three": sum(1 <= o.place <= 3 for o in faulty),
        "any cause": sum(bool(o.causes) for o in faulty),
        "healthy": len(healthy),
        "false errors": sum(o.worst == "error" for o in healthy),
        "false warnings": sum(o.worst == "warning" for o in healthy),
        "info only": sum(o.worst == "info" for o in healthy),
        "seconds, median": sorted(o.seconds for o in [*faulty, *healthy])[len(faulty + healthy) // 2],
        "seconds, most": max(o.seconds for o in [*faulty, *healthy]),
    }


def torchtest2_says(case: Case) -> str:
    """The worst that torchtest2 says of one program: "FAIL", "WARN" or nothing."""
    import torchtest2

    model, loss, batches, optimizer = case.build()
    x, y = next(iter(batches))
    optimizers = optimizer if isinstance(optimizer, list) else [optimizer]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = torchtest2.check_model(model, x, y, loss_fn=loss, optimizer=optimizers[0])
    except Exception as raised:
        return f"raises {type(raised).__name__}"
    return "FAIL" if report.failures else "WARN" if report.warnings else ""


def peer(faulty: list[Case], healthy: list[Case]) -> dict[str, Any]:
    """How torchtest2 does on the same programs."""
    start = time.perf_counter()
    bad, good = ([torchtest2_says(case) for case in cases] for cases in (faulty, healthy))
    seconds = (time.perf_counter() - start) / max(len(bad + good), 1)
    return {
        "faulty": len(bad),
        "says anything": sum(bool(said) for said in bad),
        "fails": sum(said not in ("", "WARN") for said in bad),
        "healthy": len(good),
        "false failures": sum(said not in ("", "WARN") for said in good),
        "false warnings": sum(said == "WARN" for said in good),
        "seconds, mean": seconds,
    }


def chosen(cases: list[Case], only: str, half: str) -> list[Case]:
    """Those of a name and a half; empty words choose all."""
    return [case for case in cases if only in case.name and half in ("", case.half)]


def measure(only: str = "", half: str = "", *, peers: bool = False) -> dict[str, Any]:
    """All figures: each half, all, and every program's outcome."""
    torch.set_num_threads(1)
    cases = chosen(FAULTY, only, half), chosen(HEALTHY, only, half)
    faulty, healthy = ([examine(case) for case in some] for some in cases)
    others = {"torchtest2": peer(*cases)} if peers else {}
    names = ("tuned", "held out", "later", "added") if not only and not half else ()
    halves = {
        name: summary([o for o in faulty if o.half == name], [o for o in healthy if o.half == name])
        for name in names
    }
    figures = {**halves, "all": summary(faulty, healthy), **others}
    return {**figures, "outcomes": [asdict(o) for o in [*faulty, *healthy]]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--half", default="", choices=["", "tuned", "held out", "later", "added"])
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.only, arguments.half, peers=arguments.peers)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for outcome in found["outcomes"]:
        wrong = outcome["place"] != 1 if outcome["expected"] else bool(outcome["causes"])
        print(f"{'WRONG' if wrong else 'right':6}{outcome['name']:42}{outcome['seconds']:5.1f} s  ", end="")
        print(", ".join(outcome["causes"]) or f"healthy {outcome['worst']}")
    for half, figures in found.items():
        if half != "outcomes":
            print(f"\n{half}: " + ", ".join(f"{name} {value:.3g}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
