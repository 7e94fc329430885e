"""Takes the pictures of docs/dashboard.md: every page of the dashboard, light, dark and as wide as a phone.

    python -m docs.screenshots [--keep FOLDER]

What they show is real: a small search of handwritten digits, and a training loop with two mistakes that
``babysit.watch`` looked at. With ``--keep`` the store stays in a folder, and is shown again the next time.
Needs a Chromium on this machine and the package playwright.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.peers.boards.browser import browsing, chromium
from PIL import Image
from torch import nn

import babysit as bs
from babysit.records import State
from babysit.session.dashboard import make_server
from babysit.store import overview
from babysit.store.reader import Reader

FIGURES = Path(__file__).parent / "figures" / "dashboard"
STORE = "babysit-runs/babysit.sqlite"
"""Where a search puts it by itself."""

STAGES = "coarse:60x5,fine:40x10,final:1x30"
EXPERIMENT = "zigzag"
"""Of the lab: the one that takes a second."""

LARGEST, COLOURS = 150_000, (256, 192, 128, 64)


@dataclass(frozen=True)
class Look:
    """How a page is looked at: a window's size, of which pictures may be ``tall`` high, and its colours."""

    name: str
    width: int
    height: int
    tall: int
    scheme: str


LOOKS = (
    Look("light", 1440, 900, 1500, "light"),
    Look("dark", 1440, 900, 1500, "dark"),
    Look("phone", 390, 844, 1700, "light"),
)


def main() -> None:
    """Searches, watches, and takes every picture."""
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description=__doc__)
    parser.add_argument("--keep", type=Path, help="a folder for the store")
    kept = parser.parse_args().keep
    if not chromium():
        sys.exit("there is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, chdir(kept or folder):
        os.environ["XDG_CACHE_HOME"] = folder  # the lab shows what was measured now
        store = made()
        FIGURES.mkdir(parents=True, exist_ok=True)
        with make_server(store) as server, browsing() as browser:
            take(browser, server.url.rstrip("/"), pages(store))
    sizes = [file.stat().st_size for file in FIGURES.glob("*.png")]
    print(f"{len(sizes)} pictures, {sum(sizes) / 1e6:.1f} MB, the largest {max(sizes) / 1e3:.0f} KB")


def made() -> str:
    """The store with both studies; one that is there already is taken as it is."""
    if not Path(STORE).exists():
        search()
        watched()
    return STORE


def search() -> None:
    """A search as anybody would start it; study 1."""
    command = [sys.executable, "-m", "babysit", "search", "digits", "--stages", STAGES, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def watched() -> None:
    """A loop with two mistakes, sigmoids in a row and a softmax before the cross-entropy; study 2."""
    torch.manual_seed(0)
    digits = bs.data.digits()
    x = torch.as_tensor(digits.train.x, dtype=torch.float32).flatten(1) / 16
    y = torch.as_tensor(digits.train.y, dtype=torch.int64)
    layers = [layer for _ in range(3) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(64, 10), nn.Softmax(dim=1))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss()
    with bs.watch(model, optimizer, loss=criterion, name="three sigmoids", store=STORE) as watch:
        for _ in range(12):
            for rows in torch.randperm(len(x)).split(50):
                optimizer.zero_grad()
                loss = criterion(model(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
                watch.step(loss)
            watch.epoch(val_accuracy=float((model(x).argmax(1) == y).float().mean()))


def pages(store: str) -> dict[str, str]:
    """The name of a picture -> its page's address."""
    reader = Reader(store)
    try:
        found = overview.lines(reader, 1)
    finally:
        reader.close()
    scored = [line for line in found if line.state == State.COMPLETE and line.best_score is not None]
    best = sorted(scored, key=lambda line: -(line.best_score or 0.0))
    exploded = next(line for line in found if line.state == State.EXPLODED)
    compared = [best[0], best[len(best) // 3], best[-1], exploded]
    beside = "&".join(f"r=1-{line.stage}-{line.number}" for line in compared)
    return {
        "studies": "/",
        "command-center": "/s/1",
        "run": f"/r/1/{best[0].stage}/{best[0].number}",
        "run-exploded": f"/r/1/{exploded.stage}/{exploded.number}",
        "run-watched": "/r/2/0/0",
        "compare": f"/compare?{beside}",
        "lab": "/lab",
        "lab-experiment": f"/lab/{EXPERIMENT}",
    }


def take(browser: Any, url: str, addresses: dict[str, str]) -> None:
    """Every page in every look."""
    with opened(browser, LOOKS[0]) as page:
        experiment(page, url)
    for look in LOOKS:
        with opened(browser, look) as page:
            for name, address in addresses.items():
                page.goto(url + address)
                page.wait_for_timeout(1500)  # what is drawn after the first answer is drawn by then
                height = page.evaluate("() => document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": look.width, "height": min(height, look.tall)}
                save(page.screenshot(full_page=True, clip=clip), FIGURES / f"{name}-{look.name}.png")


@contextmanager
def opened(browser: Any, look: Look) -> Iterator[Any]:
    """A window."""
    size = {"width": look.width, "height": look.height}
    context = browser.new_context(viewport=size, color_scheme=look.scheme, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def experiment(page: Any, url: str) -> None:
    """Has the lab do an experiment, by its button."""
    page.goto(f"{url}/lab/{EXPERIMENT}")
    page.locator("main button").first.click()
    page.locator("main img").first.wait_for(timeout=120_000)


def save(picture: bytes, place: Path) -> None:
    """As small as it may be: with as many colours as fit into the largest size."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in COLOURS:
        packed = io.BytesIO()
        reduced = image.quantize(palette=palette_of(image, colours), dither=Image.Dither.NONE)
        reduced.save(packed, "PNG", optimize=True)
        if packed.tell() <= LARGEST:
            break
    place.write_bytes(packed.getvalue())


def palette_of(image: Image.Image, colours: int) -> Image.Image:
    """The commonest colours as they are, so that paper stays white; then some near each of the others."""
    counted = sorted(image.getcolors(1 << 24) or (), key=lambda one: -one[0])
    common = [part for _, colour in counted[: colours // 3] for part in colour]
    spread = image.quantize(colours - len(common) // 3, Image.Quantize.MAXCOVERAGE, kmeans=2)
    made = Image.new("P", (1, 1))
    made.putpalette([*common, *(spread.getpalette() or ())])
    return made


if __name__ == "__main__":
    main()
