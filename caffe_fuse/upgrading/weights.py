"""Upgrades a caffemodel as BVLC Caffe's upgrade_net_proto_binary does: rewrites old records, and copies their blobs.

Messages that V1 and V2 have in common are copied too, under their new field numbers, so that fields of other Caffes
stay in them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from google.protobuf.message import DecodeError

from ..errors import InputError
from ..generations import v0, v1, v2
from ..protobuf import wire
from ..protobuf.wire import DELIMITED, Source, WireField
from ..schema import messages as schema
from ..schema import names
from ..weights.caffemodel_writer import Copy, Piece, fields_of, message, messages, write_pieces
from ..weights.field_numbers import GENERATIONS, V0, V1, V2, Generation
from ..weights.records import LayerRecord, Output, WeightFile

_INPUT_FIELDS = (3, 4, 8)  # of NetParameter: input, input_dim, input_shape
_PARAM = 6  # of LayerParameter


class UpgradedWeights(NamedTuple):
    """The pieces of the new file, and what changed in it."""

    original: WeightFile
    pieces: Sequence[Piece]
    done: Tuple[str, ...]

    def write(self, out: Output) -> None:
        write_pieces(self.original, self.pieces, out)


class _Old(NamedTuple):
    """A record of an old form: the fields read as a message, and those copied under a new field number."""

    record: LayerRecord
    message: Any
    copied: Sequence[Tuple[int, WireField]]


def upgraded_weights(weights: WeightFile, types: Mapping[str, str]) -> UpgradedWeights:
    """The upgraded weights. types: by layer name, for enum values of a fork. Raises InputError where Caffe stops."""
    source = weights.source
    if weights.format != "caffemodel":
        return UpgradedWeights(weights, [Copy(0, source.size)], ())
    generation = GENERATIONS[weights.generation]
    if generation is V2:
        records = {record.span[0]: _v2_record(source, record) for record in weights.layers}
    else:
        records = _old_records(weights, generation, types)
    done = _done(weights, generation, records)
    fields = list(wire.fields(source, 0, source.size))
    inputs = [field for field in fields if field.number in _INPUT_FIELDS]
    pieces: List[Piece] = []
    for field in fields:
        if field.start == weights.layers[0].span[0] and inputs:
            layer = _input_record(source, inputs)
            pieces += layer
            done.append(
                f"the net's `input` fields are {'now an Input layer' if layer else 'removed: they have no shape'}"
            )
        if field.number == generation.layers:
            pieces += records.get(field.start, ())
        elif field not in inputs:
            pieces.append(Copy(field.start, field.end))
    return UpgradedWeights(weights, pieces, tuple(done))


def _done(weights: WeightFile, generation: Generation, records: Mapping[int, Sequence[Piece]]) -> List[str]:
    if generation is not V2:
        return [f"layers of the {generation.label} form that are now `layer`: {len(records)}"]
    fixed = sum(len(pieces) > 1 for pieces in records.values())
    return [f"BatchNorm layers whose lr_mult and decay_mult are now 0: {fixed}"] if fixed else []


def _v2_record(source: Source, record: LayerRecord) -> List[Piece]:
    whole: List[Piece] = [Copy(*record.span)]
    if record.type != "BatchNorm":
        return whole
    fields = fields_of(source, [next(wire.fields(source, *record.span))])
    parameter = schema.new("LayerParameter")
    parameter.type = record.type
    for field in messages(fields, _PARAM):
        parameter.param.append(_parsed(source, "ParamSpec", source.read(field.value_start, field.end), record))
    fixed = v2.without_learning(parameter)
    if fixed == parameter:
        return whole
    specs = iter(fixed.param)
    body: List[Piece] = [
        wire.delimited(_PARAM, next(specs).SerializeToString())
        if field.number == _PARAM
        else Copy(field.start, field.end)
        for field in fields
    ]
    return message(V2.layers, body)


def _old_records(weights: WeightFile, generation: Generation, types: Mapping[str, str]) -> Dict[int, List[Piece]]:
    """The new records, by the offsets of the old ones."""
    source = weights.source
    old = [_read(source, generation, record) for record in weights.layers]
    if generation is V0:
        padded = v0.without_padding({place: each.message for place, each in enumerate(old)}, weights.path)
        parameters = {place: v0.upgraded(each) for place, each in padded.items()}
    else:
        parameters = {place: v1.upgraded(each.message, types.get(each.record.name)) for place, each in enumerate(old)}
        if any(v1.has_old_transform(parameter) for parameter in parameters.values()):
            for parameter in parameters.values():
                v1.move_transform(parameter)
    return {
        old[place].record.span[0]: _record(v2.without_learning(parameter), old[place].copied)
        for place, parameter in parameters.items()
    }


def _read(source: Source, generation: Generation, record: LayerRecord) -> _Old:
    """Reads an old record. Names are not parsed by protobuf: their bytes may not be UTF-8."""
    outer = fields_of(source, [next(wire.fields(source, *record.span))])
    inner = fields_of(source, messages(outer, generation.nested)) if generation.nested else outer
    copied = [(V2.blobs, field) for field in messages(inner, generation.blobs)]
    if generation is V1:
        same = _same_in_v1()
        copied += [(same[field.number], field) for field in outer if field.number in same and _is_message(field)]
    taken = {field for _, field in copied}
    known = (generation.name, generation.bottom, generation.top)
    rest = b"".join(
        source.read(field.start, field.end)
        for field in inner
        if field not in taken and (field.number != generation.name if generation.nested else field.number not in known)
    )
    whole = _parsed(source, "V1LayerParameter", wire.delimited(V0.nested, rest) if generation.nested else rest, record)
    whole.bottom.extend(record.bottoms)
    whole.top.extend(record.tops)
    if any(field.number == generation.name for field in inner):
        (whole.layer if generation.nested else whole).name = record.name
    return _Old(record, whole, copied)


def _is_message(field: WireField) -> bool:
    return field.wire_type == DELIMITED


@lru_cache(maxsize=None)
def _same_in_v1() -> Dict[int, int]:
    """The V2 numbers of message fields common to V1 and V2, by V1 number, without those that the upgrade modifies."""
    new = schema.new("LayerParameter").DESCRIPTOR.fields_by_name
    looked_into = {"blobs", "param", "transform_param", "data_param", "image_data_param", "window_data_param"}
    return {
        field.number: new[field.name].number
        for field in schema.new("V1LayerParameter").DESCRIPTOR.fields
        if field.name in new and field.type == field.TYPE_MESSAGE and field.name not in looked_into
    }


def _record(parameter: Any, copied: Sequence[Tuple[int, WireField]]) -> List[Piece]:
    body: List[Piece] = []
    for number, texts in ((V2.name, [parameter.name]), (V2.bottom, parameter.bottom), (V2.top, parameter.top)):
        body += [wire.delimited(number, names.encode(text)) for text in texts if text or number != V2.name]
    for name in ("name", "bottom", "top"):
        parameter.ClearField(name)
    body.append(parameter.SerializeToString())
    for number, field in copied:
        body += message(number, [Copy(field.value_start, field.end)])
    return message(V2.layers, body)


def _input_record(source: Source, fields: Sequence[WireField]) -> List[Piece]:
    content = b"".join(source.read(field.start, field.end) for field in fields)
    try:
        layer = v2.input_layer(schema.new("NetParameter").FromString(content))
    except InputError as error:
        raise InputError(error.what, where=source.name, remedy=error.remedy) from error
    return [] if layer is None else message(V2.layers, [layer.SerializeToString()])


def _parsed(source: Source, name: str, content: bytes, record: LayerRecord) -> Any:
    try:
        return schema.new(name).FromString(content)
    except (DecodeError, UnicodeDecodeError) as error:
        where = f"{source.name}: layer {record.name}"
        raise InputError("its parameters are not those of BVLC Caffe", where=where, remedy=wire.DAMAGED) from error
