"""The grammar of protobuf text as regular expressions, and the errors for text that does not follow it.

No expression matches the same bytes in two ways: otherwise a long run before a stray byte would take quadratic time.
"""

from __future__ import annotations

import re
from typing import Optional

from ..errors import TextError
from .text_scalar import BLANK, PIECE, SPACE, Text, excerpt

BOM = b"\xef\xbb\xbf"
CLOSING = {b"{": b"}", b"<": b">"}

_IDENTIFIER = rb"[A-Za-z_][A-Za-z0-9_]*"
_IN_BRACKETS = rb"[A-Za-z0-9_.\-~!$&()*+,;=%/ \t\r\n\f\v]*"
_NAME = rb"(" + _IDENTIFIER + rb"|\[" + _IN_BRACKETS + rb"(?:\#[^\n]*\n" + _IN_BRACKETS + rb")*\])"
_WORD = rb"(?:" + _IDENTIFIER + rb"|-" + SPACE + rb"(?i:inf(?:inity)?|nan)f?)\b"
# Octal and hexadecimal numbers are integers only, and a leading zero makes a number octal: 01.5 and 08 are invalid.
_NUMBER = (
    rb"(?:-" + SPACE + rb")?"
    rb"(?:0[xX][0-9a-fA-F]+|0[0-7]+|(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)"
    rb"(?![A-Za-z0-9_.])"
)


def _scalar(string: bytes) -> bytes:
    return b"(?:(" + _WORD + b")|(" + _NUMBER + b")|(" + string + b"))"


_STRING = PIECE + rb"(?:" + BLANK + PIECE + rb")*"
_SEPARATOR = BLANK + rb"(?:[;,]" + BLANK + rb")?"
# The last of these groups that matched says what the field is: a scalar of some kind, or opened by `{`, `<` or `[`.
NAME, COLON, OPEN = 1, 5, 6
KINDS = ("", "", "identifier", "number", "string")
FIELD = re.compile(
    _NAME
    + (BLANK + rb"(?::" + BLANK + _scalar(_STRING) + _SEPARATOR)
    + (rb"|(:" + BLANK + rb")?([{<\[])" + BLANK + rb")")
)
# Most fields have no comment, separator or second string; a pattern without those matches in half the time.
PLAIN_FIELD = re.compile(
    rb"(" + _IDENTIFIER + rb")[ \t]*"
    rb"(?::[ \t]*" + _scalar(PIECE) + SPACE + rb"(?![;,\#\"'\s])|(:[ \t]*)?([{<\[])" + SPACE + rb"(?![\#\s]))"
)
_COMMA = BLANK + rb"(?:," + BLANK + rb"(?![\]\#\s])|(?=\]))"
# A scalar in a list, with the groups of a field.
ELEMENT = re.compile(rb"()" + _scalar(_STRING) + _COMMA)

_BLANKS = re.compile(BLANK)
_SEPARATORS = re.compile(_SEPARATOR)
_COMMAS = re.compile(_COMMA)
# These are compiled when they are used: few texts need them.
_COMMENT_OR_SPACE = rb"\#[^\n]*|[ \t\r\n\f\v]+"
_EXTENSION = rb"\[(?:[^/\]][^\]]*/)?" + _IDENTIFIER + rb"(?:\." + _IDENTIFIER + rb")*\]\Z"
_FOUND = rb"(?s:[A-Za-z0-9_.+-]+|" + PIECE + rb"|[\xc2-\xf4][\x80-\xbf]+|.)"


def after_blank(source: bytes, place: int) -> int:
    match = _BLANKS.match(source, place)
    return place if match is None else match.end()


def after_separator(source: bytes, place: int) -> int:
    match = _SEPARATORS.match(source, place)
    return place if match is None else match.end()


def after_comma(text: Text, end: int) -> int:
    """The place of the next element of a list, or of its `]`."""
    match = _COMMAS.match(text.source, end)
    if match is None:
        raise _not_a_comma(text, end)
    return match.end()


def extension_name(text: Text, name: bytes, place: int) -> str:
    """The bracketed name of an extension, or of the type in an Any, without the blanks and comments in it."""
    name = re.sub(_COMMENT_OR_SPACE, b"", name)
    if not re.match(_EXTENSION, name):
        raise text.error("expected the name of an extension in [ ]", place)
    return name.decode()


def not_a_field(text: Text, place: int, closing: Optional[bytes]) -> TextError:
    """The error where a field or the end of its message is expected. closing: the closing brace; None for the root."""
    source = text.source
    name = re.compile(_NAME).match(source, place)
    if name is None:
        if source[place : place + 1] == b"[":
            return text.error("expected the name of an extension in [ ]", place)
        return _unexpected(text, place, "a field name" + ("" if closing is None else f" or `{closing.decode()}`"))
    place = after_blank(source, name.end())
    if source[place : place + 1] != b":":
        return _unexpected(text, place, f"`:` or `{{` after {excerpt(name.group())}")
    return not_a_value(text, after_blank(source, place + 1))


def not_a_value(text: Text, place: int) -> TextError:
    return _unexpected(text, place, "a value")


def not_an_element(text: Text, place: int, has_colon: bool) -> TextError:
    """The error where a list element with its separator is expected."""
    if not has_colon:
        return _unexpected(text, place, "`{` in a list without `:`")
    scalar = re.compile(_scalar(_STRING)).match(text.source, place)
    return not_a_value(text, place) if scalar is None else _not_a_comma(text, scalar.end())


def _not_a_comma(text: Text, end: int) -> TextError:
    place = after_blank(text.source, end)
    if text.source[place : place + 1] != b",":
        return _unexpected(text, place, "`,` or `]`")
    return not_a_value(text, after_blank(text.source, place + 1))


def _unexpected(text: Text, place: int, wanted: str) -> TextError:
    match = re.compile(_FOUND).match(text.source, place)
    if match is None:
        return text.error(f"expected {wanted}, found the end of the file", place)
    found = match.group()
    if found in (b'"', b"'"):
        return text.error("this string does not end on its line", place)
    if text.source.startswith(b"//", place):
        return text.error(f"expected {wanted}, found `//`: comments begin with `#`", place)
    return text.error(f"expected {wanted}, found `{excerpt(found)}`", place)
