"""The options of ``babysit search``, made from the fields of ``SearchSettings``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any, get_type_hints

import typer
from rich.markup import escape

from babysit.tuning.settings import DEFAULTS, OPTIONS, SearchSettings, flag_of

_EXTRA_STAGES = 5


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces the ``**options`` in the signature of a command by an option for each setting."""
    parameters = dict(inspect.signature(command, eval_str=True).parameters)
    parameters.pop("options")

    def add(name: str, kind: type, default: object, option: Any) -> None:
        annotation = Annotated[kind, option]  # type: ignore[valid-type]
        parameters[name] = Parameter(
            name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
        )

    types = get_type_hints(SearchSettings)
    for name, option in OPTIONS.items():
        if not option.panel:
            continue
        kind, default = types[name], DEFAULTS[name]
        if option.parse is not None:
            kind, default = str, ""
        elif name == "until_stable":
            kind, default = bool, False
        made = typer.Option(
            *((flag_of(name),) if option.flag or kind is bool else ()),
            help=escape(option.help),
            metavar=option.metavar or ("N" if kind is int else None),
            min=option.minimum if kind is int else None,
            rich_help_panel=option.panel,
            show_default=bool(default),
        )
        add(name, kind, default, made)
        if name == "until_stable":  # a switch on the command line, where its number is another option
            text = "With --until-stable: the most repetitions."
            extra = typer.Option(min=1, metavar="N", help=text, rich_help_panel=option.panel)
            add("extra_stages", int, _EXTRA_STAGES, extra)
    vars(command)["__signature__"] = inspect.Signature(list(parameters.values()))
    command.__annotations__ = {name: each.annotation for name, each in parameters.items()}
    return command


def settings_of(options: Mapping[str, Any]) -> SearchSettings:
    """Makes the settings of the options that were typed, by name."""
    values = dict(options)
    values["until_stable"] = values.pop("extra_stages") if values["until_stable"] else 0
    values.pop("extra_stages", None)
    for name, option in OPTIONS.items():
        if option.parse is not None and option.panel:
            text = values.pop(name)
            values |= {name: option.parse(text)} if text else {}
    return SearchSettings(**values)
