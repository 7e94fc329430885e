"""Detectors of faults in one of the processes that train a model together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from babysit.diagnosis.problem import Detection, Need, detects, evidence
from babysit.diagnosis.problems.processes import OTHER_PROCESS_NOT_FINITE, OTHER_PROCESS_RAISED
from babysit.watching.ranks import RankNote
from babysit.watching.sample import WatchLog

_CONNECTION_LOST = ("connection", "broken pipe", "socket", "nccl", "timed out", "timeout", "peer")
"""Words of an exception that says only that another process is gone."""

TOGETHER = Need[WatchLog](lambda log: bool(log.ranks), "one process trains", applies=False)


@detects(
    OTHER_PROCESS_RAISED, reason="the processes that wait for it report a lost connection", needs=(TOGETHER,)
)
def other_process_raised(log: WatchLog) -> Detection | None:
    """Finds an exception that left another process's loop, while this one lost at most the connection."""
    if log.ending and not _is_lost(log.ending):
        return None
    ended = [note for note in log.ranks if note.ending and not _is_lost(note.ending)]
    note = min(ended, default=None, key=lambda note: note.step)
    if note is None:
        return None
    return Detection(
        where=f"rank {note.rank}",
        message=f"rank {note.rank} ended after step {note.step} with {note.ending}; the others wait "
        f"for it in vain",
        evidence=evidence("steps before it", note.step, "all", "the run is not complete"),
        since=note.step + 1,
        fix=f"read the traceback of rank {note.rank}; what the other ranks say is that it is gone",
    )


@detects(
    OTHER_PROCESS_NOT_FINITE,
    reason="all have the same weights: what differs is the data, or the device",
    needs=(TOGETHER,),
)
def other_process_not_finite(log: WatchLog) -> Detection | None:
    """Finds a loss that is NaN or infinite on some of the processes earlier than on the others."""
    own = next(((step, loss) for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), (0, 0.0))
    all_notes = [RankNote(0, log.steps, math.nan, *own), *log.ranks]
    bad = [note for note in all_notes if note.bad_step]
    since = min((note.bad_step for note in bad), default=0)
    first = [note for note in bad if note.bad_step == since]
    if not log.ranks or not first or len(first) == len(all_notes):
        return None
    later = [note for note in bad if note.bad_step > since]
    others = f"rank {_listed(later)} followed" if later else "the other ranks are finite"
    names = _listed(first)
    return Detection(
        where=f"rank {names}",
        message=f"rank {names}: loss is {first[0].bad_loss} since step {since}, {others}",
        evidence=evidence("ranks with a finite loss there", len(all_notes) - len(first), "all", "one model"),
        since=since,
        fix=f"look at what rank {names} alone is given: its share of the data, batch {since} of it, "
        f"its device",
    )


def over_ranks(log: WatchLog) -> str:
    """Describes the losses of all processes at their newest common step; empty where there is none."""
    steps = {note.step for note in log.ranks}
    step = max(steps, default=0)
    if len(steps) != 1 or not 0 < step <= log.steps:
        return ""
    losses = [log.losses[step - 1], *(note.loss for note in log.ranks)]
    mean = f"mean {fmean(losses):.4g}, {min(losses):.4g} to {max(losses):.4g}"
    return f"loss over {len(losses)} ranks at step {step}: {mean}"


def _listed(notes: Sequence[RankNote]) -> str:
    return ", ".join(str(note.rank) for note in notes)


def _is_lost(ending: str) -> bool:
    return any(word in ending.lower() for word in _CONNECTION_LOST)
