"""Edits of protobuf text that look as if they had been written by hand: own lines, the file's newline and indent."""

from __future__ import annotations

import re
from typing import Sequence, Tuple

from .textproto import Document, Edit, Field, Message, Value

_BLANK = b" \t"
_END_OF_LINE = re.compile(rb"[ \t]*(\r?\n|\Z)")
_SEPARATOR = re.compile(rb"[ \t]*[;,]")
INDENT = b"  "


def replace(node: Value, text: bytes) -> Edit:
    """Another text in the place of a value."""
    return Edit(node.start, node.end, text)


def replace_field(document: Document, field: Field, lines: Sequence[bytes]) -> Edit:
    """Another field in the place of a field; its lines stand at the same indent."""
    start, _ = _line_before(document, field.start)
    own_line = not document.source[start : field.start].strip(_BLANK)
    return Edit(field.start, field.end, _joined(document, lines, document.source[start : field.start], own_line))


def remove(document: Document, field: Field) -> Edit:
    """Takes a field out, with its lines where nothing else stands on them."""
    source = document.source
    end = field.end
    separator = _SEPARATOR.match(source, end)
    if separator is not None:
        end = separator.end()
    start, _ = _line_before(document, field.start)
    rest = _END_OF_LINE.match(source, end)
    if rest is not None and not source[start : field.start].strip(_BLANK):
        return Edit(start, rest.end(), b"")
    if rest is None:
        while source[end : end + 1] in (b" ", b"\t"):
            end += 1
        return Edit(field.start, end, b"")
    start = field.start
    while source[start - 1 : start] in (b" ", b"\t"):
        start -= 1
    return Edit(start, end, b"")


def append(document: Document, message: Message, lines: Sequence[bytes]) -> Edit:
    """A new last field in a message."""
    source = document.source
    if message.fields:
        last = message.fields[-1]
        start, indent = _line_before(document, last.start)
        end = last.end
        separator = _SEPARATOR.match(source, end)
        if separator is not None:
            end = separator.end()
        if source[start : last.start].strip(_BLANK):
            return Edit(end, end, b" " + b" ".join(line.strip() for line in lines))
        newline = _newline(document)
        return Edit(end, end, newline + indent + _joined(document, lines, indent, True))
    _, indent = _line_before(document, message.start)
    if b"\n" not in source[message.body_start : message.body_end]:
        return Edit(message.body_start, message.body_end, b" " + b" ".join(line.strip() for line in lines) + b" ")
    newline = _newline(document)
    deeper = indent + INDENT
    text = newline + deeper + _joined(document, lines, deeper, True)
    return Edit(message.body_start, message.body_start, text)


def _joined(document: Document, lines: Sequence[bytes], indent: bytes, own_lines: bool) -> bytes:
    if not own_lines:
        return b" ".join(line.strip() for line in lines)
    return (_newline(document) + indent).join(lines)


def _line_before(document: Document, offset: int) -> Tuple[int, bytes]:
    """Where the line of a byte begins, and its indent."""
    source = document.source
    start = source.rfind(b"\n", 0, offset) + 1
    line = source[start:offset]
    return start, line[: len(line) - len(line.lstrip(_BLANK))]


def _newline(document: Document) -> bytes:
    end = document.source.find(b"\n")
    return b"\r\n" if end > 0 and document.source[end - 1 : end] == b"\r" else b"\n"
