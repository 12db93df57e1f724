"""Protobuf's wire format, as the offsets of fields in a file. Nothing is decoded before it is needed.

The encoding: https://protobuf.dev/programming-guides/encoding/. A field is a key, the varint
(number << 3 | wire type), and a value. A field that is not understood is a span that can be copied unchanged.
"""

from __future__ import annotations

import os
import stat
import weakref
from typing import Iterator, List, NamedTuple, Optional, Tuple, Union

from ..errors import InputError, SystemFailure

VARINT, FIXED64, DELIMITED, GROUP_START, GROUP_END, FIXED32 = range(6)

# A scan reads headers that are far apart: a small window reads little of the values between them.
_WINDOW = 4096
# The limit of protobuf's own parsers.
_DEEPEST_GROUP = 100
_LONGEST_VARINT = 10
# Bytes of a value of fixed width.
WIDTHS = {FIXED32: 4, FIXED64: 8}
# The remedy of every error that only damage explains.
DAMAGED = "the file is damaged, or is not a protobuf message"


class Source:
    """Bytes that can be read at any offset: a file by its path, or bytes in memory.

    name: what messages call it. size: in bytes, taken when it was opened.
    window, window_start: the bytes read last, and where they begin, for those that are in a hurry.
    A file is read with preadv and not mapped: if it shrinks meanwhile, the result is an InputError, not a SIGBUS.
    """

    def __init__(self, content: Union[str, os.PathLike[str], bytes], name: str = "") -> None:
        self._descriptor: Optional[int] = None
        self.window = b""
        self.window_start = 0
        if isinstance(content, bytes):
            self.name = name or "<bytes>"
            self.size = len(content)
            self.window = content
            return
        self.name = name or os.fspath(content)
        self._descriptor = _open(content, self.name)
        weakref.finalize(self, os.close, self._descriptor)
        self.size = os.fstat(self._descriptor).st_size

    def read(self, start: int, end: int) -> bytes:
        """The bytes of [start, end), which must lie in the source; for small pieces."""
        offset = start - self.window_start
        if offset < 0 or offset + end - start > len(self.window):
            self._move_window(start, max(end, min(start + _WINDOW, self.size)))
            offset = 0
        return self.window[offset : offset + end - start]

    def read_into(self, start: int, target: memoryview) -> None:
        """Fill `target` (writable bytes) with the bytes from `start` on, bypassing the window."""
        if self._descriptor is None:
            if start + len(target) > self.size:
                raise self._shrunk()
            target[:] = memoryview(self.window)[start : start + len(target)]
            return
        while target:
            try:
                count = os.preadv(self._descriptor, [target], start)
            except OSError as error:
                raise SystemFailure(f"cannot be read: {error.strerror}", where=self.name) from error
            if count == 0:
                raise self._shrunk()
            start += count
            target = target[count:]

    def _move_window(self, start: int, end: int) -> None:
        window = b"" if self._descriptor is None else self._pread(self._descriptor, end - start, start)
        if len(window) < end - start:  # a read may be shorter than asked for
            whole = bytearray(end - start)
            self.read_into(start, memoryview(whole))
            window = bytes(whole)
        self.window, self.window_start = window, start

    def _pread(self, descriptor: int, size: int, start: int) -> bytes:
        try:
            return os.pread(descriptor, size, start)
        except OSError as error:
            raise SystemFailure(f"cannot be read: {error.strerror}", where=self.name) from error

    def _shrunk(self) -> InputError:
        return InputError(
            "the file shrank while it was read", where=self.name, remedy="run again when nothing writes to it"
        )


def _open(path: Union[str, os.PathLike[str]], name: str) -> int:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise InputError("there is no such file", where=name) from None
    except OSError as error:
        raise SystemFailure(f"cannot be opened: {error.strerror}", where=name) from error
    kind = "directory" if stat.S_ISDIR(mode) else "device or a pipe"
    raise InputError(f"is a {kind}, expected a file", where=name)


class WireField(NamedTuple):
    """One field of a message, as offsets in the source.

    Consecutive fields of one number and a fixed width are one WireField: `repeats` values, the first at
    `value_start`, each `stride` bytes after the previous one. A group's value includes the key that ends it.
    """

    number: int
    wire_type: int
    start: int
    value_start: int
    end: int
    repeats: int = 1

    @property
    def stride(self) -> int:
        return WIDTHS[self.wire_type] + 1


class Overrun(InputError):
    """A field extends past the end of the message around it: usually a download that broke off.

    number, value_start: the field's number and the offset of its value.
    """

    def __init__(self, number: int, value_start: int, *, where: str, what: str) -> None:
        super().__init__(what, where=where, remedy="the file is truncated or damaged: get it again")
        self.number = number
        self.value_start = value_start


