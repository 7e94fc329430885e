"""A real browser, one for all tests; pages that complain about what must never happen."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

from babysit.store.writer import Writer
from babysit.views.dashboard.server import Server
from babysit.views.dashboard.state import OpenStore, Serving
from browser.stores import EVIL, write_search

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    """A browser that is installed on this machine; none is fetched."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None:
        pytest.skip(f"no Chromium here ({', '.join(CHROMIUMS)}): apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=OPTIONS)
        yield browser
        browser.close()


class Tab:
    """A page, and what went wrong on it: errors, violations of its policy, requests to anywhere else."""

    def __init__(self, context, url):
        self.url = url
        self.page = context.new_page()
        self.wrong = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._request)

    def _console(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request):
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"outside request: {request.url}")

    def open(self, path="/"):
        self.page.goto(f"{self.url}{path.lstrip('/')}")
        return self.page


@pytest.fixture
def open_tab(chromium):
    """Opens pages of a server; fails if anything went wrong on any of them."""
    opened, contexts = [], []

    def open_one(server, path="/", **options):
        # The text on a clipboard belongs to the whole browser; permission is per context.
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.set_default_timeout(15_000)
        contexts.append(context)
        tab = Tab(context, server.url)
        opened.append(tab)
        tab.open(path)
        return tab.page

    yield open_one
    wrong = [what for tab in opened for what in tab.wrong]
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Study 1 is a finished search, study 2 one whose name is a script, with three running trials."""
    path = str(tmp_path_factory.mktemp("browser") / "runs.db")
    with Writer(path) as writer:
        write_search(writer)
        write_search(writer, EVIL, running=3)
    return path


@contextmanager
def serve(path):
    """A dashboard of a store."""
    with Server(Serving(OpenStore(path))) as server:
        yield server


@pytest.fixture(scope="session")
def server(store):
    with serve(store) as running:
        yield running
