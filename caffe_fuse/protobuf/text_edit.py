"""Edits of protobuf text that look written by hand: one line each, with the file's own newlines and indentation.

Edits of different fields can be rendered together: two removed neighbours on one line may both delete the blank
between them, and fields appended to one message keep the order in which they are given.
"""

from __future__ import annotations

import re
from typing import Sequence

from .text import Document, Edit, Field, Message, Value
from .text_scalar import BLANK

_SPACE = b" \t"
_SPACES = re.compile(rb"[ \t]*")
_END_OF_LINE = re.compile(rb"[ \t]*(?:\r?\n|\Z)")
_COMMENT = re.compile(rb"[ \t]*(?:\#[^\r\n]*)?(?=\r?\n|\Z)")
_SEPARATOR = re.compile(rb"(" + BLANK + rb")[;,]")
_NEAR_SEPARATOR = re.compile(rb"(?:[ \t]*[;,])?")
_INDENTED = re.compile(rb"\n([ \t]+)[A-Za-z_]")
_INDENT_SEARCHED = 1 << 14  # bytes: an indented file shows it early, and each edit of another would search all of it


def replace(node: Value, text: bytes) -> Edit:
    """Replaces a value with another text."""
    return Edit(node.start, node.end, text)


def replace_field(document: Document, field: Field, lines: Sequence[bytes]) -> Edit:
    """Replaces a field with another one. lines: its text, indented by two blanks for each level in it."""
    before = _line_before(document, field.start)
    text = _one_line(lines) if before.strip(_SPACE) else _joined(document, lines, before)
    # After a string the next name may follow at once, but not after a number.
    glue = b" " if document.source[field.end : field.end + 1].isalnum() else b""
    return Edit(field.start, field.end, text + glue)


def insert_before(document: Document, field: Field, lines: Sequence[bytes]) -> Edit:
    """Inserts a new field before a field. lines: as for `replace_field`."""
    before = _line_before(document, field.start)
    if before.strip(_SPACE):
        return Edit(field.start, field.start, _one_line(lines) + b" ")
    return Edit(field.start, field.start, _joined(document, lines, before) + _newline(document) + before)


def remove(document: Document, field: Field) -> Edit:
    """Removes a field with its separator, and its lines if nothing else is on them. Comments stay."""
    source = document.source
    end, kept = field.end, b""
    separator = _SEPARATOR.match(source, end)
    if separator is not None:
        end, kept = separator.end(), separator.group(1).strip(_SPACE)
    before = _line_before(document, field.start)
    line_end = _END_OF_LINE.match(source, end)
    if line_end is None or kept.strip():
        return Edit(field.start, _end(_SPACES, source, end), kept)
    if before.strip(_SPACE):
        return Edit(field.start - len(before) + len(before.rstrip(_SPACE)), end, kept)
    return Edit(field.start - len(before), line_end.end(), b"")


def append(document: Document, message: Message, lines: Sequence[bytes]) -> Edit:
    """Appends a new field to a message. lines: its text, indented by two blanks for each level in it."""
    if not message.fields:
        return _first(document, message, lines)
    return insert(document, message.fields[-1], lines)


def insert(document: Document, field: Field, lines: Sequence[bytes]) -> Edit:
    """Inserts a new field after another. lines: its text, indented by two blanks for each level in it."""
    source = document.source
    before = _line_before(document, field.start)
    place = _end(_NEAR_SEPARATOR, source, field.end)
    if before.strip(_SPACE):
        return Edit(place, place, b" " + _one_line(lines))
    place = _end(_COMMENT, source, place)
    return Edit(place, place, _newline(document) + before + _joined(document, lines, before))


def _first(document: Document, message: Message, lines: Sequence[bytes]) -> Edit:
    source, place = document.source, message.body_start
    body = source[place : message.body_end]
    if b"\n" not in body:
        return Edit(place, place, b" " + _one_line(lines) + (b"" if body else b" "))
    before = _line_before(document, message.start)
    indent = before[: _end(_SPACES, before, 0)] + _indent_unit(document)
    place = _end(_COMMENT, source, place)
    return Edit(place, place, _newline(document) + indent + _joined(document, lines, indent))


def _one_line(lines: Sequence[bytes]) -> bytes:
    return b" ".join(line.strip() for line in lines)


def _joined(document: Document, lines: Sequence[bytes], indent: bytes) -> bytes:
    """The lines joined, with all but the first after this indent."""
    unit = _indent_unit(document)
    levels = ((len(line) - len(line.lstrip(b" "))) // 2 for line in lines)
    return (_newline(document) + indent).join(unit * level + line.strip() for level, line in zip(levels, lines))


def _line_before(document: Document, offset: int) -> bytes:
    """The text before a byte on its line, without a byte order mark."""
    start = document.source.rfind(b"\n", 0, offset) + 1
    return document.source[max(start, document.root.body_start) : offset]


def _newline(document: Document) -> bytes:
    end = document.source.find(b"\n")
    return b"\r\n" if end > 0 and document.source[end - 1 : end] == b"\r" else b"\n"


def _indent_unit(document: Document) -> bytes:
    """The indentation of the first indented line of the file; two blanks if it has none."""
    indented = _INDENTED.search(document.source, 0, _INDENT_SEARCHED)
    return b"  " if indented is None else indented.group(1)


def _end(pattern: re.Pattern[bytes], source: bytes, place: int) -> int:
    match = pattern.match(source, place)
    return place if match is None else match.end()
