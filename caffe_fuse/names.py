"""Names are bytes to Caffe and text to us.

A byte that is no UTF-8 reads as `\\xNN`: protobuf takes no surrogates.
"""

from __future__ import annotations

import re

_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def encode(name: str) -> bytes:
    """The bytes that `decode` read."""
    return _BYTE.sub(lambda match: bytes.fromhex(match.group(1).decode()), name.encode())
