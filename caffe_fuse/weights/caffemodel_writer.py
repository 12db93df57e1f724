"""Writes a caffemodel: the bytes of the original, with the records of changed layers replaced."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from .. import parallel
from ..blobs.blob import SMALL, Blob, Reader, StoredBlob
from ..errors import InputError, InternalError
from ..protobuf import wire
from ..protobuf.wire import DELIMITED, VARINT, Source, WireField
from ..schema import names
from .blobproto import encoded_around
from .field_numbers import GENERATIONS, V2, Generation
from .records import Kept, LayerRecord, Output, Plan, Rewritten, WeightFile

# Caffe: util/io.cpp:22, the most that it reads.
LARGEST_FILE = 2**31 - 1

_COPIED_AT_ONCE = 1 << 18
_SHORT = 1 << 12
_NO_RECORD = LayerRecord(-1, "", None, (), (), (), (0, 0))


class Copy(NamedTuple):
    """Bytes of the original file: [start, end)."""

    start: int
    end: int


# A blob stands for its values in its dtype.
Piece = Union[bytes, Copy, Blob]


def write(original: WeightFile, plan: Plan, out: Output, chunks: Reader = Blob.chunks) -> None:
    """Write the new file; bytes outside of changed records are the original's, in order.

    Several threads call `out` and `chunks`.

    plan: what becomes of the original's records, which keep their order (a record that is not in the plan is dropped),
    and new layers, each after the record that precedes it in the plan.
    chunks: how a blob is read, so that a caller can observe its values on the way.
    Raises InputError, before anything is written, if the file would be too large for Caffe.
    """
    write_pieces(original, _with_blobs(original, _pieces(original, plan)), out, chunks)


def write_pieces(original: WeightFile, parts: Iterable[Piece], out: Output, chunks: Reader = Blob.chunks) -> None:
    """Write a file of these pieces, as `write` does."""
    pieces = _joined(original.source, parts)
    size = sum(map(_size, pieces))
    if size > LARGEST_FILE:
        problem = f"would become {size} bytes, but Caffe reads {LARGEST_FILE} at most"
        raise InputError(problem, where=original.path)
    offsets = [0, *accumulate(map(_size, pieces))]

    def write_piece(place: Tuple[int, Piece]) -> None:
        offset, piece = place
        if isinstance(piece, bytes):
            out(offset, memoryview(piece))
        elif isinstance(piece, Blob):
            write_values(piece, offset, out, chunks)
        else:
            _write_copy(original.source, piece, offset, out)

    # The longest first, so that no thread is left alone with it at the end.
    parallel.each(write_piece, sorted(zip(offsets, pieces), key=lambda place: -_size(place[1])))


def _with_blobs(original: WeightFile, pieces: Sequence[Piece]) -> Iterator[Piece]:
    """The same file, in which large blobs that are copied are pieces of their own: `chunks` reads them as well."""
    blobs = (blob for record in original.layers for blob in record.blobs if blob.count > SMALL)
    places = ((blob.stored, blob) for blob in blobs if isinstance(blob, StoredBlob))
    stored = sorted(((place, blob) for place, blob in places if place is not None), key=lambda pair: pair[0])
    starts = [place[0] for place, _ in stored]
    for piece in pieces:
        if not isinstance(piece, Copy):
            yield piece
            continue
        done = piece.start
        for (start, end), blob in stored[bisect_left(starts, piece.start) : bisect_left(starts, piece.end)]:
            yield Copy(done, start)
            yield blob
            done = end
        yield Copy(done, piece.end)


def _joined(source: Source, pieces: Iterable[Piece]) -> List[Piece]:
    """The same file in fewer pieces: consecutive short ones are joined."""
    joined: List[Piece] = []
    for piece in pieces:
        if isinstance(piece, Copy) and piece.end - piece.start <= _SHORT:
            piece = source.read(piece.start, piece.end)
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return joined


def _write_copy(source: Source, piece: Copy, offset: int, out: Output) -> None:
    buffer = memoryview(bytearray(min(_COPIED_AT_ONCE, piece.end - piece.start)))
    for start in range(piece.start, piece.end, _COPIED_AT_ONCE):
        part = buffer[: piece.end - start]
        source.read_into(start, part)
        out(offset + start - piece.start, part)


def write_values(blob: Blob, offset: int, out: Output, chunks: Reader) -> None:
    """Write the values of a blob, in its dtype, from `offset` on."""
    written = 0
    for chunk in chunks(blob):
        out(offset + blob.dtype.itemsize * written, chunk.data.cast("B"))
        written += len(chunk)
    if written != blob.count:
        raise InternalError(f"a blob of {blob.count} elements yielded {written}")


def _pieces(original: WeightFile, plan: Plan) -> List[Piece]:
    """The pieces of the new file, in order; adjacent kept records are one piece."""
    planned = {entry.record: entry for entry in plan if entry.record is not None}
    # One file cannot hold both generations (Caffe: upgrade_proto.cpp:670).
    generation = GENERATIONS[original.generation] if planned else V2
    added = _added(plan)
    copied = original.layers[0].span[0] if original.layers else original.source.size
    pieces: List[Piece] = [Copy(0, copied)]
    for entry in added.get(None, ()):
        pieces += _layer(original.source, entry, generation)
    for record in original.layers:
        start, end = record.span
        own = planned.pop(record, None)
        if not isinstance(own, Kept):
            pieces.append(Copy(copied, start))
            pieces += _layer(original.source, own, generation) if own is not None else []
            copied = end
        for entry in added.get(record, ()):
            pieces += [Copy(copied, end), *_layer(original.source, entry, generation)]
            copied = end
    if planned:
        raise InternalError(f"layers {[record.name for record in planned]} belong to another file")
    pieces.append(Copy(copied, original.source.size))
    return pieces


def _added(plan: Plan) -> Dict[Optional[LayerRecord], List[Rewritten]]:
    """The new layers by the record that they follow; None for those before all records."""
    added: Dict[Optional[LayerRecord], List[Rewritten]] = {}
    record: Optional[LayerRecord] = None
    for entry in plan:
        if isinstance(entry, Rewritten) and entry.record is None:
            added.setdefault(record, []).append(entry)
        else:
            record = entry.record
    return added


def _layer(source: Source, entry: Rewritten, generation: Generation) -> List[Piece]:
    """The new record: the fields of the old one in their order, with changed fields replaced."""
    old = entry.record or _NO_RECORD
    outer = fields_of(source, [next(wire.fields(source, *old.span))] if entry.record is not None else [])
    wires = _wires(generation, old, entry)
    if not generation.nested:
        exchanged = {**wires, **_exchanged(source, generation, old, entry, outer)}
        return message(generation.layers, _body(outer, exchanged, entry, generation))
    inner = fields_of(source, messages(outer, generation.nested))
    nested = _body(inner, _exchanged(source, generation, old, entry, inner), entry, generation)
    wires[generation.nested] = message(generation.nested, nested)
    return message(generation.layers, _body(outer, wires, None, generation))


def fields_of(source: Source, parts: Sequence[WireField]) -> List[WireField]:
    """The fields of these messages."""
    return [field for part in parts for field in wire.fields(source, part.value_start, part.end)]


def _body(
    fields: Sequence[WireField],
    exchanged: Mapping[int, Sequence[Piece]],
    entry: Optional[Rewritten],
    generation: Generation,
) -> List[Piece]:
    """The fields with changed ones replaced; the parameters of `entry`, if any, replace the old ones."""
    replaced = entry is not None and entry.parameters is not None
    pending = dict(exchanged)
    body: List[Piece] = []
    for field in fields:
        if field.number in exchanged:
            body += pending.pop(field.number, ())
        elif not replaced or field.number in generation.of_every_type:
            body.append(Copy(field.start, field.end))
    for pieces in pending.values():
        body += pieces
    if generation is V2 and entry is not None:
        body.append(entry.parameters or b"")
    return body


def _wires(generation: Generation, old: LayerRecord, entry: Rewritten) -> Dict[int, Sequence[Piece]]:
    """The bottoms and tops that change, by field number."""
    bottoms = old.bottoms if entry.bottoms is None else entry.bottoms
    tops = old.tops if entry.tops is None else entry.tops
    places = ((generation.bottom, old.bottoms, bottoms), (generation.top, old.tops, tops))
    return {number: _texts(number, after) for number, before, after in places if before != after}


def _texts(number: int, texts: Sequence[str]) -> List[Piece]:
    return [wire.delimited(number, names.encode(text)) for text in texts]


def _exchanged(
    source: Source, generation: Generation, old: LayerRecord, entry: Rewritten, fields: Sequence[WireField]
) -> Dict[int, Sequence[Piece]]:
    """The replacements of the record's other fields, by field number."""
    exchanged: Dict[int, Sequence[Piece]] = {}
    if old.name != entry.name:
        exchanged[generation.name] = _texts(generation.name, [entry.name])
    if entry.type not in (None, old.type):
        # The old generations have their own names and values for types, and none for most of V2's. Caffe binds weights
        # by name alone (net.cpp:735), so a layer needs no type.
        exchanged[generation.type] = _texts(generation.type, [entry.type or ""] if generation is V2 else [])
    if entry.bias_term is not None:
        for number in generation.with_bias_term:
            parameter = messages(fields, number)
            if parameter:
                others = [field for field in fields_of(source, parameter) if field.number != generation.bias_term]
                kept = b"".join(source.read(field.start, field.end) for field in others)
                exchanged[number] = [wire.delimited(number, kept + _bias_term(generation, entry.bias_term))]
        if generation.nested:
            exchanged[generation.bias_term] = [_bias_term(generation, entry.bias_term)]
    if old.blobs != entry.blobs:
        exchanged[generation.blobs] = _blobs(generation, old, entry, fields)
    return exchanged


