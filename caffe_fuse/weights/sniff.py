"""Recognises, by its first bytes, a file that is not a caffemodel: a download may leave anything under that name."""

from __future__ import annotations

import re
from typing import Optional, Tuple

# How many bytes of a file's start `explain` looks at.
HEAD_SIZE = 4096

_GET = "get the file itself"
_GIVE = "give the .caffemodel"
_KINDS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what, remedy)
    for pattern, what, remedy in (
        (rb"\Z", "is empty", _GET),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", "is a web page", _GET),
        (rb"version https://git-lfs", "is a git-LFS pointer", "get the file itself with `git lfs pull`"),
        (rb"\x89HDF\r\n\x1a\n", "is an HDF5 file", _GIVE),
        (rb"\x1f\x8b", "is compressed with gzip", "unpack it first"),
        (rb"BZh[1-9]1AY|\xfd7zXZ\0|7z\xbc\xaf|Rar!\x1a\x07", "is a compressed archive", "unpack it first"),
        (rb"PK\x03\x04", "is a zip archive, perhaps of PyTorch", _GIVE),
        (rb"\x80[\x02-\x05]", "is a Python pickle, perhaps of PyTorch", _GIVE),
        (rb".{4}TFL3", "is a TensorFlow Lite model", _GIVE),
        # BVLC caffe.proto, SolverState: `iter`, then `learned_net` (a path) or `history`.
        (
            rb"\x08[\x80-\xff]*[\0-\x7f](\x12.{1,3000}\.caffemodel|\x1a)",
            "is a solver state",
            "give the .caffemodel of the same iteration",
        ),
        # onnx.proto, ModelProto: `ir_version`, then `producer_name`, `graph` or `opset_import`.
        (rb"\x08[\x01-\x1f][\x12\x3a\x42]", "is an ONNX model", _GIVE),
        # BlobProto: `num` and `channels`, or `data`. In a NetParameter these field numbers are a string and a bool.
        (rb"\x08[\x80-\xff]*[\0-\x7f]\x10|\x2a", "is a single blob, such as a mean.binaryproto", _GIVE),
        # A caffemodel has the key of a layer near its start, b"\xa2\x06" or b"\x12": control characters.
        (rb"[^\0-\x08\x0e-\x1f\x7f]*\Z", "is text, perhaps a prototxt", _GIVE),
    )
)


def explain(head: bytes) -> Optional[Tuple[str, str]]:
    """What a file with these first bytes is, and the remedy, for example ("is a web page", "get the file itself").

    None if it may be a caffemodel.
    """
    for pattern, what, remedy in _KINDS:
        if pattern.match(head):
            return what, remedy
    return None
