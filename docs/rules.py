"""Writes docs/rules.md from the table of rules: ``python -m docs.rules``."""

from __future__ import annotations

from pathlib import Path

from babysit.views.rules import rules_page
from babysit.watching.rules import RULES

PAGE = Path(__file__).parent / "rules.md"

if __name__ == "__main__":
    PAGE.write_text(rules_page(RULES))
