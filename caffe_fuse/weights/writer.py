"""Writes a caffemodel as the original's bytes with the records of changed layers exchanged."""

from __future__ import annotations

from itertools import accumulate
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .. import names, parallel, wire
from ..blob import FLOAT32, Blob, Reader
from ..errors import InputError, InternalError
from ..wire import DELIMITED, VARINT, Source, WireField
from .blobproto import encoded_around
from .generations import V1, V2, Generation
from .model import Kept, LayerRecord, Output, Plan, Rewritten, WeightFile

# Caffe: util/io.cpp:22 reads no more.
LARGEST_FILE = 2**31 - 1

_BIAS_TERM = 2  # of ConvolutionParameter and InnerProductParameter
_COPIED_AT_ONCE = 1 << 18
_SHORT = 1 << 12
_NO_RECORD = LayerRecord(-1, "", None, (), (), (), (0, 0))


class _Copy(NamedTuple):
    """Bytes of the original file: [start, end)."""

    start: int
    end: int


# A blob stands for its numbers as float32.
_Piece = Union[bytes, _Copy, Blob]


def write(original: WeightFile, plan: Plan, out: Output, chunks: Reader = Blob.chunks) -> None:
    """Write the file that `original` becomes; bytes outside of changed records are the original's, in order.

    Several threads call `out` and `chunks`.

    plan: what becomes of the original's records, which keep their order (one that is not in the plan is
    dropped), and new layers, which follow the last record where they do not say behind which.
    chunks: how a blob is read, so that a caller can watch its numbers go by.
    InputError, before anything is written, if Caffe could not read so large a file.
    """
    pieces = _joined(original.source, _pieces(original, plan))
    size = sum(map(_size, pieces))
    if size > LARGEST_FILE:
        problem = f"would become {size} bytes, but Caffe reads {LARGEST_FILE} at most"
        raise InputError(problem, where=original.path)
    offsets = [0, *accumulate(map(_size, pieces))]

    def write_piece(place: Tuple[int, _Piece]) -> None:
        offset, piece = place
        if isinstance(piece, bytes):
            out(offset, memoryview(piece))
        elif isinstance(piece, Blob):
            _write_numbers(piece, offset, out, chunks)
        else:
            _write_copy(original.source, piece, offset, out)

    # The longest first: then no thread is left alone with one at the end.
    parallel.each(write_piece, sorted(zip(offsets, pieces), key=lambda place: -_size(place[1])))


def _joined(source: Source, pieces: Sequence[_Piece]) -> List[_Piece]:
    """The same file in fewer pieces: short ones that follow each other are one."""
    joined: List[_Piece] = []
    for piece in pieces:
        if isinstance(piece, _Copy) and piece.end - piece.start <= _SHORT:
            piece = source.read(piece.start, piece.end)
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _write_copy(source: Source, piece: _Copy, offset: int, out: Output) -> None:
    buffer = memoryview(bytearray(min(_COPIED_AT_ONCE, piece.end - piece.start)))
    for start in range(piece.start, piece.end, _COPIED_AT_ONCE):
        part = buffer[: piece.end - start]
        source.read_into(start, part)
        out(offset + start - piece.start, part)


def _write_numbers(blob: Blob, offset: int, out: Output, chunks: Reader) -> None:
    written = 0
    for chunk in chunks(blob):
        # The half analysis tells of numbers beyond float32; numpy's warning would only repeat it.
        with np.errstate(all="ignore"):
            numbers = chunk.astype(FLOAT32, copy=False)
        out(offset + FLOAT32.itemsize * written, numbers.data.cast("B"))
        written += len(numbers)
    if written != blob.count:
        raise InternalError(f"a blob of {blob.count} numbers gave {written}")


def _pieces(original: WeightFile, plan: Plan) -> List[_Piece]:
    """The new file, one piece after the other; what is kept together is one piece."""
    planned = {entry.record: entry for entry in plan if entry.record is not None}
    added = [entry for entry in plan if isinstance(entry, Rewritten) and entry.record is None]
    # One file cannot hold both generations (Caffe: upgrade_proto.cpp:670).
    generation = V1 if planned and original.generation == V1.label else V2
    pieces: List[_Piece] = []
    copied = 0
    for record in original.layers:
        start, end = record.span
        entry = planned.pop(record, None)
        if not isinstance(entry, Kept):
            pieces.append(_Copy(copied, start))
            pieces += _layer(original.source, entry, generation) if entry is not None else []
            copied = end
        for new in (new for new in added if new.behind is record):
            pieces.append(_Copy(copied, end))
            pieces += _layer(original.source, new, generation)
            copied = end
    if planned:
        raise InternalError(f"layers {[record.name for record in planned]} are of another file")
    last = original.layers[-1].span[1]
    pieces.append(_Copy(copied, last))
    for entry in added:
        pieces += _layer(original.source, entry, generation) if entry.behind is None else []
    pieces.append(_Copy(last, original.source.size))
    return pieces