def fields(source: Source, start: int, end: int) -> Iterator[WireField]:
    """The fields of the message in [start, end), in order. Raises InputError with the byte where it is corrupt."""
    position = start
    while position < end:
        field = _short_field(source, position, end) or _field(source, position, end)
        if field.wire_type == GROUP_START:
            field = _whole_group(source, field, end)
        elif field.wire_type == GROUP_END:
            raise _corrupt(source, position, "ends a group that did not begin")
        elif field.wire_type in WIDTHS:
            field = _whole_run(source, field, end)
        yield field
        position = field.end


def _short_field(source: Source, start: int, end: int) -> Optional[WireField]:
    """The field at `start` if it is as most are: delimited, with a short key and length that lie in the window."""
    window, offset = source.window, start - source.window_start
    if not 0 <= offset < len(window) - 2:
        return None
    key, length, value_start = window[offset], window[offset + 1], start + 2
    if key & 0x87 != DELIMITED or key < 8:
        return None
    if length > 0x7F:
        following = window[offset + 2]
        if following > 0x7F:
            return None
        length, value_start = length & 0x7F | following << 7, start + 3
    value_end = value_start + length
    return WireField(key >> 3, DELIMITED, start, value_start, value_end) if value_end <= end else None


def _field(source: Source, start: int, end: int) -> WireField:
    """The field at `start`; for a group, only its key."""
    key, value_start = varint(source, start, end)
    number, wire_type = key >> 3, key & 7
    if number == 0 or key >> 32:
        raise _corrupt(source, start, f"has the impossible field number {number}")
    if wire_type == DELIMITED:
        length, value_start = varint(source, value_start, end)
        value_end = value_start + length
    elif wire_type == VARINT:
        value_end = varint(source, value_start, end)[1]
    elif wire_type in WIDTHS:
        value_end = value_start + WIDTHS[wire_type]
    elif wire_type in (GROUP_START, GROUP_END):
        value_end = value_start
    else:
        raise _corrupt(source, start, f"has the unknown wire type {wire_type}")
    if value_end > end:
        raise Overrun(
            number,
            value_start,
            where=f"{source.name}: byte {start}",
            what=f"field {number} needs {value_end - value_start} bytes, but only {end - value_start} follow",
        )
    return WireField(number, wire_type, start, value_start, value_end)


def _whole_group(source: Source, opening: WireField, end: int) -> WireField:
    open_numbers: List[int] = [opening.number]
    field = opening
    while open_numbers:
        if field.end >= end:
            raise _corrupt(source, opening.start, "begins a group that does not end")
        field = _field(source, field.end, end)
        if field.wire_type == GROUP_START:
            open_numbers.append(field.number)
            if len(open_numbers) > _DEEPEST_GROUP:
                raise _corrupt(source, field.start, f"is a group more than {_DEEPEST_GROUP} deep")
        elif field.wire_type == GROUP_END and open_numbers.pop() != field.number:
            raise _corrupt(source, field.start, f"ends group {field.number}, which is not the one that is open")
    return opening._replace(end=field.end)


def _whole_run(source: Source, first: WireField, end: int) -> WireField:
    """A run of unpacked values, one key each, as one field: a million of them must not become a million fields."""
    stride = first.stride
    if first.value_start - first.start != 1:
        return first
    key = source.read(first.start, first.value_start)
    run_end = first.end
    while end - run_end >= stride:
        # One window at a time: the next field may well be of another kind.
        entries = min(end - run_end, _WINDOW) // stride
        keys = source.read(run_end, run_end + entries * stride)[::stride]
        same = len(keys) - len(keys.lstrip(key))
        run_end += same * stride
        if same < entries:
            break
    return first._replace(end=run_end, repeats=(run_end - first.start) // stride)


def varint(source: Source, start: int, end: int) -> Tuple[int, int]:
    """The unsigned 64-bit varint at `start`, and the offset after it; the message ends at `end`."""
    offset, window = start - source.window_start, source.window
    if 0 <= offset < len(window) and start < end and window[offset] < 0x80:
        return window[offset], start + 1
    head = source.read(start, min(start + _LONGEST_VARINT, end))
    value = 0
    for index, byte in enumerate(head):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if value >> 64:
                break
            return value, start + index + 1
    problem = "is cut off" if len(head) < _LONGEST_VARINT else "has more than 64 bits"
    raise _corrupt(source, start, f"holds a varint that {problem}")


def signed(value: int) -> int:
    """The int32 or int64 that protobuf encodes as this unsigned varint (negative values take ten bytes)."""
    return value - (1 << 64) if value >> 63 else value


def varint_bytes(value: int) -> bytes:
    """The shortest varint of an integer from 0 to 2**64 - 1."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def tag(number: int, wire_type: int) -> bytes:
    """The key that begins a field."""
    return varint_bytes(number << 3 | wire_type)


def delimited(number: int, payload: bytes) -> bytes:
    """A whole length-delimited field: a string, a message or packed values."""
    return tag(number, DELIMITED) + varint_bytes(len(payload)) + payload


def _corrupt(source: Source, position: int, what: str) -> InputError:
    return InputError(f"the field here {what}", where=f"{source.name}: byte {position}", remedy=DAMAGED)
