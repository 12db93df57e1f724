"""Upgrades a prototxt as BVLC Caffe's upgrade_net_proto_text does, by edits: text of the current form stays as it is.

A V1 layer keeps its comments and the order of its fields; a V0 layer, whose fields all move, is printed again.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Sequence, Tuple

from .. import generations
from ..emit.text import changes, exchanged, message_edits, rendered
from ..errors import InputError
from ..generations import V1, V2, v1, v2
from ..net.build import read_layers
from ..net.graph import Layer
from ..protobuf.text import Document, Edit, Field
from ..protobuf.text_edit import insert_before, remove, replace, replace_field
from ..schema import messages as schema


class UpgradedText(NamedTuple):
    """The edits, what they do, the warnings, and the upgraded layers."""

    edits: Tuple[Edit, ...]
    done: Tuple[str, ...]
    warnings: Tuple[str, ...]
    layers: Tuple[Any, ...]


def upgraded_text(document: Document) -> UpgradedText:
    """The upgrade of a prototxt. Raises InputError where Caffe would stop."""
    layers = read_layers(document)
    edits: List[Edit] = []
    after = _parameters(document, layers)
    for layer, parameter in zip(layers, after):
        edits += _layer_edits(document, layer, parameter)
    places = {layer.index for layer in layers}
    fields = generations.layer_fields(document)
    padding = [field for place, field in enumerate(fields) if place not in places]
    edits += [remove(document, field) for field in padding]
    inputs = _inputs(document, fields)
    done = (*_done(layers, after, padding), *inputs.done)
    return UpgradedText((*edits, *inputs.edits), done, inputs.warnings, (*inputs.layers, *after))


def _parameters(document: Document, layers: Sequence[Layer]) -> List[Any]:
    old = [layer for layer in layers if layer.generation == V1]
    moves = any(v1.has_old_transform(_plain(document, layer)) for layer in old)
    found: List[Any] = []
    for layer in layers:
        parameter = v2.without_learning(layer.parameter)
        if moves and layer.generation == V1:
            # If one data layer needs both messages, Caffe gives them to every one.
            parameter = schema.copy_of(parameter)
            v1.move_transform(parameter)
        found.append(parameter)
    return found


def _plain(document: Document, layer: Layer) -> Any:
    plain = v1.read_plain(document, layer.node).message
    plain.type = layer.type
    return plain


def _layer_edits(document: Document, layer: Layer, after: Any) -> List[Edit]:
    if layer.generation == V2:
        return message_edits(document, [layer.node], layer.parameter, after)
    if layer.generation == V1:
        return _v1_edits(document, layer, after)
    lines = _rendered_layer(after)
    strange = [document.source[unknown.field.start : unknown.field.end] for unknown in layer.unknown]
    lines[-1:-1] = [b"  " + line for text in strange for line in text.splitlines()]
    return [replace_field(document, layer.field, lines)]


def _v1_edits(document: Document, layer: Layer, after: Any) -> List[Edit]:
    node, start = layer.node, layer.field.start
    found = [Edit(start, start + len("layers"), b"layer")]
    found += [replace(value, b'"' + after.type.encode() + b'"') for value in node.all("type")]
    old = {field.name: value for field, value in _plain(document, layer).ListFields()}
    added: List[bytes] = []
    for field, value in after.ListFields():
        if field.name not in old:
            specs = field.name == "param"
            added += [_on_one_line(rendered(field, [each])) for each in value] if specs else [rendered(field, value)]
    return found + changes(document, [node], old, after) + exchanged(document, node, v1.param_fields(node), added)


def _on_one_line(lines: bytes) -> bytes:
    return b" ".join(line.strip() for line in lines.split(b"\n"))


def _inputs(document: Document, layers: Sequence[Field]) -> UpgradedText:
    root = document.root
    fields = [field for field in root.fields if field.name in v2.INPUT_FIELDS]
    net = schema.read(document, root._replace(fields=tuple(fields)), "NetParameter").message
    if not net.input:
        return UpgradedText((), (), (), ())
    try:
        layer = v2.input_layer(net)
    except InputError as error:
        raise InputError(error.what, where=document.where(fields[0]), remedy=error.remedy) from error
    gone = [remove(document, field) for field in fields]
    if layer is None:
        warning = (
            f"{document.where(fields[0])}: the net does not say the shape of its input, so Caffe's upgrade only "
            "removes the `input` fields; add an Input layer with the shape"
        )
        return UpgradedText(tuple(gone), ("the `input` fields, which have no shape, are removed",), (warning,), ())
    lines = _rendered_layer(layer)
    if not layers or fields[0].start < layers[0].start:
        gone[0] = replace_field(document, fields[0], lines)
    else:
        gone.append(insert_before(document, layers[0], lines))
    return UpgradedText(tuple(gone), ("the net's `input` fields are now an Input layer",), (), (layer,))


def _rendered_layer(parameter: Any) -> List[bytes]:
    descriptor = schema.new("NetParameter").DESCRIPTOR.fields_by_name["layer"]
    return rendered(descriptor, [parameter]).split(b"\n")


def _done(layers: Sequence[Layer], after: Sequence[Any], padding: Sequence[Field]) -> List[str]:
    found: List[str] = []
    for generation in (generations.V0, V1):
        count = sum(layer.generation == generation for layer in layers)
        if count:
            found.append(f"layers of the {generation} form that are now `layer`: {count}")
    if padding:
        found.append(f"padding layers that are now part of their consumers: {len(padding)}")
    fixed = sum(layer.generation == V2 and layer.parameter != new for layer, new in zip(layers, after))
    if fixed:
        found.append(f"BatchNorm layers whose lr_mult and decay_mult are now 0: {fixed}")
    return found
