"""Names of layers, blobs and stages: bytes in Caffe, text here.

A byte that is not UTF-8 reads as `\\xNN`: protobuf takes no surrogates. If a name itself has these four characters,
its backslash reads as `\\x5c`, so that two names never read the same.
"""

from __future__ import annotations

import re

ESCAPED = r"x(?:5c|[89a-f][0-9a-f])"  # after the backslash
_ESCAPE, _BACKSLASH = (re.compile(pattern.encode()) for pattern in (rf"\\{ESCAPED}", rf"\\(?={ESCAPED})"))


def decode(name: bytes) -> str:
    plain = name if b"\\" not in name else _BACKSLASH.sub(rb"\\x5c", name)
    return plain.decode("utf-8", "backslashreplace")


def encode(name: str) -> bytes:
    """The bytes of a name; the inverse of `decode`."""
    return _ESCAPE.sub(lambda match: bytes.fromhex(match.group()[2:].decode()), name.encode())
