"""A page in a real Chromium: when it is of use, what it fetched, what it costs while runs change."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.boards.board import Board
from benchmarks.peers.boards.serving import TooSlowError

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    # Nothing but this machine has a name: whatever a page asks elsewhere fails at once, and is counted.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
VIEW = {"width": 1440, "height": 900}
PATIENCE = 60
"""Seconds that a page has to be of use."""

TUNNEL = {"offline": False, "latency": 40, "downloadThroughput": 2.5e6, "uploadThroughput": 2.5e6}
"""Like a connection by ssh: 40 ms there and back, 20 Mbit/s."""

_WATCH = """
(() => {
  BEFOREHAND
  const all = (selector) => [...document.querySelectorAll(selector)];
  const runs = RUNS, complete = COMPLETE;
  const drawn = () => { DRAWN };
  const look = () => {
    if (document.readyState !== "loading" && drawn()) {
      // The frame in which it was found is on the screen when the next one but one begins.
      requestAnimationFrame(() => requestAnimationFrame(() => { window.usefulAfter = performance.now(); }));
    } else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""


@dataclass(frozen=True)
class Load:
    """One visit with an empty cache.

    Attributes:
        useful: milliseconds from the start of the navigation until the page is of use.
        bytes, requests: fetched by then, headers included, as they came over the wire.
        outside: addresses asked for beyond this machine.
        errors: on the console.
    """

    useful: float
    bytes: int
    requests: int
    outside: tuple[str, ...]
    errors: tuple[str, ...]


def chromium() -> str:
    """The browser that is installed; empty where there is none."""
    return next(filter(None, map(shutil.which, CHROMIUMS)), "")


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser without windows."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield browser
        browser.close()


class Visit:
    """A page opened with an empty cache, in a profile of its own; it is of use once this is made.

    Raises:
        TooSlowError: it is not of use in time.
    """

    def __init__(
        self, browser: Any, board: Board, url: str, runs: int, complete: int, *, tunnel: bool = False
    ):
        self._context = browser.new_context(viewport=VIEW)
        self._fetched: dict[str, int] = {}
        self._outside: list[str] = []
        self._errors: list[str] = []
        self.page = self._context.new_page()
        self.page.add_init_script(_script(board, runs, complete))
        self.page.on("console", lambda told: told.type == "error" and self._errors.append(told.text))
        self._devtools = self._context.new_cdp_session(self.page)
        self._listen(url, tunnel)
        try:
            self.page.goto(f"{url}{board.path}", wait_until="commit")
            self.load = self._wait()
        except BaseException:
            self._context.close()
            raise

    def _listen(self, url: str, tunnel: bool) -> None:
        self._devtools.send("Network.enable")
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        if tunnel:
            self._devtools.send("Network.emulateNetworkConditions", TUNNEL)

        def requested(told: dict[str, Any]) -> None:
            address = told["request"]["url"]
            if not address.startswith((url, "data:", "blob:")):
                self._outside.append(address)

        self._devtools.on("Network.requestWillBeSent", requested)
        self._devtools.on(
            "Network.loadingFinished",
            lambda told: self._fetched.update({told["requestId"]: int(told["encodedDataLength"])}),
        )

    def _wait(self) -> Load:
        until = time.monotonic() + PATIENCE
        while (useful := self.page.evaluate("() => window.usefulAfter ?? 0")) == 0:
            if time.monotonic() > until:
                raise TooSlowError(f"the page was not of use in {PATIENCE} s")
            self.page.wait_for_timeout(100)
        fetched, outside = dict(self._fetched), tuple(dict.fromkeys(self._outside))
        return Load(useful, sum(fetched.values()), len(fetched), outside, tuple(self._errors))

    def wait(self, seconds: float) -> None:
        """Waits while the page runs."""
        self.page.wait_for_timeout(1000 * seconds)

    def costs(self) -> dict[str, float]:
        """Reads the page's costs since its start: seconds of its main thread, heap, nodes, traffic."""
        self._devtools.send("HeapProfiler.collectGarbage")
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return {one["name"]: one["value"] for one in metrics} | {"bytes": sum(self._fetched.values())}

    def close(self) -> None:
        """Forgets the profile."""
        self._context.close()


def _script(board: Board, runs: int, complete: int) -> str:
    script = _WATCH.replace("DRAWN", board.drawn).replace("BEFOREHAND", board.beforehand)
    return script.replace("RUNS", str(runs)).replace("COMPLETE", str(complete))


def screenshot(visit: Visit, place: Path) -> None:
    """Saves a screenshot of the page, as evidence of what was waited for."""
    visit.page.screenshot(path=str(place))


def typical(loads: list[Load]) -> dict[str, Any]:
    """The median visit and the range of all."""
    times = [load.useful for load in loads]
    return {
        "useful_ms": median(times),
        "useful_range_ms": [min(times), max(times)],
        "first_load_bytes": int(median(load.bytes for load in loads)),
        "first_load_requests": int(median(load.requests for load in loads)),
        "outside_requests": sorted({address for load in loads for address in load.outside}),
        "console_errors": sorted({text for load in loads for text in load.errors}),
    }
