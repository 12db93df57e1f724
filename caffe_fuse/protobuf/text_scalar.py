"""The scalars of protobuf text, and the source positions that errors name."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import List, NamedTuple, Optional, Tuple

from ..errors import TextError
from ..wording import shown

SPACE = rb"[ \t\r\n\f\v]*"
BLANK = SPACE + rb"(?:\#[^\n]*(?:\n" + SPACE + rb"|\Z))*"
PIECE = rb"(?:\"[^\"\\\n]*(?:\\[^\n][^\"\\\n]*)*\"|'[^'\\\n]*(?:\\[^\n][^'\\\n]*)*')"

_SIMPLE = {
    b"a": b"\a",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"v": b"\v",
    b"\\": b"\\",
    b"'": b"'",
    b'"': b'"',
    b"?": b"?",
}
# Comments between adjacent strings may have quotes in them.
_PIECE_OR_COMMENT = re.compile(PIECE + rb"|\#[^\n]*")
_ESCAPE = re.compile(
    rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|((?:u[0-9a-fA-F]{4}\\)*u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(.))"
)
_INTEGER = re.compile(r"-?\s*(?:0[xX][0-9a-fA-F]+|[0-9]+)\Z")
_FLOAT = re.compile(r"(-?)\s*(?!0[0-9x])([0-9.]+(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)f?\Z", re.IGNORECASE)
_LONGEST_INTEGER = 22  # digits, of 2**64 in octal; Python refuses to convert some thousands
_SHOWN = 80  # bytes of a line on each side of a place: some files are a single line
_EXCERPT = 40


def excerpt(found: bytes) -> str:
    """A piece of the text for a message: one line, printable, at most _EXCERPT bytes."""
    return shown((found[:_EXCERPT] + (b"..." if len(found) > _EXCERPT else b"")).decode("utf-8", "replace"))


@dataclass(frozen=True, eq=False)
class Text:
    """The bytes of a file and its name: turns byte offsets into places."""

    source: bytes = field(repr=False)
    path: str

    @cached_property
    def _lines(self) -> List[int]:
        """The offset at which each line begins."""
        return [0, *(match.end() for match in re.finditer(rb"\n", self.source))]

    def position(self, offset: int) -> Tuple[int, int]:
        """The line and the column of a byte, both counted from 1; columns count characters."""
        line = bisect_right(self._lines, offset)
        return line, len(self.source[self._lines[line - 1] : offset].decode("utf-8", "replace")) + 1

    def where(self, offset: int) -> str:
        line, column = self.position(offset)
        return f"{self.path}:{line}:{column}"

    def error(self, what: str, offset: int, remedy: Optional[str] = None) -> TextError:
        """The error at a byte, with its line or, if that is long, the part around the byte."""
        line, _ = self.position(offset)
        start = max(self._lines[line - 1], offset - _SHOWN)
        before = _printable(self.source[start:offset])
        after = _printable(self.source[offset : offset + _SHOWN].split(b"\n", 1)[0].rstrip(b"\r"))
        return TextError(what, where=self.where(offset), remedy=remedy, line=before + after, column=len(before) + 1)


def _printable(line: bytes) -> str:
    """The line as wide as a terminal shows it, for the caret."""
    return shown(line.decode("utf-8", "replace").replace("\t", " "))


FILL_IN = "if this is a template, replace its placeholders with numbers"


class Scalar(NamedTuple):
    """A value that is not a message, with its sign. kind: "string", "number" or "identifier".

    The methods that convert it raise TextError with the place if it is of another kind or out of range.
    """

    kind: str
    start: int
    end: int
    origin: Text

    @property
    def text(self) -> str:
        """The value as written in the file."""
        _, start, end, origin = self
        return origin.source[start:end].decode("utf-8", "replace")

    def string(self) -> bytes:
        """The bytes of the string, with adjacent strings joined and escapes resolved."""
        kind, start, end, origin = self
        if kind != "string":
            raise self._unexpected("a string in quotes")
        source = origin.source
        inner = source[start + 1 : end - 1]
        if b"\\" not in inner and source[start : start + 1] not in inner:
            return inner
        pieces = _PIECE_OR_COMMENT.findall(source, start, end)
        return b"".join(_ESCAPE.sub(self._unescaped, piece[1:-1]) for piece in pieces if piece[:1] != b"#")

    def integer(self, minimum: int, maximum: int) -> int:
        """The integer, written in decimal, hexadecimal (0x) or octal (0)."""
        text = self.text
        if self.kind != "number" or not _INTEGER.match(text):
            raise self._unexpected("an integer", FILL_IN)
        digits = text.lstrip("-").strip()
        base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
        digits = digits.lstrip("0xX") or "0"
        if len(digits) <= _LONGEST_INTEGER:
            value = -int(digits, base) if text[0] == "-" else int(digits, base)
            if minimum <= value <= maximum:
                return value
        raise self._unexpected(f"an integer from {minimum} to {maximum}")

    def floating(self) -> float:
        """The float, written in decimal, or as inf or nan; octal and hexadecimal numbers are integers only."""
        match = _FLOAT.match(self.text)
        if match is None:
            raise self._unexpected("a number" if self.kind != "number" else "a decimal number", FILL_IN)
        number = float(match.group(2))
        return -number if match.group(1) else number

    def boolean(self) -> bool:
        word = self.text
        if word in ("true", "True", "t", "1"):
            return True
        if word in ("false", "False", "f", "0"):
            return False
        raise self._unexpected("true or false")

    def identifier(self) -> str:
        if self.kind != "identifier":
            raise self._unexpected("a name without quotes")
        return self.text

    def _unexpected(self, wanted: str, of_words: Optional[str] = None) -> TextError:
        """The error for another kind of value. of_words: the remedy if the value is an identifier."""
        found = excerpt(self.origin.source[self.start : self.end])
        remedy = of_words if self.kind == "identifier" else None
        return self.origin.error(f"expected {wanted}, found `{found}`", self.start, remedy)

    def _unescaped(self, match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, unicode, simple = match.groups()
        if octal is not None and int(octal, 8) < 256:
            return bytes([int(octal, 8)])
        if hexadecimal is not None:
            return bytes([int(hexadecimal, 16)])
        if unicode is not None:
            try:
                # Two \u may be a surrogate pair, as in UTF-16.
                utf16 = match.group().decode("unicode_escape").encode("utf-16-le", "surrogatepass")
                return utf16.decode("utf-16-le").encode()
            except UnicodeError:
                pass
        elif simple in _SIMPLE:
            return _SIMPLE[simple]
        raise self.origin.error(f"unknown escape {excerpt(match.group())} in a string", self.start)
