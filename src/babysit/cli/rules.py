"""`babysit rules`: the catalogue of problems that babysit looks for."""

from __future__ import annotations

from typing import Annotated

import typer

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.views.terminal import rules


@app.command("rules", epilog="Example: babysit rules learning_rate_too_low")
def list_rules(
    name: Annotated[str, typer.Argument(help="One problem, to be shown in full; default the list.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List the problems that babysit looks for.

    Each with its signal, threshold, reason and fix.
    """
    console = console_for(as_json)
    console.print(rules.rule_in_full(name) if name else rules.rules_table(), highlight=False)
    if as_json:
        emit({"rules": rules.rules_data(name)})
