from __future__ import annotations

import os
from pathlib import Path
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.errors import InputError, SystemFailure
from caffe_fuse.protobuf import wire
from caffe_fuse.protobuf.wire import DELIMITED, FIXED32, FIXED64, GROUP_START, VARINT, Overrun, Source, WireField


def listed(message: bytes) -> List[WireField]:
    return list(wire.fields(Source(message), 0, len(message)))


@given(st.integers(0, 2**64 - 1))
def test_a_varint_comes_back_as_it_was_written(value: int) -> None:
    encoded = wire.varint_bytes(value)
    assert (value, len(encoded)) == wire.varint(Source(encoded + b"\x01"), 0, len(encoded) + 1)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02"), (2**64 - 1, b"\xff" * 9 + b"\x01")],
)
def test_varints_are_those_of_the_specification(value: int, encoded: bytes) -> None:
    assert encoded == wire.varint_bytes(value)
    assert (value, len(encoded)) == wire.varint(Source(encoded), 0, len(encoded))


@pytest.mark.parametrize(("encoded", "expected"), [(5, 5), (2**63 - 1, 2**63 - 1), (2**64 - 1, -1), (2**63, -(2**63))])
def test_negative_numbers_are_varints_of_64_bits(encoded: int, expected: int) -> None:
    assert expected == wire.signed(encoded)


def test_a_varint_of_more_than_64_bits_is_refused() -> None:
    with pytest.raises(InputError, match=r"byte 0.*more than 64 bits"):
        wire.varint(Source(b"\xff" * 9 + b"\x02"), 0, 10)


def test_a_varint_of_more_than_ten_bytes_is_refused() -> None:
    with pytest.raises(InputError, match=r"more than 64 bits"):
        wire.varint(Source(b"\x80" * 10 + b"\x01"), 0, 11)


def test_a_varint_ends_where_its_message_ends() -> None:
    with pytest.raises(InputError, match=r"byte 1.*cut off"):
        wire.varint(Source(b"\x08\x80\x01"), 1, 2)


def test_each_kind_of_field_is_found_with_its_place() -> None:
    message = b"\x08\x96\x01" + b"\x12\x03abc" + b"\x1d\1\2\3\4" + b"\x21\1\2\3\4\5\6\7\x08" + b"\xa2\x06\x00"
    assert [
        WireField(1, VARINT, 0, 1, 3),
        WireField(2, DELIMITED, 3, 5, 8),
        WireField(3, FIXED32, 8, 9, 13),
        WireField(4, FIXED64, 13, 14, 22),
        WireField(100, DELIMITED, 22, 25, 25),
    ] == listed(message)


@given(st.integers(1, 2**29 - 1), st.binary(max_size=300))
def test_a_delimited_field_is_read_as_it_was_written(number: int, payload: bytes) -> None:
    encoded = wire.delimited(number, payload)
    field = WireField(number, DELIMITED, 0, len(encoded) - len(payload), len(encoded))
    assert [field] == listed(encoded)
    assert encoded.endswith(payload)


@pytest.mark.parametrize("number", [1, 15, 16, 100])
@pytest.mark.parametrize("length", [0, 1, 127, 128, 255, 300, 16383, 16384])
def test_a_length_of_any_number_of_bytes_ends_the_field_at_its_place(number: int, length: int) -> None:
    encoded = wire.delimited(number, bytes(length)) + wire.delimited(2, b"abc")
    first, second = listed(encoded)
    assert (number, length, 2, 3) == (
        first.number,
        first.end - first.value_start,
        second.number,
        second.end - second.value_start,
    )


def test_a_group_is_one_field_up_to_its_end() -> None:
    inner = b"\x1b" + b"\x0a\x01\x1c" + b"\x1c"
    message = b"\x13" + inner + b"\x14" + b"\x08\x01"
    assert [WireField(2, GROUP_START, 0, 1, 7), WireField(1, VARINT, 7, 8, 9)] == listed(message)


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("repeats", [1, 2, 3, 5000])
def test_unpacked_numbers_of_one_field_come_as_one_run(width: int, repeats: int) -> None:
    key = b"\x2d" if width == 4 else b"\x29"
    # The values end in the key's own byte, and another field follows whose value begins with it.
    entry = key + bytes(width - 1) + key
    message = entry * repeats + b"\x12\x02" + key * 2
    kind = FIXED32 if width == 4 else FIXED64
    end = repeats * (width + 1)
    run = WireField(5, kind, 0, 1, end, repeats)
    assert [run, WireField(2, DELIMITED, end, end + 2, end + 4)] == listed(message)
    assert width + 1 == run.stride


