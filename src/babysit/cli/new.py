"""`babysit new`: a recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.errors import InputError
from babysit.recipe.template import TEMPLATE


@app.command(epilog="Example: babysit new my_recipe.py && babysit check my_recipe.py")
def new(
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Write a commented recipe to start from."""
    if file.suffix != ".py":
        raise InputError(f"{file} would be no Python file", fix=f"write {file.with_suffix('.py')}")
    try:
        with file.open("x", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(TEMPLATE.format(path=file))
    except FileExistsError:
        raise InputError(f"{file} exists already", fix="choose another name, or delete it first") from None
    except OSError as error:
        raise InputError(
            f"cannot write {file}: {error.strerror}", fix="choose a folder you can write in"
        ) from None
    console_for(as_json).print(
        f"wrote {escape(str(file))}; try: babysit check {escape(str(file))}", soft_wrap=True
    )
    if as_json:
        emit({"file": str(file)})