def _layer(source: Source, entry: Rewritten, generation: Generation) -> List[_Piece]:
    """The new record: the fields of the old one in their order, with those exchanged that changed."""
    old = entry.record or _NO_RECORD
    fields: List[WireField] = []
    if entry.record is not None:
        record = next(wire.fields(source, *old.span))
        fields = list(wire.fields(source, record.value_start, record.end))
    if generation is V1 and entry.parameters is not None:
        raise InternalError(f"layer {entry.name} of the V1 form cannot become another type")
    pending = _exchanged(source, generation, old, entry, fields)
    exchanged = frozenset(pending)
    body: List[_Piece] = []
    for field in fields:
        if field.number in exchanged:
            body += pending.pop(field.number, ())
        elif entry.parameters is None or field.number in generation.of_every_type:
            body.append(_Copy(field.start, field.end))
    for pieces in pending.values():
        body += pieces
    body.append(entry.parameters or b"")
    return [_header(generation.layers, body), *body]


def _exchanged(
    source: Source, generation: Generation, old: LayerRecord, entry: Rewritten, fields: Sequence[WireField]
) -> Dict[int, Sequence[_Piece]]:
    """What takes the place of the record's fields, by their number."""
    exchanged: Dict[int, Sequence[_Piece]] = {}
    for number, before, after in (
        (generation.name, (old.name,), (entry.name,)),
        # V1 numbers its types. Caffe binds weights by name alone (net.cpp:735): a new layer can do without.
        (generation.type, (old.type,), (old.type if generation is V1 else entry.type or old.type,)),
        (generation.bottom, old.bottoms, old.bottoms if entry.bottoms is None else entry.bottoms),
        (generation.top, old.tops, old.tops if entry.tops is None else entry.tops),
    ):
        if before != after:
            texts = [names.encode(text or "") for text in after]
            exchanged[number] = [wire.delimited(number, text) for text in texts]
    for number in generation.with_bias_term if entry.bias_term is not None else ():
        parameter = _messages(fields, number)
        if parameter:
            exchanged[number] = [wire.delimited(number, _with_bias_term(source, parameter, entry.bias_term))]
    if old.blobs != entry.blobs:
        exchanged[generation.blobs] = _blobs(generation, old, entry, fields)
    return exchanged


def _with_bias_term(source: Source, parameter: Sequence[WireField], bias_term: Optional[bool]) -> bytes:
    """The fields of a submessage with this bias_term; one that is there twice is merged, as protobuf does."""
    others = b"".join(
        source.read(field.start, field.end)
        for message in parameter
        for field in wire.fields(source, message.value_start, message.end)
        if field.number != _BIAS_TERM
    )
    return others + wire.tag(_BIAS_TERM, VARINT) + wire.varint_bytes(int(bool(bias_term)))


def _blobs(generation: Generation, old: LayerRecord, entry: Rewritten, fields: Sequence[WireField]) -> List[_Piece]:
    messages = _messages(fields, generation.blobs)
    stored = {blob: _Copy(message.start, message.end) for blob, message in zip(old.blobs, messages)}
    # Only as num, channels, height and width may a shape have more axes than Caffe's layer has
    # (blob.cpp:411).
    legacy = any(blob.legacy for blob in (*old.blobs, *entry.blobs))
    pieces: List[_Piece] = []
    for blob in entry.blobs:
        if blob in stored:
            pieces.append(stored[blob])
            continue
        before, after = encoded_around(blob, legacy and len(blob.shape) == 4)
        message: List[_Piece] = [before, blob, after]
        pieces += [_header(generation.blobs, message), *message]
    return pieces


def _messages(fields: Sequence[WireField], number: int) -> List[WireField]:
    return [field for field in fields if field.number == number and field.wire_type == DELIMITED]


def _header(number: int, pieces: Sequence[_Piece]) -> bytes:
    return wire.tag(number, DELIMITED) + wire.varint_bytes(sum(map(_size, pieces)))


def _size(piece: _Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    if isinstance(piece, Blob):
        return FLOAT32.itemsize * piece.count
    return piece.end - piece.start
