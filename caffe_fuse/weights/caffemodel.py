"""The caffemodel: a NetParameter in protobuf's binary form, scanned by spans and written by copying them.

Only what all dialects of Caffe agree on is interpreted: a layer's name, type, bottoms, tops and blobs.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set

from .. import names, schema, wire
from ..errors import InputError
from ..wire import DELIMITED, VARINT, Overrun, Source, WireField
from .blobproto import stored_blob
from .generations import GENERATIONS, V1, V2, Generation
from .model import Format, LayerRecord, WeightFile
from .recognise import explain
from .writer import write

_V0_LAYER = 1  # of V1LayerParameter


def _recognises(head: bytes) -> bool:
    # Protobuf has no magic number: what is known to be nothing else is tried, and damage is found by the
    # scan.
    return explain(head) is None


def read(source: Source) -> WeightFile:
    """Scan a caffemodel; InputError names the byte or the layer where it is damaged. No numbers are read."""
    records: List[LayerRecord] = []
    labels: Set[str] = set()
    try:
        for field in wire.fields(source, 0, source.size):
            if field.number in GENERATIONS and field.wire_type == DELIMITED:
                records.append(_record(source, field, len(records)))
                labels.add(GENERATIONS[field.number].label)
    except Overrun as error:
        raise _naming_the_layer(source, error) from None
    if len(labels) != 1:
        # Caffe: upgrade_proto.cpp:670 refuses a net with both.
        found = "layers of two generations, `layer` and `layers`" if labels else "no layer"
        raise InputError(f"holds {found}, expected one net", where=source.name, remedy=wire.DAMAGED)
    return WeightFile(source.name, FORMAT.name, source, labels.pop(), tuple(records))


FORMAT = Format("caffemodel", ".caffemodel", _recognises, read, write)


def _record(source: Source, record: WireField, index: int) -> LayerRecord:
    generation = GENERATIONS[record.number]
    texts: Dict[int, List[str]] = {generation.name: [], generation.bottom: [], generation.top: []}
    kind: Optional[str] = None
    messages: List[WireField] = []
    for field in wire.fields(source, record.value_start, record.end):
        if field.number == generation.type:
            kind = _type(source, generation, field)
        elif field.wire_type != DELIMITED:
            continue
        elif field.number in texts:
            texts[field.number].append(_text(source, field))
        elif field.number == generation.blobs:
            messages.append(field)
        elif field.number == _V0_LAYER and generation is V1:
            raise InputError(
                "is of the V0 form of 2013, which is not supported yet",
                where=source.name,
                remedy="upgrade it with Caffe's upgrade_net_proto_binary",
            )
    name = "".join(texts[generation.name][-1:])
    blobs = [
        stored_blob(source, message.value_start, message.end, f"{source.name}: layer {name}, blob {number}")
        for number, message in enumerate(messages)
    ]
    bottoms, tops = tuple(texts[generation.bottom]), tuple(texts[generation.top])
    return LayerRecord(index, name, kind, bottoms, tops, tuple(blobs), (record.start, record.end))


def _text(source: Source, field: WireField) -> str:
    return names.decode(source.read(field.value_start, field.end))


def _type(source: Source, generation: Generation, field: WireField) -> Optional[str]:
    if generation is V2:
        return _text(source, field) if field.wire_type == DELIMITED else None
    if field.wire_type != VARINT:
        return None
    number = wire.signed(wire.varint(source, field.value_start, field.end)[0])
    return schema.v1_type_name(number) or f"V1:{number}"


def _naming_the_layer(source: Source, error: Overrun) -> InputError:
    """A download that broke off ends inside a layer, whose name usually comes before its numbers."""
    generation = GENERATIONS.get(error.number)
    try:
        for field in wire.fields(source, error.value_start, source.size) if generation else ():
            if generation and field.number == generation.name and field.wire_type == DELIMITED:
                what = f"layer {_text(source, field)}: {error.what}"
                return InputError(what, where=error.where, remedy=error.remedy)
    except InputError:
        pass
    return error
