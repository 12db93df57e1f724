"""Numbers in messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """1 blob, 2 blobs, 1,000 blobs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
