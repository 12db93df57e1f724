"""BlobProto, the message that holds a blob: every encoding of its values and its shape.

Fields 1 to 9 mean the same in every dialect of Caffe. Fields 10 and 12 are taken for the raw_data_type and raw_data of
NVIDIA and OpenCV only if they fit: other dialects use these field numbers for other things.
"""

from __future__ import annotations

import math
from itertools import chain, islice
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..blobs.blob import FLOAT16, FLOAT32, FLOAT64, Blob, Span, StoredBlob
from ..errors import InputError
from ..protobuf import wire
from ..protobuf.wire import DELIMITED, FIXED32, FIXED64, VARINT, Source, WireField

_LEGACY_SHAPE = (1, 2, 3, 4)  # num, channels, height, width
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF = range(5, 10)
_RAW_TYPE, _RAW_DATA, _LAST_RAW = 10, 12, 13
_DIM = 1  # of BlobShape
# NVCaffe caffe.proto, enum Type; the other types are integers.
_RAW_HALF = 2
_RAW_DTYPES: Dict[int, np.dtype] = {0: FLOAT64, 1: FLOAT32, _RAW_HALF: FLOAT16}
# Caffe: blob.hpp:14 and blob.cpp:29.
_MOST_AXES = 32
_MOST_ELEMENTS = 2**31 - 1
# protobuf allows any number of pieces, but no writer makes many: the limit bounds what a damaged file can cost.
_MOST_FIELDS = 1 << 16

_Fields = Dict[int, List[WireField]]


def stored_blob(source: Source, start: int, end: int, where: str) -> StoredBlob:
    """The blob whose BlobProto is in [start, end); no values are read.

    Precedence as in Caffe: double_data over data (blob.cpp:490), both over raw_data (NVCaffe blob.cpp:303),
    and a legacy shape over `shape` (blob.cpp:469). Raises InputError if the element count does not fit the shape.
    """
    fields = _by_number(source, start, end, where)
    shape, legacy = _shape(source, fields, where)
    raw = _raw_values(source, fields, math.prod(shape))
    candidates = (
        _Values(_spans(fields, _DOUBLE_DATA, FIXED64, where), FLOAT64),
        _Values(_spans(fields, _DATA, FIXED32, where), FLOAT32),
        raw,
    )
    spans, dtype = next((values for values in candidates if values.spans), raw)
    last_known = _LAST_RAW if raw.spans else _DOUBLE_DIFF
    return StoredBlob(
        source,
        spans,
        dtype,
        shape,
        where=where,
        legacy=legacy,
        missing="" if spans or 0 in shape else _why_missing(fields),
        unknown=sorted(number for number in fields if number > last_known),
    )


class _Values(NamedTuple):
    spans: Sequence[Span]
    dtype: np.dtype


def _by_number(source: Source, start: int, end: int, where: str) -> _Fields:
    fields: _Fields = {}
    for count, field in enumerate(wire.fields(source, start, end)):
        if count == _MOST_FIELDS:
            raise InputError(f"has more than {_MOST_FIELDS} fields", where=where, remedy=wire.DAMAGED)
        fields.setdefault(field.number, []).append(field)
    return fields


def _of_type(fields: _Fields, number: int, wire_type: int) -> List[WireField]:
    """The fields of this number and wire type; those of another wire type are unknown fields, as in protobuf."""
    numbered = fields.get(number)
    return [field for field in numbered if field.wire_type == wire_type] if numbered else []


def _shape(source: Source, fields: _Fields, where: str) -> Tuple[Tuple[int, ...], bool]:
    """The blob's shape, and whether it is in the legacy form, whose missing fields are 0."""
    legacy = [_of_type(fields, number, VARINT) for number in _LEGACY_SHAPE]
    dims = [_integer(source, found[-1]) if found else 0 for found in legacy]
    if not any(legacy):
        messages = _of_type(fields, _SHAPE, DELIMITED)
        stored = chain.from_iterable(_dims(source, message) for message in messages)
        dims = list(islice(stored, _MOST_AXES + 1))
    if len(dims) > _MOST_AXES or min(dims, default=0) < 0 or math.prod(dims) > _MOST_ELEMENTS:
        raise InputError(f"has the impossible shape {dims}", where=where, remedy=wire.DAMAGED)
    return tuple(dims), any(legacy)


