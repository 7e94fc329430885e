"""A problem is referred to by its identifier: its name is spelled once, so a misspelt one cannot pass."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import babysit
from babysit.diagnosis.catalogue import CATALOGUE

ROOT = Path(babysit.__file__).parent
FORMERLY = {name for problem in CATALOGUE.values() for name in problem.formerly}
WHERE_NAMES_ARE_SPELLED = ("diagnosis/problems/", "store/migrations/", "store/old_names.py")
"""The catalogue, and the migrations of old stores with their frozen table of names."""

INNOCENT = {
    # The state of a run, in the records and where pages, figures and tables show it.
    ("records.py", "exploded"),
    ("views/svg/figures.py", "exploded"),
    ("views/svg/run_figures.py", "exploded"),
    ("views/terminal/verification.py", "exploded"),
    # A count among the details of the answer to "can it memorize twenty examples?".
    ("checks/questions/overfit.py", "exploded"),
    # A state that the log of another tool may give a trial.
    ("readings/logs/trial_rows.py", "exploded"),
    # The end of a series' name: layers/NAME/saturated holds shares of units.
    ("views/svg/run_figures.py", "saturated"),
    # The names of the lecture's five questions, as a CheckResult bears them; a "no" has a problem of its own.
    ("checks/questions/initial_loss.py", "initial_loss"),
    ("checks/questions/learning_rate.py", "learning_rate_bracket"),
    ("checks/questions/overfit.py", "overfits_tiny_subset"),
}
"""Words that were once the name of a problem and mean something else there: (module, word)."""


@cache
def spelled() -> dict[str, list[tuple[int, str]]]:
    """Every module in which a problem's name has no business, with its strings."""
    paths = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py"))}
    return {
        module: list(strings(path.read_text()))
        for module, path in paths.items()
        if not module.startswith(WHERE_NAMES_ARE_SPELLED)
    }


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Every string of a module that is no docstring, with its line."""
    tree = ast.parse(source)
    prose = {
        id(statement.value)
        for node in ast.walk(tree)
        for body in (getattr(node, "body", []),)
        if isinstance(body, list)
        for statement in body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


@pytest.mark.slow
def test_no_string_outside_the_catalogue_is_the_name_of_a_problem():
    found = [
        f"{module}:{line}: {text!r}"
        for module, texts in spelled().items()
        for line, text in texts
        if text in CATALOGUE
    ]
    assert found == []


def test_no_string_outside_the_catalogue_is_a_name_of_the_past():
    found = {(module, text) for module, texts in spelled().items() for _, text in texts if text in FORMERLY}
    assert found - INNOCENT == set()
    assert INNOCENT - found == set(), "these are gone: strike them from the list"


def test_no_template_or_script_of_a_page_names_a_problem():
    names = "|".join(sorted(CATALOGUE.keys() | FORMERLY - {word for _, word in INNOCENT}))
    quoted = re.compile(rf"""["'`](?:{names})["'`]""")
    pages = [path for ending in ("*.j2", "*.js", "*.css", "*.html") for path in ROOT.rglob(ending)]
    found = [
        f"{path.relative_to(ROOT)}: {match}" for path in pages for match in quoted.findall(path.read_text())
    ]
    assert len(pages) > 20
    assert found == []


def test_the_search_finds_strings_and_passes_over_prose():
    source = '''
"""plateau"""
NAME = "plateau"
"""plateau"""

class One:
    """plateau"""
    other: str = "dead_units"
    """plateau"""

def look(name="oscillation"):
    """plateau"""
    return {"overfitting": name == "underfitting"}, f"{name} plateau"
'''
    assert sorted(text for _, text in strings(source) if text in CATALOGUE) == [
        "dead_units",
        "oscillation",
        "overfitting",
        "plateau",
        "underfitting",
    ]
    assert [line for line, text in strings(source) if text == "plateau"] == [3]


def test_all_modules_are_searched():
    assert {"diagnosis/reasoning.py", "watching/detect/loss.py", "views/data/links.py"} <= spelled().keys()
    assert not any(module.startswith("diagnosis/problems") for module in spelled())
    assert sum(map(len, spelled().values())) > 3000
