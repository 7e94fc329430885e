"""One run of a hundred thousand steps with a spike of one step: whether each zoom shows it, and how soon."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

from babysit.records import Reading, Stage
from babysit.store.writer import Writer
from benchmarks.peers.boards.babysit_board import STORE, trial_of
from benchmarks.peers.boards.runs import PENALTIES, RATES, Drawn

SPIKE_AT, SPIKE = 73_211, 50.0
RUN = Drawn(0, 1e-5, 1e-2, "running")
ADDRESS = "/r/1/0/0"


def write(folder: Path, points: int) -> None:
    """A run whose cost falls slowly, but for one step."""
    steps = np.arange(1, points + 1)
    costs = RUN.costs(1, points)
    costs[_spike_at(points) - 1] = SPIKE
    with Writer(str(folder / STORE)) as writer:
        settings = {"settings": [], "loss": "softmax", "val_examples": 1000, "stages": [["long", 1, 1]]}
        study = writer.begin_study(
            name="long", recipe="cifar10", kind="search", seed=0, fingerprint="long", settings=settings
        )
        box = {
            name: {"kind": "log_uniform", "low": low, "high": high, "log": True}
            for name, (low, high) in {"learning_rate": RATES, "l2": PENALTIES}.items()
        }
        writer.begin_stage(study, Stage(0, "long", box, 1, 1, "as asked"))
        reading = Reading(1, points, float(costs[-1]), 0.4, 0.4, RUN.learning_rate, 1.0)
        writer.epoch(study, trial_of(RUN), reading, steps, costs)


def _spike_at(points: int) -> int:
    return max(1, SPIKE_AT * points // 100_000)


def zooms(points: int) -> list[tuple[int, int]]:
    """Ranges of steps round the spike: everything, and half of it again and again, down to a hundred."""
    middle, width, found = _spike_at(points), points, []
    while width >= 100:
        first = min(max(1, middle - width // 3), points - width + 1)
        found.append((first, first + width - 1))
        width //= 2
    return found


def measure_server(url: str, points: int) -> dict[str, Any]:
    """Whether the series of each zoom holds the spike, as wide as a phone, a page and a wide screen."""
    seen, times = [], []
    for first, last in zooms(points):
        for pixels in (300, 1200, 4000):
            started = time.perf_counter()
            with urlopen(f"{url}{ADDRESS}/series?key=cost&from={first}&to={last}&px={pixels}") as reply:
                told = json.load(reply)
            times.append(1000 * (time.perf_counter() - started))
            seen.append(max(told["high"]) == SPIKE and len(told["high"]) <= pixels)
    return {"zooms": len(seen), "with_spike": sum(seen), "slowest_ms": max(times)}


def measure_page(browser: Any, url: str, points: int) -> dict[str, Any]:
    """The same in the explorer of the run's page, by what plotly was given to draw."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    try:
        page.goto(f"{url}{ADDRESS}")
        page.locator("[data-explore='']").first.click()
        page.locator("#explore-plot[data-points]").wait_for(timeout=60_000)
        seen, times = [], []
        for first, last in zooms(points):
            started = time.perf_counter()
            told = page.evaluate(_ZOOM, [first, last])
            times.append(1000 * (time.perf_counter() - started))
            seen.append(told["highest"] == SPIKE and told["points"] == last - first + 1)
        return {"zooms": len(seen), "with_spike": sum(seen), "slowest_ms": max(times)}
    finally:
        context.close()


_ZOOM = """
async ([first, last]) => {
  const plot = document.getElementById("explore-plot");
  const wanted = String(last - first + 1);
  if (plot.dataset.points !== wanted || plot.layout.xaxis.range[0] !== first) {
    await Plotly.relayout(plot, {"xaxis.range[0]": first, "xaxis.range[1]": last});
    for (let waited = 0; plot.dataset.points !== wanted && waited < 200; waited++) {
      await new Promise((resume) => setTimeout(resume, 25));
    }
  }
  const drawn = plot.data.filter((one) => one.yaxis !== "y2").flatMap((one) => one.y);
  const highest = Math.max(...drawn.filter((y) => y !== null));
  return {highest, points: Number(plot.dataset.points)};
}
"""
