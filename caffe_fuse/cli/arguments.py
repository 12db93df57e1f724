"""The command line of `caffe-fuse`: from words to options, and back."""

from __future__ import annotations

import argparse
from typing import Collection, List, Sequence, Tuple

from ..errors import InputError
from .models import settled
from .parsers import COMMANDS, parser_of, program_parser

# The options that are about all models of a command, not about one of them.
OF_MANY = frozenset({"jobs", "manifest", "resume", "dask", "output", "report", "html", "quiet", "verbose"})


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed options. Raises InputError for an invalid command line; its remedy is the help of the command."""
    given = _with_strict_value(arguments)
    if not given or given[0].startswith("-"):
        return _without_command(given)
    name = given[0]
    if name not in COMMANDS:
        from ..spelling import did_you_mean

        raise InputError(f"{name} is no command{did_you_mean(name, COMMANDS)}", remedy="see caffe-fuse --help")
    options = parser_of(name).understood(given[1:])
    options.words = given[1:]
    return settled(options)


def _without_command(given: Sequence[str]) -> argparse.Namespace:
    options, others = program_parser().parse_known_args(given)
    if others:
        raise InputError(f"{others[0]} stands where a command is expected", remedy="see caffe-fuse --help")
    return options


def words_of(options: argparse.Namespace, without: Collection[str]) -> Tuple[str, ...]:
    """The options that differ from their default as words, the same in whatever form they were typed."""
    given = vars(options)
    words: List[str] = []
    for action in parser_of(options.command)._actions:
        value = given.get(action.dest)
        if not action.option_strings or action.dest not in given or action.dest in without or value == action.default:
            continue
        name = action.option_strings[-1]
        if action.nargs == 0:
            words += [name] if value == action.const else []
        elif action.dest == "strict":
            words += [f"{name}={value}"] if value != "bn" else []
        else:
            for each in value if isinstance(value, list) else [value]:
                words += [f"{name}={each}"] if str(each).startswith("-") else [name, str(each)]
    return tuple(words)


def _with_strict_value(arguments: Sequence[str]) -> List[str]:
    """The arguments with `--strict` alone as `--strict=bn`: argparse would take the next word for its value."""
    return ["--strict=bn" if argument == "--strict" else argument for argument in arguments]
