"""The caffemodel: a NetParameter in protobuf's wire format, scanned as spans and written by copying them.

Only what all dialects of Caffe agree on is interpreted: a layer's name, type, bottoms, tops and blobs.
"""

from __future__ import annotations

from itertools import islice
from typing import List, Optional, Sequence, Tuple

from ..errors import InputError
from ..generations import type_names as types
from ..protobuf import wire
from ..protobuf.wire import DELIMITED, VARINT, Overrun, Source, WireField
from ..schema import names
from .blobproto import stored_blob
from .caffemodel_writer import write
from .field_numbers import V0, V1, V2, Generation
from .records import Format, LayerRecord, WeightFile
from .sniff import explain

# No writer makes a layer of so many fields: the limit bounds what a damaged file can cost.
_MOST_FIELDS = 1 << 16


def _recognises(head: bytes) -> bool:
    # Protobuf has no magic number: a file that is not recognised as another kind is tried, and the scan finds damage.
    return explain(head) is None


def read(source: Source) -> WeightFile:
    """Scan a caffemodel; no values are read. Raises InputError that names the byte or layer where it is damaged."""
    try:
        layers = [
            field
            for field in wire.fields(source, 0, source.size)
            if field.number in (V1.layers, V2.layers) and field.wire_type == DELIMITED
        ]
        generation = _generation(source, layers)
        records = tuple(_record(source, generation, field, index) for index, field in enumerate(layers))
    except Overrun as error:
        raise _naming_the_layer(source, error) from None
    return WeightFile(source.name, FORMAT.name, source, generation.label, records)


FORMAT = Format("caffemodel", ".caffemodel", _recognises, read, write)


def _generation(source: Source, layers: Sequence[WireField]) -> Generation:
    numbers = {layer.number for layer in layers}
    if len(numbers) != 1:
        # Caffe: upgrade_proto.cpp:670 refuses a net with both.
        held = "layers of two generations, `layer` and `layers`" if numbers else "no layer"
        raise InputError(f"holds {held}, expected one net", where=source.name, remedy=wire.DAMAGED)
    if V2.layers in numbers:
        return V2
    # Caffe: upgrade_proto.cpp NetNeedsV0ToV1Upgrade, a single V0 layer makes the net V0.
    return V0 if any(_nested(source, V0, _inside(source, layer)) for layer in layers) else V1


def _nested(source: Source, generation: Generation, fields: Sequence[WireField]) -> List[WireField]:
    """The fields of the message inside a V0 layer that holds all but its bottoms and tops."""
    return [
        inner
        for field in fields
        if field.number == generation.nested and field.wire_type == DELIMITED
        for inner in _inside(source, field)
    ]


def _inside(source: Source, message: WireField) -> List[WireField]:
    fields = list(islice(wire.fields(source, message.value_start, message.end), _MOST_FIELDS + 1))
    if len(fields) > _MOST_FIELDS:
        where = f"{source.name}: byte {message.start}"
        raise InputError(f"a layer has more than {_MOST_FIELDS} fields", where=where, remedy=wire.DAMAGED)
    return fields


def _record(source: Source, generation: Generation, record: WireField, index: int) -> LayerRecord:
    outer = _inside(source, record)
    inner = _nested(source, generation, outer) if generation.nested else outer
    kinds = [_type(source, generation, field) for field in inner if field.number == generation.type]
    name = "".join(_texts(source, inner, generation.name)[-1:])
    messages = [field for field in inner if field.number == generation.blobs and field.wire_type == DELIMITED]
    blobs = [
        stored_blob(source, message.value_start, message.end, f"{source.name}: layer {name}, blob {place}")
        for place, message in enumerate(messages)
    ]
    return LayerRecord(
        index,
        name,
        kinds[-1] if kinds else None,
        _texts(source, outer, generation.bottom),
        _texts(source, outer, generation.top),
        tuple(blobs),
        (record.start, record.end),
    )


def _texts(source: Source, fields: Sequence[WireField], number: int) -> Tuple[str, ...]:
    return tuple(_text(source, field) for field in fields if field.number == number and field.wire_type == DELIMITED)


def _text(source: Source, field: WireField) -> str:
    return names.decode(source.read(field.value_start, field.end))


def _type(source: Source, generation: Generation, field: WireField) -> Optional[str]:
    if generation is V1:
        if field.wire_type != VARINT:
            return None
        return types.from_v1(wire.signed(wire.varint(source, field.value_start, field.end)[0]))
    if field.wire_type != DELIMITED:
        return None
    text = _text(source, field)
    return types.from_v0(text) if generation is V0 else text


def _naming_the_layer(source: Source, error: Overrun) -> InputError:
    """The error with the layer's name: a truncated download ends in a layer, whose name usually precedes its blobs."""
    generation = {form.layers: form for form in (V1, V2)}.get(error.number)
    try:
        for field in wire.fields(source, error.value_start, source.size) if generation else ():
            if generation and field.number == generation.name and field.wire_type == DELIMITED:
                what = f"layer {_text(source, field)}: {error.what}"
                return InputError(what, where=error.where, remedy=error.remedy)
    except InputError:
        pass
    return error
