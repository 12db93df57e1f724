"""Weight files: one module for each format, all listed in FORMATS.

Imports `blobs`, `protobuf`, `schema`, and `generations` for the names of old types. A scan reads no values.
"""

from __future__ import annotations

from typing import Tuple

from ..errors import InputError
from ..protobuf.wire import Source
from . import caffemodel, hdf5
from .records import Format, Kept, LayerRecord, Output, Plan, Rewritten, WeightFile
from .sniff import HEAD_SIZE, explain

__all__ = [
    "FORMATS",
    "Format",
    "Kept",
    "LayerRecord",
    "Output",
    "Plan",
    "Rewritten",
    "WeightFile",
    "read_weights",
]

FORMATS: Tuple[Format, ...] = (caffemodel.FORMAT, hdf5.FORMAT)


def read_weights(source: Source) -> WeightFile:
    """Scan a weight file of any format, recognised by its content; no blob's values are read.

    Raises InputError for any other file, saying what it is, and SystemFailure if it cannot be read.
    """
    head = source.read(0, min(HEAD_SIZE, source.size))
    for candidate in FORMATS:
        if candidate.recognises(head):
            return candidate.read(source)
    what, remedy = explain(head) or ("is a file of an unknown kind", "")
    raise InputError(f"{what}, expected a caffemodel", where=source.name, remedy=remedy)
