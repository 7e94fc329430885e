"""Logs of several processes, interleaved: what launchers put before each line, and the first alone."""

from __future__ import annotations

import re

# torchrun's "[default0]:", PyTorch's "[rank0]:", mpirun's "[1,0]<stdout>:", Slurm's "0: ", "Rank 0 | "
_PREFIX = re.compile(
    r"^(?:\[default(\d+)\]:?|\[rank ?(\d+)\]:?|\[\d+,(\d+)\]<std(?:out|err)>:|(\d+): "
    r"|rank[ =:]?(\d+)\s*[|:\]-])\s?",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"epoch|step|iter", re.IGNORECASE)


def first_process(text: str) -> str:
    """The lines of the first process, and those that no launcher has marked.

    Every process prints its own loss of the same step; together they would look like twice as many steps.

    Example:
        >>> first_process("[rank1]: epoch 1 loss 0.9\\n[rank0]: epoch 1 loss 0.8\\nsaved")
        'epoch 1 loss 0.8\\nsaved'
        >>> first_process("0: loss 0.9\\n1: loss 0.8")
        '0: loss 0.9\\n1: loss 0.8'
    """
    lines = text.split("\n")
    found = [_marked(line) for line in lines]
    ranks = {rank for rank, _ in found if rank is not None}
    if not ranks:
        return text
    first = min(ranks)
    return "\n".join(
        rest if rank == first else line
        for line, (rank, rest) in zip(lines, found, strict=True)
        if rank in (None, first)
    )


def _marked(line: str) -> tuple[int | None, str]:
    """The number of the process that a line is marked with, and the line without the mark."""
    found = _PREFIX.match(line)
    if found is None:
        return None, line
    rest = line[found.end() :]
    # A bare number may count the steps itself: it marks a process only where the line counts otherwise.
    if found[4] is not None and not _COUNTS.search(rest):
        return None, line
    return int(next(group for group in found.groups() if group is not None)), rest
