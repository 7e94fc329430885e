"""The commands of `babysit`, in the groups of its help: what each does, and the module that holds it.

The help of a command stands here as well as in its docstring, so that `babysit --help` imports none of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command.

    Attributes:
        name: as it is typed.
        module: in ``babysit.cli``.
        group: heading in the help.
        help: first paragraph of its docstring.
    """

    name: str
    module: str
    group: str
    help: str


_START, _DIAGNOSE, _SEARCH = "Start", "Diagnose", "Train and search"
_LOOK, _LIVE, _STORE = "Look", "While it runs", "Store"

COMMANDS = (
    Command("demo", "search", _START, "See the whole method on handwritten digits."),
    Command("new", "new", _START, "Write a commented recipe to start from."),
    Command("check", "check", _DIAGNOSE, "Check a recipe before training: loss, data, gradients, rates."),
    Command("diagnose", "diagnose", _DIAGNOSE, "Diagnose the printed log of any training or search."),
    Command("rules", "rules", _DIAGNOSE, "List the problems that babysit looks for."),
    Command("train", "train", _SEARCH, "Train one run and judge it."),
    Command("search", "search", _SEARCH, "Search hyperparameters coarse to fine, then retrain the best."),
    Command("verify", "verify", _SEARCH, "Compare members trained together with members trained alone."),
    Command("dashboard", "dashboard", _LOOK, "Show every study in a browser, live."),
    Command("runs", "runs", _LOOK, "List the studies of a store."),
    Command("show", "show", _LOOK, "Show a study, or one trial in full."),
    Command("compare", "show", _LOOK, "Compare trials, or studies by their best trial."),
    Command("report", "report", _LOOK, "Write a study's report as one HTML file."),
    Command("lab", "lab", _LOOK, "Redo an experiment of the lecture."),
    Command("live", "live", _LIVE, "Follow a run or a study in the terminal."),
    Command("touch", "touch", _LIVE, "Change the settings of a running trial."),
    Command("extend", "touch", _LIVE, "Give a running search more trials."),
    Command("stop", "touch", _LIVE, "Stop a running trial or study."),
    Command("commands", "touch", _LIVE, "List the commands sent to a study or trial, and their outcome."),
    Command("store", "store", _STORE, "Migrate, verify or compact a store."),
    Command("export", "transfer", _STORE, "Export a study's trials to a table or to Optuna."),
    Command("import", "transfer", _STORE, "Import a study of Optuna."),
)
