"""A lossless parser of protobuf text: a tree of spans of the original bytes.

The language: https://protobuf.dev/reference/protobuf/textformat-spec/, as protobuf's C++ and Python parsers read it.
The tree keeps byte offsets, and nothing is printed from it: bytes that no edit covers are copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, List, Match, NamedTuple, Optional, Tuple, Union

from ..errors import InternalError
from . import text_grammar as grammar
from .text_grammar import BOM
from .text_scalar import Scalar as Scalar
from .text_scalar import Text

_DEEPEST = 100  # the limit of protobuf's own parsers of the binary format


class Message(NamedTuple):
    """A message value with its braces, and the body between them; the root has no braces and is the whole text."""

    fields: Tuple[Field, ...]
    start: int
    end: int
    body_start: int
    body_end: int

    def all(self, name: str) -> Tuple[Value, ...]:
        """All values of a field, in order, with lists flattened."""
        return tuple(value for field in self.fields if field.name == name for value in field.values)

    def last(self, name: str) -> Optional[Value]:
        """The last value of a field, the one that counts if the field is not repeated."""
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
    """Replaces the bytes [start, end) of the original text with `text`."""

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
        return self.source.startswith(BOM)

    def position(self, offset: int) -> Tuple[int, int]:
        """The line and the column of a byte, both counted from 1."""
        return self.text.position(offset)

    def where(self, place: Union[int, Field, Value]) -> str:
        """PATH:LINE:COLUMN of a byte, or of the start of a field or value."""
        return self.text.where(place if isinstance(place, int) else place.start)

    def render(self, edits: Iterable[Edit]) -> bytes:
        """The text with the edits applied; all offsets are those of the original.

        Only deletions may overlap, and edits of neighbours that both take the blanks between them.
        """
        pieces: List[bytes] = []
        done, written = 0, b""
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            shared = self.source[edit.start : done].strip(b" \t")
            if edit.end < edit.start or (shared and (edit.text or written)):
                raise InternalError(f"two edits overlap at byte {edit.start} of {self.path}")
            pieces += [self.source[done : edit.start], edit.text]
            done, written = max(done, edit.end), edit.text
        return b"".join([*pieces, self.source[done:]])


def parse(source: bytes, path: str = "<text>") -> Document:
    """The tree of a text. Raises TextError at the first place that is not protobuf text."""
    text = Text(source, path)
    start = len(BOM) if source.startswith(BOM) else 0
    fields, end = _Parser(text).fields(start, 0)
    if end != len(source):
        raise grammar.not_a_field(text, end, None)
    return Document(text, Message(fields, 0, end, start, end))


class _Parser:
    """Reads one whole field at a time."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.source = text.source

    def fields(self, start: int, depth: int) -> Tuple[Tuple[Field, ...], int]:
        """The fields from a byte on, and the place of the first byte that does not begin a field."""
        source, text = self.source, self.text
        fields: List[Field] = []
        place = grammar.after_blank(source, start)
        while True:
            match = grammar.PLAIN_FIELD.match(source, place) or grammar.FIELD.match(source, place)
            if match is None:
                return tuple(fields), place
            group = match.lastindex or 0
            if group == grammar.OPEN:
                field = self.opened(match, depth)
                place = grammar.after_separator(source, field.end)
            else:
                start, end = match.span(group)
                scalar = Scalar(grammar.KINDS[group], start, end, text)
                field = Field(self.name(match), (scalar,), place, end, False)
                place = match.end()
            fields.append(field)

    def name(self, match: Match[bytes]) -> str:
        name = match.group(grammar.NAME)
        return name.decode() if name[0] != 0x5B else grammar.extension_name(self.text, name, match.start())

    def opened(self, match: Match[bytes], depth: int) -> Field:
        """The field whose value begins with a bracket or brace."""
        start = match.start(grammar.OPEN)
        if self.source[start] == 0x5B:
            values, end = self.values(match, depth)
            return Field(self.name(match), values, match.start(), end, True)
        message = self.message(start, depth)
        return Field(self.name(match), (message,), match.start(), message.end, False)

    def message(self, start: int, depth: int) -> Message:
        if depth >= _DEEPEST:
            raise self.text.error(f"messages are nested deeper than {_DEEPEST}", start)
        closing = grammar.CLOSING[self.source[start : start + 1]]
        fields, end = self.fields(start + 1, depth + 1)
        if self.source[end : end + 1] != closing:
            raise grammar.not_a_field(self.text, end, closing)
        return Message(fields, start, end + 1, start + 1, end)

    def values(self, opening: Match[bytes], depth: int) -> Tuple[Tuple[Value, ...], int]:
        """The values of a list, and its end."""
        source, place = self.source, opening.end()
        has_colon = opening.start(grammar.COLON) >= 0
        values: List[Value] = []
        while source[place : place + 1] != b"]":
            element = grammar.ELEMENT.match(source, place) if has_colon else None
            if element is not None:
                group = element.lastindex or 0
                values.append(Scalar(grammar.KINDS[group], *element.span(group), self.text))
                place = element.end()
            elif source[place : place + 1] in grammar.CLOSING:
                message = self.message(place, depth)
                values.append(message)
                place = grammar.after_comma(self.text, message.end)
            else:
                raise grammar.not_an_element(self.text, place, has_colon)
        return tuple(values), place + 1
