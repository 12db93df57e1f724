"""Protobuf text, losslessly: a tree of places in the original bytes. There is no Caffe word in it.

The language: https://protobuf.dev/reference/protobuf/textformat-spec/, as `google.protobuf.text_format` reads it. The
tree keeps byte offsets and nothing is ever printed anew: what no edit names is copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable, List, NamedTuple, Optional, Tuple, Union

from .errors import InternalError, TextError
from .textvalue import Scalar as Scalar
from .textvalue import Text

_DEEPEST = 100  # as protobuf's own parsers
_BOM = b"\xef\xbb\xbf"
# Each byte can match in one way only, or a long run of blanks before a stray byte would take exponential time.
_BLANK = rb"[ \t\r\n\f\v]*(?:\#[^\n]*(?:\n[ \t\r\n\f\v]*|\Z))*"
_SCALARS = (
    rb"(?P<identifier>[A-Za-z_][A-Za-z0-9_]*)"
    rb"|(?P<number>(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)(?![A-Za-z0-9_.]))"
    rb"|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
)
_TOKEN = re.compile(_BLANK + rb"(?:" + _SCALARS + rb"|(?P<mark>[{}<>\[\]:;,./-])|(?P<end>\Z))", re.DOTALL)
# Most of a text is `name: scalar`; read at once, they take a third of the time that their tokens would.
_SIMPLE_FIELD = re.compile(
    _BLANK + rb"(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*:[ \t]*(?:" + _SCALARS + rb")(?!" + _BLANK + rb"[\"'])", re.DOTALL
)
_SEPARATOR = re.compile(_BLANK + rb"[;,]")
_CLOSING = {b"{": b"}", b"<": b">"}


class Message(NamedTuple):
    """A message value with its braces; the root has none and is the whole text. Its body is what lies between."""

    fields: Tuple[Field, ...]
    start: int
    end: int
    body_start: int
    body_end: int

    def all(self, name: str) -> Tuple[Value, ...]:
        """All values of a field, in order; those of a list each by itself."""
        return tuple(value for field in self.fields if field.name == name for value in field.values)

    def last(self, name: str) -> Optional[Value]:
        """The value that counts where a field may stand once."""
        values = self.all(name)
        return values[-1] if values else None


Value = Union[Scalar, Message]


class Field(NamedTuple):
    """One `name: value`, or `name: [value, ...]`. An extension's name keeps its brackets."""

    name: str
    values: Tuple[Value, ...]
    start: int
    end: int
    is_list: bool


class Edit(NamedTuple):
    """The bytes [start, end) of the original text become `text`."""

    start: int
    end: int
    text: bytes


@dataclass(frozen=True)
class Document:
    text: Text
    root: Message

    @property
    def source(self) -> bytes:
        return self.text.source

    @property
    def path(self) -> str:
        return self.text.path

    @property
    def has_bom(self) -> bool:
        return self.source.startswith(_BOM)

    def position(self, offset: int) -> Tuple[int, int]:
        """Line and column of a byte, both from 1."""
        return self.text.position(offset)

    def where(self, place: Union[int, Field, Value]) -> str:
        """PATH:LINE:COLUMN of a byte or of what begins there."""
        return self.text.where(place if isinstance(place, int) else place.start)

    def render(self, edits: Iterable[Edit]) -> bytes:
        """The text with the edits, whose offsets are all those of the original. They must not overlap."""
        pieces: List[bytes] = []
        done = 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            if edit.start < done or edit.end < edit.start:
                raise InternalError(f"two edits overlap at byte {edit.start} of {self.path}")
            pieces += [self.source[done : edit.start], edit.text]
            done = edit.end
        return b"".join([*pieces, self.source[done:]])


def parse(source: bytes, path: str = "<text>") -> Document:
    """The tree of a text. Raises TextError with the place of the first thing that is not protobuf text."""
    text = Text(source, path)
    parser = _Parser(text)
    fields = parser.fields(None, 0)
    return Document(text, Message(fields, 0, len(source), 0, len(source)))


