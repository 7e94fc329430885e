"""`babysit rules`: what is looked for, everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.views import rules


@app.command("rules", epilog="Example: babysit rules learning_rate_too_low")
def list_rules(
    name: Annotated[str, typer.Argument(help="One rule, to be told in full; default the list.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what is looked for, before training, in a loop and in a log: threshold, reason, source, advice."""
    console = console_for(as_json)
    cards = rules.cards_named(name) if name else rules.all_cards()
    console.print(rules.rule_in_full(cards) if name else rules.rules_table(cards), highlight=False)
    if as_json:
        emit({"rules": [card.as_data() for card in cards]})
