"""The lecture's experiments as a dashboard offers them: done by a process of their own, kept in a folder.

An experiment is the command ``babysit lab NAME --json``. Its answer and its figures lie in a folder of its
own; whoever asks again finds them there.
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


class Card(NamedTuple):
    """One experiment: its name, its title, what it shows, and where the lecture speaks of it."""

    name: str
    title: str
    about: str
    slides: str


@dataclass
class Laboratory:
    """The experiments and what came of them; one is done at a time, the next waits.

    Args:
        cards: the experiments; default none.
        folder: where answers lie, one folder an experiment.
        command: the words that do an experiment, before its name; default this Python's babysit.
    """

    cards: Sequence[Card] = ()
    folder: Path = Path()
    command: Sequence[str] = (sys.executable, "-m", "babysit", "lab")
    _waiting: list[str] = field(default_factory=list)
    _failures: dict[str, str] = field(default_factory=dict)
    _running: str = ""
    _process: subprocess.Popen[str] | None = None
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def card(self, name: str) -> Card | None:
        """The experiment of that name; None where there is none."""
        return next((card for card in self.cards if card.name == name), None)

    def state(self, name: str) -> str:
        """Whether an experiment is absent, waiting, running, done or failed."""
        with self._lock:
            if name == self._running:
                return RUNNING
            if name in self._waiting:
                return WAITING
        if name in self._failures:
            return FAILED
        return DONE if (self.folder / name / ANSWER).is_file() else ABSENT

    def failure(self, name: str) -> str:
        """Why an experiment failed; empty where it did not."""
        return self._failures.get(name, "")

    def answer(self, name: str) -> Mapping[str, Any]:
        """What an experiment found: lines, tables, a remark, its figures; empty before it is done."""
        try:
            found = json.loads((self.folder / name / ANSWER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def figures(self, name: str) -> dict[str, Path]:
        """The pictures of an experiment by name."""
        told = [Path(str(path)) for path in self.answer(name).get("figures") or ()]
        # By their names, for the folder may have moved since.
        return {path.stem: self.folder / name / path.name for path in told if path.suffix == ".png"}

    def start(self, name: str) -> None:
        """Begins an experiment, or lets it wait for the one that runs."""
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
        """Ends what runs; nothing more begins."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            if self._process is not None:
                self._process.terminate()

    def _work(self) -> None:
        """Does one experiment after the other until none waits."""
        while self._running:
            failure = self._done(self._running)
            with self._lock:
                if failure:
                    self._failures[self._running] = failure
                self._running = self._waiting.pop(0) if self._waiting else ""

    def _done(self, name: str) -> str:
        """Does an experiment; returns why it failed, or nothing."""
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
            half = folder / f"{ANSWER}.part"  # whoever reads meanwhile sees the whole answer or none
            half.write_text(answer, encoding="utf-8")
            half.replace(folder / ANSWER)
        except OSError as error:
            return f"{error.strerror}: {error.filename or folder}"
        return ""
