"""The catalogue: every problem that babysit can name, by its one name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import ModuleType

from babysit.diagnosis.problem import Problem
from babysit.diagnosis.problems import course, data, loss, processes, rate, start, wiring
from babysit.errors import InputError

SUBJECTS: Mapping[str, ModuleType] = {
    "Several processes": processes,
    "Data": data,
    "Wiring": wiring,
    "Loss": loss,
    "Start": start,
    "Learning rate and regularization": rate,
    "The course of a run": course,
}
"""The subjects, causes before their consequences."""


def collected(problems: Iterable[Problem]) -> dict[str, Problem]:
    """Collects problems by name.

    Args:
        problems: in the order of the catalogue.

    Raises:
        ValueError: two problems have one name, or one explains a problem that is not there.

    Example:
        >>> collected([course.PLATEAU, course.PLATEAU])
        Traceback (most recent call last):
            ...
        ValueError: two problems are called 'plateau'
    """
    found: dict[str, Problem] = {}
    for problem in problems:
        if problem.name in found:
            raise ValueError(f"two problems are called {problem.name!r}")
        found[problem.name] = problem
    for problem in found.values():
        for name in problem.explains:
            if name not in found:
                raise ValueError(f"{problem.name} explains {name!r}, which is not in the catalogue")
    return found


def rows(subject: ModuleType) -> list[Problem]:
    """Lists the problems that a module of the catalogue defines."""
    return [value for value in vars(subject).values() if isinstance(value, Problem)]


CATALOGUE: Mapping[str, Problem] = collected(row for subject in SUBJECTS.values() for row in rows(subject))
"""Name -> problem."""

PLACES: Mapping[str, int] = {name: place for place, name in enumerate(CATALOGUE)}
"""Name -> position in the catalogue."""


def problems_named(name: str) -> list[Problem]:
    """Finds a problem by its name, or by a name that it had; one old name may have meant several.

    Args:
        name: with underscores, hyphens or blanks.

    Raises:
        InputError: no problem is called that.

    Example:
        >>> [problem.name for problem in problems_named("dead units")]
        ['dead_units']
        >>> [problem.name for problem in problems_named("graph_cut")]
        ['loss_not_connected', 'layers_without_gradient']
    """
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    if wanted in CATALOGUE:
        return [CATALOGUE[wanted]]
    found = [problem for problem in CATALOGUE.values() if wanted in problem.formerly]
    if not found:
        known = [each for problem in CATALOGUE.values() for each in (problem.name, *problem.formerly)]
        near = list(dict.fromkeys(get_close_matches(wanted, known, n=3)))
        fix = f"did you mean {' or '.join(near)}?" if near else "`babysit rules` lists them"
        raise InputError(f"no rule is called {name!r}", fix=fix)
    return found
