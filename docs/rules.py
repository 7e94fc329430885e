"""Writes docs/rules.md from the tables of rules: ``python -m docs.rules``."""

from __future__ import annotations

from pathlib import Path

from babysit.views.rules import all_cards, rules_page

PAGE = Path(__file__).parent / "rules.md"

if __name__ == "__main__":
    PAGE.write_text(rules_page(all_cards()))