def _dims(source: Source, message: WireField) -> Iterator[int]:
    for field in wire.fields(source, message.value_start, message.end):
        if field.number != _DIM:
            continue
        if field.wire_type == VARINT:
            yield _integer(source, field)
        elif field.wire_type == DELIMITED:
            position = field.value_start
            while position < field.end:
                value, position = wire.varint(source, position, field.end)
                yield wire.signed(value)


def _integer(source: Source, field: WireField) -> int:
    return wire.signed(wire.varint(source, field.value_start, field.end)[0])


def _spans(fields: _Fields, number: int, unpacked: int, where: str) -> List[Span]:
    """The spans of a repeated field's values: packed in pieces, one key each, or both in turn."""
    width = wire.WIDTHS[unpacked]
    spans = []
    for field in fields.get(number, ()):
        size = field.end - field.value_start
        if field.wire_type == DELIMITED:
            if size % width:
                raise InputError(
                    f"{size} bytes of values are not a multiple of {width}", where=where, remedy=wire.DAMAGED
                )
            if size:
                spans.append(Span(field.value_start, size // width, width))
        elif field.wire_type == unpacked:
            spans.append(Span(field.value_start, field.repeats, field.stride))
    return spans


def _raw_values(source: Source, fields: _Fields, count: int) -> _Values:
    types, payloads = _of_type(fields, _RAW_TYPE, VARINT), _of_type(fields, _RAW_DATA, DELIMITED)
    dtype = _RAW_DTYPES.get(_integer(source, types[-1])) if types else None
    if dtype is None or not payloads or not count:
        return _Values([], FLOAT32)
    start, end = payloads[-1].value_start, payloads[-1].end
    fits = end - start == count * dtype.itemsize
    return _Values([Span(start, count, dtype.itemsize)] if fits else [], dtype)


def _why_missing(fields: _Fields) -> str:
    if _DIFF in fields or _DOUBLE_DIFF in fields:
        return "holds gradients (diff), but no weights"
    return "holds no values in a known form: data, double_data, or raw_data of half, float or double"


def encoded_around(blob: Blob, legacy: bool) -> Tuple[bytes, bytes]:
    """The bytes before and after a blob's values in its BlobProto: the key of the values, and the shape.

    float32 is packed `data`, float64 packed `double_data`, and float16 raw_data: BVLC Caffe does not read that, but
    NVIDIA's Caffe, OpenCV 4 (whose shrinkCaffeModel writes the same) and TensorRT do.
    legacy: the shape as num, channels, height and width, for a blob of four axes at most.
    """
    shape = _encoded_shape(blob.shape, legacy)
    size = wire.varint_bytes(blob.dtype.itemsize * blob.count)
    if blob.dtype == FLOAT32:
        return wire.tag(_DATA, DELIMITED) + size, shape
    if blob.dtype == FLOAT64:
        return shape + wire.tag(_DOUBLE_DATA, DELIMITED) + size, b""
    raw_type = wire.tag(_RAW_TYPE, VARINT) + wire.varint_bytes(_RAW_HALF)
    return shape + raw_type + wire.tag(_RAW_DATA, DELIMITED) + size, b""


def _encoded_shape(shape: Sequence[int], legacy: bool) -> bytes:
    if legacy:
        pairs = zip(_LEGACY_SHAPE, (*[1] * (len(_LEGACY_SHAPE) - len(shape)), *shape))
        return b"".join(wire.tag(number, VARINT) + wire.varint_bytes(size) for number, size in pairs)
    dims = b"".join(wire.varint_bytes(size) for size in shape)
    return wire.delimited(_SHAPE, wire.delimited(_DIM, dims) if dims else b"")