class _Parser:
    """Looks one token ahead: its kind, bytes, and place."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.source = text.source
        self.previous_end = 0
        self.end = len(_BOM) if text.source.startswith(_BOM) else 0
        self.advance()

    def advance(self) -> None:
        self.previous_end = self.end
        match = _TOKEN.match(self.source, self.end)
        if match is None:
            raise self._stray()
        self.kind = match.lastgroup or ""
        self.start, self.end = match.span(self.kind)
        self.token = match.group(self.kind)

    def fields(self, closing: Optional[bytes], depth: int) -> Tuple[Field, ...]:
        found: List[Field] = []
        while self.kind != "end" and (self.kind != "mark" or self.token != closing):
            if self.kind == "identifier" and self.simple_fields(found):
                continue
            found.append(self.field(depth))
            if self.kind == "mark" and self.token in (b";", b","):
                self.advance()
        if self.kind == "end" and closing is not None:
            raise self.error(f"expected `{closing.decode()}`, found the end of the file")
        return tuple(found)

    def simple_fields(self, found: List[Field]) -> bool:
        """Takes as many `name: scalar` as follow here, and tells whether there was one."""
        end = self.start
        match = _SIMPLE_FIELD.match(self.source, end)
        if match is None:
            return False
        while match is not None:
            kind = match.lastgroup or ""
            value = Scalar(kind, *match.span(kind), self.text)
            end = match.end()
            found.append(Field(match.group("name").decode(), (value,), match.start("name"), end, False))
            separator = _SEPARATOR.match(self.source, end)
            end = end if separator is None else separator.end()
            match = _SIMPLE_FIELD.match(self.source, end)
        self.end = end
        self.advance()
        return True

    def field(self, depth: int) -> Field:
        start = self.start
        name = self.name()
        colon = self.take(b":")
        if self.is_mark(b"["):
            values = self.values(depth, scalars=colon)
            return Field(name, values, start, self.previous_end, True)
        return Field(name, (self.value(depth, colon, name),), start, self.previous_end, False)

    def name(self) -> str:
        if self.kind == "identifier":
            name = self.token.decode()
            self.advance()
            return name
        if not self.is_mark(b"["):
            raise self.error(f"expected a field name, found {self.found()}")
        start = self.start
        self.advance()
        while self.kind in ("identifier", "number") or (self.kind == "mark" and self.token in (b".", b"/", b"-")):
            self.advance()
        if not self.is_mark(b"]") or self.start == start + 1:
            raise self.error(f"expected the name of an extension and `]`, found {self.found()}")
        self.advance()
        return b"".join(self.source[start : self.previous_end].split()).decode("utf-8", "replace")

    def values(self, depth: int, scalars: bool) -> Tuple[Value, ...]:
        self.advance()
        found: List[Value] = []
        while not self.is_mark(b"]"):
            if found and not self.take(b","):
                raise self.error(f"expected `,` or `]`, found {self.found()}")
            found.append(self.value(depth, scalars, "list"))
        self.advance()
        return tuple(found)

    def value(self, depth: int, scalar: bool, name: str) -> Value:
        if self.kind == "mark" and self.token in _CLOSING:
            return self.message(depth)
        if not scalar:
            raise self.error(f"expected `:` or `{{` after {name}, found {self.found()}")
        return self.scalar()

    def message(self, depth: int) -> Message:
        if depth >= _DEEPEST:
            raise self.error(f"messages are nested deeper than {_DEEPEST}")
        start, body_start = self.start, self.end
        closing = _CLOSING[self.token]
        self.advance()
        fields = self.fields(closing, depth + 1)
        body_end = self.start
        self.advance()
        return Message(fields, start, self.previous_end, body_start, body_end)

    def scalar(self) -> Scalar:
        start = self.start
        negative = self.take(b"-")
        kind = self.kind
        if kind not in ("identifier", "number", "string") or (negative and kind == "string"):
            raise self.error(f"expected a value, found {self.found()}")
        if negative and kind == "identifier" and self.token.lower() not in (b"inf", b"infinity", b"nan"):
            raise self.error(f"expected a number after `-`, found {self.found()}")
        self.advance()
        while kind == "string" and self.kind == "string":
            self.advance()
        return Scalar(kind, start, self.previous_end, self.text)

    def take(self, mark: bytes) -> bool:
        if self.is_mark(mark):
            self.advance()
            return True
        return False

    def is_mark(self, mark: bytes) -> bool:
        return self.kind == "mark" and self.token == mark

    def found(self) -> str:
        if self.kind == "end":
            return "the end of the file"
        return f"`{self.token.decode('utf-8', 'replace')}`"

    def error(self, what: str) -> TextError:
        return self.text.error(what, self.start)

    def _stray(self) -> TextError:
        blank = re.match(_BLANK, self.source[self.end :])
        start = self.end + (blank.end() if blank is not None else 0)
        character = self.source[start : start + 4].decode("utf-8", "replace")[:1]
        if character in "\"'":
            return self.text.error("this string does not end on its line", start)
        return self.text.error(f"unexpected {character!r}", start)
