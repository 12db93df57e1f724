"""Manifests: a list of models, a line each, as a table with tabs or as JSON.

net	weights	options	output            {"net": "a/deploy.prototxt", "weights": "a/a.caffemodel"}
a/deploy.prototxt	a/a.caffemodel		     {"net": "b.prototxt", "weights": "b.h5", "options": "--allow-bn"}
"""

from __future__ import annotations

import json
import os
import re
import shlex
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ..errors import InputError

COLUMNS = ("net", "weights", "options", "output")
_SHOWN = "a line has: net, weights and, if need be, options and output"


class Line(NamedTuple):
    """A model. where: FILE:LINE. output: "" if the line does not say it."""

    where: str
    net: str
    weights: str
    options: Tuple[str, ...]
    output: str


def read(path: str, options_with_paths: Sequence[str]) -> List[Line]:
    """The models of a manifest; relative paths in it are relative to its folder.

    options_with_paths: those whose values are paths. Raises InputError for a line that is not understood.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [(f"{path}:{number}", line.rstrip("\r\n")) for number, line in enumerate(file, 1)]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=path, remedy="give a table with tabs, or JSON") from error
    filled = [(where, line) for where, line in lines if line.strip() and not line.startswith("#")]
    if not filled:
        raise InputError("names no model", where=path, remedy=_SHOWN)
    rows = _of_json(filled) if filled[0][1].lstrip().startswith("{") else _of_table(filled)
    return [_line(where, row, os.path.dirname(path), options_with_paths) for where, row in rows]


def _of_table(lines: Sequence[Tuple[str, str]]) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    (where, head), *rest = lines
    names = [name.strip() for name in head.split("\t")]
    if not {"net", "weights"} <= set(names) or len(set(names)) < len(names):
        raise InputError(
            f"the first line is no head of a table: {head!r}", where=where, remedy="begin with net, a tab, weights"
        )
    for where, line in rest:
        cells = line.split("\t")
        if len(cells) > len(names):
            raise InputError(f"{len(cells)} cells under {len(names)} names", where=where, remedy=_SHOWN)
        yield where, dict(zip(names, cells))


def _of_json(lines: Sequence[Tuple[str, str]]) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    for where, line in lines:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"is not JSON: {error}", where=where, remedy="give an object on each line") from error
        if not isinstance(row, dict):
            raise InputError("is not a JSON object", where=where, remedy=_SHOWN)
        yield where, row


def _line(where: str, row: Mapping[str, Any], folder: str, options_with_paths: Sequence[str]) -> Line:
    unknown = [name for name in row if name not in COLUMNS]
    if unknown:
        raise InputError(f"{unknown[0]!r} is not a column", where=where, remedy=_SHOWN)
    cells: Dict[str, str] = {}
    for name in ("net", "weights", "output"):
        value = row.get(name, "")
        if not isinstance(value, str) or (name != "output" and not value.strip()):
            raise InputError(f"{name} is missing" if not value else f"{name} is no text", where=where, remedy=_SHOWN)
        cells[name] = value.strip()
    net, weights = (os.path.join(folder, cells[name]) for name in ("net", "weights"))
    options = _with_paths(_words(where, row.get("options", "")), folder, options_with_paths)
    return Line(where, net, weights, options, cells["output"])


def _words(where: str, options: Any) -> List[str]:
    """The options, given as on a command line or as a list."""
    if isinstance(options, list) and all(isinstance(word, str) for word in options):
        return options
    try:
        return shlex.split(options)
    except (ValueError, AttributeError) as error:
        raise InputError(f"options are not words: {error}", where=where, remedy="write them as for a shell") from error


def _with_paths(words: Sequence[str], folder: str, names: Sequence[str]) -> Tuple[str, ...]:
    """The words with the values of these options relative to the folder of the manifest."""
    found: List[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if found and found[-1] in names:
            found.append(_placed(folder, word))
        elif equals and name in names:
            found += [name, _placed(folder, value)]
        else:
            found.append(word)
    return tuple(found)


def _placed(folder: str, value: str) -> str:
    """The path in the folder; numbers, such as those of --mean, are none unless such a file is there."""
    path = os.path.join(folder, value)
    return value if re.fullmatch(r"[-+.,\deE]+", value) and not os.path.exists(path) else path
