"""The difference of two nets as edits of the prototxt: a field that changed is an edit, everything else stays."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any, Dict, List, Sequence

from ..net import Layer, Net
from ..textedit import append, remove, replace, replace_field
from ..textproto import Document, Edit, Message, Scalar


def edits(document: Document, before: Net, after: Net, dropped: Sequence[Layer]) -> List[Edit]:
    """Edits that turn the text of `before` into that of `after`; `dropped` layers go as well."""
    final = {layer.index: layer for layer in after.layers}
    found = [remove(document, layer.field) for layer in dropped]
    for layer in before.layers:
        now = final.get(layer.index)
        if now is None:
            found.append(remove(document, layer.field))
        elif now.parameter is not layer.parameter:
            found += _message_edits(document, layer.node, layer.parameter, now.parameter)
    return _without_overlaps(found)


def _without_overlaps(edits: Sequence[Edit]) -> List[Edit]:
    """Of neighbours on one line that both go, each takes the blank between them: they become one edit."""
    found: List[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if found and edit.start < found[-1].end and not edit.text + found[-1].text:
            found[-1] = Edit(found[-1].start, edit.end, b"")
        else:
            found.append(edit)
    return found


def _message_edits(document: Document, node: Message, before: Any, after: Any) -> List[Edit]:
    old: Dict[str, Any] = {field.name: value for field, value in before.ListFields()}
    new: Dict[str, Any] = {field.name: value for field, value in after.ListFields()}
    found: List[Edit] = []
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            found += _changes(document, node, name, old[name], new[name])
    gone = [field for field in node.fields if field.name in old and field.name not in new]
    added = [name for name in new if name not in old]
    # What is new takes the place of what goes, if anything does: a parameter message for a parameter message.
    places = sorted(gone, key=lambda field: (not _is_message(old[field.name]), -field.start))[: len(added)]
    for name, place in zip_longest(added, places):
        lines = _rendered(name, new[name])
        found.append(append(document, node, lines) if place is None else replace_field(document, place, lines))
    return found + [remove(document, field) for field in gone if field not in places]


def _changes(document: Document, node: Message, name: str, old: Any, new: Any) -> List[Edit]:
    """Edits of a field that both have; a repeated one keeps its length."""
    values = node.all(name)
    if _is_message(new):
        inner = values[-1]
        assert isinstance(inner, Message)
        return _message_edits(document, inner, old, new)
    pairs = zip(old, new) if _is_list(new) else [(old, new)]
    return [
        replace(value, _scalar(now, value.text[:1]))
        for value, (was, now) in zip(values, pairs)
        if was != now and isinstance(value, Scalar)
    ]


def _rendered(name: str, value: Any) -> List[bytes]:
    """A new field as lines; the lines of a message stand one level deeper."""
    if not _is_message(value):
        return [name.encode() + b": " + _scalar(value)]
    inner = [line for field, item in value.ListFields() for line in _rendered(field.name, item)]
    return [name.encode() + b" {", *(b"  " + line for line in inner), b"}"]


def _scalar(value: Any, quote: str = '"') -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        mark = quote if quote in "\"'" else '"'
        # schema.read gives bytes that are not UTF-8 as \xNN: written so, they are these bytes again.
        escaped = re.sub(r"\\(?!x[89a-f][0-9a-f])", r"\\\\", value).replace(mark, "\\" + mark).replace("\n", "\\n")
        return (mark + escaped + mark).encode()
    return str(value).encode()


def _is_message(value: Any) -> bool:
    return hasattr(value, "ListFields")


def _is_list(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
