"""Interleaved logs of several processes: the marks of launchers, and the lines of the first process."""

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
    """Keeps the lines of the first process, and those without a launcher's mark.

    Every process prints its own loss of the same step; two processes would look like twice the steps.

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
    """Splits a line into the number of its process and the line without the mark."""
    found = _PREFIX.match(line)
    if found is None:
        return None, line
    rest = line[found.end() :]
    # A bare number may be the step: it marks a process only if the line names an epoch or step elsewhere.
    if found[4] is not None and not _COUNTS.search(rest):
        return None, line
    return int(next(group for group in found.groups() if group is not None)), rest
