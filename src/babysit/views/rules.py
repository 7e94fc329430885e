"""The rules of all three tables, in the terminal and as a page of the documentation: the same cards."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from babysit.checks.faults import FAULTS, UNANSWERED
from babysit.checks.report import card as fault_card
from babysit.errors import InputError
from babysit.verdict.cards import RuleCard
from babysit.views.verdict import STYLES
from babysit.watching import diagnosis
from babysit.watching.live_rules import LIVE_RULES
from babysit.watching.live_rules import cards as live_cards

HEADINGS = ("rule", "severity", "what it looks for", "why there", "advice", "source", "a symptom of")

_INTRODUCTION = """# The rules

What babysit looks for, in three tables. A finding names its rule; where a rule of the last column has found
its cause, this one is a symptom of it. `babysit rules` lists the same, `babysit rules NAME` tells one in
full.

Rows are those of CS231n (2017), lecture 6. This page is made by `python -m docs.rules`; do not edit it.
"""
SECTIONS = {
    "check": (
        "Before training: `babysit.check`",
        "Asked of a few batches on copies of the program. A finding of severity info is a peculiarity: it "
        "becomes a warning only where it explains a symptom that nothing worse does.",
    ),
    "watch": (
        "In a loop: `babysit.watch`",
        "Asked of a run's sampled steps whenever `report()` is. The severity is the gravest it gives.",
    ),
    diagnosis.APPLIES: (
        "In a run's readings: `babysit train`, `search`, `diagnose`",
        "Asked of one reading an epoch, or of what a printed log holds. A symptom stays silent.",
    ),
}


def all_cards() -> list[RuleCard]:
    """Every rule of babysit: of programs before training, of loops, of readings."""
    checks = [fault_card(fault, FAULTS) for fault in (*FAULTS, UNANSWERED)]
    return [*checks, *live_cards([rule.name for rule in LIVE_RULES]), *diagnosis.cards()]


def cards_named(name: str) -> list[RuleCard]:
    """The rules of one name; several tables may have one.

    Args:
        name: with underscores, hyphens or blanks.

    Raises:
        InputError: no rule is called that.

    Example:
        >>> [card.applies for card in cards_named("graph cut")]
        ['check', 'watch']
    """
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    cards = all_cards()
    found = [card for card in cards if card.name == wanted]
    if not found:
        near = get_close_matches(wanted, [card.name for card in cards], n=3)
        cure = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "`babysit rules` lists them"
        raise InputError(f"no rule is called {name!r}", cure=cure)
    return found


def rule_cells(card: RuleCard) -> tuple[str, ...]:
    """A rule as the cells of a row, under ``HEADINGS``."""
    return (
        card.name,
        card.severity.value,
        card.about,
        card.reason,
        card.advice,
        card.source,
        ", ".join(card.symptom_of),
    )


def rules_page(cards: Sequence[RuleCard]) -> str:
    """The page docs/rules.md.

    Args:
        cards: every rule.

    Example:
        >>> print(rules_page([]).splitlines()[0])
        # The rules
    """
    sections = (_section(applies, cards) for applies in SECTIONS)
    return "\n".join((_INTRODUCTION, *sections))


def _section(applies: str, cards: Sequence[RuleCard]) -> str:
    title, words = SECTIONS[applies]
    rows = [rule_cells(card) for card in cards if card.applies == applies]
    kept = [column for column in range(len(HEADINGS)) if any(row[column] for row in rows)]
    table = [HEADINGS, ("---",) * len(HEADINGS), *rows]
    lines = [f"| {' | '.join(row[column].replace('|', chr(92) + '|') for column in kept)} |" for row in table]
    return "\n".join((f"## {title}", "", words, "", *lines, ""))


def rules_table(cards: Sequence[RuleCard]) -> RenderableType:
    """The list for the terminal: what each looks for; the rest is told rule by rule.

    Args:
        cards: the rules to list.
    """
    parts: list[RenderableType] = []
    for applies, (title, _) in SECTIONS.items():
        table = Table(title=title.replace("`", ""), title_justify="left", box=None, pad_edge=False)
        for heading in HEADINGS[:3]:
            table.add_column(heading, overflow="fold", no_wrap=heading == "severity")
        for card in cards:
            if card.applies == applies:
                severity = Text(card.severity.value, style=STYLES[card.severity])
                table.add_row(Text(card.name, overflow="fold"), severity, Text(card.about))
        parts += [table, Text()]
    return Group(*parts, Text("babysit rules NAME tells one in full: why, source, advice", style="dim"))


def rule_in_full(cards: Sequence[RuleCard]) -> RenderableType:
    """Everything about the rules of one name.

    Args:
        cards: the rules to tell.
    """
    return Group(*(part for card in cards for part in _told(card)))


def _told(card: RuleCard) -> list[RenderableType]:
    head = Text.assemble((card.name, f"bold {STYLES[card.severity]}"), f"  {card.severity.value}")
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    told = {
        "asked by": SECTIONS[card.applies][0].replace("`", ""),
        "looks for": card.about,
        "why there": card.reason,
        "source": card.source,
        "symptom of": ", ".join(card.symptom_of),
        "advice": card.advice,
    }
    for what, words in told.items():
        if words:
            rows.add_row(what, Text(words))
    return [head, Padding(rows, (0, 0, 1, 2))]