@pytest.mark.parametrize("width", [4, 8])
def test_numbers_whose_key_takes_two_bytes_are_fields_of_their_own(width: int) -> None:
    kind = FIXED32 if width == 4 else FIXED64
    entry = wire.tag(20, kind) + bytes(width)
    places = range(0, 3 * len(entry), len(entry))
    assert [WireField(20, kind, start, start + 2, start + 2 + width) for start in places] == listed(entry * 3)


@pytest.mark.parametrize("end", [3, 6])
def test_a_field_ends_within_its_message_though_the_file_goes_on(end: int) -> None:
    """A message of the bytes before `end`, whose field of five bytes takes in what follows it."""
    source = Source(b"\x0a\x05abcde" + b"\x10\x01")
    with pytest.raises(Overrun, match=f"byte 0: field 1 needs 5 bytes, but only {end - 2} follow"):
        list(wire.fields(source, 0, end))


def test_a_run_that_its_message_cuts_off_is_refused() -> None:
    with pytest.raises(InputError, match=r"byte 5: field 5 needs 4 bytes, but only 2 follow.*truncated"):
        listed(b"\x2d\0\0\0\0" + b"\x2d\0\0")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x0e\0", "unknown wire type 6"),
        (b"\x0f\0", "unknown wire type 7"),
        (b"\x02\0", "impossible field number 0"),
        (b"\x88\x80\x80\x80\x10\0", "impossible field number"),
        (b"\x14", "ends a group that did not begin"),
        (b"\x13\x08\x01", "begins a group that does not end"),
        (b"\x13\x1c", "ends group 3, which is not the one that is open"),
        (b"\x13" * 101 + b"\x14" * 101, "more than 100 deep"),
        (b"\x0a\x05abcd", "field 1 needs 5 bytes, but only 4 follow"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "field 1 needs 18446744073709551615 bytes"),
        (b"\x08", "cut off"),
    ],
)
def test_corrupt_messages_are_refused_with_their_byte(message: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=rf"<bytes>: byte \d+: .*{problem}"):
        listed(message)


def test_a_hundred_nested_groups_are_still_read() -> None:
    assert len(listed(b"\x13" * 100 + b"\x14" * 100)) == 1


@given(st.binary(max_size=60))
def test_any_bytes_are_read_in_full_or_refused(message: bytes) -> None:
    try:
        found = listed(message)
    except InputError:
        return
    starts, ends = [field.start for field in found], [field.end for field in found]
    assert [*starts, len(message)] == [0, *ends]


@given(data=st.data())
def test_any_place_of_a_file_reads_as_from_memory(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytes(byte % 251 for byte in range(20_000))
    path = tmp_path_factory.getbasetemp() / "places"
    if not path.exists():
        path.write_bytes(content)
    source = Source(path)
    for _ in range(5):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 6000)))
        assert content[start:end] == source.read(start, end)
        target = bytearray(end - start)
        source.read_into(start, memoryview(target))
        assert content[start:end] == target


def test_a_file_is_known_by_its_path_and_size(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"abc")
    source = Source(path)
    assert (str(path), 3) == (source.name, source.size)


def test_a_file_that_shrinks_while_it_is_open_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(bytes(10_000))
    source = Source(path)
    os.truncate(path, 100)
    with pytest.raises(InputError, match=r"net\.caffemodel: the file shrank while it was read"):
        source.read_into(50, memoryview(bytearray(100)))


def test_a_file_that_shrinks_is_noticed_by_small_reads_too(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(bytes(10_000))
    source = Source(path)
    os.truncate(path, 0)
    with pytest.raises(InputError, match="shrank"):
        source.read(0, 4)


def test_bytes_that_end_early_are_an_input_error() -> None:
    with pytest.raises(InputError, match="shrank"):
        Source(b"abc").read_into(1, memoryview(bytearray(3)))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: there is no such file"):
        Source(tmp_path / "absent")


def test_a_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a directory, expected a file"):
        Source(tmp_path)


def test_a_pipe_is_an_input_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"is a device or a pipe, expected a file"):
        Source(tmp_path / "pipe")


def test_a_path_through_a_file_is_a_system_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SystemFailure, match="cannot be opened: Not a directory"):
        Source(tmp_path / "file" / "net.caffemodel")


def test_a_file_is_closed_with_its_source(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"abc")
    source = Source(path)
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list open files")
    before = len(list(descriptors.iterdir()))
    del source
    assert before - 1 == len(list(descriptors.iterdir()))
