"""Writes the runs of one dashboard, then a tenth of them anew each second, for as long as it is asked to.

    python -m benchmarks.peers.boards.author BOARD FOLDER RUNS

It prints the seconds that writing took. Each line that it then reads, a number of seconds, makes it change
the runs for so long, and print how many of them changed in a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.peers.boards import BOARDS
from benchmarks.peers.boards.board import Author
from benchmarks.peers.boards.runs import News, changes, drawn


def main(name: str, folder: str, count: str) -> None:
    """Writes, and changes on demand."""
    author, runs = BOARDS[name].author(Path(folder)), drawn(int(count))
    started = time.perf_counter()
    author.write(runs)
    print(f"{time.perf_counter() - started:.2f}", flush=True)
    coming = changes(runs)
    for line in sys.stdin:
        print(f"{go_on(author, coming, int(line)):.2f}", flush=True)
    author.close()


def go_on(author: Author, coming: Iterator[list[News]], seconds: int) -> float:
    """How many runs changed in a second; who is late has changed fewer."""
    told, began = 0, time.monotonic()
    for second, news in enumerate(islice(coming, seconds), start=1):
        author.change(news)
        told += len(news)
        time.sleep(max(0.0, began + second - time.monotonic()))
    return told / (time.monotonic() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
