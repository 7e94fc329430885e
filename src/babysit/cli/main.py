"""The entry point: importing a command module registers its commands."""

from __future__ import annotations

from babysit.cli import diagnose, lab, rules, runs, search, studies, verify
from babysit.cli.app import app

COMMAND_MODULES = (search, runs, studies, lab, verify, diagnose, rules)


def main() -> None:
    """Runs the command line and exits with its code."""
    app()
