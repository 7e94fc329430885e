"""The standing of a search: its best trial, the ties, the edge alarms, and what to do next.

The end of a search, the terminal, the report and the pages all read it from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from babysit.records import Edge, Result, State
from babysit.tuning.advice import advice
from babysit.tuning.edges import alarms_of
from babysit.tuning.ranking import Round, best, is_conclusive, ties


@dataclass(frozen=True, slots=True)
class Standing:
    """The judgement of a search, finished or running.

    Attributes:
        best: the best trial; None before the first score.
        ties: the best result and all within one standard error of it, best first.
        edges: the alarms for a best value at an edge.
        silenced: the alarms that are silenced, each with its reason.
        no_alarms: why no edge is judged although there is a best trial; empty where the edges are judged.
        advice: what to do next, in sentences; empty while the search runs.
    """

    best: Result | None = None
    ties: tuple[Result, ...] = ()
    edges: tuple[Edge, ...] = ()
    silenced: tuple[Edge, ...] = ()
    no_alarms: str = ""
    advice: tuple[str, ...] = ()


def standing(
    rounds: Sequence[Round], names: Sequence[str], examples: int, *, given: int = 0, ended: bool = True
) -> Standing:
    """Judges the stages of a search.

    Args:
        rounds: the stages, in their order.
        names: their names.
        examples: validation examples behind a score.
        given: the number of stages that were requested, the rest being repetitions; 0 is all.
        ended: the search has ended, so there is advice.
    """
    results = [result for each in rounds for result in each.results]
    first, equals, alarms = best(results), ties(results, examples), alarms_of(rounds, examples, given)
    edges = [edge for edge in alarms if not edge.silenced]
    reason = no_alarms_reason(first)
    lines = advice(rounds, names, examples, equals, edges, given=given) if ended else []
    return Standing(
        best=first,
        # Ties with a running trial are not known before it ends.
        ties=tuple(equals) if equals[:1] == [first] else (),
        edges=tuple(edges),
        silenced=tuple(edge for edge in alarms if edge.silenced),
        no_alarms=reason,
        advice=(*([reason] if reason and ended else []), *lines),
    )


_ENDS = {State.STOPPED: "was stopped", State.PRUNED: "was pruned", State.FAILED: "failed"}


def no_alarms_reason(best: Result | None) -> str:
    """Describes why the best trial can raise no edge alarm; empty where it can, or where there is none.

    Example:
        >>> from babysit.records import Run, Trial
        >>> no_alarms_reason(Result(Trial(0, 3, {}), Run(State.PRUNED)))
        'no edge alarm: no trial is complete with unchanged hyperparameters, and the best one was pruned'
        >>> no_alarms_reason(Result(Trial(0, 3, {}), Run(State.RUNNING)))
        'no edge alarm yet: the best trial is still running'
    """
    if best is None or is_conclusive(best):
        return ""
    if best.run.is_touched:
        end = "had its learning rate changed by the user"
    elif best.run.state is State.RUNNING:
        return "no edge alarm yet: the best trial is still running"
    else:
        end = _ENDS.get(best.run.state, f"is {best.run.state}")
    return f"no edge alarm: no trial is complete with unchanged hyperparameters, and the best one {end}"
