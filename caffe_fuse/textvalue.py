"""The scalars of protobuf text, and the places that messages about them name."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import List, NamedTuple, Tuple

from .errors import TextError

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
_PIECE = re.compile(rb"\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)'", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_INTEGER = re.compile(r"-?\s*(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)\Z")
_INFINITIES = frozenset({"inf", "infinity"})


@dataclass(frozen=True, eq=False)
class Text:
    """The bytes of a file and its name: turns byte offsets into places."""

    source: bytes
    path: str

    @cached_property
    def _lines(self) -> List[int]:
        """Where each line begins."""
        return [0, *(match.end() for match in re.finditer(rb"\n", self.source))]

    def position(self, offset: int) -> Tuple[int, int]:
        """Line and column of a byte, both from 1; a column is a character."""
        line = bisect_right(self._lines, offset)
        return line, len(self.source[self._lines[line - 1] : offset].decode("utf-8", "replace")) + 1

    def where(self, offset: int) -> str:
        line, column = self.position(offset)
        return f"{self.path}:{line}:{column}"

    def error(self, what: str, offset: int) -> TextError:
        """The error about what stands at a byte, with its line."""
        line, column = self.position(offset)
        shown = self.source[self._lines[line - 1] :].split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")
        return TextError(what, where=f"{self.path}:{line}:{column}", line=shown, column=column)


class Scalar(NamedTuple):
    """A value that is no message. kind: "string", "number" or "identifier"; a sign belongs to it.

    What is asked for and is not there raises TextError with the place.
    """

    kind: str
    start: int
    end: int
    origin: Text

    @property
    def text(self) -> str:
        """As it stands in the file."""
        return self.origin.source[self.start : self.end].decode("utf-8", "replace")

    def string(self) -> bytes:
        """Adjacent strings are one; escapes are resolved."""
        if self.kind != "string":
            raise self._unexpected("a string in quotes")
        source = self.origin.source[self.start : self.end]
        if b"\\" not in source and source.count(source[:1]) == 2 and source.endswith(source[:1]):
            return source[1:-1]
        pieces = _PIECE.finditer(_without_comments(source))
        return b"".join(
            _ESCAPE.sub(self._unescaped, match.group(1) if match.group(1) is not None else match.group(2))
            for match in pieces
        )

    def integer(self, minimum: int, maximum: int) -> int:
        """Decimal, 0x hexadecimal or 0 octal."""
        text = self.text
        if self.kind != "number" or not _INTEGER.match(text):
            raise self._unexpected("an integer")
        digits = text.lstrip("-").strip()
        base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
        value = -int(digits, base) if text[0] == "-" else int(digits, base)
        if not minimum <= value <= maximum:
            raise self._unexpected(f"an integer from {minimum} to {maximum}")
        return value

    def floating(self) -> float:
        text = self.text
        word = text.lstrip("-").strip().lower()
        sign = -1.0 if text[0] == "-" else 1.0
        if word in _INFINITIES or word == "nan":
            return sign * float(word)
        if self.kind != "number":
            raise self._unexpected("a number")
        if _INTEGER.match(text):
            # Octal and hexadecimal are integers only, also where a float is due.
            digits = text.lstrip("-").strip()
            if len(digits) > 1 and digits[0] == "0":
                raise self._unexpected("a decimal number")
        return sign * float(word.rstrip("f"))

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

    def _unexpected(self, wanted: str) -> TextError:
        return self.origin.error(f"expected {wanted}, found `{self.text}`", self.start)

    def _unescaped(self, match: re.Match[bytes]) -> bytes:
        octal, digits, short, long, simple = match.groups()
        if octal is not None and int(octal, 8) < 256:
            return bytes([int(octal, 8)])
        if digits is not None:
            return bytes([int(digits, 16)])
        if short is not None or long is not None:
            code = int(short or long, 16)
            if code <= 0x10FFFF and not 0xD800 <= code < 0xE000:
                return chr(code).encode()
        elif simple in _SIMPLE:
            return _SIMPLE[simple]
        raise self.origin.error(f"unknown escape {match.group().decode('utf-8', 'replace')} in a string", self.start)


def _without_comments(source: bytes) -> bytes:
    """Between adjacent strings there may be comments, and quotes in them."""
    return re.sub(rb"(\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')|#[^\n]*", lambda match: match.group(1) or b"", source)
