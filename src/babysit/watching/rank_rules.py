"""What the processes that train one model together tell of one another: who of them is the odd one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from babysit.records import Evidence, Severity
from babysit.watching.evidence import Seen
from babysit.watching.quantities import Log
from babysit.watching.ranks import RankNote

_LOST = ("connection", "broken pipe", "socket", "nccl", "timed out", "timeout", "peer")
"""Words of an exception that says only that another process is gone."""


def rank_raised(log: Log) -> Seen | None:
    """Another process ended with an exception of its own."""
    if log.ending and not _is_lost(log.ending):
        return None
    note = min((one for one in log.ranks if one.ending and not _is_lost(one.ending)), default=None, key=_step)
    if note is None:
        return None
    return Seen(
        Severity.ERROR,
        f"rank {note.rank}",
        note.step + 1,
        f"rank {note.rank} ended after step {note.step} with {note.ending}; the others wait for it in vain",
        f"read the traceback of rank {note.rank}; what the other ranks say is that it is gone",
        0.95,
        (Evidence("steps before it", note.step, "all", "the run is not complete"),),
    )


def rank_not_finite(log: Log) -> Seen | None:
    """The loss stopped being a number on some processes before it did on others."""
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
    return Seen(
        Severity.ERROR,
        f"rank {names}",
        since,
        f"rank {names}: loss is {first[0].bad_loss} since step {since}, {others}",
        f"look at what rank {names} alone is given: its share of the data, batch {since} of it, its device",
        0.9,
        (Evidence("ranks with a finite loss there", len(everyone) - len(first), "all", "one model"),),
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
