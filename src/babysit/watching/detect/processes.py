"""What the processes that train one model together tell of one another: who of them is the odd one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from babysit.diagnosis.problem import Detection, Need, detects, evidence
from babysit.diagnosis.problems.processes import OTHER_PROCESS_NOT_FINITE, OTHER_PROCESS_RAISED
from babysit.watching.ranks import RankNote
from babysit.watching.sample import Log

_LOST = ("connection", "broken pipe", "socket", "nccl", "timed out", "timeout", "peer")
"""Words of an exception that says only that another process is gone."""


TOGETHER = Need[Log](lambda log: bool(log.ranks), "one process trains", applies=False)


@detects(
    OTHER_PROCESS_RAISED, reason="the processes that wait for it report a lost connection", needs=(TOGETHER,)
)
def other_process_raised(log: Log) -> Detection | None:
    """An exception left the loop of another process; this one's, if any, says only that it is gone."""
    if log.ending and not _is_lost(log.ending):
        return None
    note = min((one for one in log.ranks if one.ending and not _is_lost(one.ending)), default=None, key=_step)
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
def other_process_not_finite(log: Log) -> Detection | None:
    """A loss that is NaN or infinite on some of the processes that train together, before the others."""
    own = next(((step, loss) for step, loss in enumerate(log.losses, 1) if not math.isfinite(loss)), (0, 0.0))
    everyone = [RankNote(0, log.steps, math.nan, *own), *log.ranks]
    bad = [note for note in everyone if note.bad_step]
    since = min((note.bad_step for note in bad), default=0)
    first = [note for note in bad if note.bad_step == since]
    if not log.ranks or not first or len(first) == len(everyone):
        return None
    later = [note for note in bad if note.bad_step > since]
    others = f"rank {_listed(later)} followed" if later else "the other ranks are finite"
    names = _listed(first)
    return Detection(
        where=f"rank {names}",
        message=f"rank {names}: loss is {first[0].bad_loss} since step {since}, {others}",
        evidence=evidence("ranks with a finite loss there", len(everyone) - len(first), "all", "one model"),
        since=since,
        fix=f"look at what rank {names} alone is given: its share of the data, batch {since} of it, "
        f"its device",
    )


def over_ranks(log: Log) -> str:
    """The loss at the last step that all processes tell of; empty where there is none."""
    steps = {note.step for note in log.ranks}
    step = max(steps, default=0)
    if len(steps) != 1 or not 0 < step <= log.steps:
        return ""
    losses = [log.losses[step - 1], *(note.loss for note in log.ranks)]
    mean = f"mean {fmean(losses):.4g}, {min(losses):.4g} to {max(losses):.4g}"
    return f"loss over {len(losses)} ranks at step {step}: {mean}"


def _listed(notes: Sequence[RankNote]) -> str:
    return ", ".join(str(note.rank) for note in notes)


def _step(note: RankNote) -> int:
    return note.step


def _is_lost(ending: str) -> bool:
    return any(word in ending.lower() for word in _LOST)
