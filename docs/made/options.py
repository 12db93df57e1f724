"""The commands with their options, as a page made from the parser."""

from __future__ import annotations

import argparse
from typing import Iterator, List

from caffe_fuse.cli.parser import Parser
from caffe_fuse.cli.parsers import COMMANDS, parser_of


def tables() -> str:
    """The tables of the page docs/options.md."""
    return "\n".join(_command(name, parser_of(name)) for name in COMMANDS)


def _command(name: str, parser: Parser) -> str:
    formatter = parser._get_formatter()
    parts = [f"## caffe-fuse {name}\n", f"{parser.description}\n" if parser.description else ""]
    parts.append("\n".join(f"    {line}" for line in parser.format_usage().replace("usage: ", "").splitlines()) + "\n")
    for group in parser._action_groups:
        actions = [action for action in group._group_actions if action.help != argparse.SUPPRESS]
        if actions:
            parts.append(f"**{(group.title or 'options').capitalize()}**\n")
            parts.append(f"{group.description}\n" if group.description else "")
            parts += [
                "| option | what |\n|---|---|\n" + "\n".join(_row(formatter, action) for action in actions) + "\n"
            ]
    parts.append("\n".join(f"    {line}" for line in parser.ending().splitlines()) + "\n")
    return "\n".join(filter(None, parts))


def _row(formatter: argparse.HelpFormatter, action: argparse.Action) -> str:
    text = formatter._expand_help(action) if action.help else ""
    return f"| {', '.join(_forms(action))} | {_escaped(text)} |"


def _forms(action: argparse.Action) -> Iterator[str]:
    """The spellings of an option, or the name of a positional argument."""
    if not action.option_strings:
        yield f"`{action.metavar or action.dest}`"
        return
    values: List[str] = [] if action.nargs == 0 else [str(action.metavar or "")]
    if action.choices is not None and action.metavar is None:
        values = ["{" + ",".join(map(str, action.choices)) + "}"]
    for spelling in action.option_strings:
        yield f"`{' '.join([spelling, *filter(None, values)])}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
