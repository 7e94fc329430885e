"""Laboratory of a dashboard: the lab's experiments, with results in the user's cache folder."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_dir

from babysit.lab.catalogue import EXPERIMENTS

if TYPE_CHECKING:
    from babysit.views.dashboard.lab_runner import Laboratory


def laboratory() -> Laboratory:
    """Builds the dashboard's laboratory of all experiments; results of this version are kept.

    Example:
        >>> laboratory().card("zigzag").slides
        "'Activation Functions'"
    """
    from babysit.views.dashboard.lab_runner import ExperimentCard, Laboratory  # needs the extra dashboard

    cards = [ExperimentCard(each.name, each.title, each.about, each.slides) for each in EXPERIMENTS.values()]
    return Laboratory(cards, Path(user_cache_dir("babysit")) / "lab" / version("babysit"))
