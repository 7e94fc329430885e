"""The documents: the picture of the rooms, the list of decisions, links between pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.rooms import PICTURE, layers, picture

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_picture_shows_the_rooms_of_the_import_contract():
    assert PICTURE.read_text() == picture(), "run `python -m docs.rooms`"
    rooms = {path.stem for path in (ROOT / "src" / "babysit").glob("*.py")}
    rooms |= {path.parent.name for path in (ROOT / "src" / "babysit").glob("*/__init__.py")}
    assert {room for row in layers() for room in row} == rooms - {"__init__", "__main__"}


def test_every_decision_is_listed_once_under_its_title():
    listed = re.findall(r"^- \[(.+)\]\((.+)\)$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    pages = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [name for _, name in listed] == [path.name for path in pages]
    assert [title for title, _ in listed] == [path.read_text().splitlines()[0][2:] for path in pages]
    assert [int(path.name[:3]) for path in pages] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page):
    named = re.findall(r"`((?:tests|benchmarks|docs)/[\w/.]+)`", page.read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_the_architecture_fits_on_two_screens():
    assert len((ROOT / "docs" / "architecture.md").read_text().splitlines()) <= 150
