"""Names of any bytes are read as distinct texts, and written as the same bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse.schema import names

# Of the pieces in which an escape could be mistaken for a name's own letters.
NAMES = st.lists(st.sampled_from([b"\\", b"x", b"e9", b"\xe9", b"5c", b"c", b"\xc3\xa9", b"s"])).map(b"".join)


@given(NAMES)
def test_a_name_is_written_as_it_was_read(name: bytes) -> None:
    assert name == names.encode(names.decode(name))


def test_letters_that_look_like_an_escaped_byte_stay_letters() -> None:
    assert ("s\\xe9", "s\\x5cxe9") == (names.decode(b"s\xe9"), names.decode(b"s\\xe9"))
