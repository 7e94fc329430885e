"""Writes docs/rules.md from the catalogue of problems: ``python -m docs.rules``."""

from __future__ import annotations

from pathlib import Path

from babysit.views.terminal.rules import rules_page

PAGE = Path(__file__).parent / "rules.md"

if __name__ == "__main__":
    PAGE.write_text(rules_page())
