"""The difference of two nets as edits of the prototxt: a field that changed is an edit, everything else stays."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any, Dict, List, Sequence

from ..net import Layer, Net
from ..textedit import append, insert, remove, replace, replace_field
from ..textproto import Document, Edit, Message, Scalar


def edits(document: Document, before: Net, after: Net, dropped: Sequence[Layer]) -> List[Edit]:
    """Edits that turn the text of `before` into that of `after`; `dropped` layers go as well."""
    final = {layer.index: layer for layer in after.layers}
    new = {layer.behind: _new_layer(document, layer) for layer in after.layers if layer.behind is not None}
    found = [remove(document, layer.field) for layer in dropped]
    for layer in before.layers:
        now = final.get(layer.index)
        if now is not None and layer.index in new:
            found.append(insert(document, layer.field, new[layer.index]))
        if now is None and layer.index in new:
            found.append(replace_field(document, layer.field, new[layer.index]))
        elif now is None:
            found.append(remove(document, layer.field))
        elif now.parameter is not layer.parameter:
            found += _message_edits(document, [layer.node], layer.parameter, now.parameter)
    return found


def _new_layer(document: Document, layer: Layer) -> List[bytes]:
    """Its lines, or one line if the layer that it stands behind is on one."""
    lines = _rendered("layer", layer.parameter)
    on_one_line = b"\n" not in document.source[layer.field.start : layer.field.end]
    return [b" ".join(line.strip() for line in lines)] if on_one_line else lines


def _message_edits(document: Document, nodes: Sequence[Message], before: Any, after: Any) -> List[Edit]:
    """nodes: where the message stands; one that stands several times is merged, as protobuf does."""
    old: Dict[str, Any] = {field.name: value for field, value in before.ListFields()}
    new: Dict[str, Any] = {field.name: value for field, value in after.ListFields()}
    found: List[Edit] = []
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            found += _changes(document, nodes, name, old[name], new[name])
    gone = [field for node in nodes for field in node.fields if field.name in old and field.name not in new]
    added = [name for name in new if name not in old]
    # What is new takes the place of what goes, if anything does: a parameter message for a parameter message.
    places = sorted(gone, key=lambda field: (not _is_message(old[field.name]), -field.start))[: len(added)]
    for name, place in zip_longest(added, places):
        lines = _rendered(name, new[name])
        found.append(append(document, nodes[-1], lines) if place is None else replace_field(document, place, lines))
    return found + [remove(document, field) for field in gone if field not in places]


def _changes(document: Document, nodes: Sequence[Message], name: str, old: Any, new: Any) -> List[Edit]:
    """Edits of a field that both have; a repeated one keeps its length."""
    values = [value for node in nodes for value in node.all(name)]
    if _is_message(new):
        return _message_edits(document, [value for value in values if isinstance(value, Message)], old, new)
    # Of several values of one that is not repeated the last counts.
    pairs = list(zip(old, new)) if _is_list(new) else [(old, new)]
    return [
        replace(value, _scalar(now, value.text[:1]))
        for value, (was, now) in zip(values[-len(pairs) :], pairs)
        if was != now and isinstance(value, Scalar)
    ]


def _rendered(name: str, value: Any) -> List[bytes]:
    """A new field as lines; the lines of a message stand one level deeper."""
    if not _is_message(value):
        return [name.encode() + b": " + _scalar(value)]
    inner = [
        line
        for field, items in value.ListFields()
        for item in (items if _is_list(items) else [items])
        for line in _rendered(field.name, item)
    ]
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
