"""Runner of the lab's experiments for the dashboard: each in its own process, with results in a folder.

An experiment is the command ``babysit lab NAME --json``. Its JSON and its figures are kept in a folder of its
own, from which later requests are served.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ANSWER = "answer.json"
ABSENT, WAITING, RUNNING, DONE, FAILED = "absent", "waiting", "running", "done", "failed"


class ExperimentCard(NamedTuple):
    """One experiment: its name, title, subject, and section of the lecture."""

    name: str
    title: str
    about: str
    slides: str


@dataclass
class Laboratory:
    """The experiments and their results; one runs at a time, others wait in a queue.

    Args:
        cards: the experiments. Default: none.
        folder: holds the results, one folder per experiment.
        command: runs an experiment, given its name. Default: the babysit of this Python.
    """

    cards: Sequence[ExperimentCard] = ()
    folder: Path = Path()
    command: Sequence[str] = (sys.executable, "-m", "babysit", "lab")
    _waiting: list[str] = field(default_factory=list)
    _failures: dict[str, str] = field(default_factory=dict)
    _running: str = ""
    _process: subprocess.Popen[str] | None = None
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def card(self, name: str) -> ExperimentCard | None:
        """Returns the experiment of that name; None if there is none."""
        return next((card for card in self.cards if card.name == name), None)

    def state(self, name: str) -> str:
        """Returns the state of an experiment: absent, waiting, running, done or failed."""
        with self._lock:
            if name == self._running:
                return RUNNING
            if name in self._waiting:
                return WAITING
        if name in self._failures:
            return FAILED
        return DONE if (self.folder / name / ANSWER).is_file() else ABSENT

    def failure(self, name: str) -> str:
        """Returns the reason why an experiment failed; empty if it did not."""
        return self._failures.get(name, "")

    def answer(self, name: str) -> Mapping[str, Any]:
        """Reads an experiment's result: lines, tables, a remark, its figures; empty before it is done."""
        try:
            found = json.loads((self.folder / name / ANSWER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def figures(self, name: str) -> dict[str, Path]:
        """Lists the figures of an experiment by name."""
        paths = [Path(str(path)) for path in self.answer(name).get("figures") or ()]
        # Only their names count: the folder may have moved since.
        return {path.stem: self.folder / name / path.name for path in paths if path.suffix == ".png"}

    def start(self, name: str) -> None:
        """Starts an experiment, or queues it behind the one that runs."""
        with self._lock:
            if name == self._running or name in self._waiting or self._closed:
                return
            self._failures.pop(name, None)
            self._waiting.append(name)
            if self._running:
                return
            self._running = self._waiting.pop(0)
        threading.Thread(target=self._work, name="babysit-lab", daemon=True).start()

    def close(self) -> None:
        """Terminates the running experiment and starts no other."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            if self._process is not None:
                self._process.terminate()

    def _work(self) -> None:
        """Runs one experiment after the other until the queue is empty."""
        while self._running:
            failure = self._run(self._running)
            with self._lock:
                if failure:
                    self._failures[self._running] = failure
                self._running = self._waiting.pop(0) if self._waiting else ""

    def _run(self, name: str) -> str:
        """Runs an experiment; returns the reason of a failure, or an empty text."""
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            words = [*self.command, name, "--json", "--out", str(folder)]
            with self._lock:
                if self._closed:
                    return "the dashboard has ended"
                self._process = subprocess.Popen(
                    words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            answer, complaint = self._process.communicate()
            if self._process.returncode != 0:
                return complaint.strip()[-800:] or f"it ended with exit code {self._process.returncode}"
            part = folder / f"{ANSWER}.part"  # renamed when complete, so no reader sees half of it
            part.write_text(answer, encoding="utf-8")
            part.replace(folder / ANSWER)
        except OSError as error:
            return f"{error.strerror}: {error.filename or folder}"
        return ""
