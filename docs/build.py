"""Builder of docs/lecture.md: runs every experiment, writes its numbers and figures, and the CIFAR-10 table.

    BABYSIT_DATA=... python docs/build.py

`make docs` runs it. The page holds only measured numbers, so it cannot disagree with the code.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.lecture import page, table

from babysit.lab.catalogue import EXPERIMENTS
from babysit.lab.experiment import Experiment, ExperimentResult, Options
from babysit.lab.figures import save

HERE = Path(__file__).parent
FIGURES = HERE / "figures"


def main() -> None:
    """Measures everything and writes the page."""
    FIGURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = [page(table(Path(folder)))]
    parts.append(
        "# The experiments\n\nEach is one command; figures and numbers are what it printed, seed 0.\n"
    )
    for experiment in EXPERIMENTS.values():
        parts.append(section(experiment))
    (HERE / "lecture.md").write_text("\n".join(parts))


def section(experiment: Experiment) -> str:
    """Writes one experiment: its command, tables, figures and lesson."""
    data = "cifar10" if experiment.needs_data else "digits"
    options = f" --data {data}" if experiment.needs_data else ""
    started = time.perf_counter()
    outcome = experiment.run(Options(seed=0, data=data))
    seconds = time.perf_counter() - started
    print(f"{experiment.name}: {seconds:.1f} s")
    lines = [
        f"## {experiment.title}",
        "",
        f"{experiment.about} Slides: {experiment.slides}.",
        "",
        f"`babysit lab {experiment.name}{options}` ({seconds:.0f} s)",
        "",
    ]
    for title, headings, rows in outcome.tables:
        lines += [f"**{title}**", "", *markdown(headings, rows), ""]
    lines += figures(experiment, outcome)
    return "\n".join([*lines, outcome.remark, ""])


def markdown(headings: list[str], rows: list[list[object]]) -> list[str]:
    """Writes a table in Markdown."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in (headings, *rows)]
    return [
        f"| {' | '.join(cells[0])} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in cells[1:]),
    ]


def figures(experiment: Experiment, outcome: ExperimentResult) -> list[str]:
    """Saves the experiment's figures beside the page and returns the links to them."""
    lines = []
    for path in save(outcome, FIGURES / experiment.name):
        if path.suffix == ".png":
            lines += [f"![{path.stem}](figures/{experiment.name}/{path.name})", ""]
        else:
            path.unlink()  # the page needs one format; `babysit lab` writes both
    return lines


if __name__ == "__main__":
    main()
