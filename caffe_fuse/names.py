"""Names of layers, blobs and stages: bytes to Caffe, text to us.

A byte that is no UTF-8 reads as `\\xNN`: protobuf takes no surrogates.
"""

from __future__ import annotations

import re
from typing import Iterable, Tuple, Union

_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def encode(name: str) -> bytes:
    """The bytes that `decode` read."""
    return _BYTE.sub(lambda match: bytes.fromhex(match.group(1).decode()), name.encode())


def listed(given: Union[str, Iterable[str]]) -> Tuple[str, ...]:
    """Names as a caller gave them: one alone is one, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)
