"""Reads the two files of a model, which are recognised by their content."""

from __future__ import annotations

import os
import re
from operator import index
from typing import Iterable, Mapping, Optional, Sequence, Tuple, Union, get_args

from ..argument_types import DICT, INTEGER, NAME, PATH, expect, names
from ..errors import InputError, TextError
from ..protobuf import text as textproto
from ..protobuf.text import Document
from ..protobuf.wire import Source
from ..weights import WeightFile, read_weights
from ..weights.sniff import HEAD_SIZE, explain
from .bn_dialect import BnDialect
from .build import build
from .model import Model
from .state import Phase, State

PathLike = Union[str, "os.PathLike[str]"]
# $#name#$, ${name}, $name, {{name}}, {name}, @name@, %(name)s, %name%
PLACEHOLDER = re.compile(r"\$#[^#]*#\$|\$\{[^}]*\}|\$\w+|\{\{.*?\}\}|\{\w+\}|@\w+@|%\(\w+\)\w|%\w+%")
# More than one line, or a field at the start or in braces.
_TEXT_OF_A_NET = re.compile(r"\n|^\s*\w+\s*:\s|\w\s*\{\s*\w+\s*[:{]")
# The fields of a solver that hold a net, and those that name its file.
_NETS_INSIDE = ("net_param", "train_net_param", "test_net_param")
_NET_FILES = ("net", "train_net", "test_net")
_SOLVER_FIELDS = {*_NETS_INSIDE, *_NET_FILES, "base_lr", "lr_policy", "max_iter", "snapshot_prefix"}


def load(
    net: PathLike,
    weights: Optional[PathLike] = None,
    *,
    phase: Phase = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    input_shapes: Optional[Mapping[str, Sequence[int]]] = None,
    bn_dialect: Optional[BnDialect] = None,
) -> Model:
    """A model from its prototxt and, if given, its weights; the two paths may come in either order.

    phase, level, stages: which layers take part, as in Caffe's NetState. input_shapes: blob name -> shape, for inputs
    whose shape the net omits, or to change it. bn_dialect: the dialect of the BatchNorm layers, if the files do not
    show it.
    Raises InputError (TextError with a place in the text) for files that are not a valid model, and for the text of a
    net in place of its path; TypeError for an argument of a wrong type.
    """
    expect(PATH, net=net)
    expect(PATH.or_none(), weights=weights)
    _refuse_text(net)
    document, stored = read_files(net, weights)
    return model_of(
        document,
        stored,
        phase=phase,
        level=level,
        stages=stages,
        input_shapes=input_shapes,
        bn_dialect=bn_dialect,
    )


def model_of(
    document: Document,
    stored: Optional[WeightFile],
    *,
    phase: Phase = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    input_shapes: Optional[Mapping[str, Sequence[int]]] = None,
    bn_dialect: Optional[BnDialect] = None,
) -> Model:
    """As `load`, from files that were read."""
    expect(NAME, phase=phase)
    expect(INTEGER, level=level)
    expect(DICT.or_none(), input_shapes=input_shapes)
    expect(NAME.or_none(), bn_dialect=bn_dialect)
    if phase not in get_args(Phase):
        raise InputError(f"phase {phase!r} is neither TEST nor TRAIN")
    shapes = {name: _checked(name, shape) for name, shape in (input_shapes or {}).items()}
    built = build(document, stored, State(phase, level, frozenset(names(stages=stages))), shapes, bn_dialect)
    warnings = built.warnings
    if document.has_bom:
        warnings += (f"{document.path}: begins with a byte order mark, which Caffe cannot read; it is kept",)
    return Model(document, stored, built.net, built.net, built.excluded, (), warnings)


def read_files(net: PathLike, weights: Optional[PathLike]) -> Tuple[Document, Optional[WeightFile]]:
    """The text and the weights, recognised by their content."""
    sources = [_open(os.fspath(path)) for path in (net, weights) if path is not None]
    if len(sources) == 2 and _is_binary(sources[0]) and not _is_binary(sources[1]):
        sources.reverse()
    document = _read_text(sources[0])
    return document, read_weights(sources[1]) if len(sources) == 2 else None


def _refuse_text(net: PathLike) -> None:
    """Raises InputError for the text of a net, which no file is named like."""
    given = os.fspath(net)
    if _TEXT_OF_A_NET.search(given) and not os.path.exists(given):
        first = given.strip().splitlines()[0][:40]
        raise InputError(
            f"net is the text of a net ({first} ...), but its path is expected",
            remedy='write it into a file first: pathlib.Path("net.prototxt").write_text(text)',
        )


def _checked(name: str, shape: Sequence[int]) -> Tuple[int, ...]:
    try:
        dims = tuple(index(dim) for dim in shape)
    except TypeError:
        dims = ()
    if not dims or min(dims) < 1:
        raise InputError(
            f"the shape {shape} of input {name} is not a valid sequence of sizes", remedy="for example (1, 3, 224, 224)"
        )
    return dims


def _open(path: str) -> Source:
    """The Source of a path. A pipe such as /dev/stdin is read to its end: a Source is read at any offset."""
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            with open(path, "rb") as file:
                return Source(file.read(), path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=path) from error
    return Source(path)


def _is_binary(source: Source) -> bool:
    """Whether it has control characters that text does not have; a caffemodel has them near its start."""
    head = source.read(0, min(HEAD_SIZE, source.size))
    return any(byte < 9 or 13 < byte < 32 for byte in head)


def _parsed(source: Source) -> Document:
    """The parsed text. Raises TextError if it is invalid; a template has placeholders that a program fills in."""
    try:
        return textproto.parse(source.read(0, source.size), source.name)
    except TextError as error:
        hits = PLACEHOLDER.finditer(error.line)
        placeholder = next((hit for hit in hits if hit.start() < error.column <= hit.end()), None)
        if placeholder is None:
            raise
        raise TextError(
            f"{placeholder.group()} is a placeholder: this is a template of a net",
            where=error.where,
            remedy="fill in its placeholders",
            line=error.line,
            column=error.column,
        ) from error


def _read_text(source: Source) -> Document:
    head = source.read(0, min(HEAD_SIZE, source.size))
    kind, remedy = explain(head) or ("", "")
    if _is_binary(source):
        what = f"this is not a prototxt: it {kind or 'is binary'}"
        raise InputError(what, where=source.name, remedy="give the .prototxt of the net")
    if kind and not kind.startswith("is text"):
        raise InputError(kind, where=source.name, remedy=remedy)
    document = _parsed(source)
    _refuse_solver(document)
    return document


def _refuse_solver(document: Document) -> None:
    """Raises InputError for a solver: a fold writes a net, and a solver that holds one could not use that file."""
    fields = {field.name: field for field in reversed(document.root.fields)}
    if fields.keys() & {"layer", "layers"} or not fields.keys() & _SOLVER_FIELDS:
        return
    inside = next((fields[name] for name in _NETS_INSIDE if name in fields), None)
    if inside is not None:
        raise InputError(
            f"is a solver that holds its net, in {inside.name}",
            where=document.where(inside.start),
            remedy="save the text between its braces as a file, and give that",
        )
    named = next((name for name in _NET_FILES if name in fields), "net")
    remedy = f"give the prototxt that its `{named}` names"
    raise InputError("is a solver, not a net", where=document.path, remedy=remedy)
