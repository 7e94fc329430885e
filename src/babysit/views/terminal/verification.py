"""The outcome of ``babysit verify`` in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.training.agreement import MemberAgreement, RankAgreement, TensorAgreement, Verification
from babysit.views.data.formatting import MISSING, number_text, value_text

MOST_TENSORS = 8
"""The number of tensors shown, the worst first; ``--json`` has them all."""
MOST_NAMES = 3
"""The most hyperparameters that fit a table of 80 columns."""
_OPTIONAL = (("in float64", "exact"), ("nudged, alone", "growth"))
"""The columns that are shown only if rounding had to be separated from a fault."""


def verification_text(found: Verification) -> RenderableType:
    """Renders the comparison of a population with its members trained alone, the verdict last.

    Args:
        found: the result of ``babysit.verify``.
    """
    many = f"{found.populations} populations" if found.populations > 1 else "one population"
    opening = (
        f"{len(found.members)} members trained for {found.steps} steps in {many}, "
        "and each alone, your module called as it is"
    )
    explanation = (
        f"Allowed: a relative difference of {number_text(found.tolerance)} within {found.steps} steps. "
        "Two ways to add the same numbers round differently, and training amplifies that: after hundreds of "
        "steps two correct runs may differ."
    )
    verdict = Text(found.verdict, style="bold green" if found.equal else "bold red")
    parts: list[RenderableType] = [
        Text(opening),
        Text(f"way: {found.way} ({found.reason})\n"),
        _members_table(found.members),
    ]
    if found.tensors:
        parts += [Text(), _tensors_table(found.tensors)]
    parts += [Text(), Text(explanation, style="dim"), verdict]
    if found.ranking:
        parts += [Text(), ranking_text(found.ranking)]
    elif found.remark:
        parts += [Text(), Text(f"{found.remark}; there is no other precision to compare")]
    return Group(*parts)


def _members_table(members: Sequence[MemberAgreement]) -> Table:
    table = Table(
        title="largest relative difference of the loss", title_justify="left", box=None, pad_edge=False
    )
    optional = [
        (heading, field)
        for heading, field in _OPTIONAL
        if any(not math.isnan(getattr(member, field)) for member in members)
    ]
    choices = [member.hyperparameters for member in members]
    varied = [name for name in choices[0] if len({repr(choice.get(name)) for choice in choices}) > 1]
    names = varied[: MOST_NAMES - len(optional)]
    headings = ["member", *map(escape, names), "difference", "step", *(heading for heading, _ in optional)]
    for heading in (*headings, "exploded"):
        table.add_column(heading, justify="right", overflow="fold")
    for number, member in enumerate(members):
        values = [escape(value_text(member.hyperparameters.get(name))) for name in names]
        differences = [_small(getattr(member, field)) for _, field in optional]
        together, alone = (MISSING if step is None else str(step) for step in member.explosions)
        exploded = together if together == alone else f"{together}, alone {alone}"
        cells = [*values, _small(member.loss), str(member.step), *differences, exploded]
        table.add_row(str(number), *cells, style=None if member.equal else "red")
    return table


def _small(difference: float) -> str:
    return MISSING if math.isnan(difference) else f"{difference:.1e}"


def _tensors_table(tensors: Sequence[TensorAgreement]) -> Table:
    shown = tensors[:MOST_TENSORS]
    rest = "" if len(shown) == len(tensors) else f": the worst {len(shown)} of {len(tensors)} tensors"
    title = f"after the last step{rest}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("tensor", overflow="fold")
    table.add_column("largest difference", justify="right")
    table.add_column("relative to the tensor", justify="right")
    for tensor in shown:
        table.add_row(escape(tensor.name), f"{tensor.absolute:.1e}", f"{tensor.relative:.1e}")
    return table


def ranking_text(found: RankAgreement) -> Text:
    """Describes how the ranking of trials in another precision agrees with float32."""
    epochs = f"{found.epochs} epoch{'s' if found.epochs > 1 else ''}"
    ours, theirs = ("none" if key is None else f"{key[0]}/{key[1]}" for key in found.best)
    if found.same_best:
        tied = "" if ours == theirs else f", tied with {ours} in float32"
        best = f"the same trial is best: {theirs}{tied}"
    else:
        best = f"another trial is best: {ours} in float32, {theirs} in {found.precision}"
    before, after = found.exploded
    exploded = f"{before} in both" if before == after else f"{before} in float32, {after} here"
    text = Text(f"{found.precision} against float32, {found.trials} trials of {epochs}:\n", style="bold")
    text.append(
        f"  rank correlation of the validation scores {number_text(found.correlation, 3)} (Spearman)\n"
        f"  validation losses differ by {number_text(found.largest_loss, 2)} at most, "
        f"{number_text(found.mean_loss, 2)} on average (relative)\n",
        style="not bold",
    )
    text.append(f"  {best}; exploded: {exploded}", style="not bold")
    if found.remark:
        text.append(f"\n{found.remark}", style="yellow" if "no matrix units" in found.remark else "not bold")
    return text
