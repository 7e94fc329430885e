"""Lines about how a command runs: its dashboard, its precision, its populations."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from babysit.recipe.building import Prepared
from babysit.recipe.space import middle
from babysit.training.precision import remark


def tell_address(console: Console, line: str) -> None:
    """Says where a dashboard beside a run is to be found."""
    console.print(f"[dim]{escape(line)}, until the run ends[/dim]", highlight=False, soft_wrap=True)


def tell_precision(name: str, console: Console) -> None:
    """Says what a precision brings on this machine, unless it is float32."""
    if line := remark(name):
        console.print(f"[dim]precision: {escape(line)}[/dim]", highlight=False, soft_wrap=True)


def tell_way(prepared: Prepared, console: Console) -> None:
    """Says how the recipe's network trains as a population, and why."""
    found = prepared.lowering(middle(prepared.recipe.full_space()))
    text = f"trials train together: {found.kind} ({found.reason})"
    console.print(f"[dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True)