def _bias_term(generation: Generation, value: bool) -> bytes:
    return wire.tag(generation.bias_term, VARINT) + wire.varint_bytes(int(value))


def _blobs(generation: Generation, old: LayerRecord, entry: Rewritten, fields: Sequence[WireField]) -> List[Piece]:
    stored = {blob: Copy(field.start, field.end) for blob, field in zip(old.blobs, messages(fields, generation.blobs))}
    # All of a record in one form: a shape as num, channels, height and width may have more axes than Caffe's layer has
    # (blob.cpp:411), and RKNN-Toolkit2 does not read both in one layer.
    legacy = any(blob.legacy for blob in (*old.blobs, *entry.blobs))
    pieces: List[Piece] = []
    for blob in entry.blobs:
        if blob in stored:
            pieces.append(stored[blob])
            continue
        before, after = encoded_around(blob, legacy and len(blob.shape) <= 4)
        pieces += message(generation.blobs, [before, blob, after])
    return pieces


def messages(fields: Sequence[WireField], number: int) -> List[WireField]:
    return [field for field in fields if field.number == number and field.wire_type == DELIMITED]


def message(number: int, pieces: List[Piece]) -> List[Piece]:
    """A field that holds a message of these pieces."""
    return [_header(number, pieces), *pieces]


def _header(number: int, pieces: Sequence[Piece]) -> bytes:
    return wire.tag(number, DELIMITED) + wire.varint_bytes(sum(map(_size, pieces)))


def _size(piece: Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    if isinstance(piece, Blob):
        return piece.dtype.itemsize * piece.count
    return piece.end - piece.start
