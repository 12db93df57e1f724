"""The difference of two nets as edits of the prototxt: a field that changed is an edit, everything else stays."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import Any, Dict, List, Mapping, Sequence

import numpy as np

from ..errors import InternalError
from ..generations import V0, V1, v0
from ..net.graph import Layer, Net
from ..protobuf.text import Document, Edit, Field, Message, Scalar
from ..protobuf.text_edit import append, insert, remove, replace, replace_field
from ..schema import messages as schema
from ..schema import names

_BACKSLASH = re.compile(rf"\\(?!{names.ESCAPED})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def edits(
    document: Document, before: Net, after: Net, dropped: Sequence[Layer], as_fields: Sequence[Layer] = ()
) -> List[Edit]:
    """Edits that turn the text of `before` into that of `after`, without the `dropped` layers.

    as_fields: Input layers that become the net's `input` and `input_shape` fields, their older form.
    """
    final = {layer.index: layer for layer in after.layers}
    new = {layer.follows: _new_layer(document, layer) for layer in after.layers if layer.follows is not None}
    found = [remove(document, layer.field) for layer in dropped]
    for layer in before.layers:
        now = final.get(layer.index)
        if now is not None and layer.index in new:
            found.append(insert(document, layer.field, new[layer.index]))
        if now is None and layer.index in new:
            found.append(replace_field(document, layer.field, new[layer.index]))
        elif now is None:
            found.append(remove(document, layer.field))
        elif now in as_fields:
            found.append(replace_field(document, layer.field, _input_fields(now)))
        elif now.parameter is not layer.parameter:
            found += _layer_edits(document, layer, now.parameter)
    return found


def _layer_edits(document: Document, layer: Layer, after: Any) -> List[Edit]:
    before = layer.parameter
    if layer.generation == V0:
        message = schema.read(document, layer.node, "V1LayerParameter").message
        before, after = message, v0.changed(message, before, after)
    elif layer.generation == V1 and before.type != after.type:
        raise InternalError(f"layer {layer.name} of the V1 form cannot become a {after.type}")
    return message_edits(document, [layer.node], before, after)


def _input_fields(layer: Layer) -> List[bytes]:
    shapes = list(layer.parameter.input_param.shape)
    net = schema.new("NetParameter")
    net.input.extend(layer.tops)
    for shape in shapes * (len(layer.tops) if len(shapes) == 1 else 1):
        net.input_shape.add().CopyFrom(shape)
    return [line for field, value in net.ListFields() for line in rendered(field, value).split(b"\n")]


def _new_layer(document: Document, layer: Layer) -> List[bytes]:
    """The lines of the layer, or one line if the layer before it is on one."""
    lines = _line(b"layer", None, layer.parameter).split(b"\n")
    on_one_line = b"\n" not in document.source[layer.field.start : layer.field.end]
    return [b" ".join(line.strip() for line in lines)] if on_one_line else lines


def message_edits(document: Document, nodes: Sequence[Message], before: Any, after: Any) -> List[Edit]:
    """Edits that turn message `before` into `after`. nodes: its occurrences, merged as protobuf does."""
    old: Dict[str, Any] = {field.name: value for field, value in before.ListFields()}
    new = {field.name for field, _ in after.ListFields()}
    gone = [field for node in nodes for field in node.fields if field.name in old and field.name not in new]
    added = [rendered(field, value) for field, value in after.ListFields() if field.name not in old]
    # New fields take the places of removed ones, if there are any: a message first that of a message.
    places = sorted(gone, key=lambda field: (not _is_message(old[field.name]), -field.start))
    return changes(document, nodes, old, after) + exchanged(document, nodes[-1], places, added)


def changes(document: Document, nodes: Sequence[Message], old: Mapping[str, Any], after: Any) -> List[Edit]:
    """Edits of the fields that exist before and after."""
    found: List[Edit] = []
    for field, value in after.ListFields():
        if field.name in old and old[field.name] != value:
            found += _change(document, nodes, field, old[field.name], value)
    return found


def exchanged(document: Document, node: Message, gone: Sequence[Field], added: Sequence[bytes]) -> List[Edit]:
    """Edits that remove fields of a message and add others, of one or more lines each, in their places first."""
    found = [remove(document, field) for field in _runs(document, gone[len(added) :])]
    for lines, place in zip_longest(added, gone[: len(added)]):
        split = lines.split(b"\n")
        found.append(append(document, node, split) if place is None else replace_field(document, place, split))
    return found


def _runs(document: Document, fields: Sequence[Field]) -> List[Field]:
    """Adjacent fields on one line joined to one field, so that a line without fields is removed as a whole."""
    found: List[Field] = []
    for field in sorted(fields, key=lambda field: field.start):
        if found and not document.source[found[-1].end : field.start].strip(b" \t;,"):
            found[-1] = found[-1]._replace(end=field.end)
        else:
            found.append(field)
    return found


def _change(document: Document, nodes: Sequence[Message], field: Any, old: Any, new: Any) -> List[Edit]:
    """Edits of a field that both have; a repeated one keeps its length, or loses the last of its fields."""
    if _is_list(new) and len(new) < len(old):
        fields = [each for node in nodes for each in node.fields if each.name == field.name]
        if len(fields) != len(old) or list(old[: len(new)]) != list(new):
            raise InternalError(f"{field.name} loses others than its last fields")
        return [remove(document, each) for each in _runs(document, fields[len(new) :])]
    values = [value for node in nodes for value in node.all(field.name)]
    messages = [value for value in values if isinstance(value, Message)]
    if _is_message(new):
        return message_edits(document, messages, old, new)
    if messages:
        each = [message_edits(document, [node], was, now) for node, was, now in zip(messages, old, new)]
        return [edit for found in each for edit in found]
    # If a field that is not repeated occurs several times, the last one counts.
    pairs = list(zip(old, new)) if _is_list(new) else [(old, new)]
    return [
        replace(value, _spelled(field, now, value.text[:1]))
        for value, (was, now) in zip(values[-len(pairs) :], pairs)
        if was != now and isinstance(value, Scalar)
    ]


def rendered(field: Any, value: Any) -> bytes:
    """The lines of a field with this descriptor, one per field; those in a message are indented."""
    name = field.name.encode()
    if _is_list(value):
        return b"\n".join(_line(name, field, item) for item in value)
    return _line(name, field, value)


def _line(name: bytes, field: Any, value: Any) -> bytes:
    if not _is_message(value):
        return name + b": " + _spelled(field, value)
    inner = b"".join(b"\n" + rendered(*part) for part in value.ListFields())
    return name + b" {" + inner.replace(b"\n", b"\n  ") + b"\n}"


def _spelled(field: Any, value: Any, quote: str = '"') -> bytes:
    if field.type == field.TYPE_ENUM:
        return str(field.enum_type.values_by_number[value].name).encode()
    if field.type == field.TYPE_FLOAT:
        text = str(np.float32(value))  # the shortest text of this value
        return text[: -len(".0")].encode() if text.endswith(".0") else text.encode()
    return _scalar(value, quote)


def _scalar(value: Any, quote: str) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        mark = quote if quote in "\"'" else '"'
        return (mark + _escaped(value).replace(mark, "\\" + mark) + mark).encode()
    if isinstance(value, bytes):
        return b'"' + b"".join(b"\\%03o" % byte for byte in value) + b'"'
    return str(value).encode()


def _escaped(text: str) -> str:
    """The text of a string literal: bytes that names.decode escaped as they were, control characters escaped."""
    escaped = _BACKSLASH.sub(r"\\\\", text).replace("\n", "\\n")
    return _CONTROL.sub(lambda match: f"\\{ord(match.group()):03o}", escaped)


def _is_message(value: Any) -> bool:
    return hasattr(value, "ListFields")


def _is_list(value: Any) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__len__")
