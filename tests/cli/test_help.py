"""The help: commands in groups, each with the first line of its own docstring, readable at 80 columns."""

from __future__ import annotations

import importlib
import inspect
import re
from importlib.metadata import version

import pytest
import typer

from babysit.cli.app import app
from babysit.cli.commands import COMMANDS


def test_the_help_lists_every_command_once_in_its_group(babysit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    babysit("rules")  # a command that was imported stays in its group
    lines = babysit("--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    group, found = "", []
    for line in lines:
        if heading := re.match(r"╭─ (.+?) ─", line):
            group = heading[1]
        elif (row := re.match(r"│ ([a-z]+) +(\S.*?) *│", line)) and group != "Options":
            found.append((row[1], group, row[2]))
    assert found == [(command.name, command.group, command.help) for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_says_what_the_list_says_of_it(command):
    importlib.import_module(f"babysit.cli.{command.module}")
    made = typer.main.get_group(app).imported[command.name]
    assert inspect.cleandoc(made.help).splitlines()[0] == command.help


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_a_help_of_its_own(command, babysit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = babysit(command.name, "--help")
    assert answer.code == 0
    assert command.help in " ".join(answer.out.split())
    assert max(map(len, answer.out.splitlines())) <= 80


def test_the_version(babysit):
    assert babysit("--version").out == f"babysit {version('babysit')}\n"


def test_a_mistyped_command_gets_a_hint(babysit):
    answer = babysit("serach")
    assert answer.code == 2
    assert "'search'" in answer.err
