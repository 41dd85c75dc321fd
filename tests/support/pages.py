"""What a page of ``docs`` shows: its blocks of code and the command lines of ``rookery`` in it."""

import re
import shlex
from pathlib import Path
from typing import Final

import typer
from typer.core import TyperGroup

from rookery.cli.main import app

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FIGURE: Final = re.compile(r"\bemqx_\w+")


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / "docs" / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code in one language."""
    return [block for found, block in FENCE.findall(text) if found == language]


def commands(text: str) -> list[str]:
    """The command lines of ``rookery``, those amid the text included."""
    lines = [line.strip() for block in blocks(text, "sh") for line in block.splitlines()]
    amid = re.findall(r"`(rookery [^`]+)`", FENCE.sub("", text))
    return [line for line in lines if line.startswith("rookery ")] + [
        " ".join(line.split()) for line in amid
    ]


def read_command(line: str) -> None:
    """Have the command line read, and nothing done; raises what a wrong one does."""
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words:
        command = command.commands[words.pop(0)]
    if words:  # Else it is only named.
        command.make_context("rookery", words)


def unknown_figures(text: str) -> set[str]:
    """The metrics that a text names and no node has."""
    source = "".join(path.read_text() for path in (ROOT / "src/rookery/observe").glob("*.py"))
    named = {name.removesuffix("_total") for name in FIGURE.findall(text)}
    return named - set(FIGURE.findall(source))
